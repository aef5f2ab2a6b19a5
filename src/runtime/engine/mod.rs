//! The engine's handle: everything transports and the command line may do. Cheap to clone.

pub mod past;
pub mod pauses;
pub mod recorded;
pub mod requests;
pub mod start;
pub mod stop;
pub mod testing;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::domain::catalog::Catalog;
use crate::domain::effect::DeliveryReport;
use crate::domain::finding::{Finding, counted};
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{JourneyId, Millis};
use crate::domain::suggest::did_you_mean;
use crate::runtime::admission::Admission;
use crate::runtime::api::{EventStatus, Patience, Refusal, Submission};
use crate::runtime::clock::Clock;
use crate::runtime::delivery::{Recorded, ReportSink, Stopped};
use crate::runtime::failure::Failure;
use crate::runtime::latency::{Latency, LatencySummary};
use crate::runtime::projection::{History, Projection};
use crate::runtime::router::{Room, Router};
use crate::runtime::shard::input::ReportBatch;
use crate::runtime::ticket::ReportTicket;
use crate::runtime::view::Health;
use crate::store::journal::Journal;

/// Resolves once the whole submission is durable: one status per event, in order.
pub type Receipt = Pin<Box<dyn Future<Output = Result<Vec<EventStatus>, Refusal>> + Send>>;

/// Which clock decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// The system's.
    Wall,
    /// The events' own: time is the greatest event time so far.
    Events,
}

/// The running engine.
#[derive(Clone, Debug)]
pub struct Engine {
    core: Arc<Core>,
}

#[derive(Debug)]
struct Core {
    router: Arc<Router>,
    admission: Admission,
    catalog: ArcSwap<Catalog>,
    guardrails: Guardrails,
    /// One change of the catalog, or of the shards, at a time.
    changing: tokio::sync::Mutex<()>,
    /// Questions to all shards see every partition once: none moves meanwhile.
    moving: tokio::sync::RwLock<()>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    mode: ClockMode,
    history: Arc<dyn History>,
    projection: Arc<dyn Projection>,
    failure: Failure,
    /// From a submission to its acknowledgement.
    ack_latency: Arc<Latency>,
    /// Rows in all outboxes.
    outbox_rows: Arc<AtomicIsize>,
    /// On the events' clock: with more rows than this nothing new is taken in.
    outbox_rows_max: usize,
    stopping: AtomicBool,
    all_open: watch::Receiver<bool>,
    machinery: Mutex<Option<start::Machinery>>,
}

/// Why the engine refused a request that is no submission.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Resources have errors; nothing was published.
    #[error("{}; nothing was published", counted(.0))]
    Findings(Vec<Finding>),
    /// No such journey, profile, delivery, ….
    #[error("{what} {name:?} is not known")]
    NotFound {
        /// `journey`, `profile`, `delivery`, `version`.
        what: &'static str,
        /// As asked.
        name: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// The state of things forbids it.
    #[error("{0}")]
    Conflict(String),
    /// A value is out of range.
    #[error("{0}")]
    Invalid(String),
    /// The engine is not (or no longer) able to.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RequestError {
    /// No such `what`; `known` are those there are.
    fn unknown<'n>(what: &'static str, name: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        Self::NotFound { what, name: name.to_owned(), suggestion: did_you_mean(name, known) }
    }

    /// No such thing, and nothing that would be like it.
    fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into(), suggestion: None }
    }
}

/// The number of a journey.
fn known_journey(catalog: &Catalog, name: &str) -> Result<JourneyId, RequestError> {
    let known = || catalog.journeys.iter().map(SmolStr::as_str);
    catalog.journey_id(name).ok_or_else(|| RequestError::unknown("journey", name, known()))
}

/// Which outbox rows to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFilter {
    /// All rows.
    All,
    /// Those in doubt.
    InDoubt,
}

