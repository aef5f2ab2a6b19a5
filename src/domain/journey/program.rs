//! A compiled journey version: what `apply` walks. Built only by the validator, so every target exists, every path
//! ends, and every cycle holds a wait or an event.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::domain::calendar::{DayTime, Days, Hours, zone};
use crate::domain::content::Template;
use crate::domain::expression::{Expr, FieldPath, Fields};
use crate::domain::ids::{JourneyId, MessageId, Millis, NodeNo, VersionId};
use crate::domain::journey::action::Action;
use crate::domain::journey::definition::{Dates, LocalTime, Since};
use crate::domain::journey::notes::Notes;
use crate::domain::value::{Map, Value};

/// One version of one journey, ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The journey.
    pub journey: JourneyId,
    /// This version, over all journeys.
    pub version: VersionId,
    /// This version within its journey, from 1.
    pub number: u32,
    /// Name of the journey.
    pub name: SmolStr,
    /// What the version says of itself, if something reads it.
    pub description: Option<SmolStr>,
    /// Zone of the journey (UTC if none was given).
    pub zone: TimeZone,
    /// Its name, as written.
    pub zone_name: SmolStr,
    /// Whose clock waits and conditions go by.
    pub local_time: LocalTime,
    /// Nobody enters before.
    pub starts_at: Option<Millis>,
    /// Nobody enters from then on, and everybody leaves (spec §2.5).
    pub ends_at: Option<Millis>,
    /// What lets a profile in.
    pub entry: EventFilter,
    /// The supplemental ids a profile enters under: a text, or texts.
    pub supplemental_id: Option<Expr>,
    /// The rule set it carries.
    pub rule_set: Option<SmolStr>,
    /// Of several journeys that an event lets into, those of a higher number come first.
    pub priority: u32,
    /// When a profile may enter again.
    pub reentry: Reentry,
    /// Any of these ends an instance at any node.
    pub exit: Vec<EventFilter>,
    /// Any of these that is true ends an instance at a node that would send or call (spec §4.1).
    pub exit_when: Vec<Expr>,
    /// Life of an instance in milliseconds, at most 91 days.
    pub timeout_ms: i64,
    /// Longest time of one call in milliseconds, its retries included.
    pub call_timeout_ms: i64,
    /// Where an instance begins.
    pub start: NodeNo,
    /// All nodes, `end` nodes included.
    pub nodes: Vec<Node>,
    /// Messages that nodes send; [`NodeKind::Message`] holds an index into this.
    pub messages: Vec<Arc<Message>>,
    /// Custom actions that nodes call; [`NodeKind::Action`] holds an index into this.
    pub actions: Vec<Arc<Action>>,
    /// Fields of the entry event that reachable nodes, exits and messages read: an instance keeps these only.
    pub keeps_event: Vec<Vec<SmolStr>>,
    /// Fields of later events that are read as `last`.
    pub keeps_last: Vec<Vec<SmolStr>>,
    /// What is read of answers of custom actions, below their names.
    pub keeps_action: Vec<Vec<SmolStr>>,
    /// Events that count although their node is reached only later, by their slots.
    pub heard: Vec<(EventFilter, Since)>,
    /// What an instance notes on its way because something reads it.
    pub notes: Notes,
    /// Whether it is a test of a draft.
    pub is_in_test: bool,
    /// Message nodes on whose messages other nodes await feedback.
    pub followed: Vec<NodeNo>,
}

/// An event type with an optional filter.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Type of the event.
    pub event: SmolStr,
    /// Must be true, if given. In `entry` the root `event` is the event itself; elsewhere `last` is.
    pub when: Option<Expr>,
    /// The node whose latest message it must be feedback on.
    pub of: Option<NodeNo>,
}

/// An event that a node waits for.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Which.
    pub filter: EventFilter,
    /// Index into [`Program::heard`], if it counts from before the node on.
    pub slot: Option<u16>,
}

