//! Checking a set of files and publishing it: the whole set or nothing.
//!
//! References resolve against the files and what is published already. A live journey that is not in the files is
//! compiled again too: a change of what it refers to makes it a new version, or an error of the whole set.

mod changes;
mod linted;
mod loops;
mod migration;
mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use smol_str::SmolStr;

use crate::domain::catalog::attributes::{check_attributes, profile_fields};
use crate::domain::catalog::guardrails;
use crate::domain::catalog::{Catalog, Difference, Rehearsal, SourceFile, Version, VersionSource, VersionStatus};
use crate::domain::expression::{Fields, Schemas};
use crate::domain::finding::{Finding, Severity};
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{MessageId, Millis, VersionId};
use crate::domain::journey::check;
use crate::domain::journey::compile::{Compiled, Numbers, check_alone, compile};
use crate::domain::journey::definition::{EventDefinition, JourneyDefinition, NodeForm};
use crate::domain::journey::duration;
use crate::domain::journey::findings::{Findings, PUBLISHED};
use crate::domain::journey::program::{Program, Reentry};
use crate::domain::journey::source::{Kind, Resources, read};
use crate::domain::suggest::did_you_mean;

pub use migration::{MigrationNode, MigrationReport};

/// What publishing a set of files changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// Number of the catalog afterwards; the same as before if nothing changed.
    pub catalog_version: u32,
    /// What becomes of each resource: those of the files first, then what only the catalog has.
    pub resources: Vec<ResourceChange>,
    /// Findings that do not hinder.
    pub warnings: Vec<Finding>,
}

/// What becomes of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceChange {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: SmolStr,
    /// What becomes of it.
    pub change: Change,
    /// Journeys: number of the latest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Journeys: status of the latest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<VersionStatus>,
    /// Journeys of which there is a new version: what differs from the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The same: what becomes of the profiles inside older versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationReport>,
}

/// The ways a resource may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Created,
    /// A journey, or what it refers to, changed: a new version takes the entries, the one before is closed.
    NewVersion,
    /// Anything but a journey changed.
    Updated,
    /// It is kept as a draft, or as part of one.
    Drafted,
    /// It says the same as before.
    Unchanged,
    /// It is published and in none of the files; it stays as it is (a journey: live).
    Vanished,
}

/// A journey that passed, with what publishing needs.
struct Candidate {
    compiled: Compiled,
    source: VersionSource,
}

impl Catalog {
    /// Everything wrong with `files` taken by themselves, tests among them included: errors and warnings.
    pub fn check(files: &[SourceFile]) -> Vec<Finding> {
        Self::check_within(files, &Guardrails::DEFAULT)
    }

    /// The same within other guardrails.
    pub fn check_within(files: &[SourceFile], rails: &Guardrails) -> Vec<Finding> {
        match Rehearsal::within(files, rails) {
            Ok(rehearsal) => rehearsal.warnings,
            Err(findings) => findings,
        }
    }

    /// Publishes `files` over what is published, at engine time `now`. Any error refuses the whole set.
    pub fn apply(&self, files: &[SourceFile], now: Millis) -> Result<(Self, ApplyReport), Vec<Finding>> {
        self.apply_within(files, now, &Guardrails::DEFAULT)
    }

    /// The same within other guardrails.
    pub fn apply_within(
        &self,
        files: &[SourceFile],
        now: Millis,
        rails: &Guardrails,
    ) -> Result<(Self, ApplyReport), Vec<Finding>> {
        self.apply_beside(files, now, rails, &BTreeSet::new())
    }

    /// The same, where journeys that take no entries any more still have profiles inside: `closing`, by name. They count as
    /// journeys (spec §14), and only who counts profiles knows them.
    ///
    /// # Errors
    /// As `apply`.
    pub fn apply_beside(
        &self,
        files: &[SourceFile],
        now: Millis,
        rails: &Guardrails,
        closing: &BTreeSet<SmolStr>,
    ) -> Result<(Self, ApplyReport), Vec<Finding>> {
        let mut findings = Findings::new(files);
        let resources = read(files, &self.fragments, &mut findings);
        self.publish_resources(&resources, now, (rails, closing), findings)
    }

