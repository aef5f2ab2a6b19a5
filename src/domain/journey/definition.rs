//! Resources as they were written: what the catalog stores and compiles again at every start.
//!
//! The encoding of these types is the catalog's format (`catalog::record`): a change needs a new format number.
//! INVARIANT: definitions with an error never reach the catalog; `broken` and [`NodeForm::Broken`] exist only during a check.

mod forms;
mod migration;
mod optimize;
mod resources;

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::calendar::{DayTime, Days, Hours, Moment};
use crate::domain::ids::Millis;
use crate::domain::journey::findings::{At, Place};
use crate::domain::journey::program::{Channel, Reentry};

pub use migration::{ChoiceDefinition, MigrationDefinition};
pub use optimize::{OptimizeMethod, TargetDefinition, TreatmentDefinition};
pub use resources::{
    AttributeDefinition, EntryCap, EventDefinition, FragmentDefinition, RuleDefinition, RuleSetDefinition,
};

/// `kind: message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// How it leaves.
    pub channel: Channel,
    /// The surface it leaves by.
    pub surface: Option<At<SmolStr>>,
    /// Template of the subject.
    pub subject: Option<At<String>>,
    /// Template of the body.
    pub body: At<String>,
    /// What the body is.
    pub format: Format,
    /// Something of it could not be read.
    #[serde(skip)]
    pub broken: bool,
}

/// What a body is, and so how inserted values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Plain text: no escapes.
    Text,
    /// HTML: entities.
    Html,
    /// JSON: string escapes.
    Json,
}

/// `kind: journey`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// IANA zone.
    pub timezone: SmolStr,
    /// Whose clock waits and conditions go by.
    pub local_time: LocalTime,
    /// Nobody enters before.
    pub starts_at: Option<Millis>,
    /// Nobody enters from then on, and everybody leaves.
    pub ends_at: Option<At<Millis>>,
    /// What lets profiles in.
    pub entry: FilterDefinition,
    /// The supplemental ids they come in under: an expression.
    pub supplemental_id: Option<At<SmolStr>>,
    /// The rule set it carries.
    pub rule_set: Option<At<SmolStr>>,
    /// Which of several journeys a profile enters first: the higher number.
    pub priority: u32,
    /// When they may come again.
    pub reentry: At<Reentry>,
    /// What ends an instance anywhere.
    pub exit: Vec<FilterDefinition>,
    /// What ends an instance at a node that would act: boolean expressions.
    pub exit_when: Vec<At<SmolStr>>,
    /// Life of an instance, milliseconds.
    pub timeout_ms: i64,
    /// Longest time of one call, its retries included, milliseconds.
    pub call_timeout_ms: i64,
    /// First node.
    pub start: At<SmolStr>,
    /// All nodes, in the order of the file: the index is the node's number.
    pub nodes: Vec<NodeDefinition>,
    /// What becomes of profiles in versions published before.
    pub migration: Option<At<MigrationDefinition>>,
    /// What it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<SmolStr>,
    /// Something of it could not be read.
    #[serde(skip)]
    pub broken: bool,
}

/// Whose clock waits and conditions by the time of day go by (spec §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalTime {
    /// That of the journey's zone.
    Journey,
    /// That of `profile.timezone`; of the journey's zone where that names none.
    Profile,
}

/// An event type and a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterDefinition {
    /// Type of the event.
    pub event: At<SmolStr>,
    /// Expression that must be true.
    pub when: Option<At<SmolStr>>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDefinition {
    /// Its name.
    pub name: At<SmolStr>,
    /// What it does.
    pub form: NodeForm,
    /// Target if it fails.
    pub on_error: Option<At<SmolStr>>,
}

/// A name, and the expression of the value it gets.
pub type Assignment = (At<SmolStr>, At<SmolStr>);

