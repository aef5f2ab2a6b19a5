//! A shard's ports in a running engine: journal, keeper, channels, other shards. Nothing here blocks a shard.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use crossbeam_channel::Sender;
use crossbeam_queue::ArrayQueue;

use crate::domain::ids::{Millis, PartitionId, ShardId};
use crate::runtime::delivery::{CallJob, DeliverySink, Job};
use crate::runtime::failure::Failure;
use crate::runtime::handle::{Mailbox, ShardHandle};
use crate::runtime::keeper::KeeperMessage;
use crate::runtime::partition::Partition;
use crate::runtime::projection::Projection;
use crate::runtime::router::Router;
use crate::runtime::shard::input::{CheckpointMessage, Origin, Ports, SealedBlock, ShardInput};
use crate::store::error::JournalError;
use crate::store::journal::{Appender, Block, Listener, Position};
use crate::store::timers::SlotNo;

/// Emptied block buffers on their way back from the journal to the shards.
pub type BufferPool = ArrayQueue<Vec<u8>>;

/// Block buffers kept for reuse: what all shards of a large machine have in flight.
pub const POOLED_BUFFERS: usize = 64;
/// A buffer that grew beyond this is let go.
const POOLED_BUFFER_BYTES_MAX: usize = 4 << 20;

/// The other shards, whatever mailboxes all of them have. They go away before the shards do.
#[derive(Debug)]
pub struct Peers<M = ShardHandle> {
    /// Whose they are.
    pub shard: ShardId,
    /// To them.
    pub router: Weak<Router<M>>,
}

impl<M: Mailbox> Peers<M> {
    /// Gives a partition away, for good.
    pub fn hand_over(&self, to: ShardId, partition: Box<Partition>) {
        if let Some(router) = self.router.upgrade() {
            router.send_to(to, ShardInput::Arrive(partition, Origin::Moved));
        }
    }

    /// Sends to whoever owns a partition.
    pub fn post(&self, to: PartitionId, input: ShardInput) {
        if let Some(router) = self.router.upgrade() {
            router.send(to, input);
        }
    }

    /// Events' clock: so many more parcels are on their way.
    pub fn under_way(&self, count: isize) {
        if let Some(router) = self.router.upgrade() {
            router.board().under_way(count);
        }
    }

    /// Events' clock: how far this shard is; how far all are, if that is known.
    pub fn reached(&self, at: Millis, at_end: bool) -> Option<Millis> {
        self.router.upgrade()?.board().reached(self.shard, at, at_end)
    }
}

/// The ports of one shard.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct ThreadPorts {
    /// To other shards.
    pub peers: Peers,
    /// To the journal.
    pub appender: Appender,
    /// Buffers that came back from it.
    pub buffers: Arc<BufferPool>,
    /// To the keeper.
    pub keeper: Sender<KeeperMessage>,
    /// To the channels.
    pub sink: Arc<dyn DeliverySink>,
    /// To the opener.
    pub wanted: Sender<PartitionId>,
    /// Weight of events in the mailbox.
    pub queued: Arc<AtomicUsize>,
    /// Rows in all outboxes.
    pub outbox_rows: Arc<AtomicIsize>,
    /// Raised when state can't be trusted.
    pub failure: Failure,
}

impl Ports for ThreadPorts {
    fn append(&mut self, block: SealedBlock) {
        let SealedBlock { number, bytes, spans } = block;
        // The queue has room for what every shard may have in flight, so this does not wait.
        if self.appender.append(Block::new(self.peers.shard, number, LANE, bytes, spans)).is_err() {
            self.failure.raise("the journal has stopped");
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    fn checkpoint(&mut self, message: CheckpointMessage) {
        // A keeper that has stopped takes no more cuts: the tail of the journal covers them.
        let _ = self.keeper.send(KeeperMessage::Cut(message));
    }

    fn offer(&mut self, job: Job) -> Result<(), Job> {
        self.sink.offer(job)
    }

    fn call(&mut self, job: CallJob) -> Result<(), CallJob> {
        self.sink.call(job)
    }

    fn load_slot(&mut self, partition: PartitionId, slot: SlotNo) {
        let _ = self.keeper.send(KeeperMessage::LoadSlot(partition, slot));
    }

    fn hand_over(&mut self, to: ShardId, partition: Box<Partition>) {
        self.peers.hand_over(to, partition);
    }

    fn post(&mut self, to: PartitionId, input: ShardInput) {
        self.peers.post(to, input);
    }

    fn under_way(&mut self, count: isize) {
        self.peers.under_way(count);
    }

    fn reached(&mut self, at: Millis, at_end: bool) -> Option<Millis> {
        self.peers.reached(at, at_end)
    }

    fn want(&mut self, partition: PartitionId) {
        let _ = self.wanted.send(partition);
    }

    fn handled(&mut self, weight: usize) {
        self.queued.fetch_sub(weight, Ordering::AcqRel);
    }

    fn rows_added(&mut self, count: isize) {
        self.outbox_rows.fetch_add(count, Ordering::AcqRel);
    }

    fn corrupt(&mut self, partition: PartitionId, detail: String) {
        self.failure.raise(&format!("partition {partition} is corrupt in memory: {detail}"));
    }
}

/// The one lane of a local journal: more would need a block for each.
pub const LANE: u16 = 0;

/// Told by the journal's thread: tells shards, then projections.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct DurableListener {
    /// To the shards.
    pub router: Weak<Router>,
    /// Follows every durable block.
    pub projection: Arc<dyn Projection>,
    /// Where emptied buffers go.
    pub buffers: Arc<BufferPool>,
    /// Raised on a failed sync.
    pub failure: Failure,
}

impl Listener for DurableListener {
    fn durable(&mut self, blocks: Vec<(Block, Position)>) {
        if let Some(router) = self.router.upgrade() {
            for (index, (block, _)) in blocks.iter().enumerate() {
                // The last block of a shard in the group speaks for those before it.
                if !blocks[index + 1..].iter().any(|(later, _)| later.shard == block.shard) {
                    router.durable(block.shard, block.number);
                }
            }
        }
        for (mut block, _) in blocks {
            self.projection.follow(&block.bytes);
            block.bytes.clear();
            if block.bytes.capacity() <= POOLED_BUFFER_BYTES_MAX {
                // A full pool lets the buffer go.
                let _ = self.buffers.push(block.bytes);
            }
        }
    }

    fn failed(&mut self, error: &JournalError) {
        self.failure.raise(&format!("the journal failed: {error}"));
        if let Some(router) = self.router.upgrade() {
            for shard in router.shards() {
                shard.send(ShardInput::Failed);
            }
        }
    }
}
