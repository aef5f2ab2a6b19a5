//! The catalog: what is published. Immutable; every change makes a new one, and shards swap it at a barrier.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::ids::{CatalogVersion, JourneyId, VersionId};
use crate::domain::journey::program::Program;

/// Status of a version (spec §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
}

/// Everything published.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// One more with every change.
    pub version: CatalogVersion,
    /// All versions ever published, by number.
    pub versions: Vec<Version>,
    /// Live versions that an event type may enter, in order of journey number.
    pub entries: BTreeMap<SmolStr, Vec<VersionId>>,
    /// Names of journeys, by number.
    pub journeys: Vec<SmolStr>,
}

impl Catalog {
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

    /// Name of a journey.
    pub fn journey_name(&self, id: JourneyId) -> &SmolStr {
        &self.journeys[id.0 as usize]
    }
}