    /// Publishes what was read, with the findings so far, within guardrails and beside journeys that are not yet empty.
    pub(super) fn publish_resources(
        &self,
        resources: &Resources,
        now: Millis,
        (rails, closing): (&Guardrails, &BTreeSet<SmolStr>),
        mut findings: Findings<'_>,
    ) -> Result<(Self, ApplyReport), Vec<Finding>> {
        let journeys = resources.journeys.values().filter(|definition| !definition.broken);
        for definition in journeys.filter(|definition| !self.is_live_as(definition)) {
            guardrails::check_journey(definition, rails, &mut findings);
        }
        guardrails::check_totals(self, resources, rails, &mut findings);
        guardrails::check_fragments(self, resources, rails, &mut findings);
        guardrails::check_throttlings(self, &resources.throttlings, rails, &mut findings);
        guardrails::check_journey_total(self, resources.journeys.values(), rails, closing, &mut findings);
        guardrails::check_counts(self, resources.journeys.values(), rails, &mut findings);
        let merged = Merged::new(self, resources, &mut findings);
        merged.check_rules(&mut findings);
        merged.check_messages(&mut findings);
        let candidates = merged.check_journeys(&mut findings);
        merged.check_jump_loops(&mut findings);
        merged.check_unused(&mut findings);
        merged.lint_rules(&mut findings);
        merged.lint_unused(&candidates, &mut findings);
        merged.warn_of_ended(now, &mut findings);
        if findings.any_error() {
            return Err(findings.into_sorted());
        }
        let (next, report) = merged.publish(candidates, now, findings);
        // What counts from here on is what a restart would read: definitions without their places in these files.
        match Self::from_record(&next.to_record()) {
            Ok(next) => Ok((next, report)),
            Err(error) => Err(vec![Finding {
                file: PUBLISHED.to_owned(),
                line: 0,
                column: 0,
                code: "not_loadable",
                severity: Severity::Error,
                message: format!("what was to be published can't be read again: {error}"),
                suggestion: Some("this is an error of Sojourn itself; please report it with the files".to_owned()),
            }]),
        }
    }
}

/// Files over the catalog.
struct Merged<'a> {
    catalog: &'a Catalog,
    files: &'a Resources,
    events: BTreeMap<&'a SmolStr, &'a EventDefinition>,
    profile: Fields,
    profile_blurred: bool,
    /// The catalog with the new message revisions and everything else but versions.
    next: Catalog,
    /// Latest revision by name.
    messages: BTreeMap<SmolStr, MessageId>,
    /// Live journeys that are in no file.
    others: Vec<JourneyDefinition>,
}

impl<'a> Merged<'a> {
    fn new(catalog: &'a Catalog, files: &'a Resources, findings: &mut Findings<'_>) -> Self {
        let events = catalog.events.iter().chain(&files.events).collect();
        let mut next = catalog.clone();
        next.events.extend(files.events.clone());
        next.attributes.extend(files.attributes.clone());
        next.rule_sets.extend(files.rule_sets.clone());
        next.fragments.extend(files.fragments.clone());
        for (name, surface) in &files.surfaces {
            next.surfaces.insert(name.clone(), Arc::new(surface.value.clone()));
        }
        if !files.cappings.is_empty() {
            Arc::make_mut(&mut next.cappings).extend(files.cappings.clone());
        }
        next.take_datasets(&files.datasets, findings);
        for (name, throttling) in &files.throttlings {
            next.throttlings.insert(name.clone(), Arc::new(throttling.value.clone()));
        }
        for (name, action) in &files.actions {
            next.actions.insert(name.clone(), Arc::new(action.clone()));
        }
        let mut messages: BTreeMap<SmolStr, MessageId> = BTreeMap::new();
        let known = catalog.messages.iter().enumerate().map(|(index, message)| (MessageId(index as u32), message));
        for (id, message) in known.filter(|(id, _)| !catalog.hidden.contains(id)) {
            messages.insert(message.name.value.clone(), id);
        }
        for (name, message) in &files.messages {
            match messages.get(name) {
                Some(id) if *next.messages[id.0 as usize] == *message => {
                    // The same revision, but with places in the files, which findings can name.
                    next.messages[id.0 as usize] = Arc::new(message.clone());
                }
                _ => {
                    messages.insert(name.clone(), MessageId(next.messages.len() as u32));
                    next.messages.push(Arc::new(message.clone()));
                }
            }
        }
        check_attributes(&next.attributes, findings);
        let profile_blurred = files.attributes.values().any(|attribute| attribute.broken);
        let profile = profile_fields(&next.attributes);
        let live = catalog.versions.iter().filter(|version| version.is_live());
        let definitions = live.map(|version| &version.source.definition);
        let others =
            definitions.filter(|definition| !files.journeys.contains_key(&definition.name.value)).cloned().collect();
        Self { catalog, files, events, profile, profile_blurred, next, messages, others }
    }

