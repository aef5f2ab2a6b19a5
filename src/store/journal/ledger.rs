//! Which segments of a lane still hold records that someone needs. Shared by the lane, which adds to it, and by
//! whoever takes snapshots, who tells what has been passed. Memory only: recovery rebuilds it from the segments.
//!
//! INVARIANT: segments retire from the oldest on, never from the middle, so what is kept is one unbroken chain.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::segment::Slot;
use crate::domain::ids::{PartitionId, Pseq};

/// The last pseq of each partition in a segment.
pub(super) type Spans = HashMap<PartitionId, Pseq>;

/// A segment with records.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub slot: Slot,
    pub incarnation: u64,
    /// Bytes of groups in it.
    pub used: u64,
    pub spans: Spans,
}

/// A segment that nobody needs. It may be overwritten once a durable group or header names a younger one as oldest.
#[derive(Clone, Debug)]
pub(super) struct Retired {
    pub slot: Slot,
    pub incarnation: u64,
}

/// The segments of a lane, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The last one is being written if `writing`.
    held: VecDeque<Held>,
    writing: bool,
    retired: Vec<Retired>,
    passed: HashMap<PartitionId, Pseq>,
    used: u64,
}

/// Adds spans to others: the higher pseq counts.
pub(super) fn merge(into: &mut Spans, spans: impl IntoIterator<Item = (PartitionId, Pseq)>) {
    for (partition, pseq) in spans {
        let last = into.entry(partition).or_default();
        *last = pseq.max(*last);
    }
}

impl Ledger {
    /// Adds a segment behind the others. It is the one being written; [`Ledger::settle`] once it may stand alone.
    pub(super) fn open(&mut self, held: Held) {
        self.add(held);
        self.writing = true;
    }

    /// Retires what nobody needs.
    pub(super) fn settle(&mut self) {
        self.retire();
    }

    /// Adds a segment that recovery found.
    pub(super) fn add(&mut self, held: Held) {
        self.used += held.used;
        self.held.push_back(held);
    }

    /// Adds a segment that nobody needs.
    pub(super) fn add_retired(&mut self, retired: Retired) {
        self.retired.push(retired);
    }

    /// Notes a group in the segment being written.
    pub(super) fn wrote(&mut self, bytes: u64, spans: impl IntoIterator<Item = (PartitionId, Pseq)>) {
        let current = self.held.back_mut().expect("a group is written to an open segment");
        current.used += bytes;
        self.used += bytes;
        merge(&mut current.spans, spans);
    }

    /// Notes that everything of `partition` up to `pseq` is safe elsewhere. Whether a segment retired by it.
    pub(super) fn passed(&mut self, partition: PartitionId, pseq: Pseq) -> bool {
        let before = self.passed.entry(partition).or_default();
        if pseq <= *before {
            return false;
        }
        *before = pseq;
        self.retire()
    }

    fn retire(&mut self) -> bool {
        let Self { held, passed, .. } = self;
        let mut any = false;
        while held.len() > usize::from(self.writing) {
            let Some(front) = held.front_mut() else { break };
            front.spans.retain(|partition, last| passed.get(partition).is_none_or(|passed| *passed < *last));
            if !front.spans.is_empty() {
                break;
            }
            let Held { slot, incarnation, used, .. } = held.pop_front().expect("there is a front");
            self.used -= used;
            self.retired.push(Retired { slot, incarnation });
            any = true;
        }
        any
    }

    /// Takes a retired segment older than `released`.
    pub(super) fn take_retired(&mut self, released: u64) -> Option<Slot> {
        let index = self.retired.iter().position(|retired| retired.incarnation < released)?;
        Some(self.retired.swap_remove(index).slot)
    }

    /// Whether there are retired segments at all.
    pub(super) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Incarnation of the oldest segment still needed; `next` if there is none.
    pub(super) fn oldest(&self, next: u64) -> u64 {
        self.held.front().map_or(next, |held| held.incarnation)
    }

    /// Bytes of groups that are still needed.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Whether a segment is held beside the one being written.
    pub(super) fn has_complete(&self) -> bool {
        self.held.len() > usize::from(self.writing)
    }

    /// Segment files with records that are still needed.
    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// The partitions that keep the oldest segment, each with the pseq to pass. Empty if it is the one being written.
    pub(super) fn holding_back(&self) -> Vec<(PartitionId, Pseq)> {
        if !self.has_complete() {
            return Vec::new();
        }
        let Some(front) = self.held.front() else { return Vec::new() };
        let unpassed = |(partition, last): (&PartitionId, &Pseq)| {
            let passed = self.passed.get(partition).copied().unwrap_or_default();
            (passed < *last).then_some((*partition, *last))
        };
        let mut partitions: Vec<_> = front.spans.iter().filter_map(unpassed).collect();
        partitions.sort_unstable();
        partitions
    }
}
