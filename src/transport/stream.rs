//! What every stream of events is, whatever carries it (TCP, gRPC): a producer with its turn, sequences without gaps,
//! credit, stamps on the events' clock, and cumulative acks in order. No I/O and no protocol here.
//!
//! INVARIANT: at most one stream of a producer submits at any time. A newer one cancels the older and then waits for its
//! *turn*: were both to submit, the older could bring sequence 300 to a partition before the newer brought 200, and
//! the engine, which keeps the highest sequence per partition, would take 200 for a duplicate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use futures_util::FutureExt as _;
use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::domain::event::Event;
use crate::domain::ids::{Millis, SandboxId, stable_hash};
use crate::domain::limits;
use crate::runtime::api::{EventStatus, Origin, Patience, ProducerId, Refusal, Submission};
use crate::runtime::engine::{ClockMode, Receipt};
use crate::runtime::ingest::Ingest;
use crate::transport::code::Code;
use crate::wire::frame::{Ack, Batch, Rejection};

/// The one sandbox of this release, by name.
pub const SANDBOX: &str = "default";

/// What moves timers: decides whether events are stamped on their way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClock {
    /// The machine's clock; `event.time` is data.
    Wall,
    /// The events' own times: each is stamped with the running maximum of its stream.
    Events,
}

impl From<ClockMode> for EventClock {
    fn from(mode: ClockMode) -> Self {
        match mode {
            ClockMode::Wall => Self::Wall,
            ClockMode::Events => Self::Events,
        }
    }
}

impl EventClock {
    /// Its name in a welcome.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Events => "events",
        }
    }
}

/// Why a stream ends with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The name of the sandbox or producer is not one.
    #[error("{0}")]
    Greeting(String),
    /// The key is missing or unknown.
    #[error("an api key is required and {0}")]
    Unauthenticated(&'static str),
    /// A later epoch of the producer was seen.
    #[error("epoch {epoch} of this producer is over; epoch {current} has begun")]
    StaleEpoch {
        /// As asked.
        epoch: u32,
        /// The latest.
        current: u32,
    },
    /// A newer stream of the producer took over.
    #[error("a newer stream of this producer took over")]
    Superseded,
    /// A sequence was left out or sent again within a stream.
    #[error("the batch begins at sequence {found} where {due} is due")]
    SequenceGap {
        /// What came.
        found: u64,
        /// What was due.
        due: u64,
    },
    /// More events than granted.
    #[error("{in_flight} events in flight pass the {granted} granted; wait for credit")]
    CreditExceeded {
        /// Unacknowledged events with this batch.
        in_flight: u64,
        /// The window.
        granted: u64,
    },
    /// The engine does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A partition's table is full.
    #[error("a partition's table of ids is full; connect again later")]
    TableFull,
}

impl From<&StreamError> for Code {
    fn from(error: &StreamError) -> Self {
        match error {
            StreamError::Greeting(_) => Self::Malformed,
            StreamError::Unauthenticated(_) => Self::Unauthenticated,
            StreamError::StaleEpoch { .. } => Self::StaleEpoch,
            StreamError::Superseded => Self::Superseded,
            StreamError::SequenceGap { .. } => Self::SequenceGap,
            StreamError::CreditExceeded { .. } => Self::CreditExceeded,
            StreamError::Refused(refusal) => refusal.into(),
            StreamError::TableFull => Self::Overloaded,
        }
    }
}

/// The id of a producer of `sandbox`.
pub fn producer_id(sandbox: SandboxId, name: &str) -> ProducerId {
    ProducerId(stable_hash(&[b"producer", &sandbox.0.to_le_bytes(), name.as_bytes()]) as u64)
}

/// All streams of the server, over all feeds.
#[derive(Debug)]
pub struct Streams {
    producers: DashMap<ProducerId, Entry>,
    open: AtomicUsize,
    open_max: usize,
    numbers: AtomicU64,
    bytes: Arc<Semaphore>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Entry {
    epoch: u32,
    /// Highest sequence acknowledged in this epoch by this process.
    sequence: u64,
    /// The stream that has, or waits for, the turn; 0 after it left.
    stream: u64,
    ended: CancellationToken,
    turn: Arc<Mutex<()>>,
}

/// Handles looked up once: the registry of metrics is off the hot path.
#[derive(Debug)]
struct Metrics {
    open: Gauge,
    batches: Counter,
    events: Counter,
    rejected: Counter,
    duplicates: Counter,
    acks: Counter,
}

/// One place among the open streams, given back when dropped.
#[derive(Debug)]
pub struct Place {
    streams: Arc<Streams>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        self.streams.metrics.open.decrement(1.0);
    }
}