    fn latest(&self, journey: &str) -> Option<&'a Version> {
        let id = self.catalog.journey_id(journey)?;
        self.catalog.versions_of(id).next_back()
    }

    /// Surfaces of messages, and channels of surfaces.
    fn check_messages(&self, findings: &mut Findings<'_>) {
        for (name, surface) in &self.files.surfaces {
            let before = self.catalog.surface(name).map(|surface| surface.channel());
            if before.is_some_and(|before| before != surface.value.channel()) {
                let message = format!("surface `{name}` is published with another channel");
                let suggestion = "give the new surface a name of its own".to_owned();
                findings.error_with(surface.place, "channel_changed", message, suggestion);
            }
        }
        for message in self.messages.values().map(|id| &self.next.messages[id.0 as usize]) {
            let Some(surface) = message.surface.as_ref().filter(|_| !message.broken) else { continue };
            match self.next.surface(&surface.value) {
                None if self.files.partial => {}
                None => {
                    let known = self.next.surfaces.keys().map(SmolStr::as_str);
                    let suggestion = did_you_mean(&surface.value, known)
                        .unwrap_or_else(|| format!("declare it: `kind: surface`, `name: {}`", surface.value));
                    let message =
                        format!("message `{}` names the unknown surface `{}`", message.name.value, surface.value);
                    findings.error_with(surface.place, "unknown_surface", message, suggestion);
                }
                Some(found) if found.channel() != message.channel => {
                    let text = format!(
                        "surface `{}` is not of the channel of message `{}`",
                        surface.value, message.name.value
                    );
                    findings.error_with(
                        surface.place,
                        "wrong_surface",
                        text,
                        "name a surface of the same channel".to_owned(),
                    );
                }
                Some(_) => {}
            }
        }
    }

    /// All journeys of the files, and the live ones that are in none.
    fn check_journeys(&self, findings: &mut Findings<'_>) -> Vec<Option<Candidate>> {
        let mut candidates = Vec::new();
        for definition in self.files.journeys.values() {
            let before = findings.count();
            check::check(definition, findings);
            self.check_reentry(definition, findings);
            self.check_rule_set(definition, findings);
            let candidate = self.candidate(definition, findings);
            if let Some(candidate) = candidate.as_ref().filter(|_| !findings.any_error_since(before)) {
                self.check_migration(candidate, findings);
                self.lint(candidate, findings);
            }
            candidates.push(candidate);
        }
        for definition in &self.others {
            let before = findings.count();
            candidates.push(self.candidate(definition, findings));
            findings.name_published(before, &format!("journey `{}`", definition.name.value));
        }
        candidates
    }

    fn check_reentry(&self, definition: &JourneyDefinition, findings: &mut Findings<'_>) {
        let Some(latest) = self.latest(&definition.name.value) else { return };
        let before = latest.program.reentry;
        if before != definition.reentry.value && !definition.broken {
            let message = format!(
                "re-entrance of journey `{}` must be the same in all versions; it was {}",
                definition.name.value,
                print_reentry(before)
            );
            let suggestion = format!("write `reentry: {}`, or give the journey a new name", print_reentry(before));
            findings.error_with(definition.reentry.place, "reentry_changed", message, suggestion);
        }
    }

    fn candidate(&self, definition: &JourneyDefinition, findings: &mut Findings<'_>) -> Option<Candidate> {
        let vocabulary = self.vocabulary(definition, findings);
        let messages = self.messages_of(definition, findings);
        let numbers = Numbers::default();
        let compiled = compile(definition, &vocabulary, &messages, numbers, findings)?;
        // Unread fields are left out, so that a change of them makes no new version.
        let vocabulary = vocabulary.pruned(&compiled.reads, definition);
        let messages = messages.into_iter().map(|(id, _)| id).collect();
        Some(Candidate { compiled, source: VersionSource { definition: definition.clone(), vocabulary, messages } })
    }

    /// Messages of the files that no journey sends: a warning, and their templates checked with every known field.
    fn check_unused(&self, findings: &mut Findings<'_>) {
        let journeys = || self.files.journeys.values().chain(&self.others);
        // What could not be read may have sent it.
        let hidden = self.files.partial
            || journeys().any(|journey| journey.nodes.iter().any(|node| matches!(node.form, NodeForm::Broken)));
        let sent: BTreeSet<&str> =
            journeys().flat_map(|journey| journey.messages().into_iter().map(|name| name.value.as_str())).collect();
        for message in self.files.messages.values().filter(|message| !sent.contains(message.name.value.as_str())) {
            if !hidden {
                let text = format!("no journey sends message `{}`", message.name.value);
                findings.warning(
                    message.name.place,
                    "unused_message",
                    text,
                    "send it from a node, or remove it".to_owned(),
                );
            }
            let blurred = self.profile_blurred || self.files.partial || self.events.values().any(|event| event.broken);
            if !message.broken && !blurred {
                check_alone(message, &self.widest_schemas(), findings);
            }
        }
    }

    /// Every field that any event declares; the first declaration of a name counts.
    fn widest_schemas(&self) -> Schemas {
        let mut fields = Fields::new();
        let mut names = BTreeSet::new();
        for (name, value_type) in self.events.values().flat_map(|event| &event.schema) {
            if names.insert(name) {
                fields.push((name.clone(), value_type.clone()));
            }
        }
        Schemas {
            event: Some(fields.clone()),
            last: Some(fields),
            profile: Some(self.profile.clone()),
            journey: Schemas::of_instance(),
            ..Schemas::default()
        }
    }

    fn publish(
        self,
        candidates: Vec<Option<Candidate>>,
        now: Millis,
        findings: Findings<'_>,
    ) -> (Catalog, ApplyReport) {
        let mut resources = self.simple_changes();
        let catalog = self.catalog;
        let in_files = self.files.journeys.len();
        let mut vanished = self.vanished();
        let mut next = self.next;
        let mut changed = resources.iter().any(|resource| resource.change != Change::Unchanged);
        for (index, candidate) in candidates.into_iter().enumerate() {
            let candidate = candidate.expect("without an error every journey compiles");
            let name = candidate.source.definition.name.value.clone();
            let change = next.publish_journey(candidate, now);
            changed |= change != Change::Unchanged;
            if index >= in_files && change == Change::Unchanged {
                continue;
            }
            vanished.retain(|resource| resource.kind != Kind::Journey || resource.name != name);
            resources.push(next.describe_journey(name, change));
        }
        for mut resource in vanished {
            if resource.kind == Kind::Journey {
                resource = next.describe_journey(resource.name, resource.change);
            }
            resources.push(resource);
        }
        changed |= next.drop_published_drafts();
        let next = if changed {
            next.version.0 += 1;
            next.index();
            next
        } else {
            catalog.clone()
        };
        for resource in &mut resources {
            let journey = self.files.journeys.get(&resource.name);
            if let (Some(migration), Some(journey)) = (&mut resource.migration, journey) {
                migration.place = findings.find(journey.name.place);
            }
        }
        let report = ApplyReport { catalog_version: next.version.0, resources, warnings: findings.into_sorted() };
        (next, report)
    }
}

