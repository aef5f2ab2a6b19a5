//! Admission: the sandbox's event rate, before anything is decided (design §4 rule 4).
//!
//! What is over the rate waits unacknowledged, in the order it came: on streams as long as it takes, elsewhere up to
//! the submission's patience. A wait that would be longer is refused at once, with the time after which it would not be.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::domain::bucket::{Reservation, TokenBucket};
use crate::runtime::api::{Patience, Refusal};

/// A rate of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Events a second; the burst is one second's worth.
    PerSecond(u64),
    /// No bound.
    Unlimited,
}

/// The bucket of one sandbox.
#[derive(Debug)]
pub struct Admission {
    bucket: Option<Mutex<TokenBucket>>,
    started: Instant,
}

impl Admission {
    /// With a full bucket.
    #[expect(clippy::disallowed_methods, reason = "waiting for room is real time, not engine time")]
    pub fn new(rate: Rate) -> Self {
        let bucket = match rate {
            Rate::PerSecond(rate) => Some(Mutex::new(TokenBucket::new(rate, rate, 0))),
            Rate::Unlimited => None,
        };
        Self { bucket, started: Instant::now() }
    }

    /// Takes `count` tokens, waiting for them as long as `patience` allows.
    pub async fn admit(&self, count: u64, patience: Patience) -> Result<(), Refusal> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let wait_max_ns = match patience {
            Patience::Unbounded => u64::MAX,
            Patience::UpTo(wait) => u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
        };
        let now_ns = self.started.elapsed().as_nanos() as u64;
        let (reservation, rate) = {
            let mut bucket = bucket.lock();
            (bucket.reserve(count, now_ns, wait_max_ns), bucket.rate_per_s())
        };
        match reservation {
            Reservation::Granted { wait_ns: 0 } => Ok(()),
            Reservation::Granted { wait_ns } => {
                tokio::time::sleep(Duration::from_nanos(wait_ns)).await;
                Ok(())
            }
            Reservation::Refused { retry_after_ns } => {
                metrics::counter!("sojourn_throttled_events_total").increment(count);
                Err(Refusal::Throttled { rate, retry_after: Duration::from_nanos(retry_after_ns) })
            }
        }
    }
}