impl Streams {
    /// No streams yet, at most `open_max` at once. Call after the recorder of metrics is installed.
    pub fn new(open_max: usize) -> Arc<Self> {
        Arc::new(Self {
            producers: DashMap::new(),
            open: AtomicUsize::new(0),
            open_max,
            numbers: AtomicU64::new(0),
            bytes: Arc::new(Semaphore::new(kibibytes(limits::STREAMS_BYTES_IN_FLIGHT_MAX) as usize)),
            metrics: Metrics {
                open: gauge!("sojourn_streams_open"),
                batches: counter!("sojourn_stream_batches_total"),
                events: counter!("sojourn_stream_events_total"),
                rejected: counter!("sojourn_stream_events_rejected_total"),
                duplicates: counter!("sojourn_stream_events_duplicate_total"),
                acks: counter!("sojourn_stream_acks_total"),
            },
        })
    }

    /// Open streams, those not yet greeted too.
    pub fn open_count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes a place among the open streams; none where all are taken.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let taken = |count| (count < self.open_max).then_some(count + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        self.metrics.open.increment(1.0);
        Some(Place { streams: Arc::clone(self) })
    }

    /// Notes an ended stream in the metrics.
    pub fn count_error(&self, code: Code) {
        counter!("sojourn_stream_errors_total", "code" => code.name()).increment(1);
    }

    /// Makes this the stream of the producer: ends an older one and waits until that one submits no more.
    ///
    /// # Errors
    /// [`StreamError::StaleEpoch`]; [`StreamError::Superseded`] where an even newer stream came meanwhile.
    pub async fn register(self: &Arc<Self>, producer: ProducerId, epoch: u32) -> Result<Registration, StreamError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        self.forget_some();
        let (ended, turn) = self.take_over(producer, epoch, number)?;
        let mut registration =
            Registration { streams: Arc::clone(self), producer, epoch, number, ended: ended.clone(), turn: None };
        registration.turn = tokio::select! {
            biased;
            () = ended.cancelled() => return Err(StreamError::Superseded),
            turn = turn.lock_owned() => Some(turn),
        };
        Ok(registration)
    }

    fn take_over(
        &self,
        producer: ProducerId,
        epoch: u32,
        number: u64,
    ) -> Result<(CancellationToken, Arc<Mutex<()>>), StreamError> {
        let ended = CancellationToken::new();
        let mut entry = self.producers.entry(producer).or_insert_with(|| Entry {
            epoch,
            sequence: 0,
            stream: 0,
            ended: CancellationToken::new(),
            turn: Arc::default(),
        });
        if epoch < entry.epoch {
            return Err(StreamError::StaleEpoch { epoch, current: entry.epoch });
        }
        if epoch > entry.epoch {
            entry.epoch = epoch;
            entry.sequence = 0;
        }
        entry.stream = number;
        std::mem::replace(&mut entry.ended, ended.clone()).cancel();
        Ok((ended, Arc::clone(&entry.turn)))
    }

    /// Keeps the table of producers bounded: those that left may be forgotten, which costs them nothing but a check.
    fn forget_some(&self) {
        if self.producers.len() >= limits::PRODUCERS_REMEMBERED_MAX {
            self.producers.retain(|_, entry| entry.stream != 0);
        }
    }
}