impl Catalog {
    /// Makes a new version of a journey, unless it means the same as its latest.
    fn publish_journey(&mut self, candidate: Candidate, now: Millis) -> Change {
        let Candidate { compiled, source } = candidate;
        let name = &source.definition.name.value;
        let journey = self.journey_number(name);
        let latest = self.versions_of(journey).next_back();
        let number = latest.map_or(1, |latest| latest.program.number + 1);
        if latest.is_some_and(|latest| latest.stays(&source)) {
            return Change::Unchanged;
        }
        let covers = match latest.is_some_and(|latest| latest.gives_way_to(&source)) {
            true => self.covered(&source),
            false => Vec::new(),
        };
        let change = if latest.is_some() { Change::NewVersion } else { Change::Created };
        for version in self.versions.iter_mut().filter(|version| version.program.journey == journey) {
            if version.is_live() {
                version.status = VersionStatus::Closed;
            }
        }
        let version = VersionId(self.versions.len() as u32);
        let program = Arc::new(Program { journey, version, number, ..compiled.program });
        self.versions.push(Version {
            program,
            status: VersionStatus::Live,
            published_at: now,
            source: Arc::new(source),
            test: None,
            covers,
            onward: Vec::new(),
            is_unsettled: false,
        });
        change
    }

    /// What differs between the latest two versions of a journey.
    fn difference(&self, name: &str) -> Option<Difference> {
        let mut versions = self.versions_of(self.journey_id(name)?).rev();
        let (after, before) = (versions.next()?, versions.next()?);
        let mut difference = Difference::between(&before.source.definition, &after.source.definition);
        difference.references =
            before.source.vocabulary != after.source.vocabulary || before.source.messages != after.source.messages;
        Some(difference)
    }

    fn describe_journey(&self, name: SmolStr, change: Change) -> ResourceChange {
        let latest = self.journey_id(&name).and_then(|id| self.versions_of(id).next_back());
        let version = latest.map(|latest| latest.program.number);
        let status = latest.map(|latest| latest.status);
        let is_new = change == Change::NewVersion;
        let difference = is_new.then(|| self.difference(&name)).flatten();
        let migration = is_new.then(|| self.migration_report(&name)).flatten();
        ResourceChange { kind: Kind::Journey, name, change, version, status, difference, migration }
    }
}

fn print_reentry(reentry: Reentry) -> String {
    match reentry {
        Reentry::Never => "never".to_owned(),
        Reentry::After(after_ms) => format!("{{ after: {} }}", duration::print(after_ms)),
    }
}
