//! What a decision is given beside the profile, and what it gives back. Decides nothing.

use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::effect::Effect;
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
    pub calls: Calls,
    /// Whether the outbox has room for one more message by this surface (`None` = the log), or call of this queue.
    pub room: &'a dyn Fn(Option<&str>) -> bool,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// They are made, and the answer is an input of its own.
    #[default]
    Made,
    /// Every one counts as answered within the decision, with 200 and nothing: where what is decided must not hang on when
    /// an answer comes.
    Assumed,
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