/// A stream's hold on its producer, let go when dropped.
#[derive(Debug)]
pub struct Registration {
    streams: Arc<Streams>,
    producer: ProducerId,
    epoch: u32,
    number: u64,
    ended: CancellationToken,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Registration {
    /// Cancelled when a newer stream of the producer came.
    pub fn superseded(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Highest sequence acknowledged in this epoch, as far as this process knows; 0 if it knows none.
    pub fn sequence(&self) -> u64 {
        let entry = self.streams.producers.get(&self.producer);
        entry.filter(|entry| entry.epoch == self.epoch).map_or(0, |entry| entry.sequence)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(mut entry) = self.streams.producers.get_mut(&self.producer)
            && entry.stream == self.number
        {
            entry.stream = 0;
        }
    }
}

/// What a stream may have unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Events; a client beyond it breaks the protocol.
    pub events: u64,
    /// Bytes of frames; beyond it the stream is not read.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { events: limits::STREAM_EVENTS_IN_FLIGHT_MAX, bytes: limits::STREAM_BYTES_IN_FLIGHT_MAX }
    }
}

/// Permits count kibibytes, since semaphores count in 32 bits.
fn kibibytes(bytes: usize) -> u32 {
    (bytes.div_ceil(1024)) as u32
}

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
    let acknowledger = Acknowledger {
        streams: Arc::clone(&registration.streams),
        producer: registration.producer,
        epoch: registration.epoch,
        in_flight: Arc::clone(&in_flight),
        receiver,
        waiting: VecDeque::with_capacity(1),
        failed: None,
    };
    let submitter = Submitter {
        engine,
        next_sequence: None,
        stamps: Stamps::new(clock, engine_time),
        window,
        in_flight,
        bytes: Arc::new(Semaphore::new(kibibytes(window.bytes) as usize)),
        sender,
        registration,
    };
    (submitter, acknowledger)
}

/// A part of a batch on its way to its commit.
#[derive(Debug)]
struct InFlight {
    first_sequence: u64,
    last_sequence: u64,
    rejected: Vec<Rejection>,
    receipt: Option<ReceiptBox>,
    engine_time: Option<Millis>,
    /// Bytes that this part gives back: the whole frame's with its last part.
    _bytes: Option<[OwnedSemaphorePermit; 2]>,
}

/// A receipt that can be printed as one.
struct ReceiptBox(Receipt);

impl std::fmt::Debug for ReceiptBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt(..)")
    }
}

/// Engine times of a source's events: on the events' clock the running maximum of their times, on the wall clock none.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    clock: EventClock,
    running: Millis,
}

impl Stamps {
    /// Goes on from `engine_time`; events without a time take the stamp of the one before.
    pub fn new(clock: EventClock, engine_time: Option<Millis>) -> Self {
        Self { clock, running: engine_time.unwrap_or(Millis(0)) }
    }

    /// One stamp for each event, or none at all: what a [`Submission`] takes.
    pub fn stamp(&mut self, events: &[Event]) -> Vec<Millis> {
        if self.clock == EventClock::Wall {
            return Vec::new();
        }
        events
            .iter()
            .map(|event| {
                self.running = self.running.max(event.time.unwrap_or(self.running));
                self.running
            })
            .collect()
    }

    fn now(&self) -> Option<Millis> {
        (self.clock == EventClock::Events).then_some(self.running)
    }
}

/// The end of a stream that submits. Dropping it lets the next stream of the producer have its turn.
#[derive(Debug)]
pub struct Submitter<E> {
    engine: E,
    next_sequence: Option<u64>,
    stamps: Stamps,
    window: Window,
    in_flight: Arc<AtomicU64>,
    bytes: Arc<Semaphore>,
    sender: mpsc::Sender<InFlight>,
    registration: Registration,
}

