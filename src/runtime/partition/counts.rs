//! Counters of a partition, derived from steps and from nothing else, once for each record.
//!
//! INVARIANT: per version, entered = active + Σ exited + errors; per node, entered = in node + left + exited + errors.

use crate::domain::ids::{NodeNo, VersionId};
use crate::domain::step::{DiscardReason, ExitReason, Failure, MessageOutcome, Path, Step, StepKind};
use crate::wire::cursor::{Cursor, WireError, put_varint};

/// Counters of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Arrivals.
    pub entered: u64,
    /// Went on.
    pub left: u64,
    /// Ended there.
    pub exited: u64,
    /// Failed there.
    pub errors: u64,
}

/// Counters of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts([u64; MessageOutcome::ALL.len()]);

impl MessageCounts {
    /// How often `outcome` was recorded.
    pub fn of(&self, outcome: MessageOutcome) -> u64 {
        self.0[usize::from(outcome.code())]
    }
}

/// Counters of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionCounts {
    /// Instances begun.
    pub entered: u64,
    /// Instances ended, by [`ExitReason::code`].
    pub exited: [u64; ExitReason::ALL.len()],
    /// Instances failed, by [`Failure::code`], those at calls aside.
    pub failed: [u64; Failure::PLAIN.len()],
    /// Instances failed at calls, by how those ended: [`crate::domain::effect::CallStatus::code`], ascending.
    pub failed_calls: Vec<(u16, u64)>,
    /// Entries refused, by [`DiscardReason::code`].
    pub discarded: [u64; DiscardReason::ALL.len()],
    /// By node.
    pub nodes: Vec<NodeCounts>,
    /// By message.
    pub messages: Vec<MessageCounts>,
    /// Held by a pause now, by node; shorter where nobody is.
    pub held: Vec<u64>,
    /// Entrants that wait for the end of a pause now.
    pub entrants: u64,
    /// Events kept for those held at actions now.
    pub kept: u64,
    /// By node and way, ascending, of nodes whose ways are counted.
    pub ways: Vec<((NodeNo, u16), u64)>,
}

impl VersionCounts {
    /// Instances failed, for whatever reason.
    pub fn errors(&self) -> u64 {
        self.failed.iter().chain(self.failed_calls.iter().map(|(_, count)| count)).sum()
    }

    /// Instances failed, by reason; of calls only how some have ended.
    pub fn failures(&self) -> impl Iterator<Item = (Failure, u64)> + '_ {
        let plain = Failure::PLAIN.into_iter().map(|failure| (failure, self.failed[usize::from(failure.code())]));
        let calls = self.failed_calls.iter();
        plain.chain(calls.filter_map(|(code, count)| Some((Failure::from_code(*code)?, *count))))
    }

    /// Instances running.
    pub fn active(&self) -> u64 {
        self.entered - self.exited.iter().sum::<u64>() - self.errors()
    }

    /// Held by a pause at actions now.
    pub fn held(&self) -> u64 {
        self.held.iter().sum()
    }

    /// Nodes where instances are.
    pub fn occupied(&self) -> impl Iterator<Item = NodeNo> + '_ {
        let is_there = |node: &NodeCounts| node.entered > node.left + node.exited + node.errors;
        self.nodes.iter().enumerate().filter(move |(_, node)| is_there(node)).map(|(index, _)| NodeNo(index as u16))
    }

    fn node(&mut self, no: NodeNo) -> &mut NodeCounts {
        grown(&mut self.nodes, usize::from(no.0))
    }

    fn add_way(&mut self, way: (NodeNo, u16), count: u64) {
        let place = self.ways.binary_search_by_key(&way, |(known, _)| *known);
        let place = place.unwrap_or_else(|place| {
            self.ways.insert(place, (way, 0));
            place
        });
        self.ways[place].1 += count;
    }

    fn add_failed(&mut self, failure: Failure, count: u64) {
        if let Failure::Action(Some(status)) = failure {
            let place = self.failed_calls.binary_search_by_key(&status.code(), |(known, _)| *known);
            let place = place.unwrap_or_else(|place| {
                self.failed_calls.insert(place, (status.code(), 0));
                place
            });
            self.failed_calls[place].1 += count;
        } else {
            self.failed[usize::from(failure.code())] += count;
        }
    }

    fn read_failed_calls(&mut self, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
        for _ in 0..cursor.varint("ends of calls")? {
            let code = cursor.varint("end of a call")?;
            let failure = u16::try_from(code).ok().and_then(Failure::from_code);
            let failure = failure.ok_or_else(|| WireError::invalid("end of a call", code))?;
            self.add_failed(failure, cursor.varint("count")?);
        }
        Ok(())
    }

    fn add(&mut self, other: &Self) {
        other.ways.iter().for_each(|(way, count)| self.add_way(*way, *count));
        self.entered += other.entered;
        add_all(&mut self.exited, &other.exited);
        other.failures().for_each(|(failure, count)| self.add_failed(failure, count));
        add_all(&mut self.discarded, &other.discarded);
        for (index, node) in other.nodes.iter().enumerate() {
            let sum = grown(&mut self.nodes, index);
            sum.entered += node.entered;
            sum.left += node.left;
            sum.exited += node.exited;
            sum.errors += node.errors;
        }
        self.entrants += other.entrants;
        self.kept += other.kept;
        for (index, held) in other.held.iter().enumerate() {
            *grown(&mut self.held, index) += held;
        }
        for (index, message) in other.messages.iter().enumerate() {
            add_all(&mut grown(&mut self.messages, index).0, &message.0);
        }
    }
}

