//! Drafts: journeys that are kept and that nobody enters; their tests; and the profiles that may walk in tests.
//!
//! A draft is no version: it has a number only once it is published. Each test of it is a version of its own, so that its
//! counts, its steps and who is inside are nobody else's; it ends like a version that is stopped. A draft keeps its messages
//! with it. Revisions that a test sends are hidden: for everybody else the latest is the one published last.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::catalog::publish::{Change, ResourceChange};
use crate::domain::catalog::record::compile_again;
use crate::domain::catalog::{ApplyReport, Catalog, CatalogError, SourceFile, Version, VersionSource, VersionStatus};
use crate::domain::event::Event;
use crate::domain::finding::Finding;
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{JourneyId, MessageId, Millis, VersionId};
use crate::domain::journey::compile::Numbers;
use crate::domain::journey::definition::MessageDefinition;
use crate::domain::journey::findings::{Findings, Place};
use crate::domain::journey::source::{Kind, read};
use crate::domain::limits;

/// A journey as it might be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What it would be compiled from; numbers of its messages mean nothing yet.
    pub source: Arc<VersionSource>,
    /// Its messages, in the order of the source.
    pub messages: Vec<Arc<MessageDefinition>>,
    /// Engine time at which it was kept.
    pub saved_at: Millis,
    /// Its test, while it has one.
    pub test: Option<TestSession>,
}

/// A test of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSession {
    /// The version that test profiles walk.
    pub version: VersionId,
    /// Engine time of its start.
    pub started_at: Millis,
    /// How long every wait takes, in milliseconds.
    pub wait_ms: i64,
}

impl Catalog {
    /// Keeps the journeys of `files` as drafts. Whatever else is new in the files is published; what is published must stay as
    /// it is, or a draft could change what live journeys do.
    ///
    /// # Errors
    /// What is wrong with the files: nothing is kept then.
    pub fn apply_draft_within(
        &self,
        files: &[SourceFile],
        now: Millis,
        rails: &Guardrails,
    ) -> Result<(Self, ApplyReport), Vec<Finding>> {
        let (published, mut report) = self.apply_within(files, now, rails)?;
        let is_own = |kind: Kind| matches!(kind, Kind::Journey | Kind::Message | Kind::Fragment);
        let others = report.resources.iter().filter(|resource| !is_own(resource.kind));
        // What is wrong with the files was found above.
        let given = read(files, &self.fragments, &mut Findings::new(files));
        let place = |kind: Kind, name: &SmolStr| given.places.get(&(kind, name.clone())).copied().unwrap_or_default();
        let mut findings = Findings::new(files);
        for other in others.filter(|other| changes_live(other)) {
            refuse_change(other, place(other.kind, &other.name), &mut findings);
        }
        if findings.any_error() {
            return Err(findings.into_sorted());
        }
        report
            .resources
            .retain(|resource| resource.kind != Kind::Journey || given.journeys.contains_key(&resource.name));
        let mut next = self.with_rest_of(&published);
        let mut is_changed =
            report.resources.iter().any(|resource| resource.change == Change::Created && !is_own(resource.kind));
        for resource in report.resources.iter_mut().filter(|resource| is_own(resource.kind)) {
            if matches!(resource.change, Change::Unchanged | Change::Vanished) {
                continue;
            }
            resource.change = Change::Drafted;
            if resource.kind == Kind::Journey {
                (resource.version, resource.status) = (None, None);
                match next.keep_draft(&resource.name, &published, now) {
                    Kept::New => is_changed = true,
                    Kept::Same => resource.change = Change::Unchanged,
                    Kept::InTest => {
                        let message = format!("journey `{}` is in test, and can't be edited", resource.name);
                        let suggestion = format!("end the test with `sojourn test-mode stop {}`", resource.name);
                        findings.error_with(place(Kind::Journey, &resource.name), "in_test", message, suggestion);
                    }
                }
            }
        }
        if findings.any_error() {
            return Err(findings.into_sorted());
        }
        if !is_changed {
            next = self.clone();
        } else {
            next.version.0 += 1;
            next.index();
        }
        report.catalog_version = next.version.0;
        let next = Self::from_record(&next.to_record()).map_err(|error| {
            let why = format!("what was to be kept can't be read again: {error}");
            let suggestion = "this is an error of Sojourn itself; please report it with the files".to_owned();
            let mut findings = Findings::new(files);
            findings.error_with(Place::default(), "not_loadable", why, suggestion);
            findings.into_sorted()
        })?;
        Ok((next, report))
    }

    /// This catalog with everything of `published` but journeys, messages and fragments.
    fn with_rest_of(&self, published: &Self) -> Self {
        let mut next = published.clone();
        next.version = self.version;
        next.versions.clone_from(&self.versions);
        next.journeys.clone_from(&self.journeys);
        next.messages.clone_from(&self.messages);
        next.fragments.clone_from(&self.fragments);
        next.drafts.clone_from(&self.drafts);
        next
    }

