//! The catalog: what is published. Immutable; every change makes a new one, and shards swap it at a barrier.
//!
//! Numbers of journeys, versions, nodes and messages are given once and never reused. A version keeps the message
//! revisions and field types it was published with, so an instance's path means the same until it ends.

mod attributes;
mod conflicts;
mod datasets;
mod difference;
mod drafts;
mod guardrails;
mod migration;
mod pauses;
mod publish;
mod record;
mod rules;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::dataset::Dataset;
use crate::domain::endpoint::{Capping, Deployment, Endpoint, Throttling};
use crate::domain::expression::Fields;
use crate::domain::ids::{CatalogVersion, JourneyId, MessageId, Millis, VersionId};
use crate::domain::journey::action::ActionDefinition;
use crate::domain::journey::compile::Vocabulary;
use crate::domain::journey::definition::{
    AttributeDefinition, EventDefinition, FragmentDefinition, JourneyDefinition, MessageDefinition, RuleSetDefinition,
};
use crate::domain::journey::duration;
use crate::domain::journey::program::{NodeKind, Program};
use crate::domain::limits;
use crate::domain::pause::Pause;
use crate::domain::suggest::did_you_mean;
use crate::domain::surface::Surface;

pub use crate::domain::journey::findings::SourceFile;
pub use crate::domain::journey::source::Kind;
pub use conflicts::{Conflict, Contender};
pub use difference::{Changed, Difference, NodeChange, NodeDifference};
pub use drafts::{Draft, TestSession};
pub use migration::{Choice, Onward};
pub use pauses::{PauseOrder, ResumeOrder};
pub use publish::{ApplyReport, Change, MigrationNode, MigrationReport, ResourceChange};
pub use rules::Rule;
pub use trials::{Rehearsal, Responses};

/// Status of a version (spec §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionStatus {
    /// Takes entries.
    Live,
    /// Takes none; those inside run to their end.
    Closed,
    /// Takes none; those inside leave at once.
    Stopped,
}

/// One version and its status.
#[derive(Clone, Debug)]
pub struct Version {
    /// What profiles walk.
    pub program: Arc<Program>,
    /// Whether they may enter and stay.
    pub status: VersionStatus,
    /// Engine time of its publishing.
    pub published_at: Millis,
    /// What it was compiled from.
    pub source: Arc<VersionSource>,
    /// A test of a draft: how long every wait takes, in milliseconds. It is none of the journey's versions.
    pub test: Option<i64>,
    /// Older versions of whose instances its migration disposes; none where it was published without one.
    pub covers: Vec<VersionId>,
    /// What newer versions say of those in it.
    onward: Vec<Onward>,
    /// It is stopped, or some newer version lets somebody go from it.
    is_unsettled: bool,
}

/// What a version is compiled from, frozen at publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSource {
    /// The journey as written.
    pub definition: JourneyDefinition,
    /// Declared types of the fields it reads.
    pub vocabulary: Vocabulary,
    /// Revisions of the messages it sends, in the order of its nodes.
    pub messages: Vec<MessageId>,
}

impl VersionSource {
    /// Whether the journey itself says the same as in `other`, whatever became of what it refers to. What it says of itself
    /// is a part of it where something reads that.
    fn is_same_journey(&self, other: &Self) -> bool {
        let is_read = self.vocabulary.description.is_some() || other.vocabulary.description.is_some();
        self.definition.same_meaning(&other.definition)
            && (!is_read || self.definition.description == other.definition.description)
    }
}