/// How long a wait takes.
#[derive(Clone, Debug)]
pub enum Pause {
    /// Milliseconds.
    For(i64),
    /// Until an instant: a timestamp, or text that is read by the clock of the instance. A past or null one passes at once.
    Until(Expr),
    /// Until the clock shows a time on one of some days.
    Local {
        /// Time of day.
        time: DayTime,
        /// Days of the week.
        days: Days,
    },
}

/// What may happen first at a node.
#[derive(Clone, Debug)]
pub enum Arm {
    /// An event comes.
    Event(Awaited),
    /// Time passes.
    Wait(Pause),
}

/// Re-entrance (spec §2.2), measured from the previous *entry*, and only after the previous instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reentry {
    /// Never again.
    Never,
    /// Once this many milliseconds have passed.
    After(i64),
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: SmolStr,
    /// What it does.
    pub kind: NodeKind,
    /// Where the instance goes if it fails here; else it ends.
    pub on_error: Option<NodeNo>,
    /// Whether it lies on a cycle (then visits are counted and bounded).
    pub on_cycle: bool,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Waits.
    Wait {
        /// How long.
        pause: Pause,
        /// Then.
        then: NodeNo,
    },
    /// First branch that holds wins; none and no `otherwise` ends the instance.
    Condition {
        /// In order.
        branches: Vec<(Test, NodeNo)>,
        /// If none is true.
        otherwise: Option<NodeNo>,
    },
    /// Draws a way, the same for a profile whenever it comes.
    Split {
        /// In order, each with the sum of shares up to and with it; the last has [`SHARES`](crate::domain::journey::definition::SHARES).
        ways: Vec<(u32, NodeNo)>,
    },
    /// Waits for an event.
    Event {
        /// Which.
        awaited: Awaited,
        /// For how long (milliseconds); `None` listens on until the journey's timeout.
        within_ms: Option<i64>,
        /// Where the event leads, and the timeout too without `on_timeout`.
        then: NodeNo,
        /// Where the timeout leads.
        on_timeout: Option<NodeNo>,
    },
    /// Waits for the first of several events and instants; at the same instant the upper one wins (spec §3.0).
    FirstOf {
        /// In order.
        arms: Vec<(Arm, NodeNo)>,
    },
    /// Sends a message and goes on.
    Message {
        /// Index into [`Program::messages`].
        message: u16,
        /// Then.
        then: NodeNo,
    },
    /// Sets fields of the profile's document and goes on.
    UpdateProfile {
        /// Paths and values; null, and none, deletes.
        fields: Vec<(Vec<SmolStr>, Option<Expr>)>,
        /// Then.
        then: NodeNo,
    },
    /// Lets the profile into another journey too, and goes on (spec §3.5).
    Jump {
        /// Its name.
        journey: SmolStr,
        /// Type of its entry event.
        event: SmolStr,
        /// Properties of that event; none is absent.
        with: Vec<(SmolStr, Option<Expr>)>,
        /// Then.
        then: NodeNo,
    },
    /// Calls a custom action, stays until it has answered, and goes on (spec §3.7).
    Action {
        /// Index into [`Program::actions`].
        action: u16,
        /// Its parameters; none is null.
        with: Vec<(SmolStr, Option<Expr>)>,
        /// Then.
        then: NodeNo,
    },
    /// Sends profiles several ways, which reports count (spec §3.3, §9).
    Optimize {
        /// By what.
        method: Method,
    },
    /// A number of profiles take one way, all others the other (spec §3.3).
    ProfileCap {
        /// How many.
        max: u64,
        /// Their way.
        then: NodeNo,
        /// That of all others.
        otherwise: NodeNo,
    },
    /// Looks records up in a dataset, and goes on (spec §3.8b).
    Lookup(Box<Lookup>),
    /// Ends the instance as completed.
    End,
}

