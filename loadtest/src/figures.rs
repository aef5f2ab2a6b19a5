//! The figures of a run, for people and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::feed::meter::Sample;
use crate::machine::Machine;
use crate::options::{Durability, Pace, Run};
use crate::scenario::Scenario;
use crate::stage::{Findings, Reading};

/// Everything measured in a run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What was asked for.
    pub run: Run,
    /// Where.
    pub machine: Machine,
    /// What the scenario found.
    pub findings: Findings,
    /// Latencies of events, nanoseconds.
    pub latency: Histogram<u64>,
    /// Times of one sync of the disk, idle.
    pub disk_sync: Histogram<u64>,
    /// Before the first event.
    pub at_start: Reading,
    /// When the measured part ended.
    pub at_end: Reading,
    /// What was seen over time.
    pub samples: Vec<Sample>,
    /// What happened when.
    pub marks: Vec<(Duration, String)>,
}

/// Nanoseconds as milliseconds, to the microsecond.
pub fn ms(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 1_000.0).round() / 1_000.0
}

/// To two decimals.
fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// A figure with its unit, or a dash.
fn or_dash(figure: Option<f64>, unit: &str) -> String {
    figure.map_or("-".to_owned(), |figure| format!("{figure} {unit}"))
}

/// An object as `name value, name value`.
fn words(item: &Value) -> String {
    let fields = item.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{} {value}", name.replace('_', " "))).collect::<Vec<_>>().join(", ")
}

impl Figures {
    /// Latency at a quantile; none if no event was acknowledged.
    pub fn latency_ms(&self, quantile: f64) -> Option<f64> {
        (!self.latency.is_empty()).then(|| ms(self.latency.value_at_quantile(quantile)))
    }

    /// Events acknowledged a second.
    pub fn events_per_s(&self) -> f64 {
        let fed = &self.findings.fed;
        (fed.events as f64 / fed.elapsed.as_secs_f64()).round()
    }

    fn per_event(&self, amount: f64) -> f64 {
        amount / self.findings.fed.events.max(1) as f64
    }

    /// CPU seconds of the server for a million events.
    pub fn cpu_s_per_million(&self) -> Option<f64> {
        let (before, after) = self.at_start.usage.zip(self.at_end.usage)?;
        Some(round(self.per_event(after.cpu_s - before.cpu_s) * 1e6))
    }

    /// Megabytes of memory of the server.
    pub fn rss_mb(&self) -> Option<f64> {
        self.at_end.usage.map(|usage| round(usage.rss_bytes as f64 / 1e6))
    }

    /// Growth of memory over instances running; none if nobody waits.
    pub fn bytes_per_waiting(&self) -> Option<f64> {
        let (before, after) = self.at_start.usage.zip(self.at_end.usage)?;
        let growth = after.rss_bytes.saturating_sub(before.rss_bytes);
        let waiting = self.findings.waiting;
        (waiting > 0).then(|| (growth as f64 / waiting as f64).round())
    }

    /// Bytes that the disk wrote for an event.
    pub fn disk_bytes_per_event(&self) -> Option<f64> {
        let (before, after) = self.at_start.written_bytes.zip(self.at_end.written_bytes)?;
        Some(round(self.per_event(after.saturating_sub(before) as f64)))
    }

    /// 99th percentile of one sync of the idle disk.
    pub fn disk_sync_p99_ms(&self) -> f64 {
        ms(self.disk_sync.value_at_quantile(0.99))
    }

    /// The pace in words.
    pub fn pace(&self) -> String {
        match (self.run.scenario, self.run.pace()) {
            (_, Pace::Max) => "closed loop".to_owned(),
            (Scenario::Overload, Pace::PerSecond(rate)) => format!("{rate} events/s admitted"),
            (_, Pace::PerSecond(rate)) => format!("{rate} events/s intended"),
        }
    }

