//! A token bucket with reservations, in exact integers. Knows no clock: `now_ns` is an argument (nanoseconds since any
//! fixed instant).
//!
//! A caller is granted its tokens at once and told how long to wait before it goes on; meanwhile the bucket is in debt,
//! so callers are served in the order they asked. A refused caller takes nothing. Admitted within any time `t`:
//! at most `rate · t + max(burst, n)`, where `n` is the largest single reservation. One larger than the burst
//! is let through by waiting until the bucket has made up for it.

/// Highest rate: keeps the debt of the longest wait (584 years) within 128 bits.
pub const RATE_PER_S_MAX: u64 = 1_000_000_000_000;

const NS_PER_S: i128 = 1_000_000_000;

/// The bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    rate_per_s: u64,
    burst: u64,
    /// Tokens in billionths, so that one nanosecond at one token per second is one unit. Negative: debt.
    level: i128,
    /// When `level` was true.
    at_ns: u64,
}

/// Answer to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The tokens are the caller's; it goes on after the wait.
    Granted {
        /// Nanoseconds to wait from the `now_ns` of the call.
        wait_ns: u64,
    },
    /// The wait would be too long; nothing was taken.
    Refused {
        /// Nanoseconds from the `now_ns` of the call after which the same reservation is granted, if none comes between.
        /// (Never, where `n` passes the burst by more than the bucket gains in the longest wait.)
        retry_after_ns: u64,
    },
}

impl TokenBucket {
    /// A full bucket. `rate_per_s` is from 1 to [`RATE_PER_S_MAX`]; no limit at all is the absence of a bucket.
    pub fn new(rate_per_s: u64, burst: u64, now_ns: u64) -> Self {
        assert!((1..=RATE_PER_S_MAX).contains(&rate_per_s), "rate of {rate_per_s}/s is out of range");
        Self { rate_per_s, burst, level: i128::from(burst) * NS_PER_S, at_ns: now_ns }
    }

    /// Tokens per second.
    pub fn rate_per_s(&self) -> u64 {
        self.rate_per_s
    }

    /// Reserves `n` tokens if they are there within `wait_max_ns`. A `now_ns` before an earlier one counts as that one.
    pub fn reserve(&mut self, n: u64, now_ns: u64, wait_max_ns: u64) -> Reservation {
        self.refill(now_ns);
        let level = self.level - i128::from(n) * NS_PER_S;
        let debt_ns = nanoseconds_of_debt(level, self.rate_per_s);
        let wait_ns = debt_ns.saturating_add(self.at_ns.saturating_sub(now_ns));
        if wait_ns > wait_max_ns {
            return Reservation::Refused { retry_after_ns: wait_ns - wait_max_ns };
        }
        // When the caller goes on, the bucket holds no more than is left of a burst after it: what rounding the wait up
        // to a nanosecond gained beyond that is given up, or the law would be broken by a fraction of a token.
        let left = level + i128::from(debt_ns) * i128::from(self.rate_per_s);
        let left_max = i128::from(self.burst.saturating_sub(n)) * NS_PER_S;
        self.level = level - (left - left_max).max(0);
        Reservation::Granted { wait_ns }
    }

    /// Whole tokens that are there at `now_ns`; 0 while in debt.
    pub fn available(&mut self, now_ns: u64) -> u64 {
        self.refill(now_ns);
        u64::try_from(self.level.max(0) / NS_PER_S).expect("the level never passes the burst")
    }

    /// Changes the rate and the burst from `now_ns` on. Debt stays debt.
    pub fn change(&mut self, rate_per_s: u64, burst: u64, now_ns: u64) {
        assert!((1..=RATE_PER_S_MAX).contains(&rate_per_s), "rate of {rate_per_s}/s is out of range");
        self.refill(now_ns);
        self.rate_per_s = rate_per_s;
        self.burst = burst;
        self.level = self.level.min(i128::from(burst) * NS_PER_S);
    }

    fn refill(&mut self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.at_ns);
        self.at_ns += elapsed_ns;
        let full = i128::from(self.burst) * NS_PER_S;
        let gain = i128::from(elapsed_ns) * i128::from(self.rate_per_s);
        self.level = full.min(self.level + gain);
    }
}

