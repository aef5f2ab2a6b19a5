//! Shapes of requests and answers that only HTTP has. The engine's own answers (`runtime::view`) are sent as they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::finding::{Finding, Severity};
use crate::runtime::view::Resolution;

/// Resource files to check, plan or publish.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceFiles {
    /// The files; references are resolved over all of them.
    pub files: Vec<ResourceFile>,
}

/// One resource file: YAML or JSON, many documents.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceFile {
    /// Its name, for findings.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What publishing changes, or would change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    /// Number of the catalog afterwards; the same as before if nothing changed.
    pub catalog_version: u32,
    /// Each resource of the files, then what only the catalog has.
    pub resources: Vec<ResourceChangeBody>,
    /// Findings that do not hinder.
    pub warnings: Vec<FindingBody>,
}

/// What becomes of one resource.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceChangeBody {
    /// `journey`, `event`, `attribute`, `message`, `surface`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `created`, `new_version`, `updated`, `drafted`, `unchanged`, `vanished` (published, in none of the files: it stays).
    pub change: String,
    /// Journeys: number of the latest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Journeys: status of the latest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Journeys of which there is a new version: what differs from the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DifferenceBody>,
    /// Journeys of which there is a new version, and versions before it with profiles inside: what becomes of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationBody>,
}

/// What becomes of the profiles inside older versions of a journey.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationBody {
    /// Numbers of the versions that they are in.
    pub from: Vec<u32>,
    /// Nodes that the new version has otherwise or not at all, and those that somebody goes from; sorted by name.
    pub nodes: Vec<MigrationNodeBody>,
}

/// What becomes of the profiles at one node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationNodeBody {
    /// Its name.
    pub node: String,
    /// How the new version has it, if otherwise: `added`, `removed` or `changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// `keep`, `exit`, `recompute` or `move`.
    pub choice: String,
    /// The node they are moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who chose that: `node`, `default`, or `nobody`.
    pub chosen_by: String,
    /// Profiles that are at it now, in these versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// What differs between two versions of a journey.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferenceBody {
    /// Of the journey as a whole.
    pub settings: Vec<ChangedBody>,
    /// Nodes that differ.
    pub nodes: Vec<NodeDifferenceBody>,
    /// Types of fields or wording of messages differ.
    pub references: bool,
}

/// A setting that differs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedBody {
    /// Which.
    pub what: String,
    /// What it was; empty: nothing.
    pub before: String,
    /// What it is; empty: nothing.
    pub after: String,
}

/// A node that differs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeDifferenceBody {
    /// Its name.
    pub node: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// What of it.
    pub settings: Vec<ChangedBody>,
    /// `plan`: profiles at it now, in all versions. They go on there as those versions have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// What `check` found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckBody {
    /// Findings: errors, warnings and hints.
    pub findings: Vec<FindingBody>,
    /// How many are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// How many are hints.
    #[serde(default)]
    pub hints: usize,
}

/// One finding. Lines and columns count from 1; 0 means the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingBody {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Stable, documented code.
    pub code: String,
    /// `error`, `warning` or `hint`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl From<&Finding> for FindingBody {
    fn from(finding: &Finding) -> Self {
        Self {
            file: finding.file.clone(),
            line: finding.line,
            column: finding.column,
            code: finding.code.to_owned(),
            severity: finding.severity.word().to_owned(),
            message: finding.message.clone(),
            suggestion: finding.suggestion.clone(),
        }
    }
}

impl CheckBody {
    /// Findings with their counts.
    pub fn new(findings: &[Finding]) -> Self {
        let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
        Self {
            findings: findings.iter().map(FindingBody::from).collect(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            hints: count(Severity::Hint),
        }
    }
}

/// What became of a batch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IngestBody {
    /// Events now durable; repeats and rejected ones not counted.
    pub accepted: usize,
    /// One result per event, in the order sent.
    pub results: Vec<EventResult>,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventResult {
    /// Its id; empty where it has none that can be read.
    pub id: String,
    /// `accepted`, `duplicate` or `rejected`.
    pub status: String,
    /// Why it is rejected: a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One event, as producers send it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id":"e-1","type":"purchase","profile":"crm:4711","time":"2019-11-01T17:59:13.273Z","properties":{"total":59.9}}))]
pub struct EventBody {
    /// The producer's id of it, up to 128 bytes: a repeat within the dedup window is a duplicate.
    pub id: String,
    /// Its type, up to 128 bytes.
    pub r#type: String,
    /// `namespace:value`.
    pub profile: String,
    /// ISO-8601; the time of arrival if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Its properties.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub properties: serde_json::Value,
}

/// All journeys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JourneysBody {
    /// In order of name.
    pub journeys: Vec<crate::runtime::view::JourneySummary>,
}

/// Overlaps of journeys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConflictsBody {
    /// In the order in which journeys are entered, drafts last.
    pub conflicts: Vec<crate::runtime::conflicts::ConflictView>,
}

/// Outbox rows.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeliveriesBody {
    /// At most `max` of them.
    pub deliveries: Vec<crate::runtime::view::DeliveryView>,
}

/// Decides about a delivery in doubt.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    /// `sent`, `drop` or `resend`.
    pub resolution: Resolution,
}

/// What was decided.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ResolvedBody {
    /// The delivery.
    pub id: String,
    /// `sent`, `drop` or `resend`.
    pub resolution: Resolution,
}

/// How many shards to run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardsRequest {
    /// From 1 to the number of partitions.
    #[schema(minimum = 1)]
    pub count: u16,
}

/// How far to move the events' clock.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvanceRequest {
    /// ISO-8601; through every timer there is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// How far the events' clock was moved.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdvancedBody {
    /// ISO-8601; absent if through every timer there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Hash over all decisions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HashBody {
    /// 32 hex digits, the same for the same input whatever the shards.
    pub hash: String,
}

/// The process is alive.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveBody {
    /// Always `live`.
    pub state: String,
}
