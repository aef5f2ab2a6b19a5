//! A shard that is stepped by hand, and what it does.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, HashKey, Millis, PartitionId, SandboxId, ShardId};
use crate::domain::limits;
use crate::runtime::delivery::Job;
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::DecideConfig;
use crate::runtime::partition::table::Extent;
use crate::runtime::shard::input::{
    CheckpointMessage, EventBatch, Need, Origin, Ports, RoutedEvent, SealedBlock, ShardInput,
};
use crate::runtime::shard::{PAGES_PER_TURN, Shard, ShardConfig};
use crate::runtime::ticket::{Ticket, Verdict};
use crate::store::timers::SlotNo;
use crate::wire::record::{Mark, records};

pub(super) const JOURNEY: &str = r#"
kind: event
name: go
schema: {}
---
kind: event
name: stop
schema: {}
---
kind: event
name: linger
schema: {}
---
kind: message
name: hello
channel: log
body: "hello"
---
kind: journey
name: hello
entry: { event: go }
exit: [ { event: stop } ]
start: pause
nodes:
  pause: { wait: 30m, then: send }
  send: { message: hello, then: done }
  done: { end: true }
---
kind: journey
name: patience
entry: { event: go }
exit: [ { event: stop } ]
start: pause
nodes:
  pause: { wait: 10h, then: done }
  done: { end: true }
---
kind: journey
name: lingering
entry: { event: linger }
exit: [ { event: stop } ]
start: pause
nodes:
  pause: { wait: 30m, then: send }
  send: { message: hello, then: rest }
  rest: { wait: 10h, then: done }
  done: { end: true }
---
kind: event
name: hop
schema: {}
---
kind: journey
name: hopping
entry: { event: hop }
start: first
nodes:
  first: { wait: 5m, then: second }
  second: { wait: 5m, then: done }
  done: { end: true }
"#;

/// What a shard did, in order.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) blocks: Vec<SealedBlock>,
    pub(super) checkpoints: Vec<CheckpointMessage>,
    pub(super) offered: Vec<DeliveryId>,
    pub(super) refuse_offers: bool,
    pub(super) loads: Vec<(PartitionId, SlotNo)>,
    pub(super) handed_over: Vec<(ShardId, Box<Partition>)>,
    pub(super) posted: Vec<(PartitionId, ShardInput)>,
}

#[derive(Clone, Default)]
pub(super) struct Recorder(pub(super) Arc<Mutex<Seen>>);

impl Ports for Recorder {
    fn append(&mut self, block: SealedBlock) {
        self.0.lock().blocks.push(block);
    }

    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn checkpoint(&mut self, message: CheckpointMessage) {
        self.0.lock().checkpoints.push(message);
    }

    fn offer(&mut self, job: Job) -> Result<(), Job> {
        let mut seen = self.0.lock();
        if seen.refuse_offers {
            return Err(job);
        }
        seen.offered.push(job.row.id);
        Ok(())
    }

    fn call(&mut self, job: crate::runtime::delivery::CallJob) -> Result<(), crate::runtime::delivery::CallJob> {
        Err(job)
    }

    fn load_slot(&mut self, partition: PartitionId, slot: SlotNo) {
        self.0.lock().loads.push((partition, slot));
    }

    fn hand_over(&mut self, to: ShardId, partition: Box<Partition>) {
        self.0.lock().handed_over.push((to, partition));
    }

    fn post(&mut self, to: PartitionId, input: ShardInput) {
        self.0.lock().posted.push((to, input));
    }

    fn want(&mut self, _: PartitionId) {}

    fn handled(&mut self, _: usize) {}

    fn corrupt(&mut self, partition: PartitionId, detail: String) {
        panic!("partition {partition}: {detail}");
    }
}

pub(super) const ONLY: PartitionId = PartitionId(0);

