//! What a resume of a paused journey would do: a walk over the rows that it holds. Decides nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::ids::{JourneyId, Millis};
use crate::domain::journey::program::{Channel, NodeKind};
use crate::domain::pause::{Overdue, Pause, PauseMode, window_ms};
use crate::domain::profile::{HeldAt, Profile};
use crate::runtime::partition::Partition;
use crate::runtime::past::event::channel_word;
use crate::runtime::view::JourneySummary;
use crate::wire::asleep::Place;

/// Rows looked at in one go.
const ROWS_AT_ONCE: usize = 4_096;

/// What a resume would do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Forecast {
    /// The journey as it is.
    pub journey: JourneySummary,
    /// Profiles held at actions.
    pub held: u64,
    /// Entrants that wait.
    pub held_entrants: u64,
    /// Events kept for the profiles held, to be heard once they are let go.
    pub held_events: u64,
    /// Nodes at which profiles are held, by name.
    pub nodes: BTreeMap<String, ForecastNode>,
    /// What would become of what is held, by `--overdue`: `send`, `shift`, `merge`, `drop`.
    pub overdue: BTreeMap<String, ForecastOutcome>,
    /// What would become of it as it stands: `send`, `shift`, `merge`, `drop`. As the pause says, unless the question does.
    pub chosen: String,
    /// Profiles let go in a second; 0 is without a bound. As the pause says, unless the question does.
    pub rate: u32,
}

/// A node at which profiles are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ForecastNode {
    /// The message, or the action, that waits there.
    pub waits: String,
    /// `log`, `webhook`, `email`, `call`.
    pub channel: String,
    /// How many profiles.
    pub held: u64,
    /// By how long the latest is overdue, in milliseconds.
    pub overdue_least_ms: i64,
    /// By how long the oldest is.
    pub overdue_most_ms: i64,
}

/// What becomes of what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ForecastOutcome {
    /// Messages sent as their profiles are let go.
    pub sent: u64,
    /// Messages sent later, by the length of the pause.
    pub shifted: u64,
    /// Messages in whose place a later one goes.
    pub merged: u64,
    /// Messages skipped.
    pub dropped: u64,
    /// Calls of custom actions made.
    pub called: u64,
    /// Until the last is let go, in milliseconds.
    pub takes_ms: i64,
}

/// What the rows of some partitions hold of a journey.
#[derive(Clone, Debug)]
pub struct Survey {
    now: Millis,
    entrants: u64,
    events: u64,
    nodes: BTreeMap<SmolStr, ForecastNode>,
    messages: u64,
    merged: u64,
    calls: u64,
    /// Since when the one is held that is held for the shortest time.
    latest: Millis,
}

impl Survey {
    /// Nothing yet, at `now`.
    pub fn new(now: Millis) -> Self {
        let (nodes, latest) = (BTreeMap::new(), Millis::MIN);
        Self { now, entrants: 0, events: 0, nodes, messages: 0, merged: 0, calls: 0, latest }
    }

    /// Looks at a partition's rows.
    pub fn look_at(&mut self, partition: &Partition, catalog: &Catalog, journey: JourneyId) {
        let versions: Vec<_> = catalog.versions_of(journey).map(|version| version.program.version).collect();
        let is_inside = |place: &Place| versions.contains(&place.version);
        let (mut from, mut keys) = (Some(0), Vec::new());
        while let Some(slot) = from {
            from = partition.table.inside(&is_inside, slot, ROWS_AT_ONCE, &mut keys);
            for key in keys.drain(..) {
                // A row that can't be read is found, and told, by whoever decides about it.
                if let Ok(Some(profile)) = partition.table.wake(key) {
                    self.look_at_profile(&profile, catalog, journey);
                }
            }
        }
    }

