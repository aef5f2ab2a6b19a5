//! The worker pool of one surface: a bounded number of attempts at once, and a heap of deliveries that wait for
//! their next one. A waiting delivery occupies a slot of the queue but no worker; so does one whose outcome is known
//! and is being journaled.
//!
//! INVARIANT: every delivery taken in ends in exactly one of: a durable final report, a cancelled row, or (when the
//! server stops) nothing at all, so that its row is offered again after the restart.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

use super::attempt::{Announcement, Attempt, Idempotence, Sender};
use super::dispatch::EngineClock;
use super::metrics::DeliveryMetrics;
use super::queue::{Queue, Queued, queue};
use crate::domain::effect::DeliveryOutcome;
use crate::domain::limits::SURFACE_QUEUE_MAX;
use crate::domain::surface::{InDoubt, Surface};
use crate::runtime::delivery::{Job, Recorded, ReportSink, Standing, Stopped};

/// What every pool of a dispatcher shares.
#[derive(Clone)]
pub(super) struct Context {
    /// Where results go.
    pub(super) reports: Arc<dyn ReportSink>,
    /// Counters of the channel.
    pub(super) metrics: DeliveryMetrics,
    /// Engine time, to know the age of a first attempt that was journaled before a restart.
    pub(super) clock: EngineClock,
    /// The operator's bound of attempts at once, per surface.
    pub(super) in_flight_max: usize,
    /// Pause before the next attempt, from the failed ones and a number of `0.0..1.0`:
    /// [`pause_before`](super::attempt::pause_before) but in tests.
    pub(super) pause: fn(u32, f64) -> Duration,
    /// Set to a deadline when the server stops.
    pub(super) stop: watch::Receiver<Option<Instant>>,
}

/// The offering end of a surface's pool.
pub(super) struct Pool {
    queue: Queue,
    surface: Arc<ArcSwapOption<Surface>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    /// Starts the pool on `runtime`.
    pub(super) fn start<S: Sender>(runtime: &Handle, context: Context) -> Self {
        let (queue, jobs) = queue(SURFACE_QUEUE_MAX);
        let surface = Arc::new(ArcSwapOption::empty());
        let pool_loop = PoolLoop::<S> {
            jobs,
            waiting: BinaryHeap::new(),
            in_flight: JoinSet::new(),
            settling: JoinSet::new(),
            current: None,
            surface: Arc::clone(&surface),
            context: Arc::new(context),
        };
        Self { queue, surface, task: Mutex::new(Some(runtime.spawn(pool_loop.run()))) }
    }

    /// Queues `job`; the surface it carries is used from now on, by retries of earlier jobs too.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        if let Some(surface) = &job.surface {
            self.use_surface(surface);
        }
        self.queue.offer(job)
    }

    /// Uses `surface` from the next attempt on.
    pub(super) fn use_surface(&self, surface: &Arc<Surface>) {
        let current = self.surface.load();
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, surface)) {
            self.surface.store(Some(Arc::clone(surface)));
        }
    }

    /// Deliveries it would take now.
    pub(super) fn room(&self) -> usize {
        self.queue.room()
    }

    /// The task, for whoever joins it.
    pub(super) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().take()
    }
}

/// A delivery on its way through the pool.
struct Delivery {
    queued: Queued,
    /// Failed attempts of this process.
    attempts: u32,
    /// Age of the first attempt at the hand-over, from the journal.
    age_at_offer: Duration,
    /// First attempt of this process.
    first_attempt_at: Option<Instant>,
    /// Whether the journal knows of a first attempt.
    journaled: bool,
    /// Whether an earlier attempt may have delivered it: then none that failed makes it untried again, so that no exit
    /// counts it as cancelled.
    may_have_left: bool,
}

impl Delivery {
    fn new(queued: Queued, clock: &EngineClock) -> Self {
        let journaled_at = queued.job.row.first_attempt_at;
        let age_ms = journaled_at.map_or(0, |at| clock().0.saturating_sub(at.0));
        Self {
            attempts: 0,
            age_at_offer: Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)),
            first_attempt_at: None,
            journaled: journaled_at.is_some(),
            may_have_left: queued.job.standing == Standing::Resumed,
            queued,
        }
    }

    /// Time since the first attempt.
    fn age(&self) -> Duration {
        self.age_at_offer + self.first_attempt_at.map_or(Duration::ZERO, |at| at.elapsed())
    }
}

/// How an attempt leaves its delivery.
enum Ended {
    /// It is to be tried again.
    Again(Waiting),
    /// It has its final outcome, which is to be journaled.
    Final(Box<Delivery>, DeliveryOutcome),
    /// Nothing more happens to it in this process.
    Over,
}

