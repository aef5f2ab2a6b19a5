//! An engine without I/O, clock or threads: frames of the TCP feed in, blocks of records and acks out, through the
//! production codec and the production shard. Every block is durable as soon as it is sealed, every message is sent as
//! soon as it is offered.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sojourn::domain::apply::Firing;
use sojourn::domain::catalog::{Catalog, SourceFile};
use sojourn::domain::effect::{DeliveryOutcome, DeliveryReport};
use sojourn::domain::event::Event;
use sojourn::domain::ids::{DeliveryId, HashKey, Millis, PartitionId, SandboxId, ShardId};
use sojourn::domain::limits::BLOCK_BYTES_MAX;
use sojourn::domain::value::{Map, Value};
use sojourn::runtime::delivery::Job;
use sojourn::runtime::partition::Partition;
use sojourn::runtime::partition::decide::DecideConfig;
use sojourn::runtime::shard::input::{
    CheckpointMessage, EventBatch, Origin, Ports, ReportBatch, RoutedEvent, SealedBlock, ShardInput,
};
use sojourn::runtime::shard::{PAGES_PER_TURN, Shard, ShardConfig};
use sojourn::runtime::ticket::{ReportTicket, Ticket};
use sojourn::store::timers::SlotNo;
use sojourn::wire::frame::{Ack, ClientFrame, LENGTH_BYTES, ServerFrame, decode_client, encode_batch, encode_server};
use sojourn::wire::record::Mark;
use sojourn::wire::value::put_map;

/// Events of a frame.
pub const BATCH: u64 = 1_000;
/// Engine time between two frames: 50,000 events a second.
const FRAME_MS: i64 = 20;
/// Partitions, as in a new data directory.
const PARTITIONS: u16 = 1_024;
/// A purchase comes so many customers after the cart it ends.
const PURCHASE_LAG: u64 = 500;
/// The start of time.
const START: Millis = Millis(1_700_000_000_000);

/// The journey of the load test, with waits of 200 ms.
const RESOURCES: &str = include_str!("../../loadtest/src/scenario/cart_abandonment.yaml");

/// What the shard told its surroundings.
#[derive(Default)]
struct Told {
    blocks: Vec<SealedBlock>,
    offered: Vec<DeliveryId>,
    emptied: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Told>>);

impl Ports for Recorder {
    fn append(&mut self, block: SealedBlock) {
        self.0.lock().blocks.push(block);
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.0.lock().emptied.pop().unwrap_or_default()
    }

    fn checkpoint(&mut self, _: CheckpointMessage) {}

    fn offer(&mut self, job: Job) -> Result<(), Job> {
        self.0.lock().offered.push(job.row.id);
        Ok(())
    }

    fn call(&mut self, job: sojourn::runtime::delivery::CallJob) -> Result<(), sojourn::runtime::delivery::CallJob> {
        Err(job)
    }

    fn load_slot(&mut self, _: PartitionId, _: SlotNo) {}

    fn hand_over(&mut self, _: ShardId, _: Box<Partition>) {}

    fn post(&mut self, _: PartitionId, _: ShardInput) {}

    fn want(&mut self, _: PartitionId) {}

    fn handled(&mut self, _: usize) {}

    fn corrupt(&mut self, partition: PartitionId, detail: String) {
        panic!("partition {partition}: {detail}");
    }
}

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events acknowledged.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Bytes of records.
    pub record_bytes: u64,
    /// Bytes of acks.
    pub ack_bytes: u64,
}

/// The engine.
pub struct Engine {
    shard: Shard,
    told: Recorder,
    now: Millis,
    totals: Totals,
    out: Vec<u8>,
}

impl Engine {
    /// With the journey published and all partitions open.
    pub fn new() -> Self {
        let file = SourceFile { name: "load.yaml".to_owned(), text: RESOURCES.replace("WAIT", "200ms") };
        let (catalog, _) = Catalog::default().apply(&[file], START).expect("the load test's journey has no errors");
        let decide = DecideConfig {
            id_window_ms: 3_600_000,
            ids_max: 100_000,
            outbox_rows_max: 100_000,
            held_max: 100_000,
            entrants_max: 100_000,
            firing: Firing::Engine,
            calls: sojourn::domain::apply::Calls::Made,
            partitions: PARTITIONS,
            hash_key: HashKey::FIXED,
        };
        let told = Recorder::default();
        let config = ShardConfig {
            id: ShardId(0),
            partitions: PARTITIONS,
            decide,
            block_bytes_max: BLOCK_BYTES_MAX,
            pages_per_turn: PAGES_PER_TURN,
        };
        let mut shard = Shard::new(config, Arc::new(catalog), Box::new(told.clone()));
        shard.turn(START);
        for id in 0..PARTITIONS {
            shard.take(ShardInput::Arrive(Box::new(Partition::new(PartitionId(id))), Origin::Opened));
        }
        let mut engine = Self { shard, told, now: START, totals: Totals::default(), out: Vec::new() };
        engine.settle();
        engine
    }

