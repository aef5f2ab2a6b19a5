//! What becomes of the instances of older versions, by version and node: derived from what versions were published with.
//!
//! INVARIANT: a version says this of the versions that it covers, those of its journey that were not stopped when it was
//! published, and of no others; whatever is closed or stopped later, this stays.

use crate::domain::catalog::{Catalog, Version, VersionStatus};
use crate::domain::ids::{NodeNo, VersionId};
use crate::domain::journey::definition::{ChoiceDefinition, MigrationDefinition};
use crate::domain::journey::program::{NodeKind, Program};

/// What becomes of an instance at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It stays in its version.
    Keep,
    /// It leaves.
    Exit,
    /// It comes to this node of the new version.
    Move(NodeNo),
    /// It is at this node of the new version since it came to its own.
    Recompute(NodeNo),
}

/// What a newer version says of those in an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onward {
    /// The newer version.
    pub to: VersionId,
    /// By node of the older one.
    choices: Vec<Choice>,
}

impl Onward {
    /// What becomes of an instance at `node`.
    pub fn choice(&self, node: NodeNo) -> Choice {
        self.choices.get(usize::from(node.0)).copied().unwrap_or(Choice::Keep)
    }

    /// What `migration` of `new` says of those in `old`.
    pub(super) fn new(migration: &MigrationDefinition, old: &Program, new: &Program) -> Self {
        let number = |name: &str| new.nodes.iter().position(|node| node.name == name).map(|at| NodeNo(at as u16));
        // Publishing refuses this, but a draft may be published after a version that it does not know.
        let is_apart = old.supplemental_id.is_some() != new.supplemental_id.is_some();
        let choices = old.nodes.iter().map(|node| match migration.choice(&node.name) {
            ChoiceDefinition::Keep => Choice::Keep,
            ChoiceDefinition::Move(_) | ChoiceDefinition::Recompute if is_apart => Choice::Keep,
            ChoiceDefinition::Exit => Choice::Exit,
            ChoiceDefinition::Move(target) => number(&target.value).map_or(Choice::Keep, Choice::Move),
            ChoiceDefinition::Recompute => match number(&node.name) {
                Some(same) if node.kind.pauses() && new.node(same).kind.pauses() => Choice::Recompute(same),
                _ => Choice::Keep,
            },
        });
        Self { to: new.version, choices: choices.collect() }
    }
}

impl Version {
    /// Whether instances in it may have to go on or to leave without an input of their own.
    #[inline]
    pub fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// What newer versions say of those in it, oldest first; none that keeps everyone.
    pub fn onward(&self) -> &[Onward] {
        &self.onward
    }

    /// Whether an instance at `node` has to go on or to leave.
    pub fn lets_go(&self, node: NodeNo) -> bool {
        self.status == VersionStatus::Stopped || self.onward.iter().any(|onward| onward.choice(node) != Choice::Keep)
    }
}

impl Catalog {
    /// Works out what newer versions say of those in older ones.
    pub(super) fn index_migrations(&mut self) {
        let mut found: Vec<(usize, Onward)> = Vec::new();
        for version in &self.versions {
            let Some(migration) = &version.source.definition.migration else { continue };
            for old in &version.covers {
                let onward = Onward::new(&migration.value, self.program(*old), &version.program);
                if onward.choices.iter().any(|choice| *choice != Choice::Keep) {
                    found.push((old.0 as usize, onward));
                }
            }
        }
        for version in &mut self.versions {
            version.onward.clear();
        }
        for (old, onward) in found {
            self.versions[old].onward.push(onward);
        }
        for version in &mut self.versions {
            version.is_unsettled = version.status == VersionStatus::Stopped || !version.onward.is_empty();
        }
    }

    /// Versions of which instances have to go or to leave that had not to by `before`.
    pub fn newly_unsettled(&self, before: &Self) -> Vec<VersionId> {
        let stopped = |version: &Version| version.status == VersionStatus::Stopped;
        let is_new = |version: &&Version| {
            let before = before.versions.get(version.program.version.0 as usize);
            let (was_stopped, known) = before.map_or((false, 0), |before| (stopped(before), before.onward.len()));
            (stopped(version) && !was_stopped) || version.onward.len() > known
        };
        self.versions.iter().filter(is_new).map(|version| version.program.version).collect()
    }
}

impl NodeKind {
    /// Whether instances stop here for a time or an event.
    pub fn pauses(&self) -> bool {
        matches!(self, Self::Wait { .. } | Self::Event { .. } | Self::FirstOf { .. })
    }

    /// Whether instances may be found here: they wait, or for room, or for an answer.
    pub fn holds(&self) -> bool {
        self.pauses() || matches!(self, Self::Message { .. } | Self::Action { .. } | Self::ProfileCap { .. })
    }
}

#[cfg(test)]
mod tests;
