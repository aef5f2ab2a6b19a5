//! Pauses of journeys: spans of time, and what holds within and after one. Pure: the instant of a decision says whether it
//! falls into a pause, so that nothing has to happen when one begins or ends.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Millis, stable_hash};
use crate::domain::limits;

/// A pause of a journey, over all its versions. INVARIANT: those of a journey follow one another without overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Which of the journey's it is, from 1.
    pub number: u32,
    /// What becomes of profiles and events within it.
    pub mode: PauseMode,
    /// From when on.
    pub at: Millis,
    /// Until when: it ends by itself, or was resumed then.
    pub ends_at: Millis,
    /// What happens then.
    pub ending: PauseEnding,
    /// What becomes of overdue messages.
    pub overdue: Overdue,
    /// Within how many milliseconds after its end everybody held is let go.
    pub window_ms: i64,
    /// Profiles let go in a second, as it was chosen; 0 is without a bound. Catalogs of before do not say.
    #[serde(default = "usual_rate")]
    pub rate: u32,
}

fn usual_rate() -> u32 {
    limits::RELEASE_RATE
}

/// What becomes of profiles and events while a journey is paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseMode {
    /// They are kept: profiles stay at their actions, entrants and awaited events wait.
    #[default]
    Hold,
    /// They are lost, as in AJO: entrants and events are discarded, profiles leave at their next action.
    Discard,
}

/// What happens at the end of a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseEnding {
    /// The journey goes on.
    #[default]
    Resume,
    /// The journey is stopped.
    Stop,
}

/// What becomes of messages that a pause held up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overdue {
    /// Each goes when its profile is let go.
    #[default]
    Send,
    /// The journey's clock stood still: what was due within the pause, and spans that still run, come later by its length.
    Shift,
    /// Of those one profile has for one channel only the latest goes.
    Merge,
    /// They are skipped.
    Drop,
}

impl Overdue {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Send, Self::Shift, Self::Merge, Self::Drop];

    /// The word for it, as everywhere.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Shift => "shift",
            Self::Merge => "merge",
            Self::Drop => "drop",
        }
    }
}

impl Pause {
    /// Whether `now` falls into it, if it is the latest that has begun.
    pub fn is_on(&self, now: Millis) -> bool {
        self.at <= now && now < self.ends_at
    }

    /// How long it is in milliseconds.
    pub fn length_ms(&self) -> i64 {
        self.ends_at.0 - self.at.0
    }

    /// Whether the clock of those who were inside stood still in it.
    pub fn shifts(&self) -> bool {
        self.mode == PauseMode::Hold && self.overdue == Overdue::Shift && self.ending == PauseEnding::Resume
    }

    /// When a profile that is held since `since` is let go: everybody has an instant of their own within the window, so
    /// that a rate holds without anybody counting. If the journey stops then, nobody is let go later than that.
    pub fn releases_at(&self, identity: &str, since: Millis) -> Millis {
        if self.ending == PauseEnding::Stop {
            return self.ends_at;
        }
        let drawn = stable_hash(&[identity.as_bytes(), b"release"]) as u64;
        let offset = (u128::from(drawn) * u128::from(self.window_ms.max(0).unsigned_abs())) >> 64;
        let paced = self.ends_at.plus(offset as i64);
        match self.shifts() {
            true => paced.max(since.max(self.at).plus(self.length_ms())),
            false => paced,
        }
    }
}

/// How long letting go of `held` profiles takes in milliseconds, at so many a second; a rate of 0 knows no bound.
pub fn window_ms(held: u64, rate: u32) -> i64 {
    if rate == 0 {
        return 0;
    }
    i64::try_from((u128::from(held) * 1_000).div_ceil(u128::from(rate))).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(overdue: Overdue, window_ms: i64) -> Pause {
        let (at, ends_at) = (Millis(1_000), Millis(5_000));
        Pause {
            number: 1,
            mode: PauseMode::Hold,
            at,
            ends_at,
            ending: PauseEnding::Resume,
            overdue,
            window_ms,
            rate: 5,
        }
    }

    #[test]
    fn one_stored_without_a_rate_is_resumed_at_the_usual() {
        let pause = pause(Overdue::Drop, 7);
        let Pause { number, mode, at, ends_at, ending, overdue, window_ms, .. } = pause;
        let before = rmp_serde::to_vec(&(number, mode, at, ends_at, ending, overdue, window_ms)).expect("is written");
        let read: Pause = rmp_serde::from_slice(&before).expect("reads");
        assert_eq!(read, Pause { rate: limits::RELEASE_RATE, ..pause });
        let now = rmp_serde::to_vec(&pause).expect("is written");
        assert_eq!(rmp_serde::from_slice::<Pause>(&now).expect("reads"), pause);
    }

    #[test]
    fn it_is_on_from_its_beginning_to_before_its_end() {
        let on = |now| pause(Overdue::Send, 0).is_on(Millis(now));
        assert_eq!([999, 1_000, 4_999, 5_000].map(on), [false, true, true, false]);
    }

    #[test]
    fn a_rate_spreads_releases_evenly_over_the_window() {
        let rate = crate::domain::limits::RELEASE_RATE;
        assert_eq!(rate, 5_000, "profiles a second");
        assert_eq!([window_ms(0, rate), window_ms(1, rate), window_ms(10_001, rate)], [0, 1, 2_001]);
        assert_eq!(window_ms(7, 0), 0);
        let pause = pause(Overdue::Send, 10_000);
        let mut by_second = [0; 10];
        for n in 0..10_000 {
            let at = pause.releases_at(&format!("crm:{n}"), Millis(2_000));
            by_second[((at.0 - 5_000) / 1_000) as usize] += 1;
        }
        assert!(by_second.iter().all(|count| (900..1_100).contains(count)), "{by_second:?}");
    }

    #[test]
    fn a_shift_keeps_distances() {
        let pause = pause(Overdue::Shift, 0);
        assert_eq!(pause.releases_at("crm:1", Millis(1_500)), Millis(5_500));
        // Held since before, by the pause before this one.
        assert_eq!(pause.releases_at("crm:1", Millis(400)), Millis(5_000));
    }

    #[test]
    fn who_is_to_be_stopped_is_not_let_go_later() {
        let pause = Pause { ending: PauseEnding::Stop, ..pause(Overdue::Send, 10_000) };
        assert_eq!(pause.releases_at("crm:1", Millis(1_500)), Millis(5_000));
    }
}
