//! All streams of the server: places, producers with their epochs and turns, the bytes they share. Knows nothing of
//! batches; the invariant of the turn is [`super`]'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::StreamError;
use super::window::kibibytes;
use crate::domain::ids::{SandboxId, stable_hash};
use crate::domain::limits;
use crate::runtime::api::ProducerId;
use crate::transport::code::Code;

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
    /// Kibibytes of frames that all streams together may hold.
    pub(super) bytes: Arc<Semaphore>,
    pub(super) metrics: Metrics,
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
pub(super) struct Metrics {
    open: Gauge,
    pub(super) batches: Counter,
    pub(super) events: Counter,
    pub(super) rejected: Counter,
    pub(super) duplicates: Counter,
    pub(super) acks: Counter,
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

    /// Notes what was acknowledged to the producer, unless a later epoch has begun.
    pub(super) fn note_sequence(&self, producer: ProducerId, epoch: u32, sequence: u64) {
        if let Some(mut entry) = self.producers.get_mut(&producer)
            && entry.epoch == epoch
        {
            entry.sequence = entry.sequence.max(sequence);
        }
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
    pub(super) streams: Arc<Streams>,
    pub(super) producer: ProducerId,
    pub(super) epoch: u32,
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
