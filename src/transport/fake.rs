//! An engine for the tests of transports: takes everything at once, commits when told, recognises repeats by sequence or id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::domain::event::{Event, EventError};
use crate::domain::ids::Millis;
use crate::runtime::api::{EventStatus, Origin, ProducerId, Refusal, Submission};
use crate::runtime::engine::Receipt;
use crate::runtime::ingest::Ingest;

/// The stand-in.
#[derive(Clone, Debug)]
pub(crate) struct FakeEngine {
    state: Arc<Mutex<State>>,
    /// Submissions below this number are durable.
    durable: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    submissions: Vec<Submission>,
    highest: HashMap<(ProducerId, u32), u64>,
    ids: HashSet<String>,
    refusal: Option<Refusal>,
    commit_failure: Option<Refusal>,
}

impl FakeEngine {
    /// Commits at once.
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), durable: watch::Sender::new(usize::MAX) }
    }

    /// Commits the first `count` submissions only, until it is told more.
    pub(crate) fn commit_to(&self, count: usize) {
        self.durable.send_replace(count);
    }

    /// Refuses submissions from now on.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.state.lock().refusal = Some(refusal);
    }

    /// Takes submissions from now on, and fails to commit them.
    pub(crate) fn fail_commits(&self, refusal: Refusal) {
        self.state.lock().commit_failure = Some(refusal);
    }

    /// Everything taken so far.
    pub(crate) fn submissions(&self) -> Vec<Submission> {
        self.state.lock().submissions.clone()
    }

    /// Ids of the events that were taken and were no repeats.
    pub(crate) fn applied(&self) -> Vec<String> {
        let state = self.state.lock();
        let mut seen = HashMap::new();
        let mut applied = Vec::new();
        for submission in &state.submissions {
            for (index, event) in submission.events.iter().enumerate() {
                let is_new = match submission.origin {
                    Origin::Stream { producer, epoch, first_sequence } => {
                        let sequence = first_sequence + index as u64;
                        let highest = seen.entry((producer, epoch)).or_insert(0);
                        let is_new = sequence > *highest;
                        *highest = sequence.max(*highest);
                        is_new
                    }
                    Origin::Unsequenced => !applied.contains(&event.id.to_string()),
                };
                if is_new {
                    applied.push(event.id.to_string());
                }
            }
        }
        applied
    }
}

impl State {
    fn status(&mut self, origin: Origin, index: usize, event: &Event) -> EventStatus {
        let is_new = match origin {
            Origin::Stream { producer, epoch, first_sequence } => {
                let sequence = first_sequence + index as u64;
                let highest = self.highest.entry((producer, epoch)).or_default();
                let is_new = sequence > *highest;
                *highest = sequence.max(*highest);
                is_new
            }
            Origin::Unsequenced => self.ids.insert(event.id.to_string()),
        };
        match (event.kind.as_str(), is_new) {
            ("engine_refuses", _) => EventStatus::Rejected(EventError::new("not_this", "the engine won't have it")),
            ("table_full", _) => EventStatus::Deferred,
            (_, true) => EventStatus::Accepted,
            (_, false) => EventStatus::Duplicate,
        }
    }
}

impl Ingest for FakeEngine {
    async fn submit(&self, submission: Submission) -> Result<Receipt, Refusal> {
        let mut state = self.state.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        let failure = state.commit_failure.clone();
        let statuses = submission
            .events
            .iter()
            .enumerate()
            .map(|(i, e)| state.status(submission.origin, i, e))
            .collect::<Vec<_>>();
        let number = state.submissions.len();
        state.submissions.push(submission);
        let mut durable = self.durable.subscribe();
        Ok(Box::pin(async move {
            durable.wait_for(|count| *count > number).await.expect("the test keeps the engine");
            failure.map_or(Ok(statuses), Err)
        }))
    }
}

/// An event with few properties.
pub(crate) fn event(id: u64, kind: &str, time: Option<i64>) -> Event {
    Event {
        id: id.to_string().into(),
        kind: kind.into(),
        profile: format!("crm:{id}").into(),
        time: time.map(Millis),
        properties: Bytes::from_static(b"\x81\xa5total\x07"),
    }
}

/// Many of them, with ids from `first`.
pub(crate) fn events(first: u64, count: u64) -> Vec<Event> {
    (first..first + count).map(|id| event(id, "purchase", None)).collect()
}