    /// Takes a frame in, and everything it and the passing time cause.
    pub fn take(&mut self, frame: &Bytes) {
        let ClientFrame::Batch(batch) = decode_client(frame).expect("a batch of ours") else {
            panic!("not a batch");
        };
        let (count, first, last) = (batch.count(), batch.first_sequence, batch.last_sequence());
        assert!(batch.rejected.is_empty(), "all events are good");
        let (ticket, mut verdict) = Ticket::new(count as usize);
        let events = batch.events.into_iter().zip(first..).enumerate().map(|(index, (event, sequence))| {
            let (namespace, value) = event.profile.split_once(':').expect("has a namespace");
            let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, namespace, value);
            let partition = key.partition(PARTITIONS);
            let mark = Mark::Stream { producer: 1, epoch: 1, sequence };
            RoutedEvent { event, key, partition, mark, engine_time: Millis::MIN, index: index as u32 }
        });
        let events = events.collect();
        self.shard.take(ShardInput::Events(EventBatch { events, ticket: Arc::new(ticket) }));
        self.now = self.now.plus(FRAME_MS);
        self.settle();
        verdict.try_recv().expect("everything is durable").expect("nothing was refused");
        self.out.clear();
        encode_server(&mut self.out, &ServerFrame::Ack(Ack { sequence: last, ..Ack::default() }));
        self.totals.ack_bytes += self.out.len() as u64;
        self.totals.events += count;
    }

    /// Turns until nothing is left to do: blocks become durable, messages are reported as sent.
    fn settle(&mut self) {
        loop {
            self.shard.turn(self.now);
            let (mut blocks, offered) = {
                let mut told = self.told.0.lock();
                (std::mem::take(&mut told.blocks), std::mem::take(&mut told.offered))
            };
            if blocks.is_empty() && offered.is_empty() && !self.shard.wants_another_turn() {
                return;
            }
            for block in &mut blocks {
                self.totals.record_bytes += block.bytes.len() as u64;
                self.shard.take(ShardInput::Durable(block.number));
                let mut emptied = std::mem::take(&mut block.bytes);
                emptied.clear();
                self.told.0.lock().emptied.push(emptied);
            }
            if offered.is_empty() {
                continue;
            }
            self.totals.messages += offered.len() as u64;
            let (ticket, _recorded) = ReportTicket::new(offered.len());
            let sent = |id| DeliveryReport { id, outcome: DeliveryOutcome::Sent };
            let reports = (0..).zip(offered.into_iter().map(sent)).collect();
            self.shard.take(ShardInput::Reports(ReportBatch { reports, ticket: Arc::new(ticket) }));
        }
    }

    /// So far.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

/// The frames of so many events: of three two are carts of new customers, one is the purchase of an earlier one.
pub fn frames(events: u64) -> Vec<Bytes> {
    let properties: Vec<Bytes> = (0..64).map(|n| packed(&[("total", Value::Float(50.0 + f64::from(n)))])).collect();
    let empty = packed(&[]);
    let event = |number: u64| {
        let group = number / 3;
        let cart = &properties[number as usize % properties.len()];
        let (customer, kind, properties) = match number % 3 {
            0 => (group * 2, "cart_add", cart),
            1 => (group * 2 + 1, "cart_add", cart),
            _ => match (group * 2).checked_sub(PURCHASE_LAG) {
                Some(customer) => (customer, "purchase", &empty),
                None => (group * 2, "visit", &empty),
            },
        };
        Event {
            id: format!("0-{number}").into(),
            kind: kind.into(),
            profile: format!("crm:{customer}").into(),
            time: None,
            properties: properties.clone(),
        }
    };
    let batches = (0..events).step_by(BATCH as usize).map(|first| first..events.min(first + BATCH));
    batches
        .map(|numbers| {
            let first_sequence = numbers.start + 1;
            let mut frame = Vec::new();
            encode_batch(&mut frame, first_sequence, &numbers.map(event).collect::<Vec<_>>());
            Bytes::from(frame).slice(LENGTH_BYTES..)
        })
        .collect()
}

fn packed(properties: &[(&str, Value)]) -> Bytes {
    let map = Map(properties.iter().map(|(name, value)| ((*name).into(), value.clone())).collect());
    let mut bytes = Vec::new();
    put_map(&mut bytes, &map);
    bytes.into()
}
