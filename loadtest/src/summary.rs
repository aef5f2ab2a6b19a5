//! The figures of a run, for people and as JSON.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::feed::Fed;
use crate::machine::Usage;
use crate::verify::Verdict;
use crate::{Feed, Pace, Run};

/// Everything measured in a run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What was asked for.
    pub run: Run,
    /// What feeding came to.
    pub fed: Fed,
    /// Times of one sync of the disk, idle.
    pub disk_sync: Histogram<u64>,
    /// The server, before the first event.
    pub before: Usage,
    /// The server, after the last acknowledgement.
    pub after: Usage,
    /// What the disk wrote meanwhile, whoever caused it; none where the system does not say.
    pub written_bytes: Option<u64>,
    /// Instances running after the last acknowledgement.
    pub waiting: u64,
    /// What verifying came to.
    pub verdict: Verdict,
}

/// Nanoseconds as milliseconds, to the microsecond.
fn ms(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 1_000.0).round() / 1_000.0
}

/// To two decimals.
fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

impl Figures {
    fn latency_ms(&self, quantile: f64) -> f64 {
        ms(self.fed.latency.value_at_quantile(quantile))
    }

    fn events_per_s(&self) -> f64 {
        (self.fed.events as f64 / self.fed.elapsed.as_secs_f64()).round()
    }

    fn cpu_s_per_million(&self) -> f64 {
        round((self.after.cpu_s - self.before.cpu_s) * 1e6 / self.fed.events.max(1) as f64)
    }

    /// Growth of memory over instances running; none if nobody waits.
    fn bytes_per_waiting(&self) -> Option<f64> {
        let growth = self.after.rss_bytes.saturating_sub(self.before.rss_bytes);
        (self.waiting > 0).then(|| (growth as f64 / self.waiting as f64).round())
    }

    fn disk_bytes_per_event(&self) -> Option<f64> {
        self.written_bytes.map(|bytes| round(bytes as f64 / self.fed.events.max(1) as f64))
    }

    fn feed(&self) -> &'static str {
        match self.run.feed {
            Feed::Tcp => "tcp",
        }
    }

    /// The contract's object.
    pub fn json(&self) -> Value {
        json!({
            "scenario": self.run.scenario.name(),
            "feed": self.feed(),
            "rate": match self.run.rate { Pace::Max => Value::from("max"), Pace::PerSecond(rate) => rate.into() },
            "connections": self.run.connections,
            "events": self.fed.events,
            "events_per_s": self.events_per_s(),
            "p50_ms": self.latency_ms(0.5),
            "p99_ms": self.latency_ms(0.99),
            "p999_ms": self.latency_ms(0.999),
            "max_ms": ms(self.fed.latency.max()),
            "cpu_s_per_million": self.cpu_s_per_million(),
            "rss_mb": round(self.after.rss_bytes as f64 / 1e6),
            "bytes_per_waiting": self.bytes_per_waiting(),
            "waiting": self.waiting,
            "disk_bytes_per_event": self.disk_bytes_per_event(),
            "disk_sync_p99_ms": ms(self.disk_sync.value_at_quantile(0.99)),
            "entered": self.verdict.entered,
            "discarded": self.verdict.discarded,
            "messages": self.verdict.messages,
            "quiet_after_s": round(self.verdict.quiet_after.as_secs_f64()),
            "lost": self.verdict.lost,
            "duplicated": self.verdict.duplicated,
            "verified": self.verdict.is_verified(),
        })
    }

    /// The same for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let pace = match self.run.rate {
            Pace::Max => "closed loop".to_owned(),
            Pace::PerSecond(rate) => format!("{rate} events/s intended"),
        };
        let mut row = |name: &str, figure: String| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name:<28}{figure}");
        };
        row("scenario", format!("{} over {}, {pace}", self.run.scenario.name(), self.feed()));
        row("events", format!("{} in {:.2} s", self.fed.events, self.fed.elapsed.as_secs_f64()));
        row("durably acknowledged", format!("{} events/s", self.events_per_s()));
        let latency = [0.5, 0.99, 0.999].map(|quantile| self.latency_ms(quantile));
        let max = ms(self.fed.latency.max());
        row("latency p50/p99/p99.9/max", format!("{} / {} / {} / {max} ms", latency[0], latency[1], latency[2]));
        let sync = [0.5, 0.99].map(|quantile| ms(self.disk_sync.value_at_quantile(quantile)));
        row("one sync of the idle disk", format!("p50 {} ms, p99 {} ms", sync[0], sync[1]));
        row("CPU of the server", format!("{} s per million events", self.cpu_s_per_million()));
        row("memory of the server", format!("{} MiB", self.after.rss_bytes >> 20));
        let each = self.bytes_per_waiting().map_or("-".to_owned(), |bytes| format!("{bytes} bytes each"));
        row("waiting at the end", format!("{} profiles, {each}", self.waiting));
        let bytes = self.disk_bytes_per_event().map_or("-".to_owned(), |bytes| format!("{bytes} bytes per event"));
        row("written by the disk", bytes);
        let verdict = &self.verdict;
        row("entered, refused, messages", format!("{}, {}, {}", verdict.entered, verdict.discarded, verdict.messages));
        row("quiet after", format!("{:.2} s", self.verdict.quiet_after.as_secs_f64()));
        row("lost, duplicated", format!("{}, {}", self.verdict.lost, self.verdict.duplicated));
        for flaw in &self.verdict.flaws {
            row("flaw", flaw.clone());
        }
        row("verified", self.verdict.is_verified().to_string());
        text
    }
}