/// Nanoseconds, rounded up, until a level is no longer below zero.
fn nanoseconds_of_debt(level: i128, rate_per_s: u64) -> u64 {
    let debt = level.min(0).unsigned_abs();
    u64::try_from(debt.div_ceil(u128::from(rate_per_s))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Runs (n, now, longest wait) against a bucket of 1,000/s with a burst of 100.
    fn check(calls: &[(u64, u64, u64)], expected: &[Reservation]) {
        let mut bucket = TokenBucket::new(1_000, 100, 0);
        let answers: Vec<_> = calls.iter().map(|(n, now, wait_max)| bucket.reserve(*n, *now, *wait_max)).collect();
        assert_eq!(answers, expected);
    }

    fn granted(wait_ns: u64) -> Reservation {
        Reservation::Granted { wait_ns }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        check(&[(100, 0, 0), (1, 0, SECOND), (1, 0, SECOND)], &[granted(0), granted(1_000_000), granted(2_000_000)]);
    }

    #[test]
    fn refused_takes_nothing_and_says_when_to_return() {
        check(
            &[(100, 0, 0), (10, 0, 4_000_000), (10, 5_999_999, 4_000_000), (10, 6_000_000, 4_000_000)],
            &[
                granted(0),
                Reservation::Refused { retry_after_ns: 6_000_000 },
                Reservation::Refused { retry_after_ns: 1 },
                granted(4_000_000),
            ],
        );
    }

    #[test]
    fn more_than_the_burst_passes_by_waiting() {
        check(&[(350, 0, SECOND), (1, 0, SECOND)], &[granted(250_000_000), granted(251_000_000)]);
    }

    #[test]
    fn a_clock_that_goes_back_lends_nothing() {
        check(&[(100, SECOND, 0), (1, 0, 2 * SECOND)], &[granted(0), granted(SECOND + 1_000_000)]);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut bucket = TokenBucket::new(RATE_PER_S_MAX, u64::MAX, 0);
        assert_eq!(bucket.reserve(u64::MAX, u64::MAX, u64::MAX), granted(0));
        assert_eq!(bucket.reserve(1, u64::MAX, 0), Reservation::Refused { retry_after_ns: 1 });
        let mut slow = TokenBucket::new(1, 0, 0);
        assert!(matches!(slow.reserve(u64::MAX, 0, SECOND), Reservation::Refused { .. }));
        assert_eq!(slow.reserve(1, 0, SECOND), granted(SECOND));
        for _ in 0..3 {
            assert!(matches!(
                slow.reserve(u64::MAX / SECOND, 0, u64::MAX),
                Reservation::Granted { .. } | Reservation::Refused { .. }
            ));
        }
    }

    #[test]
    fn changes_apply_from_now_on() {
        let mut bucket = TokenBucket::new(10, 10, 0);
        assert_eq!(bucket.reserve(20, 0, SECOND), granted(SECOND));
        bucket.change(1_000, 5, 0);
        assert_eq!(bucket.reserve(0, 0, SECOND), granted(10_000_000));
        assert_eq!(bucket.available(SECOND), 5);
    }

    proptest! {
        /// Admitted in any window ≤ rate · t + burst; answers come in order; refusals change nothing; the bucket is
        /// fully used: as long as callers wait, the k-th token leaves no later than exactly its turn (and its rounding).
        #[test]
        fn keeps_its_laws(
            rate in prop_oneof![1u64..100, 1u64..2_000_000, Just(3_333_333_333)],
            burst in 0u64..500,
            calls in prop::collection::vec((1u64..600, 0u64..300_000_000, 0u64..2_000_000_000), 1..60),
        ) {
            let mut bucket = TokenBucket::new(rate, burst, 0);
            let (mut now, mut released): (u64, Vec<(u64, u64)>) = (0, Vec::new());
            for (n, pause, wait_max) in calls {
                now += pause;
                let mut before = bucket.clone();
                match bucket.reserve(n, now, wait_max) {
                    Reservation::Granted { wait_ns } => {
                        prop_assert!(wait_ns <= wait_max);
                        // Full use: it could not have gone one nanosecond earlier.
                        if wait_ns > 0 {
                            let refused = matches!(before.reserve(n, now, wait_ns - 1), Reservation::Refused { .. });
                            prop_assert!(refused);
                        }
                        released.push((now + wait_ns, n));
                    }
                    Reservation::Refused { retry_after_ns } => {
                        before.refill(now);
                        prop_assert_eq!(&before, &bucket);
                        let again = bucket.clone().reserve(n, now + retry_after_ns, wait_max);
                        let granted = matches!(again, Reservation::Granted { .. });
                        let gain_in_wait = u128::from(wait_max) * u128::from(rate) / NS_PER_S as u128;
                        let ever = u128::from(n) <= u128::from(burst) + gain_in_wait;
                        prop_assert_eq!(granted, ever, "{:?}", again);
                    }
                }
            }
            prop_assert!(released.is_sorted_by_key(|(at, _)| *at));
            let largest = released.iter().map(|(_, n)| *n).max().unwrap_or(0);
            for first in 0..released.len() {
                let mut sum = 0u128;
                for (at, n) in &released[first..] {
                    sum += u128::from(*n);
                    let allowed = u128::from(at - released[first].0) * u128::from(rate)
                        + u128::from(burst.max(largest)) * NS_PER_S as u128;
                    prop_assert!(sum * NS_PER_S as u128 <= allowed);
                }
            }
        }
    }
}
