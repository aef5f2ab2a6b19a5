//! What every scenario needs around it: a temporary directory, the probed disk, a server, the meter, what was there
//! before; and what the run has used when it ends.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;
use sojourn::runtime::view::Report;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::feed::meter::Meter;
use crate::feed::{Fed, Overflow, Plan, Until};
use crate::figures::Figures;
use crate::machine::{self, Usage};
use crate::options::Run;
use crate::source::Pattern;
use crate::target::Target;
use crate::verify::{self, Received, Verdict};

/// A server that uses less than this share of a core for so long rests.
const REST_CPU_SHARE: f64 = 0.1;
const REST: Duration = Duration::from_secs(3);
/// How long that is waited for.
const REST_PATIENCE: Duration = Duration::from_secs(120);

/// What only one scenario measures.
#[derive(Clone, Debug)]
pub struct Extra {
    /// In the JSON.
    pub key: &'static str,
    /// For people.
    pub name: &'static str,
    /// The figure.
    pub value: Value,
    /// For people.
    pub unit: &'static str,
}

impl Extra {
    /// A figure.
    pub fn new(key: &'static str, name: &'static str, value: impl Into<Value>, unit: &'static str) -> Self {
        Self { key, name, value: value.into(), unit }
    }
}

/// What a scenario found, beside what the stage knows.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What feeding came to.
    pub fed: Fed,
    /// Instances running when it ended.
    pub waiting: u64,
    /// Whether all is as it must be.
    pub verdict: Verdict,
    /// What only this scenario measures.
    pub extras: Vec<Extra>,
}

/// What has been used at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// By the server, where its process is known.
    pub usage: Option<Usage>,
    /// Bytes that the disk wrote, whoever caused it; none where the system does not say.
    pub written_bytes: Option<u64>,
}

/// A server ready for load.
#[derive(Debug)]
pub struct Stage {
    /// What was asked for.
    pub run: Run,
    /// The server.
    pub target: Target,
    /// Counts and latencies.
    pub meter: Arc<Meter>,
    /// What it reported before the first event.
    pub before: Report,
    /// Begins all ids and profiles: empty on an own server, so that two runs send the same.
    pub tag: String,
    disk_sync: Histogram<u64>,
    at_start: Reading,
    at_end: Option<(Reading, Histogram<u64>)>,
    sampling: AbortOnDropHandle<()>,
    directory: TempDir,
}

impl Stage {
    /// Starts a server with these settings, publishes, and begins to sample. `done_name`: what is counted beside events.
    pub async fn set(
        run: &Run,
        settings: &[(&str, String)],
        resources: &str,
        done_name: Option<&'static str>,
    ) -> anyhow::Result<Self> {
        let parent = run.data.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::Builder::new().prefix("sojourn-loadtest-").tempdir_in(&parent)?;
        machine::check_disk(directory.path())?;
        let disk_sync = machine::probe_sync(directory.path())?;
        let target = Target::start(directory.path(), run, settings).await?;
        target.publish(resources).await?;
        let before = target.report().await?;
        let tag = if run.connect.is_some() { format!("{:x}-", machine::wall_clock_ms()) } else { String::new() };
        let meter = Meter::new(target.process(), done_name);
        let at_start = reading(&target, &directory)?;
        let sampling = meter.run();
        Ok(Self {
            run: run.clone(),
            target,
            meter,
            before,
            tag,
            disk_sync,
            at_start,
            at_end: None,
            sampling,
            directory,
        })
    }

    /// A plan by the run's options.
    pub fn plan(&self, pattern: Pattern, until: Until) -> Plan {
        Plan {
            feed: self.run.feed,
            producer: format!("load-{}", self.tag),
            tag: self.tag.clone(),
            pattern,
            profiles: self.run.profiles(),
            pace: self.run.pace(),
            until,
            connections: u64::from(self.run.connections()),
            batch: self.run.batch,
            in_flight: self.run.in_flight,
            overflow: Overflow::Wait,
        }
    }

    /// What has been used by now.
    pub fn reading(&self) -> anyhow::Result<Reading> {
        reading(&self.target, &self.directory)
    }

    /// Here ends what figures of latency, CPU, memory and disk are about.
    pub fn read_end(&mut self) -> anyhow::Result<()> {
        self.meter.close();
        self.at_end = Some((self.reading()?, self.meter.latency()));
        Ok(())
    }

    /// Waits until the server rests: what the feed left behind is in snapshots. Memory that those needed may go back to the
    /// system only when the thread that freed it next works, half a minute later. How long
    /// that took; another's server is not waited for.
    pub async fn rest(&self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut before = self.reading()?.usage;
        while let Some(last) = before {
            tokio::time::sleep(REST).await;
            before = self.reading()?.usage;
            let used_s = before.map_or(0.0, |usage| usage.cpu_s - last.cpu_s);
            if used_s < REST_CPU_SHARE * REST.as_secs_f64() || started.elapsed() > REST_PATIENCE {
                break;
            }
        }
        Ok(started.elapsed())
    }

    /// The report, less what was there before.
    pub async fn report(&self) -> anyhow::Result<Report> {
        verify::report_since(&self.target, &self.before).await
    }

    /// What is in the log of messages; none on another's server.
    pub fn logged(&self) -> anyhow::Result<Option<Received>> {
        self.target.data().map(verify::logged).transpose()
    }

    /// Stops the server, if it is our own, and gives the figures.
    pub async fn finish(mut self, findings: Findings) -> anyhow::Result<Figures> {
        self.sampling.abort();
        self.meter.close();
        self.target.stop()?;
        let (samples, marks) = self.meter.record();
        let (at_end, latency) = self.at_end.unwrap_or_else(|| (self.at_start, self.meter.latency()));
        Ok(Figures {
            machine: machine::describe(self.directory.path()),
            run: self.run,
            findings,
            latency,
            disk_sync: self.disk_sync,
            at_start: self.at_start,
            at_end,
            samples,
            marks,
        })
    }
}

fn reading(target: &Target, directory: &TempDir) -> anyhow::Result<Reading> {
    let usage = target.process().map(Usage::of).transpose()?;
    let written_bytes = match usage {
        Some(_) => machine::device_written_bytes(directory.path())?,
        // Another's server may write to another disk.
        None => None,
    };
    Ok(Reading { usage, written_bytes })
}
