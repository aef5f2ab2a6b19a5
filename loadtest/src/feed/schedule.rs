//! When events are due in an open loop: on a grid of [`TICK`], in exact integers, dealt out to connections in turn.

use std::time::Duration;

use crate::source::part;

/// Grid of intended times.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks of a second.
const TICKS_PER_S: u64 = 1_000;

/// One connection's share of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    rate_per_s: u64,
    connection: u64,
    connections: u64,
}

impl Schedule {
    /// The share of one of so many connections.
    pub fn new(rate_per_s: u64, connection: u64, connections: u64) -> Self {
        Self { rate_per_s, connection, connections }
    }

    /// Events of this connection due within the first `ticks` ticks.
    pub fn due_within(&self, ticks: u64) -> u64 {
        let due = u128::from(self.rate_per_s) * u128::from(ticks) / u128::from(TICKS_PER_S);
        part(u64::try_from(due).unwrap_or(u64::MAX), self.connection, self.connections)
    }
}

/// Ticks that begin within a span.
pub fn ticks_of(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_due_once_at_the_rate() {
        let check = |rate: u64, connections: u64, ticks: u64, expected: u64| {
            let due = |within| (0..connections).map(|c| Schedule::new(rate, c, connections).due_within(within)).sum();
            assert_eq!(due(ticks), expected);
            let mut before = 0;
            for tick in 1..=ticks {
                let now: u64 = due(tick);
                assert!(now >= before && now - before <= rate.div_ceil(TICKS_PER_S), "tick {tick}");
                before = now;
            }
        };
        check(50_000, 2, 1_000, 50_000);
        check(7, 3, 2_000, 14);
        check(1_500, 16, 999, 1_498);
        assert_eq!(Schedule::new(u64::MAX, 0, 1).due_within(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_span_has_the_ticks_that_begin_in_it() {
        assert_eq!([0, 1, 999, 1_000, 1_001].map(|us| ticks_of(Duration::from_micros(us))), [0, 1, 1, 1, 2]);
    }
}
