//! One replay: an engine in a directory of its own, fed as fast as it takes, then run on until the end of time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::apply::Calls;
use crate::domain::event::Event;
use crate::domain::finding::{Finding, counted};
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{HashKey, Millis};
use crate::replay::mapping::Mapping;
use crate::replay::sink::CountingSink;
use crate::replay::source::{Events, Recording, SourceError};
use crate::replay::timeline::{Order, Place, Timeline, sort};
use crate::runtime::admission::Rate;
use crate::runtime::api::{Deferral, EventStatus, Origin, Patience, ProducerId, Refusal, Submission};
use crate::runtime::engine::start::{EngineConfig, EngineParts, StartError};
use crate::runtime::engine::{ClockMode, DeliveryFilter, Engine, Receipt, RequestError};
use crate::runtime::keeper::KeeperConfig;
use crate::runtime::projection::{NoProjection, Projection};
use crate::runtime::view::Report;
use crate::store::disk::OsDisk;
use crate::store::journal::{JournalConfig, SyncMode};
use crate::store::timers::MemoryTimers;

/// Events of one submission: enough to fill a group, few enough to answer often.
pub(super) const BATCH_EVENTS: usize = 1_000;
/// Batches read ahead of the feed.
const BATCHES_AHEAD: usize = 8;
/// Submissions on their way: hides the latency of the journal behind the work on the next ones.
const RECEIPTS_MAX: usize = 16;
/// Partitions: as in a new data directory. Decisions do not depend on it.
const PARTITIONS: u16 = 1024;
/// How long an event's id is known, as on HTTP.
const ID_WINDOW_MS: i64 = 3_600_000;
/// Bytes of journal before it is shortened.
const TAIL_BYTES: u64 = 1 << 30;
/// Bytes of a segment.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bad rows kept word for word.
const FLAWS_KEPT_MAX: usize = 10;
/// Time to end threads in; nothing in the directory is kept anyway.
pub(super) const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What to do with an event that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRows {
    /// The replay ends there.
    Stop,
    /// It is counted and left out.
    Skip,
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards; the result does not depend on it.
    pub shards: u16,
    /// How a table's columns become events.
    pub mapping: Option<Mapping>,
    /// In which order events are taken.
    pub order: Order,
    /// The end of time, that instant included; else when every instance has ended.
    pub until: Option<Millis>,
    /// What to do with events that can't be read.
    pub bad_rows: BadRows,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many events were submitted; engine time.
    Feeding(u64, Millis),
    /// All events were taken; timers run on.
    RunningOn,
}

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The report, after the end of time.
    pub report: Report,
    /// Events submitted.
    pub submitted: u64,
    /// Of these, how many had an id that was known.
    pub duplicates: u64,
    /// Of these, how many came after later ones and were handled at the later time.
    pub late: u64,
    /// Times of the first event and the latest.
    pub span: Option<(Millis, Millis)>,
    /// Rows left out.
    pub skipped: u64,
    /// What was wrong with the first of them.
    pub flaws: Vec<String>,
}

/// Why a replay came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The resources have errors: mend them.
    #[error("{}", counted(.0))]
    Findings(Vec<Finding>),
    /// The journey asked for is in none of the files.
    #[error("{0}")]
    UnknownJourney(String),
    /// The recording has: mend it, or leave bad rows out.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The engine refused an event.
    #[error("event {id:?} was refused: {message}")]
    Rejected {
        /// Its id.
        id: String,
        /// Why, and how to mend it.
        message: String,
    },
    /// The engine did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine stopped: its directory is full or was taken away.
    #[error("the engine stopped: {0}")]
    Stopped(String),
}

/// Replays `recording` through `resources` (name and text of each file), with the engine's files in `directory`, which
/// is empty and belongs to this replay.
///
/// # Errors
/// Nothing is reported then.
pub async fn replay(
    directory: &Path,
    resources: Vec<(String, String)>,
    recording: Recording,
    options: &Options,
    mut observe: impl FnMut(Pace),
) -> Result<Outcome, ReplayError> {
    let (engine, sink) = start(directory, options.shards, Calls::Assumed, Arc::new(NoProjection))?;
    sink.connect(&engine);
    let outcome = run(&engine, resources, recording, options, &mut observe).await;
    engine.stop(STOP_DEADLINE).await;
    outcome.map_err(|error| match engine.failure().reason() {
        Some(reason) => ReplayError::Stopped(reason),
        None => error,
    })
}

