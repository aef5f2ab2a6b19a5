//! Deliveries of late, of which something may be heard: their receivers open, and click.

use std::collections::VecDeque;

use crate::sim::dice::Dice;

/// How many are remembered.
const RECENT_MAX: usize = 32;

/// Profiles and ids of the latest deliveries.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(String, String)>);

impl Recent {
    /// Notes one more.
    pub(super) fn note(&mut self, profile: String, id: String) {
        if self.0.len() == RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((profile, id));
    }

    /// One of them, now and then.
    pub(super) fn draw(&self, dice: &mut Dice) -> Option<(String, String)> {
        let is_heard_of = !self.0.is_empty() && dice.chance(8);
        is_heard_of.then(|| self.0[dice.index(self.0.len())].clone())
    }
}