    fn keep_draft(&mut self, name: &SmolStr, published: &Self, now: Millis) -> Kept {
        let journey = published.journey_id(name).expect("it is in the files and has no errors");
        let latest = published.versions_of(journey).next_back().expect("what was published has a version");
        let source = Arc::clone(&latest.source);
        let messages = source.messages.iter().map(|id| Arc::clone(published.message(*id))).collect();
        if let Some(known) = self.drafts.get(name) {
            let same_migration = known.source.definition.migration == source.definition.migration;
            if same_migration && published.says(known, &source) {
                return Kept::Same;
            }
            if known.test.is_some() {
                return Kept::InTest;
            }
        }
        self.drafts.insert(name.clone(), Draft { source, messages, saved_at: now, test: None });
        Kept::New
    }

    /// Lets test profiles into the draft of `name` from now on, every wait lasting `wait_ms`.
    ///
    /// # Errors
    /// There is no draft, it is in test, or waits can't be so long.
    pub fn start_test(&self, name: &str, wait_ms: i64, now: Millis) -> Result<Self, CatalogError> {
        let draft = self.draft(name)?;
        if draft.test.is_some() {
            return Err(CatalogError::InTest { name: name.to_owned() });
        }
        if !(limits::TEST_WAIT_MS_MIN..=limits::TEST_WAIT_MS_MAX).contains(&wait_ms) {
            return Err(CatalogError::TestWait { wait_ms });
        }
        let mut next = self.clone();
        let source = next.numbered(draft, |catalog, message| {
            let id = catalog.push_message(message);
            catalog.hidden.insert(id);
            id
        });
        let version = next.push_version(name, source, Some(wait_ms), now)?;
        next.drafts.get_mut(name).expect("it was found above").test =
            Some(TestSession { version, started_at: now, wait_ms });
        Ok(next.changed())
    }

    /// Ends the test of `name`: everybody in it leaves.
    ///
    /// # Errors
    /// There is no draft, or no test of it.
    pub fn stop_test(&self, name: &str) -> Result<Self, CatalogError> {
        let test = self.draft(name)?.test.ok_or_else(|| CatalogError::NotInTest { name: name.to_owned() })?;
        let mut next = self.clone();
        next.versions[test.version.0 as usize].status = VersionStatus::Stopped;
        next.drafts.get_mut(name).expect("it was found above").test = None;
        Ok(next.changed())
    }

    /// Publishes the draft of `name` as the next version; a test of it ends.
    ///
    /// # Errors
    /// There is no draft, or the journey was published with another re-entrance meanwhile.
    pub fn publish_draft(&self, name: &str, now: Millis) -> Result<Self, CatalogError> {
        let draft = self.draft(name)?.clone();
        let mut next = match draft.test {
            Some(_) => self.stop_test(name)?,
            None => self.clone(),
        };
        let latest = next.journey_id(name).and_then(|journey| next.versions_of(journey).next_back());
        if latest.is_some_and(|latest| latest.program.reentry != draft.source.definition.reentry.value) {
            return Err(CatalogError::DraftOutdated { name: name.to_owned() });
        }
        for version in next.versions.iter_mut().filter(|version| version.is_live() && version.program.name == name) {
            version.status = VersionStatus::Closed;
        }
        let source = next.numbered(&draft, |catalog, message| {
            let latest = catalog.latest_message(&message.name.value);
            latest.filter(|id| **catalog.message(*id) == **message).unwrap_or_else(|| catalog.push_message(message))
        });
        next.push_version(name, source, None, now)?;
        next.drafts.remove(name);
        Ok(next.changed())
    }

    /// Drafts that say what is live are none any more, and their tests end; whether there were any.
    pub(super) fn drop_published_drafts(&mut self) -> bool {
        let is_published = |(name, draft): &(&SmolStr, &Draft)| {
            let latest = self.journey_id(name).and_then(|id| self.versions_of(id).next_back());
            latest.is_some_and(|latest| latest.is_live() && self.says(draft, &latest.source))
        };
        let gone: Vec<SmolStr> = self.drafts.iter().filter(is_published).map(|(name, _)| name.clone()).collect();
        for name in &gone {
            if let Some(test) = self.drafts.remove(name).and_then(|draft| draft.test) {
                self.versions[test.version.0 as usize].status = VersionStatus::Stopped;
            }
        }
        !gone.is_empty()
    }

    /// Flags profiles as test profiles, and takes the flag from others.
    ///
    /// # Errors
    /// There would be too many, or one is no `namespace:value`.
    pub fn flag(&self, add: &[SmolStr], remove: &[SmolStr]) -> Result<Self, CatalogError> {
        self.flag_within(add, remove, limits::TEST_PROFILES_MAX)
    }