/// Settings of a replaying engine: the events' clock, no rate, no sync — whatever a crash loses is replayed again.
pub(super) fn start(
    directory: &Path,
    shards: u16,
    calls: Calls,
    projection: Arc<dyn Projection>,
) -> Result<(Engine, Arc<CountingSink>), StartError> {
    let sink = Arc::new(CountingSink::default());
    let config = EngineConfig {
        shards,
        partitions: PARTITIONS,
        directory_id: u128::from(std::process::id()),
        hash_key: HashKey::FIXED,
        calls,
        clock: ClockMode::Events,
        rate: Rate::Unlimited,
        id_window_ms: ID_WINDOW_MS,
        // A recording holds what it holds: its ids within the window are the bound.
        ids_max: usize::MAX,
        guardrails: Guardrails::WIDEST,
        outbox_rows_max: usize::MAX,
        journal: JournalConfig { segment_bytes: SEGMENT_BYTES, sync: SyncMode::Off, ..JournalConfig::default() },
        keeper: KeeperConfig { tail_bytes: TAIL_BYTES, interval: Duration::from_secs(86_400) },
    };
    let parts = EngineParts {
        disk: Arc::new(OsDisk::new(directory)),
        timers: Box::new(MemoryTimers::default()),
        sink: sink.clone(),
        projection,
        history: Arc::new(NoProjection),
    };
    Ok((Engine::start(&config, parts)?, sink))
}

async fn run(
    engine: &Engine,
    resources: Vec<(String, String)>,
    recording: Recording,
    options: &Options,
    observe: &mut impl FnMut(Pace),
) -> Result<Outcome, ReplayError> {
    engine.apply(resources).await.map_err(refused)?;
    let events = recording.events(options.mapping.as_ref(), engine.catalog())?;
    let (batches, mut received) = mpsc::channel(BATCHES_AHEAD);
    let asked = options.clone();
    let reading = tokio::task::spawn_blocking(move || read(events, &asked, &batches));
    let mut feed = Feed::new(engine, Repeats::ById, options.bad_rows);
    while let Some(batch) = received.recv().await {
        feed.submit(batch).await?;
        observe(Pace::Feeding(feed.fed.submitted, feed.fed.latest));
    }
    let Fed { submitted, duplicates, mut skipped, mut flaws, .. } = feed.finish().await?;
    let read = reading.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    observe(Pace::RunningOn);
    let report = run_on(engine, options.until).await?;
    skipped += read.skipped;
    flaws.splice(0..0, read.flaws);
    flaws.truncate(FLAWS_KEPT_MAX);
    let timeline = read.timeline;
    Ok(Outcome { report, submitted, duplicates, late: timeline.late(), span: timeline.span(), skipped, flaws })
}

/// Lets time run to `until`, or until every instance has ended, and every message be reported; then reports.
pub(super) async fn run_on(engine: &Engine, until: Option<Millis>) -> Result<Report, ReplayError> {
    engine.advance_clock(until).await.map_err(refused)?;
    loop {
        engine.drain().await;
        // Results of messages are inputs of their own, which the drain before may have been ahead of.
        if engine.deliveries(DeliveryFilter::All, 1).await.map_err(refused)?.is_empty() {
            return engine.report(None).await.map_err(refused);
        }
    }
}

pub(super) fn refused(error: RequestError) -> ReplayError {
    match error {
        RequestError::Findings(findings) => ReplayError::Findings(findings),
        other => ReplayError::Stopped(other.to_string()),
    }
}

/// Events with their engine times.
pub(super) type Batch = (Vec<Event>, Vec<Millis>);

/// What reading came to.
struct Read {
    timeline: Timeline,
    skipped: u64,
    flaws: Vec<String>,
}

/// Reads all events up to the end of time into `batches`. Blocks.
fn read(events: Events, options: &Options, batches: &mpsc::Sender<Batch>) -> Result<Read, SourceError> {
    let mut read = Read { timeline: Timeline::new(options.until), skipped: 0, flaws: Vec::new() };
    match options.order {
        Order::AsRead => {
            let mut batch = Batch::default();
            for event in events {
                let Some(event) = read.sound(event, options.bad_rows)? else { continue };
                if !read.take(event, &mut batch, batches) {
                    break;
                }
            }
            read.send(&mut batch, batches);
        }
        Order::ByTime => {
            let mut all = Vec::new();
            for event in events {
                all.extend(read.sound(event, options.bad_rows)?);
            }
            sort(&mut all);
            let mut batch = Batch::default();
            for event in all {
                if !read.take(event, &mut batch, batches) {
                    break;
                }
            }
            read.send(&mut batch, batches);
        }
    }
    Ok(read)
}

