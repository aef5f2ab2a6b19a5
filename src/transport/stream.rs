//! What every stream of events is, whatever carries it (TCP, gRPC): a producer with its turn, sequences without gaps,
//! credit, stamps on the events' clock, and cumulative acks in order. No I/O and no protocol here.
//!
//! INVARIANT: at most one stream of a producer submits at any time. A newer one cancels the older and then waits for its
//! *turn*: were both to submit, the older could bring sequence 300 to a partition before the newer brought 200, and
//! the engine, which keeps the highest sequence per partition, would take 200 for a duplicate.

mod acknowledger;
mod error;
mod part;
mod registry;
mod run;
mod submitter;
mod window;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

pub use self::acknowledger::{Acknowledged, Acknowledger};
pub use self::error::StreamError;
pub use self::registry::{Place, Registration, Streams, producer_id};
pub use self::submitter::Submitter;
pub use self::window::Window;
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::runtime::ingest::Ingest;
use crate::transport::clock::{EventClock, SourceClock};

/// The one sandbox of this release, by name.
pub const SANDBOX: &str = "default";

/// Makes both ends of a registered stream: what submits, and what acknowledges.
pub fn open<E: Ingest>(
    engine: E,
    registration: Registration,
    clock: EventClock,
    engine_time: Option<Millis>,
    window: Window,
) -> (Submitter<E>, Acknowledger) {
    let (sender, receiver) = mpsc::channel(limits::STREAM_SUBMISSIONS_IN_FLIGHT_MAX);
    let in_flight = Arc::new(AtomicU64::new(0));
    let acknowledger = Acknowledger::new(&registration, Arc::clone(&in_flight), receiver);
    let clock = SourceClock::new(clock, engine_time);
    (Submitter::new(engine, registration, clock, window, in_flight, sender), acknowledger)
}