impl<E: Ingest> Submitter<E> {
    /// The hold on the producer.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Checks the batch against sequence and credit, then submits it; returns when the engine has it.
    /// `frame_size` is what the batch holds in memory, in bytes.
    ///
    /// # Errors
    /// The stream is over; nothing behind this batch counts. `Ok(false)` where nobody acknowledges any more.
    pub async fn submit(&mut self, batch: Batch, frame_size: usize) -> Result<bool, StreamError> {
        self.check_sequence(batch.first_sequence)?;
        self.check_credit(batch.count())?;
        self.next_sequence = Some(batch.first_sequence + batch.count());
        let metrics = &self.registration.streams.metrics;
        metrics.batches.increment(1);
        metrics.events.increment(batch.count());
        metrics.rejected.increment(batch.rejected.len() as u64);
        let mut permits = Some(self.reserve_bytes(frame_size).await);
        let mut runs = Runs::of(batch).peekable();
        while let Some(run) = runs.next() {
            let engine_times = self.stamps.stamp(&run.events);
            let receipt = self.submit_run(run.first_sequence, run.events, engine_times).await?;
            let part = InFlight {
                first_sequence: run.first_sequence,
                last_sequence: run.last_sequence,
                rejected: run.rejected,
                receipt: receipt.map(ReceiptBox),
                engine_time: self.stamps.now(),
                _bytes: if runs.peek().is_none() { permits.take() } else { None },
            };
            if self.sender.send(part).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn submit_run(
        &self,
        first_sequence: u64,
        events: Vec<Event>,
        engine_times: Vec<Millis>,
    ) -> Result<Option<Receipt>, Refusal> {
        if events.is_empty() {
            return Ok(None);
        }
        let Registration { producer, epoch, .. } = self.registration;
        let origin = Origin::Stream { producer, epoch, first_sequence };
        let submission = Submission { events, origin, engine_times, patience: Patience::Unbounded };
        self.engine.submit(submission).await.map(Some)
    }

    fn check_sequence(&self, found: u64) -> Result<(), StreamError> {
        let Some(due) = self.next_sequence else {
            // The first batch may begin anywhere a resend can begin. A server that was restarted knows no sequence.
            let known = self.registration.sequence();
            let gap = known > 0 && found > known + 1;
            return if gap { Err(StreamError::SequenceGap { found, due: known + 1 }) } else { Ok(()) };
        };
        if found == due { Ok(()) } else { Err(StreamError::SequenceGap { found, due }) }
    }

    fn check_credit(&self, count: u64) -> Result<(), StreamError> {
        let in_flight = self.in_flight.load(Ordering::Acquire) + count;
        if in_flight > self.window.events {
            return Err(StreamError::CreditExceeded { in_flight, granted: self.window.events });
        }
        self.in_flight.fetch_add(count, Ordering::AcqRel);
        Ok(())
    }

    /// Waits for room in the stream's and then in the server's bytes. One order for all: no two can wait for each other.
    async fn reserve_bytes(&self, frame_size: usize) -> [OwnedSemaphorePermit; 2] {
        const NEVER_CLOSED: &str = "these semaphores are never closed";
        let count = kibibytes(frame_size.min(self.window.bytes).min(limits::STREAMS_BYTES_IN_FLIGHT_MAX));
        let own = Arc::clone(&self.bytes).acquire_many_owned(count).await.expect(NEVER_CLOSED);
        let all = Arc::clone(&self.registration.streams.bytes).acquire_many_owned(count).await.expect(NEVER_CLOSED);
        [own, all]
    }
}

/// Good events that follow one another, with the refused ones around them: the engine numbers the events of a
/// submission from its first sequence, so a refused one ends it.
struct Run {
    first_sequence: u64,
    last_sequence: u64,
    events: Vec<Event>,
    rejected: Vec<Rejection>,
}

struct Runs {
    first_sequence: u64,
    count: u64,
    at: u64,
    events: std::vec::IntoIter<Event>,
    whole: Option<Vec<Event>>,
    rejected: std::iter::Peekable<std::vec::IntoIter<(u32, crate::domain::event::EventError)>>,
}

impl Runs {
    fn of(batch: Batch) -> Self {
        let count = batch.count();
        let (events, whole) =
            if batch.rejected.is_empty() { (Vec::new(), Some(batch.events)) } else { (batch.events, None) };
        Self {
            first_sequence: batch.first_sequence,
            count,
            at: 0,
            events: events.into_iter(),
            whole,
            rejected: batch.rejected.into_iter().peekable(),
        }
    }
}

impl Iterator for Runs {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.at >= self.count {
            return None;
        }
        let mut rejected = Vec::new();
        while let Some((index, error)) = self.rejected.next_if(|(index, _)| u64::from(*index) == self.at) {
            rejected.push(Rejection::new(self.first_sequence + u64::from(index), &error));
            self.at += 1;
        }
        let end = self.rejected.peek().map_or(self.count, |(index, _)| u64::from(*index));
        let first = self.at;
        let events = self.whole.take().unwrap_or_else(|| self.events.by_ref().take((end - first) as usize).collect());
        self.at = end;
        Some(Run {
            first_sequence: self.first_sequence + first,
            last_sequence: (self.first_sequence + end).saturating_sub(1),
            events,
            rejected,
        })
    }
}

/// The end of a stream that acknowledges, in order, what became durable.
#[derive(Debug)]
pub struct Acknowledger {
    streams: Arc<Streams>,
    producer: ProducerId,
    epoch: u32,
    in_flight: Arc<AtomicU64>,
    receiver: mpsc::Receiver<InFlight>,
    /// At most one part whose receipt is being awaited.
    waiting: VecDeque<InFlight>,
    failed: Option<StreamError>,
}

/// An ack to send, and the events it gives back as credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The ack.
    pub ack: Ack,
    /// Events more that may be sent.
    pub credit: u64,
}