/// A delivery that waits for its next attempt.
struct Waiting {
    due: Instant,
    delivery: Delivery,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

/// A sender, or why there is none, and the surface it was built from.
struct Built<S> {
    surface: Arc<Surface>,
    sender: Result<Arc<S>, String>,
}

struct PoolLoop<S> {
    jobs: mpsc::Receiver<Queued>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    in_flight: JoinSet<Ended>,
    /// Outcomes that are being journaled; as many as the queue has slots at most.
    settling: JoinSet<()>,
    current: Option<Built<S>>,
    surface: Arc<ArcSwapOption<Surface>>,
    context: Arc<Context>,
}

impl<S: Sender> PoolLoop<S> {
    /// Every arm is cancel safe: a message not received stays in its channel, a task not joined in its set.
    async fn run(mut self) {
        let mut stop = self.context.stop.clone();
        loop {
            let has_worker = self.in_flight.len() < self.context.in_flight_max.min(S::IN_FLIGHT_MAX);
            let due = self.waiting.peek().map(|Reverse(first)| first.due);
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                Some(ended) = self.in_flight.join_next() => self.take_ended(ended),
                Some(settled) = self.settling.join_next() => settled.unwrap_or_else(|error| ended_abnormally(&error)),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if has_worker && due.is_some() => {
                    if let Some(Reverse(first)) = self.waiting.pop() {
                        self.start_attempt(first.delivery);
                    }
                }
                queued = self.jobs.recv(), if has_worker => match queued {
                    Some(queued) => self.start_attempt(Delivery::new(queued, &self.context.clock)),
                    None => break,
                },
            }
        }
        self.wind_down().await;
    }

    fn take_ended(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok(Ended::Again(waiting)) => self.waiting.push(Reverse(waiting)),
            Ok(Ended::Final(delivery, outcome)) => self.settle(*delivery, outcome),
            Ok(Ended::Over) => {}
            Err(error) => ended_abnormally(&error),
        }
    }

    fn settle(&mut self, delivery: Delivery, outcome: DeliveryOutcome) {
        let context = Arc::clone(&self.context);
        self.settling.spawn(async move { settle(delivery, &context, outcome).await });
    }

    fn start_attempt(&mut self, delivery: Delivery) {
        let context = Arc::clone(&self.context);
        match self.surface.load_full() {
            Some(surface) => {
                let sender = self.sender_for(&surface);
                self.in_flight.spawn(async move { deliver(sender, &surface, delivery, &context).await });
            }
            None => {
                let name = delivery.queued.job.message.surface.clone().unwrap_or_default();
                let reason = format!("surface '{name}' is not published");
                self.settle(delivery, DeliveryOutcome::Failed { reason });
            }
        }
    }

    /// The sender of `surface`, built anew when its settings changed.
    fn sender_for(&mut self, surface: &Arc<Surface>) -> Result<Arc<S>, String> {
        match &mut self.current {
            Some(built) if Arc::ptr_eq(&built.surface, surface) || built.surface == *surface => built.sender.clone(),
            current => {
                let sender = S::build(surface).map(Arc::new);
                if let Err(error) = &sender {
                    tracing::error!(surface = %surface.name, %error, "surface can't be used");
                }
                current.insert(Built { surface: Arc::clone(surface), sender }).sender.clone()
            }
        }
    }

    /// Ends attempts in flight by the deadline and abandons the rest: their rows are still in the outbox.
    async fn wind_down(mut self) {
        let deadline = self.context.stop.borrow().unwrap_or_else(Instant::now);
        let all = async {
            while let Some(ended) = self.in_flight.join_next().await {
                self.take_ended(ended);
            }
            while self.settling.join_next().await.is_some() {}
        };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            let (attempts, outcomes) = (self.in_flight.len(), self.settling.len());
            tracing::warn!(attempts, outcomes, "attempts abandoned at the stop deadline");
        }
        self.in_flight.shutdown().await;
        self.settling.shutdown().await;
    }
}

fn ended_abnormally(error: &JoinError) {
    tracing::error!(%error, "a delivery ended abnormally; its row stays in the outbox");
}

/// One attempt and what follows from it.
async fn deliver<S: Sender>(
    sender: Result<Arc<S>, String>,
    surface: &Surface,
    mut delivery: Delivery,
    context: &Context,
) -> Ended {
    let idempotence = S::idempotence(surface);
    if let Some(outcome) = outcome_before_attempt(surface, idempotence, &delivery) {
        return Ended::Final(Box::new(delivery), outcome);
    }
    delivery.first_attempt_at.get_or_insert_with(Instant::now);
    let announcement = Announcement::new(delivery.queued.job.row.id, Arc::clone(&context.reports));
    let attempt = match &sender {
        Ok(sender) => AssertUnwindSafe(sender.attempt(&delivery.queued.job, &announcement))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Attempt::Uncertain("the sender panicked".to_owned())),
        Err(reason) => Attempt::again(format!("surface '{}' can't be used: {reason}", surface.name)),
    };
    match (attempt, idempotence) {
        (Attempt::Sent, _) => Ended::Final(Box::new(delivery), DeliveryOutcome::Sent),
        (Attempt::Failed(reason), _) => Ended::Final(Box::new(delivery), DeliveryOutcome::Failed { reason }),
        (Attempt::Uncertain(reason), Idempotence::Unkeyed(InDoubt::Hold)) => {
            Ended::Final(Box::new(delivery), DeliveryOutcome::InDoubt { reason })
        }
        (Attempt::Uncertain(reason), Idempotence::Unkeyed(InDoubt::PreferLoss)) => {
            Ended::Final(Box::new(delivery), DeliveryOutcome::Failed { reason: counted_as_lost(&reason) })
        }
        (Attempt::Uncertain(reason), _) => {
            delivery.may_have_left = true;
            again(delivery, (surface, idempotence), context, &reason, None).await
        }
        (Attempt::Again { reason, not_before }, _) => {
            let is_unkeyed = idempotence != Idempotence::Keyed;
            if is_unkeyed && announcement.is_started() && !delivery.may_have_left {
                let outcome = DeliveryOutcome::AttemptFailed { reason: reason.clone() };
                if announcement.report(outcome).await.is_err() {
                    return Ended::Over;
                }
            }
            again(delivery, (surface, idempotence), context, &reason, not_before).await
        }
        (Attempt::Cancelled, _) => {
            context.metrics.cancelled.increment(1);
            Ended::Over
        }
        (Attempt::Stopped, _) => Ended::Over,
    }
}

