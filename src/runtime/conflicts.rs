//! Overlaps of journeys as readers see them: shapes only, made from what the catalog finds.

use serde::{Deserialize, Serialize};

use crate::domain::catalog::Conflict;
use crate::domain::ids::Millis;
use crate::runtime::past::event::channel_word;

/// Two journeys that may reach the same profile at the same time (spec §7.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConflictView {
    /// The journey asked for, or of two the one that is entered first.
    pub journey: String,
    /// Its version; absent of a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Its priority, 0 to 100.
    pub priority: u32,
    /// The other journey.
    pub with: String,
    /// Its version; absent of a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_version: Option<u32>,
    /// Its priority.
    pub with_priority: u32,
    /// Both take entries from then on, ISO-8601; absent: since ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Both take entries until then, ISO-8601; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The event, as it is sent, that may let a profile into both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Channels that both send by.
    pub channels: Vec<SharedChannel>,
    /// The rule set that both carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<String>,
    /// Where one event may enter both: which is entered first, and under one rule set takes the last place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wins: Option<String>,
    /// Why it wins: `priority`; `published_first` where priorities are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wins_by: Option<String>,
}

/// A channel that two journeys send by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SharedChannel {
    /// Its name.
    pub channel: String,
    /// Surfaces of it that both use.
    pub surfaces: Vec<String>,
}

/// What the catalog found, for readers.
pub fn view(conflict: &Conflict<'_>) -> ConflictView {
    let (one, other) = (conflict.journey, conflict.with);
    let name = |is_first: bool| if is_first { one } else { other }.definition.name.value.to_string();
    let first = conflict.first();
    let shared = |(channel, surfaces): (&_, &std::collections::BTreeSet<smol_str::SmolStr>)| SharedChannel {
        channel: channel_word(*channel).to_owned(),
        surfaces: surfaces.iter().map(ToString::to_string).collect(),
    };
    ConflictView {
        journey: name(true),
        version: one.number,
        priority: one.definition.priority,
        with: name(false),
        with_version: other.number,
        with_priority: other.definition.priority,
        from: conflict.from.map(Millis::to_iso),
        until: conflict.until.map(Millis::to_iso),
        event: conflict.event.as_ref().map(ToString::to_string),
        channels: conflict.channels.iter().map(shared).collect(),
        rule_set: conflict.rule_set.as_ref().map(ToString::to_string),
        wins: first.map(|(is_first, _)| name(is_first)),
        wins_by: first.map(|(_, by_priority)| if by_priority { "priority" } else { "published_first" }.to_owned()),
    }
}
