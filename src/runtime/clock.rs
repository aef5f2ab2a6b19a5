//! The clocks. Nothing else in Sojourn asks the system for the time on behalf of a decision.
//!
//! Engine time is monotone. A forward jump of the system's clock while running (a wrong NTP server, a suspended machine)
//! would end waits early for everyone: beyond [`JUMP_MS_MAX`] it is raised and not followed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::domain::ids::Millis;

/// How far the wall clock may run ahead of the monotonic one before it is not believed.
pub const JUMP_MS_MAX: i64 = 3_600_000;

/// Where engine time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now. Never earlier than before.
    fn now(&self) -> Millis;
}

/// Reads the system's clock.
#[derive(Debug)]
pub struct WallClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The pair of instants at which wall and monotonic clock were last believed to agree.
    wall: Millis,
    steady: Instant,
    latest: Millis,
    jumped: bool,
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
fn read() -> (Millis, Instant) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (Millis(wall.as_millis() as i64), Instant::now())
}

impl Default for WallClock {
    fn default() -> Self {
        let (wall, steady) = read();
        Self { state: Mutex::new(State { wall, steady, latest: wall, jumped: false }) }
    }
}

impl WallClock {
    fn follow(state: &mut State, wall: Millis, steady: Instant) -> Millis {
        let elapsed = steady.saturating_duration_since(state.steady).as_millis() as i64;
        let expected = state.wall.plus(elapsed);
        if wall.0.saturating_sub(expected.0) > JUMP_MS_MAX {
            if !state.jumped {
                state.jumped = true;
                tracing::error!(wall = %wall, expected = %expected, "the system clock jumped forward; engine time does not follow until a restart");
            }
            state.latest = state.latest.max(expected);
        } else {
            state.jumped = false;
            (state.wall, state.steady) = (wall, steady);
            state.latest = state.latest.max(wall);
        }
        state.latest
    }
}

impl Clock for WallClock {
    fn now(&self) -> Millis {
        let (wall, steady) = read();
        Self::follow(&mut self.state.lock(), wall, steady)
    }
}

/// The clock of a run on the events' time: time comes with the events.
#[derive(Debug, Default)]
pub struct EventsClock;

impl Clock for EventsClock {
    fn now(&self) -> Millis {
        Millis::MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_jump_is_not_followed_and_time_never_goes_back() {
        let (_, start) = read();
        let mut state = State { wall: Millis(1_000), steady: start, latest: Millis(1_000), jumped: false };
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(WallClock::follow(&mut state, Millis(1_500), at(500)), Millis(1_500));
        assert_eq!(WallClock::follow(&mut state, Millis(900), at(600)), Millis(1_500));
        assert_eq!(WallClock::follow(&mut state, Millis(1_700), at(700)), Millis(1_700));
        assert_eq!(WallClock::follow(&mut state, Millis(JUMP_MS_MAX * 30), at(900)), Millis(1_900));
        assert!(state.jumped);
        assert_eq!(WallClock::follow(&mut state, Millis(2_000), at(1_000)), Millis(2_000));
        assert!(!state.jumped);
    }
}
