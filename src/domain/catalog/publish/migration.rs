//! The migration of a journey against what is published: what is wrong with it, what it loses, and what it does per node.

use std::collections::BTreeMap;

use serde::Serialize;
use smol_str::SmolStr;

use super::{ApplyReport, Candidate, Merged};
use crate::domain::catalog::migration::{Choice, Onward};
use crate::domain::catalog::{Catalog, Difference, NodeChange, Version, VersionSource, VersionStatus};
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::{NodeNo, VersionId};
use crate::domain::journey::definition::{ChoiceDefinition, MigrationDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::program::{NodeKind, Program};
use crate::domain::suggest::did_you_mean;

/// What becomes of the profiles inside older versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MigrationReport {
    /// Numbers of the versions that they are in.
    pub from: Vec<u32>,
    /// Nodes that the new version has otherwise or not at all, and those that somebody goes from; sorted by name.
    pub nodes: Vec<MigrationNode>,
    /// File, line and column of the journey.
    #[serde(skip)]
    pub place: Option<(String, u32, u32)>,
}

/// What becomes of the profiles at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationNode {
    /// Its name.
    pub node: SmolStr,
    /// How the new version has it, if otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<NodeChange>,
    /// `keep`, `exit`, `recompute` or `move`.
    pub choice: &'static str,
    /// The node they are moved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<SmolStr>,
    /// Who chose that: `node`, `default`, or `nobody`.
    pub chosen_by: &'static str,
    /// Profiles that are at it now, in these versions. Known to servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

impl ApplyReport {
    /// Warns of nodes that change, where profiles are, and for which nobody has chosen anything. To be called once it is known how many
    /// wait.
    pub fn warn_of_waiting(&mut self) {
        for resource in &self.resources {
            let Some(migration) = &resource.migration else { continue };
            let unchosen = migration.nodes.iter().filter(|node| node.change.is_some() && node.chosen_by == "nobody");
            for node in unchosen.filter(|node| node.waiting.is_some_and(|count| count > 0)) {
                let (file, line, column) = migration.place.clone().unwrap_or_default();
                let count = node.waiting.unwrap_or_default();
                let changed = if node.change == Some(NodeChange::Removed) { "has not" } else { "changes" };
                let name = &node.node;
                self.warnings.push(Finding {
                    file,
                    line,
                    column,
                    code: "nothing_chosen",
                    severity: Severity::Warning,
                    message: format!(
                        "journey `{}`: {count} waiting at `{name}`, which this version {changed}, go on as their version has it",
                        resource.name
                    ),
                    suggestion: Some(format!(
                        "choose: `migration: {{ nodes: {{ {name}: … }} }}` with `keep`, `exit`, `recompute` or `{{ move: NODE }}`"
                    )),
                });
            }
        }
    }
}

impl Version {
    /// Whether publishing `source` makes no new version. What someone stopped or closed opens again only by a change of the
    /// journey itself.
    pub(super) fn stays(&self, source: &VersionSource) -> bool {
        let sorted = |source: &VersionSource| {
            let mut messages = source.messages.clone();
            messages.sort_unstable();
            messages
        };
        let same_references = self.source.vocabulary == source.vocabulary && sorted(&self.source) == sorted(source);
        self.source.is_same_journey(source) && (same_references || self.status != VersionStatus::Live)
    }

    /// Whether the version after this one carries its migration out: where the journey is the same in everything, it was
    /// carried out with this one.
    pub(in crate::domain::catalog) fn gives_way_to(&self, source: &VersionSource) -> bool {
        let (before, after) = (&self.source.definition, &source.definition);
        after.migration.is_some() && !(self.source.is_same_journey(source) && before.migration == after.migration)
    }
}

