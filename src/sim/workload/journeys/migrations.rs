//! What new versions make of those inside. Names of nodes are those of the version that was published first, which is
//! surely known.

use super::{Journey, Node};
use crate::sim::dice::Dice;
use crate::sim::workload::durations::WAIT_MS_MAX;
use crate::sim::workload::expressions::DESCRIPTIONS;

/// A journey as it was published first.
#[derive(Clone, Debug)]
pub(in crate::sim::workload) struct Origin {
    /// By node: whether instances pause there.
    pauses: Vec<bool>,
    has_ids: bool,
    /// Some version had supplemental ids and another had none: nobody can go from one to the other.
    is_split: bool,
}

impl Origin {
    pub(in crate::sim::workload) fn of(journey: &Journey) -> Self {
        let pauses = journey.nodes.iter().map(Node::pauses).collect();
        Self { pauses, has_ids: journey.supplemental_id.is_some(), is_split: false }
    }
}

impl Journey {
    /// The same in all but the lengths of its waits, or but what it says of itself.
    pub(in crate::sim::workload) fn retimed(&self, dice: &mut Dice) -> Self {
        let timeout_ms = self.timeout_ms.unwrap_or(WAIT_MS_MAX).min(WAIT_MS_MAX);
        let mut next = self.clone();
        if dice.chance(20) {
            next.description = Some(*dice.pick(&DESCRIPTIONS));
            return next;
        }
        next.priority = Some(dice.between(0, 100));
        for node in &mut next.nodes {
            if let Node::Wait(ms, _) | Node::Event { within_ms: Some(ms), .. } = node {
                // Not so short that going round takes for ever.
                let shorter = *ms * 2 / 3;
                *ms = if dice.chance(50) && shorter >= (timeout_ms / 50).max(1) { shorter } else { *ms / 2 * 3 };
                *ms = (*ms).clamp(1, timeout_ms);
            }
        }
        next
    }

    /// Draws what becomes of those in older versions.
    pub(in crate::sim::workload) fn dispose(&mut self, dice: &mut Dice, origin: &mut Origin) {
        self.migration = None;
        if self.supplemental_id.is_some() != origin.has_ids && dice.chance(75) {
            self.supplemental_id = origin.has_ids.then_some("event.tag");
        }
        origin.is_split |= self.supplemental_id.is_some() != origin.has_ids;
        if dice.chance(25) {
            return;
        }
        let targets: Vec<usize> = (0..self.nodes.len()).filter(|number| !self.asks_back(*number)).collect();
        let to = |dice: &mut Dice| format!("{{ move: n{} }}", dice.pick(&targets));
        let goes = !origin.is_split;
        let default = match dice.below(10) {
            0..2 => "default: keep, ".to_owned(),
            2 => "default: exit, ".to_owned(),
            3..6 if goes => format!("default: {}, ", to(dice)),
            _ => String::new(),
        };
        let mut nodes: Vec<String> = Vec::new();
        for (number, paused) in origin.pauses.iter().enumerate() {
            let pauses = self.nodes.get(number).is_some_and(Node::pauses) && !self.asks_back(number);
            let choice = match dice.below(8) {
                0 => "keep".to_owned(),
                1 => "exit".to_owned(),
                2..4 if goes => to(dice),
                4..7 if goes && *paused && pauses => "recompute".to_owned(),
                _ => continue,
            };
            nodes.push(format!("n{number}: {choice}"));
        }
        self.migration = Some(format!("{default}nodes: {{ {} }}", nodes.join(", ")));
    }

    /// Whether the node only waits for feedback on a message that those who come to it may not have had.
    fn asks_back(&self, number: usize) -> bool {
        matches!(&self.nodes[number], Node::Event { filter, .. } if filter.of.is_some())
    }
}
