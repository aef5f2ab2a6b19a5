//! The end of a stream that submits: checks sequence and credit, waits for room, stamps, hands over. Acknowledges
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::error::StreamError;
use super::part::{InFlight, ReceiptBox};
use super::registry::Registration;
use super::run::Runs;
use super::window::{Window, kibibytes};
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::runtime::api::{Deferral, Origin, Patience, Refusal, Submission};
use crate::runtime::engine::Receipt;
use crate::runtime::ingest::Ingest;
use crate::transport::clock::SourceClock;
use crate::wire::frame::Batch;

/// The end of a stream that submits. Dropping it lets the next stream of the producer have its turn.
#[derive(Debug)]
pub struct Submitter<E> {
    engine: E,
    next_sequence: Option<u64>,
    clock: SourceClock,
    window: Window,
    in_flight: Arc<AtomicU64>,
    bytes: Arc<Semaphore>,
    sender: mpsc::Sender<InFlight>,
    registration: Registration,
    deferral: Deferral,
}

impl<E: Ingest> Submitter<E> {
    /// `in_flight` counts unacknowledged events for both ends; parts go to the acknowledger by `sender`.
    pub(super) fn new(
        engine: E,
        registration: Registration,
        clock: SourceClock,
        window: Window,
        in_flight: Arc<AtomicU64>,
        sender: mpsc::Sender<InFlight>,
    ) -> Self {
        let bytes = Arc::new(Semaphore::new(kibibytes(window.bytes) as usize));
        let deferral = Deferral::default();
        Self { engine, next_sequence: None, clock, window, in_flight, bytes, sender, registration, deferral }
    }

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
            let engine_times = self.clock.engine_times(&run.events);
            let receipt = self.submit_run(run.first_sequence, run.events, engine_times).await?;
            let part = InFlight {
                first_sequence: run.first_sequence,
                last_sequence: run.last_sequence,
                rejected: run.rejected,
                receipt: receipt.map(ReceiptBox),
                engine_time: self.clock.now(),
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
        let deferral = self.deferral.clone();
        let submission = Submission { events, origin, engine_times, patience: Patience::Unbounded, deferral };
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