/// What a node does; targets are names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeForm {
    /// `wait: …`.
    Wait {
        /// How long.
        wait: WaitDefinition,
        /// Target.
        then: At<SmolStr>,
    },
    /// `condition: [ … ]`.
    Condition {
        /// In order.
        branches: Vec<BranchDefinition>,
        /// Target if none is true.
        otherwise: Option<At<SmolStr>>,
    },
    /// `split: [ … ]`.
    Split {
        /// In order; shares add up to [`SHARES`].
        shares: Vec<ShareDefinition>,
    },
    /// `event: …`.
    Event {
        /// What it waits for.
        awaited: AwaitedDefinition,
        /// Milliseconds.
        within_ms: Option<At<i64>>,
        /// Target.
        then: At<SmolStr>,
        /// Target of the timeout.
        on_timeout: Option<At<SmolStr>>,
    },
    /// `first_of: [ … ]`.
    FirstOf {
        /// In order.
        arms: Vec<ArmDefinition>,
    },
    /// `message: …`.
    Message {
        /// Name of the message.
        message: At<SmolStr>,
        /// Target.
        then: At<SmolStr>,
    },
    /// `update_profile: { … }`.
    UpdateProfile {
        /// Fields of the document, dots nest, and expressions.
        fields: Vec<Assignment>,
        /// Target.
        then: At<SmolStr>,
    },
    /// `jump: …`.
    Jump {
        /// Name of the other journey.
        journey: At<SmolStr>,
        /// Properties of its entry event, and expressions.
        with: Vec<Assignment>,
        /// Target.
        then: At<SmolStr>,
    },
    /// `optimize: { … }`.
    Optimize {
        /// By what it chooses.
        method: OptimizeMethod,
    },
    /// `profile_cap: N`.
    ProfileCap {
        /// So many take the first way.
        max: u64,
        /// Target of these.
        then: At<SmolStr>,
        /// Target of all others.
        otherwise: At<SmolStr>,
    },
    /// `action: …`.
    Action {
        /// Name of the action.
        action: At<SmolStr>,
        /// Its parameters, and expressions.
        with: Vec<Assignment>,
        /// Target.
        then: At<SmolStr>,
    },
    /// `lookup: …`.
    Lookup {
        /// Name of the dataset.
        dataset: At<SmolStr>,
        /// An expression for a key, or for several.
        keys: At<SmolStr>,
        /// Fields of the records.
        fields: Vec<At<SmolStr>>,
        /// Target.
        then: At<SmolStr>,
    },
    /// `end: true`.
    End,
    /// `fragment: …`, before the copy stands in its place.
    #[serde(skip)]
    Fragment {
        /// Its name.
        fragment: At<SmolStr>,
        /// Where its ends lead.
        then: At<SmolStr>,
    },
    /// Could not be read; a finding says why.
    #[serde(skip)]
    Broken,
}

/// How long a wait takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitDefinition {
    /// `1h`: milliseconds.
    For(At<i64>),
    /// `{ until: … }`: an expression for a timestamp, or for text that means one.
    Until(At<SmolStr>),
    /// `{ time: …, days: … }`.
    Local {
        /// Time of day.
        time: DayTime,
        /// Days of the week.
        days: Days,
    },
}

/// An event that a node waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedDefinition {
    /// Which.
    pub filter: FilterDefinition,
    /// From when on it counts.
    pub since: Since,
    /// The node whose message it is feedback on.
    pub of: Option<At<SmolStr>>,
}

/// From when on an event counts for the node that waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// From the instance's entry on.
    Entry,
    /// From the instance's latest message on; from its entry on while it has sent none.
    LastMessage,
    /// From the instance's arrival at the node on.
    #[default]
    Here,
}

/// One of several things of which the first to happen counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmDefinition {
    /// What may happen.
    pub what: RacerDefinition,
    /// Target.
    pub then: At<SmolStr>,
}

/// What may happen first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RacerDefinition {
    /// An event comes.
    Event(AwaitedDefinition),
    /// Time passes.
    Wait(WaitDefinition),
}

/// One branch of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchDefinition {
    /// What must hold.
    pub test: TestDefinition,
    /// Target.
    pub then: At<SmolStr>,
}