    /// The same with `limit` of them at most. Those that are flagged stay when it moves.
    ///
    /// # Errors
    /// As `flag`.
    pub fn flag_within(&self, add: &[SmolStr], remove: &[SmolStr], limit: usize) -> Result<Self, CatalogError> {
        let mut flagged: BTreeSet<SmolStr> = (*self.test_profiles).clone();
        for identity in add {
            let sample = Event {
                id: SmolStr::new_static("flag"),
                kind: SmolStr::new_static("flag"),
                profile: identity.clone(),
                time: None,
                properties: Default::default(),
            };
            sample.validate().map_err(|error| CatalogError::TestProfile { message: error.message })?;
            flagged.insert(identity.clone());
        }
        flagged.retain(|identity| !remove.contains(identity));
        if flagged.len() > limit.max(self.test_profiles.len()) {
            return Err(CatalogError::TooManyTestProfiles { count: flagged.len(), limit });
        }
        if flagged == *self.test_profiles {
            return Ok(self.clone());
        }
        Ok(Self { test_profiles: Arc::new(flagged), ..self.clone() }.changed())
    }

    /// The draft of `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn draft(&self, name: &str) -> Result<&Draft, CatalogError> {
        self.drafts.get(name).ok_or_else(|| CatalogError::NoDraft { name: name.to_owned() })
    }

    /// The number that the next published version of a journey has.
    pub fn next_number(&self, name: &str) -> u32 {
        let latest = self.journey_id(name).and_then(|journey| self.versions_of(journey).next_back());
        latest.map_or(1, |latest| latest.program.number + 1)
    }

    /// The journey's number, a new one if it has none.
    pub(super) fn journey_number(&mut self, name: &str) -> JourneyId {
        self.journey_id(name).unwrap_or_else(|| {
            self.journeys.push(SmolStr::new(name));
            JourneyId(self.journeys.len() as u32 - 1)
        })
    }

    /// What a draft is compiled from, its messages numbered by `number`.
    fn numbered(
        &mut self,
        draft: &Draft,
        mut number: impl FnMut(&mut Self, &Arc<MessageDefinition>) -> MessageId,
    ) -> Arc<VersionSource> {
        let messages = draft.messages.iter().map(|message| number(self, message)).collect();
        Arc::new(VersionSource { messages, ..VersionSource::clone(&draft.source) })
    }

    fn push_message(&mut self, message: &Arc<MessageDefinition>) -> MessageId {
        self.messages.push(Arc::clone(message));
        MessageId(self.messages.len() as u32 - 1)
    }

    /// Whether a draft means the same as `source`, which names messages of this catalog.
    pub(super) fn says(&self, draft: &Draft, source: &VersionSource) -> bool {
        let is_known = |message: &MessageId| draft.messages.contains(self.message(*message));
        draft.source.is_same_journey(source)
            && draft.source.vocabulary == source.vocabulary
            && draft.messages.len() == source.messages.len()
            && source.messages.iter().all(is_known)
    }

    fn push_version(
        &mut self,
        name: &str,
        source: Arc<VersionSource>,
        test: Option<i64>,
        now: Millis,
    ) -> Result<VersionId, CatalogError> {
        let number = self.next_number(name);
        let (journey, version) = (self.journey_number(name), VersionId(self.versions.len() as u32));
        let program = compile_again(&self.messages, &source, Numbers { journey, version, number })?;
        let program = match test {
            Some(wait_ms) => program.in_test(wait_ms),
            None => program,
        };
        let status = VersionStatus::Live;
        let latest = self.versions_of(journey).next_back();
        let covers = match latest.filter(|_| test.is_none()).is_some_and(|latest| latest.gives_way_to(&source)) {
            true => self.covered(&source),
            false => Vec::new(),
        };
        let program = Arc::new(program);
        let (onward, is_unsettled) = (Vec::new(), false);
        self.versions.push(Version { program, status, published_at: now, source, test, covers, onward, is_unsettled });
        Ok(version)
    }

    fn changed(mut self) -> Self {
        self.version.0 += 1;
        self.index();
        self
    }
}

/// What became of a draft.
enum Kept {
    New,
    Same,
    InTest,
}

/// Whether publishing this would change what live journeys do. A limit of calls does so when it is new.
fn changes_live(other: &ResourceChange) -> bool {
    let limits = matches!(other.kind, Kind::Capping | Kind::Throttling);
    other.change == Change::Updated || (limits && other.change == Change::Created)
}

fn refuse_change(other: &ResourceChange, place: Place, findings: &mut Findings<'_>) {
    let (kind, name) = (other.kind.word(), &other.name);
    let message = match other.change {
        Change::Created => format!("{kind} `{name}` is not published, and would limit live calls too"),
        _ => format!("{kind} `{name}` is published, and says something else in these files"),
    };
    let suggestion =
        "a draft changes nothing that is live: publish this with `sojourn apply` first, or give it a name of its own";
    findings.error_with(place, "draft_changes_published", message, suggestion.to_owned());
}

#[cfg(test)]
mod tests;
