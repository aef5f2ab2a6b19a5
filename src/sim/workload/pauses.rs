//! Pauses of the drawn journeys: long and short ones, and resumes of all kinds.

use crate::domain::catalog::{PauseOrder, ResumeOrder};
use crate::domain::ids::Millis;
use crate::domain::pause::{Overdue, PauseEnding, PauseMode};
use crate::sim::dice::Dice;
use crate::sim::observe::Terms;
use crate::sim::workload::Workload;

/// How a journey is to be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// What becomes of overdue messages, if not what the pause says.
    pub overdue: Option<Overdue>,
    /// Within how many milliseconds everybody is let go.
    pub window_ms: i64,
}

impl Resume {
    /// As an order: so many are held that one a millisecond takes this long.
    pub fn order(self) -> ResumeOrder {
        ResumeOrder { overdue: self.overdue, rate: Some(1_000), held: self.window_ms.unsigned_abs() }
    }

    /// What becomes of overdue messages, in the oracle's words.
    pub fn word(self) -> Option<String> {
        self.overdue.map(|overdue| overdue.word().to_owned())
    }
}

/// A journey to resume, or to pause from `at` on.
pub type Pausing = (String, PauseOrder, Resume);

fn resume(dice: &mut Dice) -> Resume {
    let choice = dice.index(Overdue::ALL.len() + 1);
    Resume { overdue: Overdue::ALL.get(choice).copied(), window_ms: *dice.pick(&WINDOWS_MS) }
}

/// Within how many milliseconds everybody is let go.
const WINDOWS_MS: [i64; 5] = [0, 1, 1_000, 60_000, 7_200_000];

/// The terms of an order, in the oracle's words.
pub fn terms(order: &PauseOrder) -> Terms {
    Terms {
        holds: order.mode == PauseMode::Hold,
        at_ms: order.at.0,
        ends_ms: order.at.0 + order.for_ms,
        stops: order.ending == PauseEnding::Stop,
        overdue: order.overdue.word().to_owned(),
        window_ms: order.window_ms,
    }
}

impl Workload {
    /// One of the journeys, how it would be paused from `at` on, and how it would be resumed.
    pub fn next_pausing(&self, dice: &mut Dice, at: Millis) -> Pausing {
        let name = self.any_journey(dice);
        let for_ms = match dice.below(4) {
            0 => *dice.pick(&[1, 60_000, 3_600_000, 86_400_000, 14 * 86_400_000]),
            1 => self.next_gap_ms(dice).clamp(1, 14 * 86_400_000),
            // An hour is a few steps: whoever is to be held has to have the time to come to a node that acts.
            _ => dice.between(1, 14) * 86_400_000,
        };
        let (overdue, window_ms) = (*dice.pick(&Overdue::ALL), *dice.pick(&WINDOWS_MS));
        let order = PauseOrder {
            mode: if dice.chance(80) { PauseMode::Hold } else { PauseMode::Discard },
            at,
            for_ms,
            ending: if dice.chance(15) { PauseEnding::Stop } else { PauseEnding::Resume },
            overdue,
            window_ms,
            rate: 1_000,
        };
        (name, order, resume(dice))
    }
}
