//! What happens while a run goes on: counts and latencies, sampled over time together with what the server uses; and a
//! line a second for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::machine::{Usage, nanoseconds};

/// Time between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// Samples of a second.
const SAMPLES_PER_S: usize = 4;
/// Significant digits of latencies.
const DIGITS: u8 = 3;

/// What was seen at one moment. Counts are from the start, latencies of what was acknowledged since the sample before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// Events acknowledged.
    pub events: u64,
    /// What else the run is about: timers fired, messages received.
    pub done: u64,
    /// Median, 99th percentile and highest latency, nanoseconds; none if nothing was acknowledged.
    pub latency: Option<[u64; 3]>,
    /// The server, where it is known.
    pub usage: Option<Usage>,
}

/// Latencies of all, and of those since the last sample.
#[derive(Debug)]
struct Latencies {
    all: Histogram<u64>,
    recent: Histogram<u64>,
}

/// Counts and latencies of a run.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    events: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    held_back: AtomicU64,
    /// The server's process; 0 = unknown.
    process: AtomicU32,
    latencies: Mutex<Latencies>,
    refusals: Mutex<Histogram<u64>>,
    samples: Mutex<Vec<Sample>>,
    marks: Mutex<Vec<(Duration, String)>>,
    /// What `done` counts, for the line.
    done_name: Option<&'static str>,
}

/// A histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are allowed")
}

/// Adds a time `count` times.
pub fn record(times: &mut Histogram<u64>, time: Duration, count: u64) {
    times.record_n(nanoseconds(time), count).expect("a histogram of its own making grows as it must");
}

impl Meter {
    /// Nothing has happened. `done_name` says what is counted beside events.
    pub fn new(process: Option<u32>, done_name: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            events: AtomicU64::new(0),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            process: AtomicU32::new(process.unwrap_or(0)),
            latencies: Mutex::new(Latencies { all: histogram(), recent: histogram() }),
            refusals: Mutex::new(histogram()),
            samples: Mutex::default(),
            marks: Mutex::default(),
            done_name,
        })
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Events acknowledged.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Events refused, and how long each refusal took.
    pub fn refused(&self) -> (u64, Histogram<u64>) {
        (self.refused.load(Ordering::Relaxed), self.refusals.lock().clone())
    }

    /// Latencies of all events acknowledged.
    pub fn latency(&self) -> Histogram<u64> {
        self.latencies.lock().all.clone()
    }

    /// The server is this process now.
    pub fn follow(&self, process: Option<u32>) {
        self.process.store(process.unwrap_or(0), Ordering::Relaxed);
    }

    /// So many events were acknowledged, so long after they should have been sent.
    pub fn acknowledge(&self, count: u64, latency: Duration) {
        self.events.fetch_add(count, Ordering::Relaxed);
        record(&mut self.latencies.lock().recent, latency, count);
    }

    /// So many events were refused, so long after the server was asked.
    pub fn refuse(&self, count: u64, took: Duration) {
        self.refused.fetch_add(count, Ordering::Relaxed);
        record(&mut self.refusals.lock(), took, count);
    }

    /// So many events were not sent, because there was no room.
    pub fn hold_back(&self, count: u64) {
        self.held_back.fetch_add(count, Ordering::Relaxed);
    }

    /// Events not sent, because there was no room.
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }

    /// So much of what else the run is about is done, in all.
    pub fn reach(&self, done: u64) {
        self.done.fetch_max(done, Ordering::Relaxed);
    }

    /// Something happened now that plots should show.
    pub fn mark(&self, what: impl Into<String>) {
        self.marks.lock().push((self.elapsed(), what.into()));
    }

    /// Everything sampled, and the marks.
    pub fn record(&self) -> (Vec<Sample>, Vec<(Duration, String)>) {
        (self.samples.lock().clone(), self.marks.lock().clone())
    }

    /// Takes a sample.
    fn sample(&self) -> Sample {
        let latency = {
            let mut latencies = self.latencies.lock();
            let recent = std::mem::replace(&mut latencies.recent, histogram());
            latencies.all.add(&recent).expect("both have the same digits and grow");
            let at = |quantile| recent.value_at_quantile(quantile);
            (!recent.is_empty()).then(|| [at(0.5), at(0.99), recent.max()])
        };
        let process = self.process.load(Ordering::Relaxed);
        // A process that is being replaced has no figures for a moment.
        let usage = (process > 0).then(|| Usage::of(process).ok()).flatten();
        let sample = Sample {
            at: self.elapsed(),
            events: self.events(),
            done: self.done.load(Ordering::Relaxed),
            latency,
            usage,
        };
        self.samples.lock().push(sample);
        sample
    }

    /// Samples until the handle is dropped, and tells a line each second.
    pub fn run(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        self.run_telling(|text| eprintln!("{text}"))
    }

    /// Samples until the handle is dropped.
    pub fn run_silently(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        self.run_telling(|_| {})
    }

    fn run_telling(self: &Arc<Self>, tell: fn(&str)) -> AbortOnDropHandle<()> {
        let meter = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut ticks = interval(SAMPLE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            let mut before = meter.sample();
            for number in 1.. {
                ticks.tick().await;
                let now = meter.sample();
                if number % SAMPLES_PER_S == 0 {
                    tell(&line(&before, &now, meter.done_name));
                    before = now;
                }
            }
        }))
    }

    /// Takes a last sample, so that what came since the one before is in it.
    pub fn close(&self) {
        self.sample();
    }
}