impl Acknowledger {
    /// Waits for the next commit and takes with it every one behind it that has happened too. `None` when the submitter is
    /// gone and everything is acknowledged.
    ///
    /// Cancel safe: a part leaves the queue only into `waiting`, and its receipt is polled there.
    ///
    /// # Errors
    /// The stream is over: nothing behind the last ack counts.
    pub async fn next(&mut self) -> Option<Result<Acknowledged, StreamError>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if self.waiting.is_empty() {
            let part = self.receiver.recv().await?;
            self.waiting.push_back(part);
        }
        let head = self.waiting.front_mut()?;
        let statuses = match head.receipt.as_mut() {
            Some(receipt) => Some((&mut receipt.0).await),
            None => None,
        };
        let mut acknowledged = Acknowledged { ack: Ack::default(), credit: 0 };
        self.settle(statuses, &mut acknowledged);
        while self.failed.is_none() && acknowledged.ack.rejected.len() < limits::REJECTIONS_PER_ACK_MAX {
            let Ok(mut part) = self.receiver.try_recv() else { break };
            let ready = match part.receipt.as_mut() {
                Some(receipt) => (&mut receipt.0).now_or_never().map(Some),
                None => Some(None),
            };
            self.waiting.push_back(part);
            let Some(statuses) = ready else { break };
            self.settle(statuses, &mut acknowledged);
        }
        if acknowledged.credit == 0 {
            return self.failed.take().map(Err);
        }
        self.note(&acknowledged);
        Some(Ok(acknowledged))
    }

    /// Adds the part at the head, whose receipt has resolved, to the ack.
    fn settle(&mut self, statuses: Option<Result<Vec<EventStatus>, Refusal>>, to: &mut Acknowledged) {
        let Some(part) = self.waiting.pop_front() else { return };
        let statuses = match statuses.transpose() {
            Ok(statuses) => statuses.unwrap_or_default(),
            Err(refusal) => {
                self.failed = Some(refusal.into());
                return;
            }
        };
        if statuses.contains(&EventStatus::Deferred) {
            self.failed = Some(StreamError::TableFull);
            return;
        }
        to.credit += part.rejected.len() as u64 + (part.last_sequence + 1 - part.first_sequence);
        to.ack.sequence = part.last_sequence;
        to.ack.engine_time = part.engine_time;
        to.ack.rejected.extend(part.rejected);
        for (index, status) in statuses.iter().enumerate() {
            match status {
                EventStatus::Duplicate => to.ack.duplicates += 1,
                EventStatus::Rejected(error) => {
                    to.ack.rejected.push(Rejection::new(part.first_sequence + index as u64, error));
                }
                EventStatus::Accepted | EventStatus::Deferred => {}
            }
        }
    }

    /// ORDER: before the client hears of the ack or its credit, so that it never is ahead of what we know.
    fn note(&self, acknowledged: &Acknowledged) {
        self.in_flight.fetch_sub(acknowledged.credit, Ordering::AcqRel);
        let metrics = &self.streams.metrics;
        metrics.acks.increment(1);
        metrics.duplicates.increment(acknowledged.ack.duplicates);
        if let Some(mut entry) = self.streams.producers.get_mut(&self.producer)
            && entry.epoch == self.epoch
        {
            entry.sequence = entry.sequence.max(acknowledged.ack.sequence);
        }
    }
}
