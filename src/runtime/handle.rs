//! The handle of a shard: a bounded mailbox. The only place that knows shards are actix actors.
//!
//! Events are bounded by weight before they are sent, so the mailbox itself always has room for control messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::{Addr, SendError};

use crate::domain::event::Event;
use crate::domain::ids::ShardId;
use crate::runtime::actor::{Envelope, ShardActor};
use crate::runtime::shard::acks::Acks;
use crate::runtime::shard::input::ShardInput;

/// Weight of events that may wait for one shard: about 64 MiB of them.
pub const QUEUED_WEIGHT_MAX: usize = 128 << 10;
/// Envelopes in a mailbox: far more than batches of [`QUEUED_WEIGHT_MAX`] and moves of all partitions together.
pub const MAILBOX_ENVELOPES: usize = 256 << 10;

/// What an event weighs in a mailbox: one, and one more for every 512 bytes.
pub fn weight(event: &Event) -> usize {
    1 + event.properties.len() / 512
}

/// What a router asks of a shard's mailbox.
pub trait Mailbox: Clone + Send + Sync {
    /// Takes room for events of this weight; false if there is none.
    fn reserve(&self, weight: usize) -> bool;
    /// Gives room back.
    fn cancel(&self, weight: usize);
    /// Sends anything, in order; false if the shard is gone (what was sent is dropped, which tells who waits for it).
    fn send(&self, input: ShardInput) -> bool;
    /// Tells the shard that its blocks up to `number` are durable.
    fn durable(&self, number: u64) -> bool {
        self.send(ShardInput::Durable(number))
    }
}

/// Addresses one shard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShardHandle {
    id: ShardId,
    address: Addr<ShardActor>,
    queued: Arc<AtomicUsize>,
    acks: Arc<Acks>,
}

impl ShardHandle {
    /// A handle of the actor at `address`; `queued` is shared with its ports, `acks` with its shard.
    pub fn new(id: ShardId, address: Addr<ShardActor>, queued: Arc<AtomicUsize>, acks: Arc<Acks>) -> Self {
        Self { id, address, queued, acks }
    }

    /// Which shard.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Weight of events waiting.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

impl Mailbox for ShardHandle {
    /// A batch heavier than all room is let into an empty mailbox, so that it can't wait for ever.
    fn reserve(&self, weight: usize) -> bool {
        let before = self.queued.fetch_add(weight, Ordering::AcqRel);
        if before == 0 || before + weight <= QUEUED_WEIGHT_MAX {
            return true;
        }
        self.queued.fetch_sub(weight, Ordering::AcqRel);
        false
    }

    fn cancel(&self, weight: usize) {
        self.queued.fetch_sub(weight, Ordering::AcqRel);
    }

    /// Acknowledges what the blocks cover at once.
    fn durable(&self, number: u64) -> bool {
        self.acks.settle(number);
        self.send(ShardInput::Durable(number))
    }

    fn send(&self, input: ShardInput) -> bool {
        let mut envelope = Envelope(input);
        loop {
            match self.address.try_send(envelope) {
                Ok(()) => return true,
                Err(SendError::Closed(_)) => return false,
                Err(SendError::Full(back)) => {
                    // Reached only if the mailbox's bound is wrong; waiting keeps the order all the same.
                    envelope = back;
                    std::thread::yield_now();
                }
            }
        }
    }
}