/// Everything published.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// One more with every change.
    pub version: CatalogVersion,
    /// All versions ever published, by number.
    pub versions: Vec<Version>,
    /// Live versions that an event type may enter, those of higher priority first, then in order of journey number.
    pub entries: BTreeMap<SmolStr, Vec<VersionId>>,
    /// Live versions, by name of their journey.
    pub live: BTreeMap<SmolStr, VersionId>,
    /// Names of journeys, by number.
    pub journeys: Vec<SmolStr>,
    /// Declared events, by type.
    pub events: BTreeMap<SmolStr, EventDefinition>,
    /// Declared attributes, by path.
    pub attributes: BTreeMap<SmolStr, AttributeDefinition>,
    /// All revisions of messages ever published, by number.
    pub messages: Vec<Arc<MessageDefinition>>,
    /// Surfaces, by name.
    pub surfaces: BTreeMap<SmolStr, Arc<Surface>>,
    /// Rule sets, by name.
    pub rule_sets: BTreeMap<SmolStr, RuleSetDefinition>,
    /// Fragments, by name: journeys that took them over have copies.
    pub fragments: BTreeMap<SmolStr, FragmentDefinition>,
    /// Custom actions as last published, by name, and data sources by [`source_name`](crate::domain::journey::action::source_name).
    pub actions: BTreeMap<SmolStr, Arc<ActionDefinition>>,
    /// Datasets with their records, by name.
    pub datasets: BTreeMap<SmolStr, Arc<Dataset>>,
    /// Limits of calls, by name.
    pub cappings: Arc<BTreeMap<SmolStr, Capping>>,
    /// Rates that calls wait for, by name: one at most is deployed.
    pub throttlings: BTreeMap<SmolStr, Arc<Throttling>>,
    /// Pauses of journeys, in their order, by the number of the journey.
    pub pauses: BTreeMap<JourneyId, Vec<Pause>>,
    /// Event types that are recognised by rules, by the type they are sent as.
    pub rules: BTreeMap<SmolStr, Vec<Rule>>,
    /// Journeys that are kept and not published, by name.
    pub drafts: BTreeMap<SmolStr, Draft>,
    /// Message revisions that only tests name.
    pub hidden: BTreeSet<MessageId>,
    /// Profiles that may walk in tests, `namespace:value`.
    pub test_profiles: Arc<BTreeSet<SmolStr>>,
    /// Tests of drafts that an event type may enter.
    pub in_test: BTreeMap<SmolStr, Vec<VersionId>>,
    /// Event types that some version not stopped names in its entry, exits or nodes, and those they are recognised among.
    pub listening: BTreeSet<SmolStr>,
}

/// Why a catalog can't be changed or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// No journey has this name.
    #[error("there is no journey `{name}`{}", .suggestion.as_ref().map(|s| format!("; {s}")).unwrap_or_default())]
    UnknownJourney {
        /// The name asked for.
        name: String,
        /// A name that is near.
        suggestion: Option<String>,
    },
    /// The journey has no such version.
    #[error("journey `{name}` has no version {number}; its latest is {latest}")]
    UnknownVersion {
        /// The journey.
        name: String,
        /// The version asked for.
        number: u32,
        /// The latest there is.
        latest: u32,
    },
    /// A stopped version can't be closed: that would let its profiles go on.
    #[error("version {number} of journey `{name}` is stopped; publish a new version instead")]
    Stopped {
        /// The journey.
        name: String,
        /// The version.
        number: u32,
    },
    /// The journey has no draft.
    #[error("journey `{name}` has no draft; keep one with `sojourn apply --draft`")]
    NoDraft {
        /// The journey.
        name: String,
    },
    /// The draft is in test.
    #[error("journey `{name}` is in test already")]
    InTest {
        /// The journey.
        name: String,
    },
    /// The draft is not in test.
    #[error("journey `{name}` is not in test")]
    NotInTest {
        /// The journey.
        name: String,
    },
    /// Waits in test can't be so long, or so short.
    #[error("waits of {} can't be tested with: write {} to {}", duration::print(*.wait_ms), duration::print(limits::TEST_WAIT_MS_MIN), duration::print(limits::TEST_WAIT_MS_MAX))]
    TestWait {
        /// Milliseconds asked for.
        wait_ms: i64,
    },
    /// Published meanwhile with another re-entrance, which is the same in all versions.
    #[error("journey `{name}` was published with another re-entrance since its draft was kept; keep the draft anew")]
    DraftOutdated {
        /// The journey.
        name: String,
    },
    /// What was to be flagged is no profile.
    #[error("{message}")]
    TestProfile {
        /// Why.
        message: String,
    },
    /// More test profiles than a test takes.
    #[error(
        "there would be {count} test profiles; the limit is {limit}: take the flag from some (`guardrails.test_profiles_max`)"
    )]
    TooManyTestProfiles {
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Only live journeys can be paused.
    #[error("journey `{name}` has no live version, and only those can be paused")]
    NotLive {
        /// The journey.
        name: String,
    },
    /// The journey is paused.
    #[error("journey `{name}` is paused until {ends_at} already")]
    Paused {
        /// The journey.
        name: String,
        /// Until when.
        ends_at: Millis,
    },
    /// The journey is not paused.
    #[error("journey `{name}` is not paused")]
    NotPaused {
        /// The journey.
        name: String,
    },
    /// The record was written by a newer release, or is none.
    #[error("catalog record of format {found} can't be read; this release reads format {supported}")]
    Format {
        /// Format number found.
        found: u16,
        /// Format number of this release.
        supported: u16,
    },
    /// The record is damaged.
    #[error("catalog record is damaged: {0}")]
    Damaged(String),
}