fn grown<T: Default + Clone>(items: &mut Vec<T>, index: usize) -> &mut T {
    if items.len() <= index {
        items.resize(index + 1, T::default());
    }
    &mut items[index]
}

fn add_all<const N: usize>(sum: &mut [u64; N], other: &[u64; N]) {
    for (a, b) in sum.iter_mut().zip(other) {
        *a += b;
    }
}

/// Which counters are among the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All.
    Now,
    /// All but kept events and the ends of failed calls, which were not counted yet.
    Before,
}

/// Counters of all versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By version, ascending. A partition knows few, and each step looks one up: a search of a dense list is cheapest.
    versions: Vec<(VersionId, VersionCounts)>,
    /// Held at actions, and entrants that wait, over all versions.
    held: (u64, u64),
}

impl Counts {
    /// Those of a version that was counted for.
    pub fn get(&self, version: VersionId) -> Option<&VersionCounts> {
        self.place(version).ok().map(|index| &self.versions[index].1)
    }

    /// All, by version.
    pub fn iter(&self) -> impl Iterator<Item = (VersionId, &VersionCounts)> {
        self.versions.iter().map(|(version, counts)| (*version, counts))
    }

    /// Profiles that pauses hold at actions.
    pub fn held(&self) -> u64 {
        self.held.0
    }

    /// Entrants that wait for the end of a pause.
    pub fn entrants(&self) -> u64 {
        self.held.1
    }

    fn place(&self, version: VersionId) -> Result<usize, usize> {
        self.versions.binary_search_by_key(&version, |(v, _)| *v)
    }

    fn of(&mut self, version: VersionId) -> &mut VersionCounts {
        let index = self.place(version).unwrap_or_else(|index| {
            self.versions.insert(index, (version, VersionCounts::default()));
            index
        });
        &mut self.versions[index].1
    }

    /// Somebody is held, or is no longer.
    #[cold]
    fn count_held(&mut self, step: &Step, by: i64, kept: u16) {
        let is_entrant = step.node == Step::NO_NODE;
        let version = self.of(step.version);
        version.kept = version.kept.saturating_add_signed(by * i64::from(kept));
        let count = if is_entrant { &mut version.entrants } else { grown(&mut version.held, usize::from(step.node.0)) };
        *count = count.saturating_add_signed(by);
        let total = if is_entrant { &mut self.held.1 } else { &mut self.held.0 };
        *total = total.saturating_add_signed(by);
    }

    /// Counts a step.
    pub fn count(&mut self, step: &Step) {
        let version = self.of(step.version);
        match step.kind {
            StepKind::Entered(_) => version.entered += 1,
            StepKind::Arrived => version.node(step.node).entered += 1,
            StepKind::Left(Path::Way(way)) => {
                version.node(step.node).left += 1;
                version.add_way((step.node, way), 1);
            }
            StepKind::Left(_) => version.node(step.node).left += 1,
            StepKind::Exited(reason) => {
                version.exited[usize::from(reason.code())] += 1;
                version.node(step.node).exited += 1;
            }
            StepKind::Failed(failure) => {
                version.add_failed(failure, 1);
                version.node(step.node).errors += 1;
            }
            StepKind::Discarded(reason) => version.discarded[usize::from(reason.code())] += 1,
            StepKind::Kept(_) => version.kept += 1,
            StepKind::Called(_) | StepKind::NotKept(_) => {}
            StepKind::Held(kept) => self.count_held(step, 1, kept),
            StepKind::Released(kept) => self.count_held(step, -1, kept),
            StepKind::Message { message, outcome } => {
                grown(&mut version.messages, usize::from(message)).0[usize::from(outcome.code())] += 1;
            }
        }
    }

    /// Adds another partition's counters.
    pub fn add(&mut self, other: &Self) {
        for (version, counts) in &other.versions {
            self.of(*version).add(counts);
        }
        self.held = (self.held.0 + other.held.0, self.held.1 + other.held.1);
    }