/// What happened between two samples, for people.
fn line(before: &Sample, now: &Sample, done_name: Option<&str>) -> String {
    let span = (now.at - before.at).as_secs_f64();
    let rate = |before: u64, now: u64| ((now - before) as f64 / span).round();
    let mut text = format!("{:>4.0} s  {:>9.0} events/s", now.at.as_secs_f64(), rate(before.events, now.events));
    if let Some(name) = done_name {
        text += &format!("  {:>9.0} {name}/s", rate(before.done, now.done));
    }
    if let Some([p50, p99, max]) = now.latency {
        let [p50, p99, max] = [p50, p99, max].map(|ns| ns as f64 / 1e6);
        text += &format!("  p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms");
    }
    if let (Some(earlier), Some(usage)) = (before.usage, now.usage) {
        let cpu = (usage.cpu_s - earlier.cpu_s).max(0.0) / span * 100.0;
        text += &format!("  server: {cpu:.0} % CPU, {} MiB", usage.rss_bytes >> 20);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sample_holds_what_came_since_the_one_before() {
        let meter = Meter::new(None, None);
        meter.acknowledge(99, Duration::from_millis(1));
        meter.acknowledge(1, Duration::from_millis(50));
        let [p50, p99, max] = meter.sample().latency.expect("there are some");
        assert!(
            p50.abs_diff(1_000_000) < 2_000 && p99.abs_diff(1_000_000) < 2_000 && max.abs_diff(50_000_000) < 100_000
        );
        assert_eq!(meter.sample().latency, None);
        meter.acknowledge(1, Duration::from_millis(2));
        meter.close();
        assert_eq!((meter.events(), meter.latency().len(), meter.record().0.len()), (101, 101, 3));
    }

    #[test]
    fn the_line_says_rates() {
        let usage = |cpu_s, rss_bytes| Some(Usage { cpu_s, rss_bytes });
        let before = Sample { usage: usage(1.0, 0), ..Sample::default() };
        let now = Sample {
            at: Duration::from_secs(2),
            events: 200,
            done: 50,
            latency: Some([1_000_000, 2_000_000, 3_000_000]),
            usage: usage(2.0, 3 << 20),
        };
        let text = line(&before, &now, Some("timers"));
        assert_eq!(
            text,
            "   2 s        100 events/s         25 timers/s  p50 1.0, p99 2.0, max 3.0 ms  server: 50 % CPU, 3 MiB"
        );
    }
}
