//! How long things take, in histograms that keep every digit that matters (HdrHistogram, 3 digits).

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Longest time told apart, in microseconds: an hour.
const MICROS_MAX: u64 = 3_600_000_000;

/// Times of one kind of thing. Recorded once a batch, so the lock is rarely met.
#[derive(Debug)]
pub struct Latency {
    micros: Mutex<Histogram<u64>>,
}

/// What a latency came to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencySummary {
    /// How many were recorded.
    pub count: u64,
    /// Median, in seconds.
    pub p50: f64,
    /// 99th percentile, in seconds.
    pub p99: f64,
    /// 99.9th percentile, in seconds.
    pub p999: f64,
    /// The longest, in seconds.
    pub max: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let micros = Histogram::new_with_max(MICROS_MAX, 3).expect("the bounds are constants that fit");
        Self { micros: Mutex::new(micros) }
    }
}

impl Latency {
    /// Records one time.
    pub fn record(&self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(MICROS_MAX);
        self.micros.lock().saturating_record(micros);
    }

    /// What was recorded.
    pub fn summary(&self) -> LatencySummary {
        let micros = self.micros.lock();
        let seconds = |quantile| micros.value_at_quantile(quantile) as f64 / 1e6;
        LatencySummary {
            count: micros.len(),
            p50: seconds(0.5),
            p99: seconds(0.99),
            p999: seconds(0.999),
            max: micros.max() as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_recorded() {
        let latency = Latency::default();
        for micros in 1..=1_000 {
            latency.record(Duration::from_micros(micros));
        }
        let summary = latency.summary();
        assert_eq!((summary.count, summary.max), (1_000, 0.001));
        assert!((0.000_499..0.000_502).contains(&summary.p50), "{summary:?}");
        assert!((0.000_989..0.000_992).contains(&summary.p99), "{summary:?}");
    }
}
