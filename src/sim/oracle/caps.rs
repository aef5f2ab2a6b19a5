//! Caps that many profiles share: who passes is the engine's choice, and how many is not.

use std::collections::BTreeMap;

use crate::sim::observe::Observed;
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::nodes::Doing;
use crate::sim::oracle::person::{Person, Run};
use crate::sim::oracle::resources::{Node, Published};
use crate::sim::oracle::{Clock, resources};

/// The way of those within a cap.
const WITHIN: &str = "way 0";
/// The way of all others.
const BEYOND: &str = "way 1";
/// When those who wait are told, on the events' clock.
const TICK_MS: i64 = 1;

/// How many passed each cap: by journey, version and node.
pub(super) type Passed = BTreeMap<(String, u32, String), u64>;

impl Judge<'_> {
    /// What an instance does that comes to a cap: it waits to be told, unless the engine knows that no place is left.
    pub(super) fn come_to_cap(&self, index: usize, otherwise: &str) -> Doing {
        let entry = self.person.runs[index].entry;
        match self.clock {
            Clock::Events => Doing::Stay(Some(self.now_ms + TICK_MS)),
            Clock::Wall if self.step_after().is_some_and(|step| step.entry == entry && step.reason == BEYOND) => {
                Doing::Go(otherwise.to_owned(), BEYOND.to_owned())
            }
            Clock::Wall => Doing::Stay(None),
        }
    }

    /// If this decision tells an instance what became of its place, it goes on; whether it did.
    pub(super) fn hear_place(&mut self) -> Result<bool, String> {
        let Some(step) = self.next_step().filter(|step| [WITHIN, BEYOND].contains(&step.reason.as_str())) else {
            return Ok(false);
        };
        let index = self.person.runs.iter().position(|run| run.entry == step.entry);
        let index = index.ok_or_else(|| format!("nobody waits for a place: {step:?}"))?;
        let run = &self.person.runs[index];
        let program = run.program.clone();
        let resources::Node::ProfileCap { then, otherwise, .. } = &program.nodes[&run.node] else {
            return Ok(false);
        };
        let to = if step.reason == WITHIN { then } else { otherwise };
        self.go(index, to, &step.reason)?;
        Ok(true)
    }
}

/// Nobody passes a full cap, and nobody is sent the other way while there are places.
pub(super) fn count(passed: &mut Passed, published: &Published, observed: &Observed) -> Result<(), String> {
    for step in &observed.steps {
        let version = published.version(&step.journey, step.version);
        let Some(Node::ProfileCap { max, .. }) = version.and_then(|v| v.journey.nodes.get(&step.node)) else {
            continue;
        };
        let count = passed.entry((step.journey.clone(), step.version, step.node.clone())).or_default();
        match step.reason.as_str() {
            WITHIN if *count == *max => return Err(format!("more than {max} pass a cap: {step:?}")),
            WITHIN => *count += 1,
            BEYOND if *count < *max => return Err(format!("only {count} of {max} have passed a cap: {step:?}")),
            _ => {}
        }
    }
    Ok(())
}

/// With nothing left to do nobody waits for a place, but on the events' clock until the tick.
pub(super) fn finish(people: &BTreeMap<String, Person>, clock: Clock) -> Result<(), String> {
    let runs = people.iter().flat_map(|(profile, person)| person.runs.iter().map(move |run| (profile, run)));
    // Who waits for the end of a pause has not come to any node.
    let is_inside = |run: &Run| run.held.as_ref().is_none_or(|held| !held.is_entrant);
    for (profile, run) in runs.filter(|(_, run)| clock == Clock::Wall && is_inside(run)) {
        if matches!(run.program.nodes.get(&run.node), Some(Node::ProfileCap { .. })) {
            return Err(format!("{profile}: nobody tells it whether there is a place: {run}"));
        }
    }
    Ok(())
}