/// What a branch asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestDefinition {
    /// `when`: a boolean expression.
    When(At<SmolStr>),
    /// `time`: an hour of some days.
    Time(Hours),
    /// `date`: a range of dates.
    Date(Dates),
}

/// A range of dates; without both ends it is all of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dates {
    /// From its beginning on.
    pub from: Option<Moment>,
    /// Up to its end.
    pub to: Option<Moment>,
}

/// `from 2026-01-01 to 2026-02-01`.
impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) => write!(f, "from {from} to {to}"),
            (Some(from), None) => write!(f, "from {from} on"),
            (None, Some(to)) => write!(f, "to {to}"),
            (None, None) => f.write_str("of all time"),
        }
    }
}

/// What all shares of a split add up to: hundredths of a percent.
pub const SHARES: u32 = 10_000;

/// One way of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareDefinition {
    /// How many of [`SHARES`] go this way.
    pub share: u32,
    /// Target.
    pub then: At<SmolStr>,
}

impl<T: Default> Default for At<T> {
    fn default() -> Self {
        Self::new(T::default(), Place::default())
    }
}

impl JourneyDefinition {
    /// Whether `other` says the same. The order of nodes is no meaning, nor is what became of profiles of older versions, nor
    /// what it says of itself, which counts only where something reads it.
    pub fn same_meaning(&self, other: &Self) -> bool {
        let sorted = |definition: &Self| {
            let mut nodes = definition.nodes.clone();
            nodes.sort_by(|a, b| a.name.value.cmp(&b.name.value));
            Self { nodes, migration: None, description: None, ..definition.clone() }
        };
        self == other || sorted(self) == sorted(other)
    }

    /// Types of all events it names: entry, awaited, exits; each once, in that order.
    pub fn event_types(&self) -> Vec<&At<SmolStr>> {
        let mut types: Vec<&At<SmolStr>> = Vec::new();
        let awaited = self.awaited().map(|awaited| &awaited.filter.event);
        for event in [&self.entry.event].into_iter().chain(awaited).chain(self.exit.iter().map(|e| &e.event)) {
            if !types.contains(&event) {
                types.push(event);
            }
        }
        types
    }

    /// What its nodes wait for: events.
    pub fn awaited(&self) -> impl Iterator<Item = &AwaitedDefinition> {
        self.nodes.iter().flat_map(|node| node.form.awaited())
    }

    /// Journeys it jumps to, and what it gives them.
    pub fn jumps(&self) -> impl Iterator<Item = (&At<SmolStr>, &[Assignment])> {
        self.nodes.iter().filter_map(|node| match &node.form {
            NodeForm::Jump { journey, with, .. } => Some((journey, with.as_slice())),
            _ => None,
        })
    }

    /// Custom actions that it calls: for each node the name and what it gives.
    pub fn actions(&self) -> impl Iterator<Item = (&At<SmolStr>, &[Assignment])> {
        self.nodes.iter().filter_map(|node| match &node.form {
            NodeForm::Action { action, with, .. } => Some((action, with.as_slice())),
            _ => None,
        })
    }

    /// Datasets that its nodes look up in: for each node its name, the dataset, and the fields it takes.
    pub fn lookups(&self) -> impl Iterator<Item = (&At<SmolStr>, &At<SmolStr>, &[At<SmolStr>])> {
        self.nodes.iter().filter_map(|node| match &node.form {
            NodeForm::Lookup { dataset, fields, .. } => Some((&node.name, dataset, fields.as_slice())),
            _ => None,
        })
    }

    /// Names of the messages it sends; each once, in order of nodes.
    pub fn messages(&self) -> Vec<&At<SmolStr>> {
        let mut names: Vec<&At<SmolStr>> = Vec::new();
        for node in &self.nodes {
            if let NodeForm::Message { message, .. } = &node.form
                && !names.contains(&message)
            {
                names.push(message);
            }
        }
        names
    }
}