    fn look_at_profile(&mut self, profile: &Profile, catalog: &Catalog, journey: JourneyId) {
        for instance in profile.instances.iter().filter(|instance| instance.journey == journey) {
            let Some(held) = instance.held() else { continue };
            if held.at == HeldAt::Entrance {
                self.entrants += 1;
                continue;
            }
            self.events += instance.kept_events().len() as u64;
            self.latest = self.latest.max(held.since);
            let program = catalog.program(instance.version);
            let node = program.node(instance.node);
            let (waits, channel) = match &node.kind {
                NodeKind::Message { message, .. } => {
                    let message = &program.messages[usize::from(*message)];
                    self.messages += 1;
                    let key = (held.since, instance.ordinal);
                    self.merged += u64::from(is_merged(profile, key, message.channel, catalog, journey, self.now));
                    (message.name.clone(), message.channel)
                }
                NodeKind::Action { action, .. } => {
                    self.calls += 1;
                    (program.actions[usize::from(*action)].name.clone(), Channel::Call)
                }
                _ => continue,
            };
            let overdue_ms = (self.now.0 - held.since.0).max(0);
            let one = ForecastNode {
                waits: waits.to_string(),
                channel: channel_word(channel).to_owned(),
                held: 1,
                overdue_least_ms: overdue_ms,
                overdue_most_ms: overdue_ms,
            };
            self.add_node(node.name.clone(), one);
        }
    }

    fn add_node(&mut self, name: SmolStr, other: ForecastNode) {
        match self.nodes.get_mut(&name) {
            None => drop(self.nodes.insert(name, other)),
            Some(node) => {
                node.held += other.held;
                node.overdue_least_ms = node.overdue_least_ms.min(other.overdue_least_ms);
                node.overdue_most_ms = node.overdue_most_ms.max(other.overdue_most_ms);
            }
        }
    }

    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.entrants += other.entrants;
        self.events += other.events;
        self.messages += other.messages;
        self.merged += other.merged;
        self.calls += other.calls;
        self.latest = self.latest.max(other.latest);
        for (name, node) in other.nodes {
            self.add_node(name, node);
        }
    }

    /// What a resume would do as chosen: with what is overdue, and at so many profiles a second.
    pub fn forecast(
        self,
        catalog: &Catalog,
        journey: JourneyId,
        summary: JourneySummary,
        (chosen, rate): (Overdue, u32),
    ) -> Forecast {
        let (called, held) = (self.calls, self.messages + self.calls);
        let takes_ms = window_ms(held + self.entrants, rate);
        let begun = catalog.pause_before(journey, self.now).map_or(self.now, |pause| pause.at);
        let shift_ms = if held == 0 { 0 } else { (self.latest.max(begun).0 - begun.0).max(0) };
        let outcome = |overdue| match overdue {
            Overdue::Send => ForecastOutcome { sent: self.messages, called, takes_ms, ..Default::default() },
            Overdue::Shift => {
                let takes_ms = takes_ms.max(shift_ms);
                ForecastOutcome { shifted: self.messages, called, takes_ms, ..Default::default() }
            }
            Overdue::Merge => {
                let sent = self.messages - self.merged;
                ForecastOutcome { sent, merged: self.merged, called, takes_ms, ..Default::default() }
            }
            Overdue::Drop => ForecastOutcome { dropped: self.messages, called, takes_ms, ..Default::default() },
        };
        Forecast {
            journey: summary,
            held,
            held_entrants: self.entrants,
            held_events: self.events,
            overdue: Overdue::ALL.into_iter().map(|overdue| (overdue.word().to_owned(), outcome(overdue))).collect(),
            nodes: self.nodes.into_iter().map(|(name, node)| (name.to_string(), node)).collect(),
            chosen: chosen.word().to_owned(),
            rate,
        }
    }
}

/// Whether a later message of the same channel is held for the profile, in this journey or in one resumed with `merge`.
fn is_merged(
    profile: &Profile,
    key: (Millis, u32),
    channel: Channel,
    catalog: &Catalog,
    journey: JourneyId,
    now: Millis,
) -> bool {
    let merges = |pause: &Pause| pause.mode == PauseMode::Hold && pause.overdue == Overdue::Merge && !pause.is_on(now);
    profile.instances.iter().any(|other| {
        let program = catalog.program(other.version);
        let NodeKind::Message { message, .. } = program.node(other.node).kind else { return false };
        other.held().is_some_and(|held| held.at == HeldAt::Node && (held.since, other.ordinal) > key)
            && program.messages[usize::from(message)].channel == channel
            && (other.journey == journey || catalog.pause_before(other.journey, now).is_some_and(merges))
    })
}
