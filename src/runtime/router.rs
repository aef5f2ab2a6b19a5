//! The router: which shard owns which partition, and the way of submissions, reports and questions to it.
//!
//! ORDER: everything for a partition is sent under the read lock of the map, and a move changes the map under the write
//! lock, in which the new owner is told to expect and the old one to release. So whatever was sent before the move is in
//! the old owner's mailbox before the release, and whatever comes after waits with the new owner for the partition.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::domain::effect::DeliveryReport;
use crate::domain::ids::{HashKey, Millis, PartitionId, SandboxId, ShardId, stable_hash};
use crate::runtime::api::{Origin, Patience, Refusal, Submission};
use crate::runtime::board::Board;
use crate::runtime::handle::{Mailbox, ShardHandle, weight};
use crate::runtime::shard::input::{EventBatch, ReportBatch, RoutedEvent, ShardInput};
use crate::runtime::ticket::{Ticket, Verdict};
use crate::wire::record::Mark;

/// How long a submission waits before it looks for room again.
const ROOM_RETRY: Duration = Duration::from_micros(500);
/// What a refused client is told to wait.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Map<M> {
    /// By partition; the system partition is the first shard's.
    owners: Vec<ShardId>,
    shards: Vec<M>,
}

/// The owners of partitions, as the keeper sees them.
pub trait Owners: Send + Sync {
    /// Partitions of the data directory.
    fn partition_count(&self) -> u16;
    /// Sends an input to the owner of a partition; false if its shard is gone.
    fn send(&self, partition: PartitionId, input: ShardInput) -> bool;
}

impl<M: Mailbox> Owners for Router<M> {
    fn partition_count(&self) -> u16 {
        self.partitions
    }

    fn send(&self, partition: PartitionId, input: ShardInput) -> bool {
        Self::send(self, partition, input)
    }
}

/// Whether a submission may go into mailboxes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes, if they have room.
    Now,
    /// Not yet: it waits as it does for mailboxes.
    Later,
}

/// Routes inputs to shards, whatever their mailboxes are: those of actors, or a simulator's.
#[derive(Debug)]
pub struct Router<M = ShardHandle> {
    map: RwLock<Map<M>>,
    board: Board,
    hash_key: HashKey,
    partitions: u16,
}

/// A submission cut by shard.
struct Cut {
    parts: Vec<Vec<RoutedEvent>>,
    weights: Vec<usize>,
}

/// The owner that partition `index` has among `count` shards.
pub fn owner_among(index: u16, count: u16) -> ShardId {
    ShardId(index % count)
}

impl<M: Mailbox> Router<M> {
    /// A router without shards.
    pub fn new(hash_key: HashKey, partitions: u16) -> Self {
        let map = Map { owners: Vec::new(), shards: Vec::new() };
        Self { map: RwLock::new(map), board: Board::default(), hash_key, partitions }
    }

    /// Partitions of the data directory.
    pub fn partition_count(&self) -> u16 {
        self.partitions
    }

    /// How far its shards are, on the events' clock.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Tells every shard that time has come to `to`.
    pub fn pass_time(&self, to: Millis) {
        let map = self.map.read();
        self.board.tell(to);
        for shard in &map.shards {
            shard.send(ShardInput::Advance(to, None));
        }
    }

    /// The partition of a profile, and its key.
    pub fn locate(&self, namespace: &str, value: &str) -> (PartitionId, crate::domain::ids::ProfileKey) {
        let key = self.hash_key.profile_key(SandboxId::DEFAULT, namespace, value);
        (key.partition(self.partitions), key)
    }

    /// Sets the first shards and owners, before anything is routed.
    pub fn start(&self, shards: Vec<M>) {
        let count = shards.len() as u16;
        // Each partition is on its way until it is opened.
        self.board.under_way(self.partitions as isize);
        self.board.set_shards(shards.len());
        let mut map = self.map.write();
        map.owners = (0..self.partitions).map(|index| owner_among(index, count)).collect();
        map.shards = shards;
    }

    /// Adds a shard that owns nothing yet.
    pub fn add_shard(&self, handle: M) {
        let mut map = self.map.write();
        let told = self.board.told();
        if told > Millis::MIN {
            handle.send(ShardInput::Advance(told, None));
        }
        map.shards.push(handle);
        self.board.set_shards(map.shards.len());
    }

    /// Takes away shards beyond `count`; they own nothing any more.
    pub fn truncate_shards(&self, count: u16) -> Vec<M> {
        let mut map = self.map.write();
        assert!(map.owners.iter().all(|owner| owner.0 < count), "a shard that goes owns nothing");
        self.board.set_shards(usize::from(count));
        map.shards.split_off(usize::from(count))
    }

    /// Moves partitions to new owners; in order with everything else.
    pub fn reassign(&self, moves: &[(PartitionId, ShardId)]) {
        let mut map = self.map.write();
        for (partition, to) in moves {
            let from = map.owners[usize::from(partition.0)];
            if from == *to {
                continue;
            }
            map.shards[usize::from(to.0)].send(ShardInput::Expect(*partition));
            map.shards[usize::from(from.0)].send(ShardInput::Release(*partition, *to));
            map.owners[usize::from(partition.0)] = *to;
        }
    }

    /// The owner of a partition.
    pub fn owner(&self, partition: PartitionId) -> ShardId {
        if partition == PartitionId::SYSTEM { ShardId(0) } else { self.map.read().owners[usize::from(partition.0)] }
    }