/// What is known without an attempt: a row whose journaled attempt has no result may have been delivered.
fn outcome_before_attempt(surface: &Surface, idempotence: Idempotence, delivery: &Delivery) -> Option<DeliveryOutcome> {
    if delivery.attempts > 0 || delivery.queued.job.standing == Standing::Fresh {
        return None;
    }
    let reason = "an attempt was under way when the server stopped".to_owned();
    match idempotence {
        Idempotence::Unkeyed(InDoubt::Hold) => Some(DeliveryOutcome::InDoubt { reason }),
        Idempotence::Unkeyed(InDoubt::PreferLoss) => Some(DeliveryOutcome::Failed { reason: counted_as_lost(&reason) }),
        // Past the horizon the receiver may have forgotten the key.
        Idempotence::Keyed if delivery.age() >= horizon(surface) => Some(DeliveryOutcome::InDoubt { reason }),
        Idempotence::Keyed | Idempotence::Unkeyed(InDoubt::PreferDuplicate) => None,
    }
}

fn counted_as_lost(reason: &str) -> String {
    format!("counted as lost: {reason}")
}

fn horizon(surface: &Surface) -> Duration {
    Duration::from_millis(u64::try_from(surface.retry_for_ms).unwrap_or(0))
}

/// Plans the next attempt, or gives up past the horizon.
async fn again(
    mut delivery: Delivery,
    (surface, idempotence): (&Surface, Idempotence),
    context: &Context,
    reason: &str,
    not_before: Option<Duration>,
) -> Ended {
    let left = horizon(surface).saturating_sub(delivery.age());
    if left.is_zero() {
        let reason = format!("gave up at attempt {}: {reason}", delivery.attempts.saturating_add(1));
        return Ended::Final(Box::new(delivery), DeliveryOutcome::Failed { reason });
    }
    if idempotence == Idempotence::Keyed && !delivery.journaled {
        // The horizon counts from the first attempt, so a delivery that will be repeated has it journaled; the
        // deliveries that succeed at once pay nothing. An exit no longer cancels it from here on.
        let announcement = Announcement::new(delivery.queued.job.row.id, Arc::clone(&context.reports));
        match announcement.started().await {
            Ok(()) => delivery.journaled = true,
            Err(Attempt::Cancelled) => {
                context.metrics.cancelled.increment(1);
                return Ended::Over;
            }
            Err(_) => return Ended::Over,
        }
    }
    delivery.attempts = delivery.attempts.saturating_add(1);
    context.metrics.retried.increment(1);
    // A provider may ask for any pause; one that reaches past the horizon leads to a last attempt at its end.
    let pause = (context.pause)(delivery.attempts, rand::random()).max(not_before.unwrap_or_default()).min(left);
    let id = delivery.queued.job.row.id;
    tracing::debug!(%id, surface = %surface.name, reason, ?pause, "delivery will be retried");
    Ended::Again(Waiting { due: Instant::now() + pause, delivery })
}

/// Reports the final outcome and counts it once it is durable; only then the slot is free.
async fn settle(delivery: Delivery, context: &Context, outcome: DeliveryOutcome) {
    let Queued { job, offered_at, slot } = delivery.queued;
    let announcement = Announcement::new(job.row.id, Arc::clone(&context.reports));
    let recorded = announcement.report(outcome.clone()).await;
    drop(slot);
    match (recorded, outcome) {
        (Err(Stopped) | Ok(Recorded::RowGone), _) => {}
        (Ok(Recorded::Applied), DeliveryOutcome::Sent) => context.metrics.sent_after(offered_at.elapsed()),
        (Ok(Recorded::Applied), DeliveryOutcome::Failed { .. }) => context.metrics.failed.increment(1),
        (Ok(Recorded::Applied), DeliveryOutcome::InDoubt { .. }) => context.metrics.in_doubt.increment(1),
        (
            Ok(Recorded::Applied),
            DeliveryOutcome::AttemptStarted | DeliveryOutcome::AttemptFailed { .. } | DeliveryOutcome::Answered(_),
        ) => {}
    }
}

#[cfg(test)]
mod tests;