impl Engine {
    /// Puts a submission into the mailboxes. Await it to keep order; await the receipt for durability.
    ///
    /// # Errors
    /// Nothing was taken: over the rate, no room, no space, or stopping.
    #[expect(clippy::disallowed_methods, reason = "a latency is real time, not engine time")]
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, Refusal> {
        let core = &self.core;
        let submitted_at = std::time::Instant::now();
        core.check_open()?;
        let metered = submission.events.iter().filter(|e| e.kind != crate::domain::event::PROFILE_UPDATE).count();
        core.admission.admit(metered as u64, submission.patience).await?;
        let patience = submission.patience;
        // On the events' clock partitions that count together wait for the slowest: time comes to all of them. Nothing moves
        // meanwhile, for what moves would wait for time, and time for it.
        let is_timed = core.mode == ClockMode::Events;
        let _settled = if is_timed { Some(core.moving.read().await) } else { None };
        let latest = submission.engine_times.iter().max().copied().filter(|_| is_timed);
        let receiver = core.router.submit(submission, || core.check_room(patience)).await?;
        // ORDER: the catalog is asked behind the mailboxes, so that it is none from before what shards decide with.
        if let Some(latest) = latest.filter(|_| core.catalog.load().counts_together()) {
            core.router.pass_time(latest);
        }
        let latency = Arc::clone(&core.ack_latency);
        Ok(Box::pin(async move {
            let verdict = receiver.await.unwrap_or(Err(Refusal::Stopping));
            latency.record(submitted_at.elapsed());
            verdict
        }))
    }

    /// How long acknowledgements took, from submission (waiting for room and rate included) to durability.
    pub fn ack_latency(&self) -> LatencySummary {
        self.core.ack_latency.summary()
    }

    /// The catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.core.catalog.load_full()
    }

    /// Which clock decides.
    pub fn clock_mode(&self) -> ClockMode {
        self.core.mode
    }

    /// Raised after a failed sync, corruption or a panic: the process must end.
    pub fn failure(&self) -> &Failure {
        &self.core.failure
    }

    /// Whether it can serve.
    pub fn health(&self) -> Health {
        let core = &self.core;
        let (state, detail) = if let Some(reason) = core.failure.reason() {
            ("failed", reason)
        } else if core.stopping.load(Ordering::Acquire) {
            ("stopping", String::new())
        } else if core.journal.is_full() {
            ("disk_full", "free space in the data directory; service resumes by itself".to_owned())
        } else if *core.all_open.borrow() {
            ("serving", String::new())
        } else {
            ("serving", "partitions are still being opened".to_owned())
        };
        Health { ready: state == "serving", state: state.to_owned(), detail }
    }
}

impl Core {
    fn check_open(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::Acquire) || self.failure.is_raised() {
            return Err(Refusal::Stopping);
        }
        Ok(())
    }

    /// Whether a submission may be put into mailboxes now, or may wait for that. A journal whose tail is at its bound
    /// takes nothing in until checkpoints have shortened it (design §5): else the disk and the next start would have
    /// no bound.
    fn check_room(&self, patience: Patience) -> Result<Room, Refusal> {
        self.check_open()?;
        if self.journal.is_full() && patience != Patience::Unbounded {
            return Err(Refusal::DiskFull);
        }
        Ok(if self.journal.must_wait() || self.feed_waits() { Room::Later } else { Room::Now })
    }

    /// On the events' clock instances never park at a full outbox: what is decided must not depend on how fast channels
    /// are. The feed waits instead, which changes when an event comes and not what it does. Time that passes without
    /// events waits for nobody, so the bound is passed by what one submission, or one advance, makes due.
    fn feed_waits(&self) -> bool {
        let rows = usize::try_from(self.outbox_rows.load(Ordering::Acquire)).unwrap_or(0);
        self.mode == ClockMode::Events && rows > self.outbox_rows_max
    }

    fn engine_now(&self) -> Millis {
        self.clock.now().max(Millis(0))
    }
}

impl ReportSink for Engine {
    fn report(&self, report: DeliveryReport) -> futures_util::future::BoxFuture<'static, Result<Recorded, Stopped>> {
        let (batch, recorded) = ReportBatch::of_one(report);
        self.core.router.report(batch);
        Box::pin(async move { recorded.await.map(|one| one[0]).map_err(|_| Stopped) })
    }

    fn report_all(
        &self,
        reports: Vec<DeliveryReport>,
    ) -> futures_util::future::BoxFuture<'static, Result<Vec<Recorded>, Stopped>> {
        let (ticket, recorded) = ReportTicket::new(reports.len());
        let reports = (0..).zip(reports).collect();
        self.core.router.report(ReportBatch { reports, ticket: Arc::new(ticket) });
        Box::pin(async move { recorded.await.map_err(|_| Stopped) })
    }
}