impl Merged<'_> {
    /// Notes what is wrong with the migration of a journey that compiles.
    pub(super) fn check_migration(&self, candidate: &Candidate, findings: &mut Findings<'_>) {
        let definition = &candidate.source.definition;
        let name = &definition.name.value;
        let (Some(migration), Some(latest)) = (&definition.migration, self.latest(name)) else { return };
        let is_same = latest.source.definition.migration.as_ref() == Some(migration);
        let number = latest.program.number;
        if latest.stays(&candidate.source) {
            if !is_same {
                let message = format!(
                    "journey `{name}` itself is unchanged: there is no new version, and its `migration` is not carried out"
                );
                let suggestion =
                    format!("it stays what version {number} was published with; change the journey, or leave it");
                findings.warning(migration.place, "migration_not_carried_out", message, suggestion);
            }
            return;
        }
        if !latest.gives_way_to(&candidate.source) {
            return;
        }
        if is_same {
            let message =
                format!("this is the `migration` that version {number} was published with; it is carried out again");
            let suggestion = "leave it if that is meant; else remove it or change it".to_owned();
            findings.warning(migration.place, "migration_repeated", message, suggestion);
        }
        let older: Vec<&Version> = self.catalog.versions_of(latest.program.journey).collect();
        check_nodes(migration, &older, findings);
        for version in older.iter().filter(|version| version.status != VersionStatus::Stopped) {
            check_transition(migration, &version.program, &candidate.compiled.program, findings);
        }
    }
}

/// Names are of nodes that were published.
fn check_nodes(migration: &At<MigrationDefinition>, older: &[&Version], findings: &mut Findings<'_>) {
    let nodes = || older.iter().flat_map(|version| &version.program.nodes);
    for (name, choice) in &migration.value.nodes {
        if !nodes().any(|node| node.name == name.value) {
            let suggestion = did_you_mean(&name.value, nodes().map(|node| node.name.as_str()))
                .unwrap_or_else(|| "name a node of a version published before, or remove it".to_owned());
            let message = format!("`migration` names `{}`, which is a node of no published version", name.value);
            findings.error_with(name.place, "migration_unknown_node", message, suggestion);
        } else if choice.value == ChoiceDefinition::Recompute
            && !nodes().any(|node| node.name == name.value && node.kind.pauses())
        {
            let message = format!("`recompute` for `{}`, which is a wait in no published version", name.value);
            let suggestion = "write `{ move: NODE }`, `exit` or `keep`".to_owned();
            findings.error_with(choice.place, "recompute_no_wait", message, suggestion);
        }
    }
}

/// What profiles that go from `old` to `new` lack.
fn check_transition(migration: &At<MigrationDefinition>, old: &Program, new: &Program, findings: &mut Findings<'_>) {
    let number = old.number;
    let held = || old.nodes.iter().enumerate().filter(|(_, node)| node.kind.holds());
    let goes = |choice: &ChoiceDefinition| matches!(choice, ChoiceDefinition::Move(_) | ChoiceDefinition::Recompute);
    let wanted = held().any(|(_, node)| goes(migration.value.choice(&node.name)));
    if wanted && old.supplemental_id.is_some() != new.supplemental_id.is_some() {
        let has = if old.supplemental_id.is_some() { "has, and this one has none" } else { "has none of" };
        let message = format!("profiles can't go on under a supplemental id that version {number} {has}");
        let suggestion = "write `keep` or `exit`, or leave `supplemental_id` as it was".to_owned();
        findings.error_with(migration.place, "migration_supplemental_id", message, suggestion);
    }
    let onward = Onward::new(&migration.value, old, new);
    let going: Vec<(&SmolStr, NodeNo)> = held()
        .filter_map(|(at, node)| match onward.choice(NodeNo(at as u16)) {
            Choice::Move(to) | Choice::Recompute(to) => Some((&node.name, to)),
            Choice::Keep | Choice::Exit => None,
        })
        .collect();
    if going.is_empty() {
        return;
    }
    for (from, to) in going {
        let Some(sender) = asked_of(&new.node(to).kind).map(|of| &new.node(of).name) else { continue };
        if !old.followed.iter().any(|node| old.node(*node).name == *sender) {
            let target = &new.node(to).name;
            let message = format!(
                "`{target}` awaits feedback on the message of `{sender}`, of which profiles at `{from}` in version {number} know nothing"
            );
            let place = migration.value.named(from).map_or(migration.place, |choice| choice.place);
            let suggestion = format!("move them to `{sender}`, or to a node that awaits no feedback");
            findings.error_with(place, "migration_needs_message", message, suggestion);
        }
    }
    let lost = lost_fields(old, new);
    if !lost.is_empty() {
        let message = format!("version {number} did not keep {}: null for profiles that come from it", lost.join(", "));
        let suggestion = "let conditions and messages do without, or `keep` these profiles".to_owned();
        findings.warning(migration.place, "migration_lost_field", message, suggestion);
    }
}