impl Version {
    /// Whether anybody may enter it: a test takes its own.
    pub fn is_live(&self) -> bool {
        self.status == VersionStatus::Live && self.test.is_none()
    }
}

impl Catalog {
    /// Whether partitions count anything together: profiles that come to a cap.
    pub fn counts_together(&self) -> bool {
        let caps =
            |program: &Program| program.nodes.iter().any(|node| matches!(node.kind, NodeKind::ProfileCap { .. }));
        self.versions.iter().any(|version| caps(&version.program))
    }

    /// Whether there is a version `id`: what is read from a disk may name any.
    pub fn knows(&self, id: VersionId) -> bool {
        (id.0 as usize) < self.versions.len()
    }

    /// The version `id`.
    pub fn get(&self, id: VersionId) -> &Version {
        &self.versions[id.0 as usize]
    }

    /// The program of version `id`.
    pub fn program(&self, id: VersionId) -> &Arc<Program> {
        &self.get(id).program
    }

    /// Live versions that events of type `kind` may enter.
    pub fn entered_by(&self, kind: &str) -> &[VersionId] {
        self.entries.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Whether any version not stopped names events of type `kind`; if not, their properties need no decoding.
    pub fn listens(&self, kind: &str) -> bool {
        self.listening.contains(kind)
    }

    /// Name of a journey.
    pub fn journey_name(&self, id: JourneyId) -> &SmolStr {
        &self.journeys[id.0 as usize]
    }

    /// Number of the journey `name`.
    pub fn journey_id(&self, name: &str) -> Option<JourneyId> {
        self.journeys.iter().position(|known| known == name).map(|index| JourneyId(index as u32))
    }

    /// All published versions of a journey, oldest first: tests of drafts are none.
    pub fn versions_of(&self, journey: JourneyId) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter().filter(move |version| version.program.journey == journey && version.test.is_none())
    }

