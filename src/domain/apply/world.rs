//! What a decision is given beside the profile, and what it gives back. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::apply::answers::Answers;
use crate::domain::catalog::Catalog;
use crate::domain::effect::{Counter, Effect};
use crate::domain::ids::{Millis, PartitionId, SandboxId};
use crate::domain::step::Step;
use crate::domain::value::Map;

/// What a decision may know beside the profile and the input.
#[expect(missing_debug_implementations, reason = "holds a closure")]
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// What is published.
    pub catalog: &'a Catalog,
    /// Whose profiles these are.
    pub sandbox: SandboxId,
    /// The partition deciding: part of every delivery id.
    pub partition: PartitionId,
    /// Which instant a decision made by a timer counts as.
    pub firing: Firing,
    /// What becomes of calls of custom actions.
    pub calls: &'a Calls,
    /// Whether there is room for one more.
    pub room: &'a dyn Fn(Room<'_>) -> bool,
    /// Profile caps of which all places are known to be taken.
    pub spent: &'a BTreeSet<Counter>,
}

impl World<'_> {
    /// No cap is known to be spent.
    pub const NONE_SPENT: &'static BTreeSet<Counter> = &BTreeSet::new();
}

/// What needs room in the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room<'a> {
    /// A message by this surface (`None` = the log), or a call of this queue, in the outbox.
    Outbox(Option<&'a str>),
    /// A profile that a pause holds at an action.
    Hold,
    /// An entrant that waits for the end of a pause.
    Entrant,
}

/// The instant at which a fired timer's decisions happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firing {
    /// Engine time: on the wall clock, so that after an outage waits don't collapse into one another.
    Engine,
    /// The instant it was due: on a virtual clock, where time passes through every instant.
    Due,
}

/// What becomes of calls of custom actions.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Calls {
    /// They are made, and the answer is an input of its own.
    #[default]
    Made,
    /// Every one counts as answered within the decision, with 200 and nothing: where what is decided must not hang on when
    /// an answer comes.
    Assumed,
    /// Every one is answered within the decision, by what was declared or recorded: a dry run.
    Answered(Arc<Answers>),
}

/// An event as a decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct EventInput<'a> {
    /// Producer's id.
    pub id: &'a str,
    /// Type.
    pub kind: &'a str,
    /// `event.time`, or arrival.
    pub time: Millis,
    /// Properties.
    pub properties: &'a Map,
    /// Types that rules recognise it as, too.
    pub also: &'a [&'a SmolStr],
}

impl EventInput<'_> {
    /// Whether it is of type `kind`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind || self.also.iter().any(|also| *also == kind)
    }
}

/// What one or more decisions for one profile caused. The caller owns and clears it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In order.
    pub steps: Vec<Step>,
    /// In order.
    pub effects: Vec<Effect>,
    /// Text to a step (by index): the error behind a failure.
    pub notes: Vec<(usize, String)>,
}

impl Outcome {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.effects.clear();
        self.notes.clear();
    }
}