    /// Sends an input to the owner of a partition; false if its shard is gone.
    pub fn send(&self, partition: PartitionId, input: ShardInput) -> bool {
        let map = self.map.read();
        let owner = if partition == PartitionId::SYSTEM {
            ShardId(0)
        } else {
            match map.owners.get(usize::from(partition.0)) {
                Some(owner) => *owner,
                None => return false,
            }
        };
        map.shards.get(usize::from(owner.0)).is_some_and(|shard| shard.send(input))
    }

    /// Tells a shard that its blocks up to `number` are durable; false if it is gone.
    pub fn durable(&self, shard: ShardId, number: u64) -> bool {
        self.map.read().shards.get(usize::from(shard.0)).is_some_and(|shard| shard.durable(number))
    }

    /// Sends an input to one shard; false if it is gone.
    pub fn send_to(&self, shard: ShardId, input: ShardInput) -> bool {
        self.map.read().shards.get(usize::from(shard.0)).is_some_and(|shard| shard.send(input))
    }

    /// The shards.
    pub fn shards(&self) -> Vec<M> {
        self.map.read().shards.clone()
    }

    /// Sends reports to the owners of their rows. Those of a partition or a shard that is gone are dropped, which their
    /// ticket tells.
    pub fn report(&self, batch: ReportBatch) {
        let ReportBatch { reports, ticket } = batch;
        let map = self.map.read();
        let mut parts: Vec<Vec<(u32, DeliveryReport)>> = map.shards.iter().map(|_| Vec::new()).collect();
        for (index, report) in reports {
            let owner = map.owners.get(usize::from(report.id.partition.0));
            if let Some(part) = owner.and_then(|owner| parts.get_mut(usize::from(owner.0))) {
                part.push((index, report));
            }
        }
        for (shard, reports) in map.shards.iter().zip(parts).filter(|(_, reports)| !reports.is_empty()) {
            shard.send(ShardInput::Reports(ReportBatch { reports, ticket: Arc::clone(&ticket) }));
        }
    }

    /// Cuts a submission by shard and puts all parts into the mailboxes, or none. `room` is asked before each attempt.
    pub async fn submit(
        &self,
        submission: Submission,
        room: impl Fn() -> Result<Room, Refusal>,
    ) -> Result<tokio::sync::oneshot::Receiver<Verdict>, Refusal> {
        let count = submission.events.len();
        let (ticket, receiver) = Ticket::of(count, submission.deferral.clone());
        let ticket = Arc::new(ticket);
        if count == 0 {
            drop(ticket);
            let (told, receiver) = tokio::sync::oneshot::channel();
            let _ = told.send(Ok(Vec::new()));
            return Ok(receiver);
        }
        let patience = submission.patience;
        let mut events = self.routed(submission);
        let mut waited = Duration::ZERO;
        loop {
            if room()? == Room::Now {
                events = match self.try_send(events, &ticket) {
                    Ok(()) => return Ok(receiver),
                    Err(back) => back,
                };
            }
            if let Patience::UpTo(limit) = patience
                && waited >= limit
            {
                return Err(Refusal::Overloaded { retry_after: BUSY_RETRY_AFTER });
            }
            tokio::time::sleep(ROOM_RETRY).await;
            waited += ROOM_RETRY;
        }
    }

    fn routed(&self, submission: Submission) -> Vec<RoutedEvent> {
        let Submission { events, origin, engine_times, .. } = submission;
        let mut routed = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            let (namespace, value) = event.identity().expect("events are validated before they are submitted");
            let (partition, key) = self.locate(namespace, value);
            let mark = match origin {
                Origin::Stream { producer, epoch, first_sequence } => {
                    Mark::Stream { producer: producer.0, epoch, sequence: first_sequence + index as u64 }
                }
                Origin::Unsequenced => {
                    // The profile is part of it: ids need to be unique within a profile only.
                    let sandbox = SandboxId::DEFAULT.0.to_le_bytes();
                    let hash = stable_hash(&[&sandbox, event.profile.as_bytes(), event.id.as_bytes()]);
                    Mark::Id { hash, expires: Millis::NEVER }
                }
            };
            let engine_time = engine_times.get(index).copied().unwrap_or(Millis::MIN);
            routed.push(RoutedEvent { event, key, partition, mark, engine_time, index: index as u32 });
        }
        routed
    }

    fn try_send(&self, events: Vec<RoutedEvent>, ticket: &Arc<Ticket>) -> Result<(), Vec<RoutedEvent>> {
        let map = self.map.read();
        let mut weights = vec![0; map.shards.len()];
        for event in &events {
            weights[usize::from(map.owners[usize::from(event.partition.0)].0)] += weight(&event.event);
        }
        for (index, shard) in map.shards.iter().enumerate() {
            if weights[index] > 0 && !shard.reserve(weights[index]) {
                for (earlier, shard) in map.shards.iter().enumerate().take(index) {
                    shard.cancel(weights[earlier]);
                }
                return Err(events);
            }
        }
        let mut cut = Cut { parts: map.shards.iter().map(|_| Vec::new()).collect(), weights };
        if map.shards.len() == 1 {
            cut.parts[0] = events;
        } else {
            for event in events {
                cut.parts[usize::from(map.owners[usize::from(event.partition.0)].0)].push(event);
            }
        }
        for (index, part) in cut.parts.into_iter().enumerate() {
            if !part.is_empty()
                && !map.shards[index].send(ShardInput::Events(EventBatch { events: part, ticket: Arc::clone(ticket) }))
            {
                map.shards[index].cancel(cut.weights[index]);
                ticket.refuse(Refusal::Stopping);
            }
        }
        Ok(())
    }
}