pub(super) struct Bench {
    pub(super) shard: Shard,
    pub(super) seen: Recorder,
    pub(super) sequence: u64,
    pub(super) now: Millis,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Partition::new(ONLY), Origin::Opened, Recorder::default())
    }

    pub(super) fn with(partition: Partition, origin: Origin, seen: Recorder) -> Self {
        Self::of(vec![partition], origin, seen, Firing::Engine)
    }

    pub(super) fn of(partitions: Vec<Partition>, origin: Origin, seen: Recorder, firing: Firing) -> Self {
        Self::under(published(&Catalog::default(), JOURNEY), partitions, origin, seen, firing)
    }

    pub(super) fn under(
        catalog: Catalog,
        partitions: Vec<Partition>,
        origin: Origin,
        seen: Recorder,
        firing: Firing,
    ) -> Self {
        let decide = DecideConfig {
            id_window_ms: 60_000,
            ids_max: 1_000,
            outbox_rows_max: 1_000,
            held_max: 100_000,
            entrants_max: 100_000,
            firing,
            calls: crate::domain::apply::Calls::Made,
            partitions: 1,
            hash_key: HashKey::FIXED,
        };
        let config = ShardConfig {
            id: ShardId(0),
            partitions: partitions.len() as u16,
            decide,
            block_bytes_max: limits::BLOCK_BYTES_MAX,
            pages_per_turn: PAGES_PER_TURN,
        };
        let mut shard = Shard::new(config, Arc::new(catalog), Box::new(seen.clone()));
        let now = Millis(1_700_000_000_000);
        shard.turn(now);
        for partition in partitions {
            shard.take(ShardInput::Arrive(Box::new(partition), origin));
        }
        Self { shard, seen, sequence: 0, now }
    }

    pub(super) fn routed(&mut self, kind: &str, profile: &str) -> RoutedEvent {
        self.sequence += 1;
        let (namespace, value) = profile.split_once(':').expect("has a namespace");
        RoutedEvent {
            event: Event {
                id: self.sequence.to_string().into(),
                kind: kind.into(),
                profile: profile.into(),
                time: None,
                properties: vec![0x80].into(),
            },
            key: HashKey::FIXED.profile_key(SandboxId::DEFAULT, namespace, value),
            partition: ONLY,
            mark: Mark::Stream { producer: 1, epoch: 0, sequence: self.sequence },
            engine_time: Millis::MIN,
            index: 0,
        }
    }

    pub(super) fn send(&mut self, kind: &str, profile: &str) -> oneshot::Receiver<Verdict> {
        let routed = self.routed(kind, profile);
        self.send_routed(routed)
    }

    pub(super) fn send_routed(&mut self, routed: RoutedEvent) -> oneshot::Receiver<Verdict> {
        let (ticket, receiver) = Ticket::new(1);
        self.shard.take(ShardInput::Events(EventBatch { events: vec![routed], ticket: Arc::new(ticket) }));
        self.turn();
        receiver
    }

    pub(super) fn turn(&mut self) {
        self.shard.turn(self.now);
    }

    pub(super) fn pass(&mut self, ms: i64) {
        self.now = self.now.plus(ms);
        self.turn();
    }

    /// Everything sealed so far is durable.
    pub(super) fn sync(&mut self) {
        let last = self.seen.0.lock().blocks.last().map_or(0, |b| b.number);
        self.shard.take(ShardInput::Durable(last));
        self.turn();
    }

    pub(super) fn checkpoint(&mut self) {
        self.shard.take(ShardInput::Checkpoint(ONLY, Extent::Whole, Need::Always));
        self.turn();
    }

    pub(super) fn finished(&self) -> bool {
        self.seen.0.lock().checkpoints.iter().any(|m| matches!(m, CheckpointMessage::Finish(_)))
    }

    /// What recovery makes of the cut and of the blocks that followed: pages and parts, then records.
    pub(super) fn recovered(&self) -> Partition {
        let seen = self.seen.0.lock();
        let file = SourceFile { name: "journey.yaml".to_owned(), text: JOURNEY.to_owned() };
        let (catalog, _) = Catalog::default().apply(&[file], Millis(0)).expect("has no errors");
        let mut pages = Vec::new();
        let mut cut = None;
        for message in &seen.checkpoints {
            match message {
                CheckpointMessage::Begin(begun) => {
                    pages.clear();
                    cut = Some(begun);
                }
                CheckpointMessage::Pages(_, more) => pages.extend(more.clone()),
                _ => {}
            }
        }
        pages.sort_by_key(|(page, _)| *page);
        let mut partition = match cut {
            Some(cut) => {
                let pages = pages.iter().map(|(page, bytes)| (*page, bytes.as_slice()));
                Partition::from_snapshot(ONLY, &cut.parts, pages, &catalog).expect("reads")
            }
            None => Partition::new(ONLY),
        };
        for block in &seen.blocks {
            for record in records(&block.bytes) {
                let (_, record) = record.expect("reads");
                partition.install(&record, &catalog).expect("installs");
            }
        }
        partition
    }
}

pub(super) fn published(before: &Catalog, text: &str) -> Catalog {
    let file = SourceFile { name: "journey.yaml".to_owned(), text: text.to_owned() };
    before.apply(&[file], Millis(0)).expect("has no errors").0
}

pub(super) fn is_open(receiver: &mut oneshot::Receiver<Verdict>) -> bool {
    matches!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

pub(super) fn check_same(a: &Partition, b: &Partition) {
    let profiles = |p: &Partition| p.table.profiles().map(|p| p.expect("reads")).collect::<Vec<_>>();
    assert_eq!(profiles(a), profiles(b));
    assert_eq!((a.pseq, a.events, a.hash_sum, &a.counts), (b.pseq, b.events, b.hash_sum, &b.counts));
    let rows = |p: &Partition| p.outbox.rows().map(|r| (**r).clone()).collect::<Vec<_>>();
    assert_eq!(rows(a), rows(b));
}
