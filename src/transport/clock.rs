//! Engine times of events as their source sees them: on the events' clock, the running maximum of their own times.
//! A source is a stream of a producer, one call, or all of HTTP. Never asks the system for the time.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::runtime::engine::ClockMode;

/// What moves timers: decides whether events are stamped on their way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClock {
    /// The machine's clock; `event.time` is data.
    Wall,
    /// The events' own times: each is stamped with the running maximum of its stream.
    Events,
}

impl From<ClockMode> for EventClock {
    fn from(mode: ClockMode) -> Self {
        match mode {
            ClockMode::Wall => Self::Wall,
            ClockMode::Events => Self::Events,
        }
    }
}

impl EventClock {
    /// Its name in a welcome.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Events => "events",
        }
    }
}

/// What gives the events of one source their engine time.
#[derive(Debug)]
pub struct SourceClock {
    clock: EventClock,
    /// The greatest time so far, in milliseconds; [`Millis::MIN`] before the first.
    greatest: AtomicI64,
}

impl SourceClock {
    /// Goes on from `engine_time`; without one, no time has come yet.
    pub fn new(clock: EventClock, engine_time: Option<Millis>) -> Self {
        Self { clock, greatest: AtomicI64::new(engine_time.unwrap_or(Millis::MIN).0) }
    }

    /// One engine time per event, never falling; nothing on the wall clock. An event without a time stands still, and
    /// before the first time it gets [`Millis::MIN`].
    pub fn engine_times(&self, events: &[Event]) -> Vec<Millis> {
        if self.clock == EventClock::Wall {
            return Vec::new();
        }
        let later = |time: Millis| Millis(self.greatest.fetch_max(time.0, Ordering::Relaxed).max(time.0));
        events.iter().map(|event| later(event.time.unwrap_or(Millis::MIN))).collect()
    }

    /// The greatest time so far; none on the wall clock and before the first time.
    pub fn now(&self) -> Option<Millis> {
        let greatest = Millis(self.greatest.load(Ordering::Relaxed));
        (self.clock == EventClock::Events && greatest > Millis::MIN).then_some(greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: Option<i64>) -> Event {
        let (id, kind, profile) = ("e".into(), "t".into(), "n:v".into());
        Event { id, kind, profile, time: time.map(Millis), properties: bytes::Bytes::from_static(&[0x80]) }
    }

    fn check(clock: &SourceClock, times: &[Option<i64>], expected: &[i64], now: Option<i64>) {
        let events: Vec<Event> = times.iter().copied().map(event).collect();
        assert_eq!(clock.engine_times(&events).iter().map(|t| t.0).collect::<Vec<_>>(), expected);
        assert_eq!(clock.now(), now.map(Millis));
    }

    #[test]
    fn engine_times_never_fall() {
        let clock = SourceClock::new(EventClock::Events, None);
        check(&clock, &[Some(5), Some(3), None, Some(9)], &[5, 5, 5, 9], Some(9));
        check(&clock, &[Some(7)], &[9], Some(9));
        let resumed = SourceClock::new(EventClock::Events, Some(Millis(8)));
        check(&resumed, &[Some(5), None, Some(9)], &[8, 8, 9], Some(9));
    }

    #[test]
    fn before_the_first_time_there_is_none() {
        let clock = SourceClock::new(EventClock::Events, None);
        check(&clock, &[None], &[i64::MIN], None);
        check(&clock, &[None, Some(-5), None], &[i64::MIN, -5, -5], Some(-5));
    }

    #[test]
    fn the_wall_clock_gives_none() {
        check(&SourceClock::new(EventClock::Wall, Some(Millis(1))), &[Some(5)], &[], None);
    }
}
