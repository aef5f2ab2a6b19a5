//! The end of a stream that acknowledges, cumulatively and in order, what became durable. Submits nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::error::StreamError;
use super::part::InFlight;
use super::registry::{Registration, Streams};
use crate::domain::limits;
use crate::runtime::api::{EventStatus, ProducerId, Refusal};
use crate::wire::frame::{Ack, Rejection};

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
    /// `in_flight` counts unacknowledged events for both ends; parts come from the submitter by `receiver`.
    pub(super) fn new(
        registration: &Registration,
        in_flight: Arc<AtomicU64>,
        receiver: mpsc::Receiver<InFlight>,
    ) -> Self {
        Self {
            streams: Arc::clone(&registration.streams),
            producer: registration.producer,
            epoch: registration.epoch,
            in_flight,
            receiver,
            waiting: VecDeque::with_capacity(1),
            failed: None,
        }
    }

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
        self.streams.note_sequence(self.producer, self.epoch, acknowledged.ack.sequence);
    }
}
