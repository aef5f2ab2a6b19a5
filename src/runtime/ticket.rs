//! A ticket follows one submission, or the reports of one batch, through the shards: each one's fate, and who waits for
//! all of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::planted::{Bug, is_planted};
use crate::runtime::api::{Deferral, EventStatus, Refusal};
use crate::runtime::delivery::Recorded;

/// What one submission came to.
pub type Verdict = Result<Vec<EventStatus>, Refusal>;

/// Shared by the parts of a submission that went to different shards.
#[derive(Debug)]
pub struct Ticket {
    remaining: AtomicUsize,
    /// Of the stream it belongs to.
    pub deferral: Deferral,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    statuses: Vec<EventStatus>,
    waiter: Option<oneshot::Sender<Verdict>>,
}

impl Ticket {
    /// A ticket for `count` events of no stream, all accepted unless said otherwise.
    pub fn new(count: usize) -> (Self, oneshot::Receiver<Verdict>) {
        Self::of(count, Deferral::default())
    }

    /// A ticket for `count` events of a stream, all accepted unless said otherwise.
    pub fn of(count: usize, deferral: Deferral) -> (Self, oneshot::Receiver<Verdict>) {
        let (sender, receiver) = oneshot::channel();
        let statuses = vec![EventStatus::Accepted; count];
        let state = Mutex::new(State { statuses, waiter: Some(sender) });
        (Self { remaining: AtomicUsize::new(count), deferral, state }, receiver)
    }

    /// Notes a fate other than accepted.
    pub fn set(&self, index: u32, status: EventStatus) {
        self.state.lock().statuses[index as usize] = status;
    }

    /// `count` more events are durable (or needed no commit).
    pub fn settle(&self, count: usize) {
        // ORDER: AcqRel, so that the last one to settle sees every status set before.
        if self.remaining.fetch_sub(count, Ordering::AcqRel) == count {
            let mut state = self.state.lock();
            let statuses = std::mem::take(&mut state.statuses);
            if let Some(waiter) = state.waiter.take() {
                // A receiver that is gone (its connection closed) needs no answer.
                let _ = waiter.send(Ok(statuses));
            }
        }
    }

    /// The submission can't become durable any more.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(waiter) = self.state.lock().waiter.take() {
            let _ = waiter.send(Err(refusal));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Dropped unsettled: a shard stopped with it in its mailbox.
        self.refuse(Refusal::Stopping);
    }
}

/// Shared by the parts of a batch of reports that went to different shards. Dropped unsettled (a shard stopped, or the
/// partition is nobody's), it tells who waits by closing the channel.
#[derive(Debug)]
pub struct ReportTicket {
    remaining: AtomicUsize,
    state: Mutex<ReportState>,
}

#[derive(Debug)]
struct ReportState {
    recorded: Vec<Recorded>,
    waiter: Option<oneshot::Sender<Vec<Recorded>>>,
}

impl ReportTicket {
    /// A ticket for `count` reports, all applied unless said otherwise.
    pub fn new(count: usize) -> (Self, oneshot::Receiver<Vec<Recorded>>) {
        let (sender, receiver) = oneshot::channel();
        let state = Mutex::new(ReportState { recorded: vec![Recorded::Applied; count], waiter: Some(sender) });
        (Self { remaining: AtomicUsize::new(count), state }, receiver)
    }

    /// Notes that there was no such row.
    pub fn row_gone(&self, index: u32) {
        self.state.lock().recorded[index as usize] = Recorded::RowGone;
    }

    /// `count` more reports are durable.
    pub fn settle(&self, count: usize) {
        // ORDER: AcqRel, so that the last one to settle sees every fate noted before.
        if self.remaining.fetch_sub(count, Ordering::AcqRel) == count || is_planted(Bug::BatchToldEarly) {
            let mut state = self.state.lock();
            let recorded = std::mem::take(&mut state.recorded);
            if let Some(waiter) = state.waiter.take() {
                // A channel that no longer waits needs no answer.
                let _ = waiter.send(recorded);
            }
        }
    }
}
