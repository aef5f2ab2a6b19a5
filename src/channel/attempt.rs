//! One attempt of one delivery: what a sender is, how an attempt ends, and when the next one is due.
//!
//! INVARIANT: a sender without idempotency keys calls [`Announcement::started`] and waits for it before the first
//! byte of a message; what it may do afterwards is decided by [`Idempotence`], not by the sender.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::domain::effect::{DeliveryOutcome, DeliveryReport};
use crate::domain::ids::DeliveryId;
use crate::domain::surface::{InDoubt, Surface};
use crate::runtime::delivery::{Job, Recorded, ReportSink, Stopped};

/// Delivers by one surface.
pub(super) trait Sender: Send + Sync + Sized + 'static {
    /// Attempts at once that one surface's provider bears; the operator's setting may be lower.
    const IN_FLIGHT_MAX: usize;

    /// Prepares clients and secrets. The error text is for people and names no secret.
    fn build(surface: &Surface) -> Result<Self, String>;

    /// Whether a repeated send is recognised by the receiver.
    fn idempotence(surface: &Surface) -> Idempotence;

    /// Tries once. Must end within the surface's attempt timeout, waits for the journal apart.
    fn attempt(&self, job: &Job, announcement: &Announcement) -> impl Future<Output = Attempt> + Send;
}

/// Whether a repeated send is recognised by the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idempotence {
    /// Every attempt carries the delivery's id as its key: sending again is safe within the key's lifetime.
    Keyed,
    /// A second send is a second message; what to do when it is not known whether the first arrived.
    Unkeyed(InDoubt),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Accepted by the provider.
    Sent,
    /// Will never be delivered.
    Failed(String),
    /// Nothing was delivered, or the key makes a repeat harmless: try again, not before `not_before` from now.
    Again {
        /// Why, for people.
        reason: String,
        /// What the provider asked for.
        not_before: Option<Duration>,
    },
    /// It may or may not have been delivered.
    Uncertain(String),
    /// The row was cancelled before anything was sent.
    Cancelled,
    /// The engine takes no more reports.
    Stopped,
}

impl Attempt {
    /// An attempt to be repeated when the backoff says.
    pub(super) fn again(reason: impl Into<String>) -> Self {
        Self::Again { reason: reason.into(), not_before: None }
    }
}

/// The journal's side of an attempt.
pub(super) struct Announcement {
    id: DeliveryId,
    reports: Arc<dyn ReportSink>,
    started: AtomicBool,
}

impl Announcement {
    pub(super) fn new(id: DeliveryId, reports: Arc<dyn ReportSink>) -> Self {
        Self { id, reports, started: AtomicBool::new(false) }
    }

    /// Journals the attempt; once this returns `Ok` it is durable and the first byte may be written.
    pub(super) async fn started(&self) -> Result<(), Attempt> {
        match self.report(DeliveryOutcome::AttemptStarted).await {
            Ok(Recorded::Applied) => {
                self.started.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(Recorded::RowGone) => Err(Attempt::Cancelled),
            Err(Stopped) => Err(Attempt::Stopped),
        }
    }

    /// Whether this attempt was journaled.
    pub(super) fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Reports `outcome` and waits until it is durable.
    pub(super) async fn report(&self, outcome: DeliveryOutcome) -> Result<Recorded, Stopped> {
        self.reports.report(DeliveryReport { id: self.id, outcome }).await
    }
}

/// Mean of the first pause doubled; see [`pause_before`].
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// No pause is longer, so that a provider that is back is noticed within a quarter of an hour.
const PAUSE_LONGEST: Duration = Duration::from_secs(15 * 60);

/// Pause before the attempt after `attempts` failed ones: exponential with full jitter (uniform from 0 to the
/// exponential, "Exponential Backoff And Jitter", AWS 2015), so that the deliveries of an outage do not come back in
/// step. `dice` is uniform in `0.0..1.0`.
pub(super) fn pause_before(attempts: u32, dice: f64) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(PAUSE_LONGEST).mul_f64(dice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_to_a_ceiling(attempts in 1_u32..=u32::MAX, dice in 0.0_f64..1.0) {
            let pause = pause_before(attempts, dice);
            prop_assert!(pause <= PAUSE_LONGEST);
            prop_assert!(pause <= PAUSE_FIRST * 2_u32.saturating_pow(attempts - 1));
            prop_assert!(pause_before(attempts.saturating_add(1), dice) >= pause);
        }
    }
}
