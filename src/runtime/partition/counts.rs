//! Counters of a partition, derived from steps and from nothing else, once for each record.
//!
//! INVARIANT: per version, entered = active + Σ exited + errors; per node, entered = in node + left + exited + errors.

use crate::domain::ids::{NodeNo, VersionId};
use crate::domain::step::{DiscardReason, ExitReason, Failure, MessageOutcome, Step, StepKind};
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
    /// Instances failed, by [`Failure::code`].
    pub failed: [u64; Failure::ALL.len()],
    /// Entries refused, by [`DiscardReason::code`].
    pub discarded: [u64; DiscardReason::ALL.len()],
    /// By node.
    pub nodes: Vec<NodeCounts>,
    /// By message.
    pub messages: Vec<MessageCounts>,
}

impl VersionCounts {
    /// Instances failed, for whatever reason.
    pub fn errors(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Instances running.
    pub fn active(&self) -> u64 {
        self.entered - self.exited.iter().sum::<u64>() - self.errors()
    }

    fn node(&mut self, no: NodeNo) -> &mut NodeCounts {
        grown(&mut self.nodes, usize::from(no.0))
    }

    fn add(&mut self, other: &Self) {
        self.entered += other.entered;
        add_all(&mut self.exited, &other.exited);
        add_all(&mut self.failed, &other.failed);
        add_all(&mut self.discarded, &other.discarded);
        for (index, node) in other.nodes.iter().enumerate() {
            let sum = grown(&mut self.nodes, index);
            sum.entered += node.entered;
            sum.left += node.left;
            sum.exited += node.exited;
            sum.errors += node.errors;
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

/// Counters of all versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By version, ascending. A partition knows few, and each step looks one up: a search of a dense list is cheapest.
    versions: Vec<(VersionId, VersionCounts)>,
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

    /// Counts a step.
    pub fn count(&mut self, step: &Step) {
        let version = self.of(step.version);
        match step.kind {
            StepKind::Entered(_) => version.entered += 1,
            StepKind::Arrived => version.node(step.node).entered += 1,
            StepKind::Left(_) => version.node(step.node).left += 1,
            StepKind::Exited(reason) => {
                version.exited[usize::from(reason.code())] += 1;
                version.node(step.node).exited += 1;
            }
            StepKind::Failed(failure) => {
                version.failed[usize::from(failure.code())] += 1;
                version.node(step.node).errors += 1;
            }
            StepKind::Discarded(reason) => version.discarded[usize::from(reason.code())] += 1,
            StepKind::Called(_) => {}
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
        }
    }

    /// Reads what [`Counts::put`] wrote.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
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
            *counts.of(id) = version;
        }
        Ok(counts)
    }
}
