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
    started: Instant,
    belief: Mutex<Belief>,
}

/// What is believed of a wall clock that is read beside a steady one.
#[derive(Debug)]
pub struct Belief {
    /// The pair of instants at which the two were last believed to agree; the steady one counts from any start.
    wall: Millis,
    steady: Duration,
    latest: Millis,
    jumped: bool,
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
fn read() -> (Millis, Instant) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (Millis(wall.as_millis() as i64), Instant::now())
}

impl Belief {
    /// At a start both are believed.
    pub fn new(wall: Millis, steady: Duration) -> Self {
        Self { wall, steady, latest: wall, jumped: false }
    }

    /// Reads both; the time that counts.
    pub fn follow(&mut self, wall: Millis, steady: Duration) -> Millis {
        let elapsed = steady.saturating_sub(self.steady).as_millis() as i64;
        let expected = self.wall.plus(elapsed);
        if wall.0.saturating_sub(expected.0) > JUMP_MS_MAX {
            if !self.jumped {
                self.jumped = true;
                tracing::error!(wall = %wall, expected = %expected, "the system clock jumped forward; engine time does not follow until a restart");
            }
            self.latest = self.latest.max(expected);
        } else {
            self.jumped = false;
            if wall >= self.latest {
                // A clock that was set back proves nothing: set right again, it must not look like a jump.
                (self.wall, self.steady, self.latest) = (wall, steady, wall);
            }
        }
        self.latest
    }
}

impl Default for WallClock {
    fn default() -> Self {
        let (wall, started) = read();
        Self { started, belief: Mutex::new(Belief::new(wall, Duration::ZERO)) }
    }
}

impl Clock for WallClock {
    fn now(&self) -> Millis {
        let (wall, steady) = read();
        self.belief.lock().follow(wall, steady.saturating_duration_since(self.started))
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
        let at = Duration::from_millis;
        let mut belief = Belief::new(Millis(1_000), Duration::ZERO);
        assert_eq!(belief.follow(Millis(1_500), at(500)), Millis(1_500));
        assert_eq!(belief.follow(Millis(900), at(600)), Millis(1_500));
        assert_eq!(belief.follow(Millis(1_700), at(700)), Millis(1_700));
        assert_eq!(belief.follow(Millis(JUMP_MS_MAX * 30), at(900)), Millis(1_900));
        assert!(belief.jumped);
        assert_eq!(belief.follow(Millis(2_000), at(1_000)), Millis(2_000));
        assert!(!belief.jumped);
    }

    /// Found by the simulator: a clock set back by a day for three hours, then set right, was taken for a jump forward, and
    /// time stood still for a day.
    #[test]
    fn a_clock_set_back_and_set_right_again_is_followed() {
        const HOUR: i64 = 3_600_000;
        let at = |hours: i64| Duration::from_millis((hours * HOUR) as u64);
        let mut belief = Belief::new(Millis(100 * HOUR), Duration::ZERO);
        assert_eq!(belief.follow(Millis(77 * HOUR), at(1)), Millis(100 * HOUR));
        assert_eq!(belief.follow(Millis(78 * HOUR), at(2)), Millis(100 * HOUR));
        assert_eq!(belief.follow(Millis(103 * HOUR), at(3)), Millis(103 * HOUR));
        // A jump beyond what has passed since is still not believed.
        assert_eq!(belief.follow(Millis(80 * HOUR), at(4)), Millis(103 * HOUR));
        assert_eq!(belief.follow(Millis(106 * HOUR), at(4)), Millis(104 * HOUR));
    }
}
