//! What connects the parts of a process that is stepped by hand, instead of run by threads: mailboxes, the journal's
//! queue, the keeper's queue, the channels' queues. Everything waits here until whoever steps (the simulator, a
//! journey's test) lets its receiver take a turn. Decides nothing.

use std::collections::VecDeque;
use std::future::Future as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::ids::{Millis, PartitionId, ShardId};
use crate::domain::journey::program::Channel;
use crate::runtime::api::{Refusal, Submission};
use crate::runtime::delivery::{CallJob, Job};
use crate::runtime::handle::Mailbox;
use crate::runtime::keeper::KeeperMessage;
use crate::runtime::partition::Partition;
use crate::runtime::ports::{LANE, Peers};
use crate::runtime::router::{Room, Router};
use crate::runtime::shard::input::{CheckpointMessage, Ports, SealedBlock, ShardInput};
use crate::runtime::ticket::Verdict;
use crate::store::journal::Block;
use crate::store::timers::SlotNo;

/// A shard's mailbox. Clones share it.
#[derive(Clone)]
pub struct Post {
    inputs: Arc<Mutex<VecDeque<ShardInput>>>,
    queued: Arc<AtomicUsize>,
    weight_max: usize,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("inputs", &self.len()).finish_non_exhaustive()
    }
}

impl Post {
    /// An empty one that takes events of this weight.
    pub fn new(weight_max: usize) -> Self {
        Self { inputs: Arc::default(), queued: Arc::default(), weight_max }
    }

    /// The next input.
    pub fn pop(&self) -> Option<ShardInput> {
        self.inputs.lock().pop_front()
    }

    /// Inputs that wait.
    pub fn len(&self) -> usize {
        self.inputs.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Mailbox for Post {
    fn reserve(&self, weight: usize) -> bool {
        let before = self.queued.fetch_add(weight, Ordering::AcqRel);
        if before == 0 || before + weight <= self.weight_max {
            return true;
        }
        self.queued.fetch_sub(weight, Ordering::AcqRel);
        false
    }

    fn cancel(&self, weight: usize) {
        self.queued.fetch_sub(weight, Ordering::AcqRel);
    }

    fn send(&self, input: ShardInput) -> bool {
        self.inputs.lock().push_back(input);
        true
    }
}

/// Queues that shards write to.
#[derive(Debug, Default)]
pub struct Queues {
    /// For the journal.
    pub blocks: VecDeque<Block>,
    /// For the keeper.
    pub keeper: VecDeque<KeeperMessage>,
    /// For the opener.
    pub wanted: VecDeque<PartitionId>,
    /// For the channels: taken, and not looked at by them yet.
    pub offered: VecDeque<Job>,
    /// Calls of custom actions: taken, and not looked at yet.
    pub calls: VecDeque<CallJob>,
    /// Deliveries that each channel holds, those in `offered` and `calls` too.
    pub held: [usize; 4],
    /// Deliveries that each channel may hold.
    pub held_max: usize,
    /// What shards say is corrupt.
    pub corrupt: Vec<String>,
}

/// The place of a channel in [`Queues::held`].
pub fn place_of(channel: Channel) -> usize {
    match channel {
        Channel::Log => 0,
        Channel::Webhook => 1,
        Channel::Email => 2,
        Channel::Call => 3,
    }
}

impl Queues {
    /// The next blocks for one group, at most `count`.
    pub fn next_group(&mut self, count: usize) -> Vec<Block> {
        let count = count.min(self.blocks.len());
        self.blocks.drain(..count).collect()
    }
}

impl Router<Post> {
    /// Puts a submission without patience into mailboxes now, or not at all. `room` is asked first.
    ///
    /// # Errors
    /// As [`Router::submit`].
    pub fn submit_now(
        &self,
        submission: Submission,
        room: impl Fn() -> Result<Room, Refusal>,
    ) -> Result<oneshot::Receiver<Verdict>, Refusal> {
        let mut submitting = std::pin::pin!(self.submit(submission, room));
        match submitting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(verdict) => verdict,
            Poll::Pending => unreachable!("without patience there is no waiting"),
        }
    }

    /// Tells shards that these blocks are durable, as the journal's listener does.
    pub fn all_durable(&self, blocks: &[Block]) {
        for (index, block) in blocks.iter().enumerate() {
            // The last block of a shard in the group speaks for those before it.
            if !blocks[index + 1..].iter().any(|later| later.shard == block.shard) {
                self.durable(block.shard, block.number);
            }
        }
    }
}

/// The ports of one shard.
#[derive(Debug)]
pub struct SteppedPorts {
    /// To other shards.
    pub peers: Peers<Post>,
    /// Shared by all.
    pub queues: Arc<Mutex<Queues>>,
    /// The shard's own mailbox.
    pub post: Post,
}

impl Ports for SteppedPorts {
    fn append(&mut self, block: SealedBlock) {
        let SealedBlock { number, bytes, spans } = block;
        self.queues.lock().blocks.push_back(Block::new(self.peers.shard, number, LANE, bytes, spans));
    }

    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn checkpoint(&mut self, message: CheckpointMessage) {
        self.queues.lock().keeper.push_back(KeeperMessage::Cut(message));
    }

    fn offer(&mut self, job: Job) -> Result<(), Job> {
        let queues = &mut *self.queues.lock();
        let place = place_of(job.row.channel);
        if queues.held[place] >= queues.held_max {
            return Err(job);
        }
        queues.held[place] += 1;
        queues.offered.push_back(job);
        Ok(())
    }

    fn call(&mut self, job: CallJob) -> Result<(), CallJob> {
        let queues = &mut *self.queues.lock();
        let place = place_of(Channel::Call);
        if queues.held[place] >= queues.held_max {
            return Err(job);
        }
        queues.held[place] += 1;
        queues.calls.push_back(job);
        Ok(())
    }

    fn load_slot(&mut self, partition: PartitionId, slot: SlotNo) {
        self.queues.lock().keeper.push_back(KeeperMessage::LoadSlot(partition, slot));
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
        self.queues.lock().wanted.push_back(partition);
    }

    fn handled(&mut self, weight: usize) {
        self.post.cancel(weight);
    }

    fn corrupt(&mut self, partition: PartitionId, detail: String) {
        self.queues.lock().corrupt.push(format!("partition {partition}: {detail}"));
    }
}