/// The node on whose message this one awaits feedback, and nothing else.
fn asked_of(kind: &NodeKind) -> Option<NodeNo> {
    match kind {
        NodeKind::Event { awaited, .. } => awaited.filter.of,
        _ => None,
    }
}

/// Fields that `new` reads of what an instance remembers, and `old` did not keep.
fn lost_fields(old: &Program, new: &Program) -> Vec<String> {
    let roots = [
        ("event", &old.keeps_event, &new.keeps_event),
        ("last", &old.keeps_last, &new.keeps_last),
        ("action", &old.keeps_action, &new.keeps_action),
    ];
    let mut lost = Vec::new();
    for (root, kept, read) in roots {
        for path in read.iter().filter(|path| !kept.iter().any(|known| path.starts_with(known))) {
            let names = [root].into_iter().chain(path.iter().map(SmolStr::as_str));
            lost.push(format!("`{}`", names.collect::<Vec<_>>().join(".")));
        }
    }
    lost
}

impl Catalog {
    /// Versions of a journey whose instances a version published now disposes of.
    pub(in crate::domain::catalog) fn covered(&self, source: &VersionSource) -> Vec<VersionId> {
        let Some(journey) = self.journey_id(&source.definition.name.value) else { return Vec::new() };
        let running = self.versions_of(journey).filter(|version| version.status != VersionStatus::Stopped);
        running.map(|version| version.program.version).collect()
    }

    /// What the latest version of a journey makes of those in older ones.
    pub(super) fn migration_report(&self, name: &str) -> Option<MigrationReport> {
        let mut versions = self.versions_of(self.journey_id(name)?).rev();
        let after = versions.next()?;
        let mut from: Vec<&Version> = versions.filter(|version| version.status != VersionStatus::Stopped).collect();
        from.reverse();
        let written = after.source.definition.migration.as_ref().filter(|_| !after.covers.is_empty());
        let migration = written.map(|at| &at.value);
        let mut nodes: BTreeMap<SmolStr, MigrationNode> = BTreeMap::new();
        for before in &from {
            let difference = Difference::between(&before.source.definition, &after.source.definition);
            for node in before.program.nodes.iter().filter(|node| node.kind.holds()) {
                let changed = difference.nodes.iter().find(|changed| changed.node == node.name);
                let change = changed.map(|changed| changed.change);
                let found = nodes.entry(node.name.clone()).or_insert_with(|| disposed(&node.name, migration));
                found.change = found.change.or(change);
            }
        }
        let nodes = nodes
            .into_values()
            .filter(|node| node.change.is_some() || node.chosen_by == "node" || node.choice != "keep");
        let nodes: Vec<MigrationNode> = nodes.collect();
        (!nodes.is_empty()).then(|| MigrationReport {
            from: from.iter().map(|version| version.program.number).collect(),
            nodes,
            place: None,
        })
    }
}

/// What is chosen for a node, by whom.
fn disposed(name: &SmolStr, migration: Option<&MigrationDefinition>) -> MigrationNode {
    let choice = migration.map_or(&ChoiceDefinition::Keep, |migration| migration.choice(name));
    let (word, to) = match choice {
        ChoiceDefinition::Keep => ("keep", None),
        ChoiceDefinition::Exit => ("exit", None),
        ChoiceDefinition::Recompute => ("recompute", None),
        ChoiceDefinition::Move(target) => ("move", Some(target.value.clone())),
    };
    let is_default = migration.is_some_and(|migration| migration.default.is_some());
    let chosen_by = match migration.and_then(|migration| migration.named(name)) {
        Some(_) => "node",
        None if is_default => "default",
        None => "nobody",
    };
    MigrationNode { node: name.clone(), change: None, choice: word, to, chosen_by, waiting: None }
}
