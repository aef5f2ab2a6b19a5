//! Answers the engine gives to readers: reports, profiles, journeys, deliveries. Shapes only, as the contract prints them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::pause::{Overdue, PauseEnding, PauseMode};

/// Report over journeys (contract "Reports").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Events accepted, repeats not counted.
    pub events: u64,
    /// By name.
    pub journeys: BTreeMap<String, JourneyReport>,
    /// Decision hash (design §9), 32 hex digits.
    pub hash: String,
}

/// One journey, or one version of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JourneyReport {
    /// Instances begun.
    pub entered: u64,
    /// Instances running.
    pub active: u64,
    /// Instances ended, by reason.
    pub exited: BTreeMap<String, u64>,
    /// Instances failed.
    pub errors: u64,
    /// The same, by reason: `expression`, `timed_out`, `capped`, `http_500` …; their sum is `errors`.
    #[serde(default)]
    pub failed: BTreeMap<String, u64>,
    /// Of the running: held at actions by a pause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Entrants that wait for the end of a pause; they have not begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_entrants: u64,
    /// Entries refused, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// By name.
    pub nodes: BTreeMap<String, NodeReport>,
    /// By name.
    pub messages: BTreeMap<String, MessageReport>,
    /// The same per version number; empty within a version.
    #[schema(no_recursion)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, JourneyReport>,
}

/// One node: `entered = in_node + left + exited + errors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeReport {
    /// Arrivals.
    pub entered: u64,
    /// Instances there now.
    pub in_node: u64,
    /// Instances that went on.
    pub left: u64,
    /// Instances that ended there.
    pub exited: u64,
    /// Instances that failed there.
    pub errors: u64,
    /// Of those there: held by a pause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Of a node whose ways are counted, the instances that went each, by name: treatments of an experiment,
    /// rules of targeting, `within` and `beyond` of a profile cap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ways: BTreeMap<String, u64>,
}

/// One message. Requested and not in any of these = on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageReport {
    /// Accepted by the provider.
    pub sent: u64,
    /// Not sent for want of an address.
    pub excluded: u64,
    /// Can't be delivered.
    pub failed: u64,
    /// Attempted, result unknown.
    pub in_doubt: u64,
    /// Taken back because the instance ended before the first attempt.
    pub cancelled: u64,
    /// Decided and not yet any of the above.
    pub pending: u64,
    /// Overdue at the end of a pause, and skipped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Overdue at the end of a pause; a later one of the same channel took its place.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub merged: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A journey in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JourneySummary {
    /// Its name.
    pub name: String,
    /// Its versions, oldest first.
    pub versions: Vec<VersionSummary>,
    /// Its latest pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseView>,
}

/// A pause of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PauseView {
    /// What becomes of profiles and events in it: `hold`, `discard`.
    #[schema(value_type = String)]
    pub mode: PauseMode,
    /// ISO-8601.
    pub since: String,
    /// When it ends by itself, or was resumed. ISO-8601.
    pub until: String,
    /// What happens then: `resume`, `stop`.
    #[schema(value_type = String)]
    pub then: PauseEnding,
    /// What becomes of overdue messages: `send`, `shift`, `merge`, `drop`.
    #[schema(value_type = String)]
    pub overdue: Overdue,
    /// Profiles let go in a second then; 0 is without a bound.
    pub rate: u32,
}

/// A version in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionSummary {
    /// From 1.
    pub number: u32,
    /// `live`, `closed`, `stopped`; `paused`, and `resuming` until nobody is held any more; `finished` when closed, stopped or
    /// past its end date and nobody is inside; `draft`, and `draft_test` while it is in test.
    pub status: String,
    /// How a finished version came to take no more entries: `stopped`, `closed` (by order, or by a later version), `ended` (past its
    /// end date). Absent of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_as: Option<String>,
    /// Instances begun.
    pub entered: u64,
    /// Instances running.
    pub active: u64,
    /// Of these: held at actions by a pause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Entrants that wait for the end of a pause.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_entrants: u64,
    /// Events kept for those held at actions, to be heard once they are let go.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_events: u64,
}

/// A profile: state and timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProfileView {
    /// `namespace:value`.
    pub profile: String,
    /// Its partition.
    pub partition: u16,
    /// Its document.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
    /// Running instances.
    pub instances: Vec<InstanceView>,
    /// Latest entry into each journey, by name (`NAME/ID` under a supplemental id), ISO-8601.
    pub last_entries: BTreeMap<String, String>,
    /// Newest first.
    pub timeline: Vec<TimelineItem>,
}

/// One running instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceView {
    /// Hex id, the same for the whole run.
    pub id: String,
    /// Its journey.
    pub journey: String,
    /// Its version's number.
    pub version: u32,
    /// Whether it entered in test mode.
    #[serde(default)]
    pub in_test: bool,
    /// Where it waits.
    pub node: String,
    /// The supplemental id it runs under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplemental_id: Option<String>,
    /// ISO-8601.
    pub entered_at: String,
    /// When its next timer fires, ISO-8601.
    pub due: String,
    /// Whether a pause keeps it at the entrance: it has not entered yet.
    #[serde(default)]
    pub waits_to_enter: bool,
    /// Since when a pause holds it, ISO-8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// Events kept for it while a pause held it, to be heard by the nodes that come next.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_events: u64,
}

/// One item of a timeline: an event, or a step with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TimelineItem {
    /// Engine time, ISO-8601.
    pub at: String,
    /// `event`, `entered`, `arrived`, `left`, `exited`, `failed`, `discarded`, `message`, `called`, `held`, `released`, `kept`,
    /// `not_kept`.
    pub what: String,
    /// Journey, for steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journey: Option<String>,
    /// Version number, for steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Whether the step was one of a test; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_test: bool,
    /// Node, for steps at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why: path taken, reason of exit or discard, outcome of a message, type of an event; of an arrival when the node's timer is
    /// due, and empty where the node does not wait.
    pub reason: String,
    /// For messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For events: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// For events: its properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub properties: Option<serde_json::Value>,
}

/// An outbox row as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryView {
    /// Its id = idempotency key.
    pub id: String,
    /// `namespace:value`.
    pub profile: String,
    /// Journey.
    pub journey: String,
    /// Message.
    pub message: String,
    /// Channel.
    pub channel: String,
    /// `pending`, `started`, `in_doubt`.
    pub state: String,
    /// ISO-8601.
    pub decided_at: String,
    /// ISO-8601, if an attempt is journaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_at: Option<String>,
}

/// What an operator decides about a delivery in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It arrived: count it as sent.
    Sent,
    /// Count it as failed and don't send again.
    Drop,
    /// Send it again.
    Resend,
}

/// Shards and what they own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShardsView {
    /// How many run.
    pub count: u16,
    /// Partitions in all.
    pub partitions: u16,
    /// One entry a shard.
    pub shards: Vec<ShardView>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShardView {
    /// Its number.
    pub shard: u16,
    /// Partitions it owns.
    pub partitions: u16,
    /// Events waiting in its mailbox.
    pub mailbox: u64,
    /// Profiles it holds.
    pub profiles: u64,
    /// Timers in its wheel.
    pub timers: u64,
}

/// Whether the server can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// Takes events.
    pub ready: bool,
    /// `starting`, `serving`, `disk_full`, `stopping`, `failed`.
    pub state: String,
    /// More, for people.
    pub detail: String,
}
