//! Engine time of recorded events: the greatest time so far in the order of input, over all profiles (design §4 rule
//! 6). Late events are handled at the later time and counted. Reads nothing.

use crate::domain::event::Event;
use crate::domain::ids::Millis;

/// The order in which events are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they come.
    AsRead,
    /// By their times, those of one time as they come. All of them are held in memory.
    ByTime,
}

/// Gives events their engine times.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    until: Option<Millis>,
    first: Option<Millis>,
    latest: Millis,
    late: u64,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is handled at this engine time.
    At(Millis),
    /// It lies beyond the end: neither it nor what follows is taken.
    Beyond,
}

impl Timeline {
    /// A timeline that ends at `until`, that instant included.
    pub fn new(until: Option<Millis>) -> Self {
        Self { until, first: None, latest: Millis::MIN, late: 0 }
    }

    /// Where an event of this time stands.
    ///
    /// An event beyond the end moves engine time beyond it, so that everything behind it is beyond the end as well.
    pub fn place(&mut self, time: Millis) -> Place {
        if self.until.is_some_and(|until| time > until) {
            return Place::Beyond;
        }
        self.late += u64::from(time < self.latest);
        self.latest = self.latest.max(time);
        self.first.get_or_insert(self.latest);
        Place::At(self.latest)
    }

    /// Time of the first event, and the greatest so far.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        self.first.map(|first| (first, self.latest))
    }

    /// Events that came after later ones.
    pub fn late(&self) -> u64 {
        self.late
    }
}

/// Sorts events by time, those of one time as they stood. All have one.
pub fn sort(events: &mut [Event]) {
    events.sort_by_key(|event| event.time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_time_never_falls_and_late_events_are_counted() {
        let mut timeline = Timeline::new(Some(Millis(10)));
        let places: Vec<Place> = [5, 3, 5, 10, 9, 11].map(|t| timeline.place(Millis(t))).to_vec();
        let at = |t| Place::At(Millis(t));
        assert_eq!(places, [at(5), at(5), at(5), at(10), at(10), Place::Beyond]);
        assert_eq!((timeline.late(), timeline.span()), (2, Some((Millis(5), Millis(10)))));
    }
}