    /// All tests of a journey's drafts, oldest first.
    pub fn tests_of(&self, journey: JourneyId) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter().filter(move |version| version.program.journey == journey && version.test.is_some())
    }

    /// The surface `name`.
    pub fn surface(&self, name: &str) -> Option<&Arc<Surface>> {
        self.surfaces.get(name)
    }

    /// Where the custom action `name` calls now.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.actions.get(name)?.endpoint.as_ref()
    }

    /// The message revision `id`.
    pub fn message(&self, id: MessageId) -> &Arc<MessageDefinition> {
        &self.messages[id.0 as usize]
    }

    /// The latest revision of the message `name`.
    pub fn latest_message(&self, name: &str) -> Option<MessageId> {
        let ids = (0..self.messages.len() as u32).rev().map(MessageId).filter(|id| !self.hidden.contains(id));
        ids.into_iter().find(|id| self.message(*id).name.value == name)
    }

    /// Declared fields of the profile document, nested by the dots of their names.
    pub fn profile_fields(&self) -> Fields {
        attributes::profile_fields(&self.attributes)
    }

    /// The rate that calls wait for.
    pub fn throttling(&self) -> Option<&Arc<Throttling>> {
        self.throttlings.values().find(|throttling| throttling.deployment == Deployment::Deployed)
    }

    /// Stops version `number` of a journey, or all its versions: no entries, and those inside leave at once. What is
    /// stopped already stays so. Nothing is reopened by it (spec §4.6). Once no version is left, a pause has nobody to keep: it
    /// ends at `now`, and what is published next does not fall into it.
    pub fn stop(&self, name: &str, number: Option<u32>, now: Millis) -> Result<Self, CatalogError> {
        let ids = self.select(name, number)?;
        let mut next = self.with_status(&ids, VersionStatus::Stopped);
        if next.end_pause_of_nobody(name, now) && next.version == self.version {
            next.version.0 += 1;
        }
        Ok(next)
    }

    /// Closes version `number` of a journey, or its live one: no entries, and those inside run to their end.
    pub fn close(&self, name: &str, number: Option<u32>) -> Result<Self, CatalogError> {
        let mut ids = self.select(name, number)?;
        if number.is_none() {
            ids.retain(|id| self.get(*id).status == VersionStatus::Live);
        }
        if let Some(id) = ids.iter().find(|id| self.get(**id).status == VersionStatus::Stopped) {
            return Err(CatalogError::Stopped { name: name.to_owned(), number: self.program(*id).number });
        }
        Ok(self.with_status(&ids, VersionStatus::Closed))
    }

    fn select(&self, name: &str, number: Option<u32>) -> Result<Vec<VersionId>, CatalogError> {
        let Some(journey) = self.journey_id(name) else {
            let suggestion = did_you_mean(name, self.journeys.iter().map(SmolStr::as_str));
            return Err(CatalogError::UnknownJourney { name: name.to_owned(), suggestion });
        };
        let all: Vec<&Version> = self.versions_of(journey).collect();
        let latest = all.last().map_or(0, |version| version.program.number);
        let ids: Vec<VersionId> = all
            .iter()
            .filter(|version| number.is_none_or(|number| version.program.number == number))
            .map(|version| version.program.version)
            .collect();
        match (ids.is_empty(), number) {
            (true, Some(number)) => Err(CatalogError::UnknownVersion { name: name.to_owned(), number, latest }),
            _ => Ok(ids),
        }
    }

    fn with_status(&self, ids: &[VersionId], status: VersionStatus) -> Self {
        let mut next = self.clone();
        let mut changed = false;
        for id in ids {
            let version = &mut next.versions[id.0 as usize];
            changed |= version.status != status;
            version.status = status;
        }
        if changed {
            next.version.0 += 1;
            next.index();
        }
        next
    }

    /// Builds what derives from versions and their status.
    fn index(&mut self) {
        self.index_migrations();
        self.entries.clear();
        self.listening.clear();
        self.live.clear();
        self.in_test.clear();
        let mut live: Vec<&Version> = Vec::new();
        for version in &self.versions {
            if version.status == VersionStatus::Stopped {
                continue;
            }
            let definition = &version.source.definition;
            self.listening.extend(definition.event_types().into_iter().map(|event| event.value.clone()));
            if version.is_live() {
                live.push(version);
            } else if version.status == VersionStatus::Live {
                let event = version.program.entry.event.clone();
                self.in_test.entry(event).or_default().push(version.program.version);
            }
        }
        for (name, event) in &self.events {
            if let Some(rule) = event.rule.as_ref().filter(|_| self.listening.contains(name)) {
                self.listening.insert(rule.of.value.clone());
            }
        }
        live.sort_by_key(|version| version.program.precedence());
        for version in live {
            let event = version.program.entry.event.clone();
            self.live.insert(version.program.name.clone(), version.program.version);
            self.entries.entry(event).or_default().push(version.program.version);
        }
    }
}

#[cfg(test)]
mod tests;