    /// The contract's object.
    pub fn json(&self) -> Value {
        let (run, verdict) = (&self.run, &self.findings.verdict);
        let mut object = json!({
            "scenario": run.scenario.name(),
            "feed": run.feed.name(),
            "rate": match run.pace() { Pace::Max => Value::from("max"), Pace::PerSecond(rate) => rate.into() },
            "connections": run.connections(),
            "shards": run.shards(),
            "synced": run.durability() == Durability::Synced,
            "events": self.findings.fed.events,
            "elapsed_s": round(self.findings.fed.elapsed.as_secs_f64()),
            "events_per_s": self.events_per_s(),
            "p50_ms": self.latency_ms(0.5),
            "p99_ms": self.latency_ms(0.99),
            "p999_ms": self.latency_ms(0.999),
            "max_ms": self.latency_ms(1.0),
            "cpu_s_per_million": self.cpu_s_per_million(),
            "rss_mb": self.rss_mb(),
            "bytes_per_waiting": self.bytes_per_waiting(),
            "waiting": self.findings.waiting,
            "disk_bytes_per_event": self.disk_bytes_per_event(),
            "disk_sync_p99_ms": self.disk_sync_p99_ms(),
            "entered": verdict.entered,
            "discarded": verdict.discarded,
            "messages": verdict.messages,
            "lost": verdict.lost,
            "duplicated": verdict.duplicated,
            "flaws": verdict.flaws,
            "verified": verdict.is_verified(),
            "machine": self.machine.line(),
        });
        for extra in &self.findings.extras {
            object[extra.key] = extra.value.clone();
        }
        object
    }

    /// The figures in words: name and value, the most important first.
    pub fn rows(&self) -> Vec<(String, String)> {
        let (findings, verdict) = (&self.findings, &self.findings.verdict);
        let mut rows = Vec::new();
        let mut row = |name: &str, figure: String| rows.push((name.to_owned(), figure));
        row("scenario", format!("{} over {}, {}", self.run.scenario.name(), self.run.feed.name(), self.pace()));
        let synced = if self.run.durability() == Durability::Synced { "durably" } else { "NOT durably (--no-sync)" };
        row(
            "events acknowledged",
            format!("{} in {:.2} s, {synced}", findings.fed.events, findings.fed.elapsed.as_secs_f64()),
        );
        row("events per second", format!("{}", self.events_per_s()));
        let latency = [0.5, 0.99, 0.999, 1.0].map(|quantile| or_dash(self.latency_ms(quantile), "ms"));
        row("latency p50/p99/p99.9/max", latency.join(" / "));
        let sync = [0.5, 0.99].map(|quantile| ms(self.disk_sync.value_at_quantile(quantile)));
        row("one sync of the idle disk", format!("p50 {} ms, p99 {} ms", sync[0], sync[1]));
        for extra in &findings.extras {
            let value = match &extra.value {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
                // 607.0 is a whole number to people.
                other => match other.as_f64() {
                    Some(figure) => format!("{figure} {}", extra.unit).trim_end().to_owned(),
                    None => other.to_string(),
                },
            };
            row(extra.name, value);
        }
        row("CPU of the server", or_dash(self.cpu_s_per_million(), "s per million events"));
        row("memory of the server", or_dash(self.rss_mb(), "MB"));
        let each = or_dash(self.bytes_per_waiting(), "bytes each");
        row("waiting at the end", format!("{} profiles, {each}", findings.waiting));
        row("written by the disk", or_dash(self.disk_bytes_per_event(), "bytes per event"));
        row("entered, refused, messages", format!("{}, {}, {}", verdict.entered, verdict.discarded, verdict.messages));
        row("lost, duplicated", format!("{}, {}", verdict.lost, verdict.duplicated));
        for flaw in &verdict.flaws {
            row("flaw", flaw.clone());
        }
        row("verified", verdict.is_verified().to_string());
        row("machine", self.machine.line());
        rows
    }

    /// The same as text.
    pub fn table(&self) -> String {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        rows.into_iter().fold(String::new(), |mut text, (name, figure)| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name:<width$}  {figure}");
            text
        })
    }
}