impl NodeKind {
    /// The word of what a node does, as step events and expressions have it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::FirstOf { .. } => "first_of",
            Self::Condition { .. } => "condition",
            Self::Split { .. } => "split",
            Self::Optimize { .. } => "optimize",
            Self::ProfileCap { .. } => "profile_cap",
            Self::Event { .. } => "event",
            Self::Message { .. } => "message",
            Self::UpdateProfile { .. } => "update_profile",
            Self::Jump { .. } => "jump",
            Self::Action { .. } => "action",
            Self::Lookup(_) => "lookup",
            Self::End => "end",
        }
    }
}

/// How a node chooses among ways that are counted.
#[derive(Clone, Debug)]
pub enum Method {
    /// By a draw that is the same for a profile whenever it comes.
    Experiment {
        /// Treatments, then the holdout: each with the sum of shares up to and with it, like those of a split.
        ways: Vec<(SmolStr, u32, NodeNo)>,
    },
    /// The first rule that holds.
    Targeting {
        /// In order.
        rules: Vec<(SmolStr, Expr, NodeNo)>,
        /// If none holds; without it the instance ends.
        fallback: Option<NodeNo>,
    },
}

impl Method {
    /// Where it leads, in order.
    pub fn targets(&self) -> Vec<NodeNo> {
        match self {
            Self::Experiment { ways } => ways.iter().map(|(_, _, to)| *to).collect(),
            Self::Targeting { rules, fallback } => rules.iter().map(|(_, _, to)| *to).chain(*fallback).collect(),
        }
    }
}

/// What a node looks up.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// In which dataset.
    pub dataset: SmolStr,
    /// Keys: a text, or a list of texts.
    pub keys: Expr,
    /// Which fields, with the types they had at publish.
    pub fields: Fields,
    /// Then.
    pub then: NodeNo,
}

/// What a branch asks for.
#[derive(Clone, Debug)]
pub enum Test {
    /// A boolean expression.
    When(Expr),
    /// An hour of some days.
    Time(Hours),
    /// A range of dates.
    Date(Dates),
}

/// A message resource, compiled.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number.
    pub id: MessageId,
    /// Its name.
    pub name: SmolStr,
    /// How it leaves.
    pub channel: Channel,
    /// The surface it leaves by; `log` needs none.
    pub surface: Option<SmolStr>,
    /// Subject, where the channel has one.
    pub subject: Option<Template>,
    /// Body.
    pub body: Template,
    /// Every field subject and body read: frozen into the outbox row.
    pub reads: Vec<FieldPath>,
}

/// How messages leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A line in an NDJSON file.
    Log,
    /// An HTTP POST, signed by Standard Webhooks.
    Webhook,
    /// SMTP.
    Email,
    /// A call of a custom action: what nodes do, and no message is sent by.
    Call,
}

impl Program {
    /// The order in which an event enters journeys: those of higher priority first, then those published first.
    pub fn precedence(&self) -> (std::cmp::Reverse<u32>, JourneyId) {
        (std::cmp::Reverse(self.priority), self.journey)
    }

    /// The node `no`.
    pub fn node(&self, no: NodeNo) -> &Node {
        &self.nodes[usize::from(no.0)]
    }

    /// The zone whose clock counts for a profile (spec §2.6): its own if the journey says so and there is one of that name.
    pub fn zone_of(&self, document: &Map) -> Cow<'_, TimeZone> {
        let own = self.zone_named_by(document).and_then(zone);
        own.map_or(Cow::Borrowed(&self.zone), Cow::Owned)
    }

    /// The zone that a profile names, if its clock is to count; there may be no such zone.
    pub fn zone_named_by<'d>(&self, document: &'d Map) -> Option<&'d str> {
        match (self.local_time, document.get("timezone")) {
            (LocalTime::Profile, Some(Value::Str(name))) => Some(name),
            _ => None,
        }
    }

    /// When an instance that entered at `entered_at` ends at the latest.
    pub fn over_at(&self, entered_at: Millis) -> Millis {
        let timeout_at = entered_at.plus(self.timeout_ms);
        self.ends_at.map_or(timeout_at, |ends_at| ends_at.min(timeout_at))
    }
}
