//! Engine times of events as their source sees them: on the events' clock, the running maximum of their own times.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::event::Event;
use crate::domain::ids::Millis;

/// What gives the events of one source their engine time.
#[derive(Debug)]
pub enum SourceClock {
    /// The machine's clock: events bring no engine time.
    Wall,
    /// The greatest time so far, in milliseconds; [`Millis::MIN`] before the first.
    Events(AtomicI64),
}

impl SourceClock {
    /// A source on the events' clock.
    pub fn events() -> Self {
        Self::Events(AtomicI64::new(Millis::MIN.0))
    }

    /// One engine time per event, never falling; nothing on the wall clock. An event without a time stands still.
    pub fn engine_times(&self, events: &[Event]) -> Vec<Millis> {
        let Self::Events(greatest) = self else { return Vec::new() };
        let later = |time: Millis| Millis(greatest.fetch_max(time.0, Ordering::Relaxed).max(time.0));
        events.iter().map(|event| later(event.time.unwrap_or(Millis::MIN))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: Option<i64>) -> Event {
        let (id, kind, profile) = ("e".into(), "t".into(), "n:v".into());
        Event { id, kind, profile, time: time.map(Millis), properties: bytes::Bytes::from_static(&[0x80]) }
    }

    #[test]
    fn engine_times_never_fall() {
        let clock = SourceClock::events();
        let times = |events: &[Event]| clock.engine_times(events).iter().map(|t| t.0).collect::<Vec<_>>();
        assert_eq!(times(&[event(Some(5)), event(Some(3)), event(None), event(Some(9))]), [5, 5, 5, 9]);
        assert_eq!(times(&[event(Some(7))]), [9]);
        assert_eq!(SourceClock::Wall.engine_times(&[event(Some(5))]), []);
    }
}
