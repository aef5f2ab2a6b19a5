//! A sliding window, exact: within any period no more are let through than the limit, and as many as the limit are. Knows
//! no clock: `now` is an argument, in milliseconds since any fixed instant.
//!
//! What came in one millisecond is one entry, so a window of a minute holds 60,000 entries at most (1 MB), however many it
//! lets through.

use std::collections::VecDeque;

/// The window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    limit: u32,
    period_ms: i64,
    /// Instants and how many were let through at each, oldest first: all of the last period.
    /// INVARIANT: `count` is their sum and never above the limit that was asked for.
    taken: VecDeque<(i64, u32)>,
    count: u32,
    latest_ms: i64,
}

impl SlidingWindow {
    /// An empty window that lets `limit` through in any `period_ms`.
    pub fn new(limit: u32, period_ms: i64) -> Self {
        assert!(period_ms > 0, "a window has a period");
        Self { limit, period_ms, taken: VecDeque::new(), count: 0, latest_ms: i64::MIN }
    }

    /// Another limit and period from now on. What was let through stays counted, as far as it is still remembered.
    pub fn change(&mut self, limit: u32, period_ms: i64) {
        assert!(period_ms > 0, "a window has a period");
        (self.limit, self.period_ms) = (limit, period_ms);
    }

    /// Whether one more may pass at `now_ms`. A `now_ms` before an earlier one counts as that one.
    pub fn has_room(&mut self, now_ms: i64) -> bool {
        self.forget(now_ms);
        self.count < self.limit
    }

    /// Lets one through at `now_ms`, or not.
    pub fn take(&mut self, now_ms: i64) -> bool {
        if !self.has_room(now_ms) {
            return false;
        }
        self.count += 1;
        match self.taken.back_mut() {
            Some((at_ms, count)) if *at_ms == self.latest_ms => *count += 1,
            _ => self.taken.push_back((self.latest_ms, 1)),
        }
        true
    }

    /// When the next may pass: `now_ms` or later; never with a limit of 0.
    pub fn free_at(&mut self, now_ms: i64) -> Option<i64> {
        if self.has_room(now_ms) {
            return Some(self.latest_ms);
        }
        // After a lower limit was set more than one entry has to go.
        let mut over = self.count - self.limit.min(self.count) + 1;
        for (at_ms, count) in &self.taken {
            if over <= *count {
                return (self.limit > 0).then(|| at_ms + self.period_ms);
            }
            over -= count;
        }
        None
    }

    fn forget(&mut self, now_ms: i64) {
        self.latest_ms = self.latest_ms.max(now_ms);
        while let Some((at_ms, count)) = self.taken.front()
            && self.latest_ms.saturating_sub(*at_ms) >= self.period_ms
        {
            self.count -= count;
            self.taken.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// The most that passed within any period: one that begins where one passed.
    fn most(passed: &[i64], period_ms: i64) -> usize {
        let within = |from: &i64| passed.iter().filter(|at| (*from..from + period_ms).contains(at)).count();
        passed.iter().map(within).max().unwrap_or(0)
    }

    #[test]
    fn the_window_slides() {
        let mut window = SlidingWindow::new(2, 1_000);
        assert!(window.take(0) && window.take(400));
        assert!(!window.take(999), "two within the last second");
        assert_eq!(window.free_at(999), Some(1_000));
        assert!(window.take(1_000), "the first is a second ago");
        assert!(!window.take(1_399));
        assert!(window.take(1_400) && !window.take(300), "time does not go back");
        window.change(1, 1_000);
        assert_eq!(window.free_at(1_400), Some(2_400));
        window.change(0, 1_000);
        assert_eq!(window.free_at(9_000), None);
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_never_less(
            gaps in prop::collection::vec(0_i64..40, 1..300), limit in 1_u32..12, period_ms in 1_i64..200,
        ) {
            let mut window = SlidingWindow::new(limit, period_ms);
            let (mut now_ms, mut passed) = (0, Vec::new());
            for gap in gaps {
                now_ms += gap;
                let within = passed.iter().filter(|at| now_ms - **at < period_ms).count();
                let free_at = window.free_at(now_ms);
                let took = window.take(now_ms);
                prop_assert_eq!(took, within < limit as usize);
                prop_assert_eq!(took, free_at == Some(now_ms));
                if took {
                    passed.push(now_ms);
                } else {
                    // At the instant named it passes, and not before.
                    let free_at = free_at.expect("the limit is not 0");
                    prop_assert!(!window.clone().take(free_at - 1) && window.clone().take(free_at));
                }
            }
            prop_assert!(most(&passed, period_ms) <= limit as usize);
        }
    }

    #[test]
    fn never_exceeded_by_many_threads() {
        const LIMIT: u32 = 50;
        const PERIOD_MS: i64 = 100;
        let (window, passed) = (Mutex::new(SlidingWindow::new(LIMIT, PERIOD_MS)), Mutex::new(Vec::new()));
        let clock = AtomicI64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let mut window = window.lock().expect("not poisoned");
                        // A third of the calls find the clock where it was.
                        let now_ms = clock.fetch_add(1, Ordering::Relaxed) * 2 / 3;
                        if window.take(now_ms) {
                            passed.lock().expect("not poisoned").push(now_ms);
                        }
                    }
                });
            }
        });
        let passed = passed.into_inner().expect("not poisoned");
        assert!(passed.len() as i64 >= 16_000 * 2 / 3 / PERIOD_MS * i64::from(LIMIT), "{}", passed.len());
        assert_eq!(most(&passed, PERIOD_MS), LIMIT as usize);
    }
}
