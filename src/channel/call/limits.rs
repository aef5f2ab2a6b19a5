//! How many calls may be made: exact sliding windows, shared by all pools. A call takes its place in every window that
//! counts it, or in none; the line before a throttled endpoint is `throttle`'s.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::time::Instant;

use super::throttle::{Errand, Line, Passage};
use crate::domain::endpoint::Throttling;
use crate::domain::ids::CatalogVersion;
use crate::domain::limits;
use crate::domain::window::SlidingWindow;

/// One limit that a call is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::channel) struct Bound {
    /// What is counted together.
    pub(super) key: SmolStr,
    /// Calls within any period.
    pub(super) calls: u32,
    /// Milliseconds.
    pub(super) period_ms: i64,
}

/// How many calls the operator allows at most: never more than the constants that are the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallBounds {
    /// Of one host in a minute.
    pub per_host: u32,
    /// Of one slow action in half a minute.
    pub per_slow_action: u32,
    /// Requests of one call after the first.
    pub retries: u32,
}

impl Default for CallBounds {
    fn default() -> Self {
        let (per_host, per_slow_action) = (limits::CALLS_PER_HOST_MAX, limits::CALLS_PER_SLOW_ACTION_MAX);
        Self { per_host, per_slow_action, retries: limits::CALL_RETRIES_MAX }
    }
}

/// All windows. They live as long as the process: after a restart a first period may hold the calls of two.
pub(in crate::channel) struct Limits {
    bounds: OnceLock<CallBounds>,
    started_at: Instant,
    windows: Mutex<HashMap<SmolStr, SlidingWindow>>,
    line: Line,
}

impl Limits {
    pub(in crate::channel) fn new() -> Self {
        let (windows, line) = (Mutex::default(), Line::default());
        Self { bounds: OnceLock::new(), started_at: Instant::now(), windows, line }
    }

    /// Allows so many calls; the first word counts.
    pub(in crate::channel) fn keep_to(&self, bounds: CallBounds) {
        self.bounds.get_or_init(|| bounds);
    }

    /// How many calls are allowed.
    pub(super) fn bounds(&self) -> CallBounds {
        self.bounds.get().copied().unwrap_or_default()
    }

    /// Counts by this throttling from now on, unless a later catalog was seen.
    pub(in crate::channel) fn follow(&self, throttling: Option<&Arc<Throttling>>, catalog: CatalogVersion) {
        self.line.follow(throttling, catalog);
    }

    /// Waits for the turn of `errand`, `until` then at most.
    pub(super) async fn pass(&self, errand: Errand<'_>, until: Instant) -> Passage {
        self.line.pass(errand, until, self.started_at).await
    }

    /// Takes a place under all `bounds`, or none.
    pub(super) fn take(&self, bounds: &[Bound]) -> bool {
        let mut windows = self.windows.lock();
        // Read under the lock, so that windows see time in order.
        let now_ms = i64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(i64::MAX);
        take_at(&mut windows, bounds, now_ms)
    }
}

/// Takes a place under all `bounds` at `now_ms`, or none.
fn take_at(windows: &mut HashMap<SmolStr, SlidingWindow>, bounds: &[Bound], now_ms: i64) -> bool {
    for bound in bounds {
        let window =
            windows.entry(bound.key.clone()).or_insert_with(|| SlidingWindow::new(bound.calls, bound.period_ms));
        window.change(bound.calls, bound.period_ms);
        if !window.has_room(now_ms) {
            return false;
        }
    }
    for bound in bounds {
        if let Some(window) = windows.get_mut(&bound.key) {
            window.take(now_ms);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec §3.7: what a host, and a slow action, takes unless the operator says less.
    #[test]
    fn calls_of_a_host_and_of_a_slow_action_at_their_bounds() {
        let limits = Limits::new();
        let CallBounds { per_host, per_slow_action, retries } = limits.bounds();
        assert_eq!((per_host, per_slow_action, retries), (300_000, 150_000, limits::CALL_RETRIES_MAX));
        assert_eq!(limits::CALL_RETRIES_MAX, 3);
        for (calls, period_ms) in [(limits::CALLS_PER_HOST_MAX, 60_000), (limits::CALLS_PER_SLOW_ACTION_MAX, 30_000)] {
            let mut windows = HashMap::new();
            let bound = [Bound { key: "one".into(), calls, period_ms }];
            for n in 0..i64::from(calls) {
                assert!(take_at(&mut windows, &bound, n * 1_000 / i64::from(calls)), "{n}");
            }
            assert!(!take_at(&mut windows, &bound, period_ms - 1));
            assert!(take_at(&mut windows, &bound, period_ms + 1));
        }
        let fewer = CallBounds { per_host: 2, per_slow_action: 1, retries: 0 };
        limits.keep_to(fewer);
        assert_eq!(limits.bounds(), fewer);
    }

    /// Shards and pools take places at the same time: no window ever gives one too many, nor keeps one back.
    #[test]
    fn windows_give_no_more_places_to_many_at_once() {
        let bound = |key: &str, calls| Bound { key: key.into(), calls, period_ms: 3_600_000 };
        let limits = Limits::new();
        let passed = |n: usize| {
            let slow = if n.is_multiple_of(2) { bound("even", 200) } else { bound("odd", 200) };
            let bounds = [bound("host", 300), slow];
            (0..500).filter(|_| limits.take(&bounds)).count()
        };
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || passed(n))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let of = |parity: usize| counts.iter().skip(parity).step_by(2).sum::<usize>();
        assert_eq!(of(0) + of(1), 300, "{counts:?}");
        assert!(of(0) <= 200 && of(1) <= 200, "{counts:?}");
    }

    #[test]
    fn a_place_is_taken_everywhere_or_nowhere() {
        let mut windows = HashMap::new();
        let bound = |key: &str, calls| Bound { key: key.into(), calls, period_ms: 1_000 };
        let (host, slow) = (bound("host", 3), bound("slow", 1));
        let both = [host.clone(), slow];
        let mut take = |bounds: &[Bound], now_ms| take_at(&mut windows, bounds, now_ms);
        assert!(take(&both, 0));
        assert!(!take(&both, 0), "the slow one is full");
        let one = [host];
        assert!(take(&one, 0) && take(&one, 0));
        assert!(!take(&one, 0), "what was refused took no place");
        assert!(!take(&both, 999));
        assert!(take(&both, 1_000));
    }
}
