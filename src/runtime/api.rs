//! What the layers above the engine may ask of it: submissions, answers, deliveries. Types only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::event::{Event, EventError};
use crate::domain::ids::Millis;

/// Where a batch of events comes from: decides how repeats are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A stream (TCP, gRPC): event `i` of the batch has sequence `first_sequence + i`.
    Stream {
        /// The producer.
        producer: ProducerId,
        /// One more each time the producer starts counting anew.
        epoch: u32,
        /// Sequence of the first event; a producer counts from 1.
        first_sequence: u64,
    },
    /// No sequence (HTTP, unary gRPC, replay): repeats are recognised by the event's id, for a stated time.
    Unsequenced,
}

/// A producer of a stream: hash of the name it gives in its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProducerId(pub u64);

/// A batch on its way in. Events are valid and in order.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The events.
    pub events: Vec<Event>,
    /// Where they come from.
    pub origin: Origin,
    /// Engine time of each event on the events' clock (running maximum of the source); empty on the wall clock.
    pub engine_times: Vec<Millis>,
    /// How long to wait for room before refusing.
    pub patience: Patience,
    /// Shared by the submissions of one stream; a fresh one elsewhere.
    pub deferral: Deferral,
}

/// Whether an event of a stream was deferred: then everything behind it is, until the stream is connected anew. Else a
/// later sequence could be taken first, and the event that was deferred would be a repeat when it comes again.
#[derive(Clone, Debug, Default)]
pub struct Deferral(Arc<AtomicBool>);

impl Deferral {
    /// Everything behind is deferred from now on. Within a partition events are in order, so one thread after the
    /// other sees this; between partitions nothing depends on it.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether everything is deferred.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How long a submission waits for tokens and mailbox room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes (streams: the credit stays with us).
    Unbounded,
    /// At most this long, then [`Refusal::Throttled`] or [`Refusal::Overloaded`].
    UpTo(Duration),
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventStatus {
    /// Durable.
    Accepted,
    /// Was durable before.
    Duplicate,
    /// Refused for what it is; sending it again is no use.
    Rejected(EventError),
    /// The partition's table of ids or producers is full: send it again later.
    Deferred,
}

/// Why a whole submission was not taken. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Over the sandbox's event rate.
    #[error("over the rate of {rate} events/s; retry in {} ms", retry_after.as_millis())]
    Throttled {
        /// The rate.
        rate: u64,
        /// When there will be room.
        retry_after: Duration,
    },
    /// Mailboxes are full.
    #[error("shards are busy; retry in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk is full; nothing acknowledged is lost and service resumes by itself.
    #[error("the disk is full: free space in the data directory; service resumes by itself")]
    DiskFull,
    /// The server is stopping or has stopped after a failed sync.
    #[error("the server is shutting down")]
    Stopping,
}