    /// Appends all of it.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.versions.len() as u64);
        for (id, version) in &self.versions {
            put_varint(out, u64::from(id.0));
            put_varint(out, version.entered);
            for n in version.exited.iter().chain(&version.failed).chain(&version.discarded) {
                put_varint(out, *n);
            }
            put_varint(out, version.nodes.len() as u64);
            for node in &version.nodes {
                for n in [node.entered, node.left, node.exited, node.errors] {
                    put_varint(out, n);
                }
            }
            put_varint(out, version.messages.len() as u64);
            for n in version.messages.iter().flat_map(|m| &m.0) {
                put_varint(out, *n);
            }
            put_varint(out, version.entrants);
            put_varint(out, version.kept);
            put_varint(out, version.failed_calls.len() as u64);
            for (code, count) in &version.failed_calls {
                put_varint(out, u64::from(*code));
                put_varint(out, *count);
            }
            put_varint(out, version.held.len() as u64);
            version.held.iter().for_each(|n| put_varint(out, *n));
            put_varint(out, version.ways.len() as u64);
            for ((node, way), count) in &version.ways {
                out.extend_from_slice(&node.0.to_le_bytes());
                out.extend_from_slice(&way.to_le_bytes());
                put_varint(out, *count);
            }
        }
    }

    /// Reads what [`Counts::put`] wrote.
    pub fn read(cursor: &mut Cursor<'_>, layout: Layout) -> Result<Self, WireError> {
        let mut counts = Self::default();
        for _ in 0..cursor.varint("versions")? {
            let id = VersionId(cursor.varint_u32("version")?);
            let mut version = VersionCounts { entered: cursor.varint("entered")?, ..VersionCounts::default() };
            for n in version.exited.iter_mut().chain(&mut version.failed).chain(&mut version.discarded) {
                *n = cursor.varint("count")?;
            }
            for _ in 0..cursor.varint("nodes")? {
                version.nodes.push(NodeCounts {
                    entered: cursor.varint("count")?,
                    left: cursor.varint("count")?,
                    exited: cursor.varint("count")?,
                    errors: cursor.varint("count")?,
                });
            }
            for _ in 0..cursor.varint("messages")? {
                let mut message = MessageCounts::default();
                for n in &mut message.0 {
                    *n = cursor.varint("count")?;
                }
                version.messages.push(message);
            }
            version.entrants = cursor.varint("entrants")?;
            if layout == Layout::Now {
                version.kept = cursor.varint("kept events")?;
                version.read_failed_calls(cursor)?;
            }
            for _ in 0..cursor.varint("held nodes")? {
                version.held.push(cursor.varint("held")?);
            }
            counts.held = (counts.held.0 + version.held(), counts.held.1 + version.entrants);
            for _ in 0..cursor.varint("ways")? {
                let way = (NodeNo(cursor.u16("node")?), cursor.u16("way")?);
                version.ways.push((way, cursor.varint("count")?));
            }
            *counts.of(id) = version;
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::CallStatus;
    use crate::domain::ids::Millis;

    fn counted(failures: &[(u32, Failure)]) -> Counts {
        let mut counts = Counts::default();
        for (version, failure) in failures {
            let step =
                |kind| Step { version: VersionId(*version), node: NodeNo(0), ordinal: 1, kind, due: Millis::NEVER };
            let entered = StepKind::Entered(crate::domain::step::Entrance::First);
            [entered, StepKind::Arrived, StepKind::Failed(*failure)].iter().for_each(|kind| counts.count(&step(*kind)));
        }
        counts
    }

    const CAPPED: Failure = Failure::Action(Some(CallStatus::Capped));

    #[test]
    fn failures_read_back_and_add_up() {
        let http = |code| Failure::Action(Some(CallStatus::Http(code)));
        let one =
            counted(&[(1, http(500)), (1, CAPPED), (1, http(404)), (3, Failure::Jump), (3, Failure::Action(None))]);
        let (mut bytes, mut sum) = (Vec::new(), Counts::default());
        one.put(&mut bytes);
        let mut cursor = Cursor::new(&bytes);
        let read = Counts::read(&mut cursor, Layout::Now).expect("just written");
        assert!(cursor.is_empty());
        assert_eq!(read, one);
        sum.add(&one);
        sum.add(&counted(&[(1, http(404)), (2, Failure::Expression)]));
        let of = |version| -> Vec<(Failure, u64)> {
            sum.get(VersionId(version)).expect("counted").failures().filter(|(_, n)| *n > 0).collect()
        };
        assert_eq!(of(1), [(http(404), 2), (http(500), 1), (CAPPED, 1)]);
        assert_eq!((of(2), of(3).len()), (vec![(Failure::Expression, 1)], 2));
        for (_, version) in sum.iter() {
            assert_eq!((version.active(), version.errors()), (0, version.failures().map(|(_, n)| n).sum()));
        }
    }

    #[test]
    fn ends_of_calls_that_are_none_are_refused() {
        for bytes in [[1, 6, 1], [1, 99, 1]] {
            let mut counts = VersionCounts::default();
            let plain = counts.read_failed_calls(&mut Cursor::new(&bytes));
            assert_eq!(plain.is_err(), bytes[1] == 99, "{bytes:?}: {counts:?}");
        }
    }
}
