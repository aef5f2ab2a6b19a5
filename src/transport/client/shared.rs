//! What the client and its driver share: batches not yet acknowledged, credit, progress. No I/O; every guard ends before
//! anything is awaited.
//!
//! INVARIANT: `queue` is in order of sequences, its first `written` batches are on this connection, and `events` counts
//! all its events.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::config::ClientConfig;
use super::error::ClientError;
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::wire::frame::{Ack, ClientFrame, Rejection, Welcome, encode_client};

/// Bytes written at once.
pub(super) const WRITE_BYTES_AIM: usize = 64 << 10;
/// Rejections kept for [`Client::take_rejections`](super::Client::take_rejections); the count goes on.
const REJECTIONS_KEPT_MAX: usize = 10_000;

/// How far the server has confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every event up to this sequence is durable or refused for good.
    pub sequence: u64,
    /// Events refused so far.
    pub rejected: u64,
    /// Events so far that had been durable before.
    pub duplicates: u64,
    /// On the events' clock: engine time of `sequence`.
    pub engine_time: Option<Millis>,
    /// Connections made so far.
    pub connections: u32,
}

/// What both know, and how each wakes the other.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// The writing side has something to do.
    pub(super) work: Notify,
    /// There may be room to send, or all may be done.
    pub(super) room: Notify,
    pub(super) progress: watch::Sender<Progress>,
}

/// A frame that is not acknowledged.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    pub(super) frame: Bytes,
}

impl Unacknowledged {
    pub(super) fn count(&self) -> u64 {
        self.last_sequence + 1 - self.first_sequence
    }
}

/// The client's side of credit and resends.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Unacknowledged>,
    /// How many of `queue`, from its head, were written to this connection.
    written: usize,
    /// Events of `queue`.
    pub(super) events: u64,
    /// Events of `queue` at most, unless one batch alone has more.
    pub(super) events_max: u64,
    pub(super) batch_events_max: usize,
    pub(super) credit: u64,
    pub(super) pongs: Vec<u64>,
    pub(super) is_leaving: bool,
    pub(super) rejections: Vec<Rejection>,
    pub(super) failed: Option<ClientError>,
}

impl Shared {
    /// A new connection: everything unacknowledged is to be written again, with the credit it brings.
    pub(super) fn welcomed(&self, welcome: &Welcome, config: &ClientConfig) {
        let mut state = self.state.lock();
        let batch_events_max = welcome.limits.get("batch_events_max").copied().unwrap_or(1);
        state.batch_events_max = limits::BATCH_EVENTS_MAX.min(batch_events_max as usize);
        state.events_max = welcome.credit.min(config.events_in_flight_max).max(1);
        state.credit = welcome.credit;
        state.written = 0;
        state.pongs.clear();
    }

    /// Whether a batch made under an earlier, larger window can never be sent.
    pub(super) fn is_stuck(&self) -> bool {
        let state = self.state.lock();
        state.queue.iter().any(|batch| batch.count() > state.credit)
    }

    pub(super) fn acknowledge(&self, ack: Ack) -> Result<(), ClientError> {
        let mut state = self.state.lock();
        let sent = state.written.checked_sub(1).and_then(|last| state.queue.get(last)).map(|last| last.last_sequence);
        let known = self.progress.borrow().sequence;
        if ack.sequence > sent.unwrap_or(known) {
            return Err(ClientError::Protocol(format!("sequence {} was acknowledged and never sent", ack.sequence)));
        }
        while state.queue.front().is_some_and(|head| head.last_sequence <= ack.sequence) {
            if let Some(head) = state.queue.pop_front() {
                state.events -= head.count();
                state.written -= 1;
            }
        }
        let rejected = ack.rejected.len() as u64;
        let room = REJECTIONS_KEPT_MAX - state.rejections.len().min(REJECTIONS_KEPT_MAX);
        state.rejections.extend(ack.rejected.into_iter().take(room));
        drop(state);
        self.progress.send_modify(|progress| {
            progress.sequence = progress.sequence.max(ack.sequence);
            progress.rejected += rejected;
            progress.duplicates += ack.duplicates;
            progress.engine_time = ack.engine_time.or(progress.engine_time);
        });
        self.room.notify_one();
        Ok(())
    }

    pub(super) fn fail(&self, error: ClientError) {
        self.state.lock().failed = Some(error);
        self.room.notify_one();
    }

    /// Gathers what may be written now. `None` once the goodbye is in `out`.
    pub(super) fn gather(&self, out: &mut BytesMut) -> Option<()> {
        let mut control = Vec::new();
        let mut state = self.state.lock();
        for token in state.pongs.drain(..) {
            encode_client(&mut control, &ClientFrame::Pong(token));
        }
        out.extend_from_slice(&control);
        while out.len() < WRITE_BYTES_AIM {
            let Some(next) = state.queue.get(state.written) else { break };
            let count = next.count();
            if count > state.credit {
                break;
            }
            out.extend_from_slice(&next.frame);
            state.credit -= count;
            state.written += 1;
        }
        if state.is_leaving && state.queue.is_empty() {
            control.clear();
            encode_client(&mut control, &ClientFrame::Goodbye(String::new()));
            out.extend_from_slice(&control);
            return None;
        }
        Some(())
    }
}