impl Read {
    /// The event, or nothing where it is left out.
    fn sound(&mut self, event: Result<Event, SourceError>, bad_rows: BadRows) -> Result<Option<Event>, SourceError> {
        match event {
            Ok(event) => Ok(Some(event)),
            Err(flaw @ SourceError::Row { .. }) if bad_rows == BadRows::Skip => {
                self.skipped += 1;
                if self.flaws.len() < FLAWS_KEPT_MAX {
                    self.flaws.push(flaw.to_string());
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds an event to the batch, and sends that when it is full; false at the end of time, or when nobody listens.
    fn take(&mut self, event: Event, batch: &mut Batch, batches: &mpsc::Sender<Batch>) -> bool {
        let time = event.time.expect("a source gives no event without a time");
        let Place::At(engine_time) = self.timeline.place(time) else { return false };
        batch.0.push(event);
        batch.1.push(engine_time);
        batch.0.len() < BATCH_EVENTS || self.send(batch, batches)
    }

    fn send(&self, batch: &mut Batch, batches: &mpsc::Sender<Batch>) -> bool {
        let batch = std::mem::take(batch);
        batch.0.is_empty() || batches.blocking_send(batch).is_ok()
    }
}

/// The way into the engine, several submissions deep.
pub(super) struct Feed<'a> {
    engine: &'a Engine,
    repeats: Repeats,
    bad_rows: BadRows,
    /// With the ids of their events, for messages.
    receipts: VecDeque<(Vec<smol_str::SmolStr>, Receipt)>,
    fed: Fed,
}

pub(super) struct Fed {
    pub(super) submitted: u64,
    latest: Millis,
    duplicates: u64,
    skipped: u64,
    flaws: Vec<String>,
}

impl Default for Fed {
    fn default() -> Self {
        Self { submitted: 0, latest: Millis::MIN, duplicates: 0, skipped: 0, flaws: Vec::new() }
    }
}

/// How repeats among the events are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// By id, as on HTTP.
    ById,
    /// There are none: each was recorded once, whatever its id.
    None,
}

/// The producer of events without repeats.
const RECORDED: ProducerId = ProducerId(0x7265_636f_7264_6564);

impl<'a> Feed<'a> {
    pub(super) fn new(engine: &'a Engine, repeats: Repeats, bad_rows: BadRows) -> Self {
        Self { engine, repeats, bad_rows, receipts: VecDeque::new(), fed: Fed::default() }
    }

    pub(super) async fn submit(&mut self, (events, engine_times): Batch) -> Result<(), ReplayError> {
        if self.receipts.len() >= RECEIPTS_MAX {
            self.settle().await?;
        }
        let ids = events.iter().map(|event| event.id.clone()).collect();
        let origin = match self.repeats {
            Repeats::ById => Origin::Unsequenced,
            Repeats::None => Origin::Stream { producer: RECORDED, epoch: 1, first_sequence: self.fed.submitted + 1 },
        };
        self.fed.submitted += events.len() as u64;
        self.fed.latest = engine_times.last().copied().unwrap_or(self.fed.latest);
        let submission =
            Submission { events, origin, engine_times, patience: Patience::Unbounded, deferral: Deferral::default() };
        let receipt = self.engine.submit(submission).await.map_err(|refusal| stopped(&refusal))?;
        self.receipts.push_back((ids, receipt));
        Ok(())
    }

    /// Waits for the oldest submission.
    async fn settle(&mut self) -> Result<(), ReplayError> {
        let Some((ids, receipt)) = self.receipts.pop_front() else { return Ok(()) };
        for (id, status) in ids.into_iter().zip(receipt.await.map_err(|refusal| stopped(&refusal))?) {
            let message = match status {
                EventStatus::Accepted => continue,
                EventStatus::Duplicate => {
                    self.fed.duplicates += 1;
                    continue;
                }
                EventStatus::Rejected(error) => error.to_string(),
                EventStatus::Deferred => "the table of event ids is full".to_owned(),
            };
            let error = ReplayError::Rejected { id: id.to_string(), message };
            if self.bad_rows == BadRows::Stop {
                return Err(error);
            }
            self.fed.skipped += 1;
            self.fed.flaws.push(error.to_string());
            self.fed.flaws.truncate(FLAWS_KEPT_MAX);
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Fed, ReplayError> {
        while !self.receipts.is_empty() {
            self.settle().await?;
        }
        Ok(self.fed)
    }
}

fn stopped(refusal: &Refusal) -> ReplayError {
    ReplayError::Stopped(refusal.to_string())
}
