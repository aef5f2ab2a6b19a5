//! How many calls may be made: exact sliding windows, shared by all pools. A call takes its place in every window that
//! counts it, or in none; the line before a throttled endpoint is `throttle`'s.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::time::Instant;

use super::throttle::{Errand, Line, Passage};
use crate::domain::endpoint::Throttling;
use crate::domain::ids::CatalogVersion;
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

/// All windows. They live as long as the process: after a restart a first period may hold the calls of two.
pub(in crate::channel) struct Limits {
    started_at: Instant,
    windows: Mutex<HashMap<SmolStr, SlidingWindow>>,
    line: Line,
}

impl Limits {
    pub(in crate::channel) fn new() -> Self {
        Self { started_at: Instant::now(), windows: Mutex::default(), line: Line::default() }
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
