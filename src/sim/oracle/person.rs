//! One profile as the model knows it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::sim::observe::instant_text;
use crate::sim::oracle::pauses::Hold;
use crate::sim::oracle::resources::Journey;

/// One profile.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    pub(super) document: Map<String, Json>,
    /// Running instances, in the order they entered.
    pub(super) runs: Vec<Run>,
    /// Latest entry by journey and supplemental id.
    pub(super) entered_at_ms: BTreeMap<(String, Option<String>), i64>,
    /// Entries by rule set: since when, and how many.
    pub(super) caps: BTreeMap<String, (i64, usize)>,
    /// Entries so far, over all journeys.
    pub(super) entries: u32,
    /// Messages requested and not answered for.
    pub(super) deliveries: Vec<Delivery>,
    /// Engine time and catalog of the last decision.
    pub(super) engine_time_ms: Option<i64>,
    pub(super) catalog: u32,
}

/// One running instance.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) journey: String,
    pub(super) version: u32,
    pub(super) program: Arc<Journey>,
    /// Which entry of the profile.
    pub(super) entry: u32,
    pub(super) node: String,
    pub(super) entered_at_ms: i64,
    /// When it came to its node.
    pub(super) came_ms: i64,
    /// Number of the newest version that was asked about it.
    pub(super) settled: u32,
    /// When its next timer fires, and what that timer is.
    pub(super) due_ms: i64,
    pub(super) timer: Timer,
    pub(super) event: Map<String, Json>,
    pub(super) last: Map<String, Json>,
    pub(super) meta_id: String,
    pub(super) meta_type: String,
    pub(super) meta_time_ms: i64,
    pub(super) visits: BTreeMap<String, u32>,
    /// Events that came before their nodes were reached, by node and way.
    pub(super) heard: BTreeMap<(String, usize), Map<String, Json>>,
    /// The latest delivery of each message node.
    pub(super) sent: BTreeMap<String, String>,
    /// Which way of a race its timer is.
    pub(super) way: usize,
    pub(super) supplemental_id: Option<String>,
    pub(super) previous_node: Option<String>,
    /// The call it waits for.
    pub(super) calling: Option<String>,
    /// What custom actions answered last, by name.
    pub(super) answers: Map<String, Json>,
    /// When it decided the call it waits for.
    pub(super) called_at_ms: i64,
    /// How and where it failed last and went on.
    pub(super) error: Option<Wrong>,
    /// How calls of custom actions went, and questions to data sources.
    pub(super) asked: [Asking; 2],
    pub(super) held: Option<Hold>,
    /// Events that came while it was held, by node and way.
    pub(super) kept: Vec<(String, usize, Map<String, Json>)>,
    /// How many of the journey's pauses its timers know of.
    pub(super) shifted: usize,
}

/// How and where a node failed.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) error: String,
    pub(super) code: String,
    pub(super) node: String,
}

/// How calls went.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    /// How the latest that failed had ended.
    pub(super) error: Option<String>,
    /// How long the latest took.
    pub(super) took_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The node's: its wait or its `within`.
    Node,
    /// A message found no room.
    Parked,
    /// The journey's timeout.
    Timeout,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) journey: String,
    pub(super) version: u32,
    pub(super) entry: u32,
    pub(super) node: String,
    pub(super) message: String,
    /// `None` = the log.
    pub(super) surface: Option<String>,
    pub(super) in_doubt: bool,
    /// Delivery id of a call.
    pub(super) call: Option<String>,
}

impl Run {
    pub(super) fn timeout_at_ms(&self) -> i64 {
        let timeout_at_ms = self.entered_at_ms + self.program.timeout_ms;
        self.program.ends_at_ms.map_or(timeout_at_ms, |ends_at_ms| ends_at_ms.min(timeout_at_ms))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "entry {} into {} v{}, at {} since it entered at {}, {:?} timer due at {}, held {:?}, event {}, last {}",
            self.entry,
            self.journey,
            self.version,
            self.node,
            instant_text(self.entered_at_ms),
            self.timer,
            instant_text(self.due_ms),
            self.held,
            Json::Object(self.event.clone()),
            Json::Object(self.last.clone()),
        )
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} entries, document {}", self.entries, Json::Object(self.document.clone()))?;
        for ((journey, id), at_ms) in &self.entered_at_ms {
            writeln!(f, "    entered {journey} {id:?} last at {}", instant_text(*at_ms))?;
        }
        for run in &self.runs {
            writeln!(f, "    inside: {run}")?;
        }
        Ok(())
    }
}
