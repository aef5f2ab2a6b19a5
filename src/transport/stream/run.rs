//! A batch cut into what the engine takes at once. Keeps the order and every sequence; never reorders.

use crate::domain::event::{Event, EventError};
use crate::wire::frame::{Batch, Rejection};

/// Good events that follow one another, with the refused ones around them: the engine numbers the events of a
/// submission from its first sequence, so a refused one ends it.
pub(super) struct Run {
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    pub(super) events: Vec<Event>,
    pub(super) rejected: Vec<Rejection>,
}

pub(super) struct Runs {
    first_sequence: u64,
    count: u64,
    at: u64,
    events: std::vec::IntoIter<Event>,
    whole: Option<Vec<Event>>,
    rejected: std::iter::Peekable<std::vec::IntoIter<(u32, EventError)>>,
}

impl Runs {
    pub(super) fn of(batch: Batch) -> Self {
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
