//! Whether everything acknowledged is there once: by the server's reports and by the log of messages it wrote, never by
//! what the generator believes.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sojourn::runtime::view::{JourneyReport, Report};
use tokio::time::Instant;

use crate::Run;
use crate::feed::Fed;
use crate::scenario::Scenario;
use crate::server::Child;

/// Longest time until all instances have ended and all messages are out.
const QUIET_PATIENCE: Duration = Duration::from_secs(600);
/// A longer wait than this is not waited for: its instances must be there at the end.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often the report is looked at.
const POLL: Duration = Duration::from_millis(250);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Acknowledged events and decided messages that are not there.
    pub lost: u64,
    /// Events counted and messages written more than once.
    pub duplicated: u64,
    /// What else does not fit.
    pub flaws: Vec<String>,
    /// Messages in the log.
    pub messages: u64,
    /// Instances begun.
    pub entered: u64,
    /// Entries refused: profiles that came again.
    pub discarded: u64,
    /// From the last acknowledgement until all was quiet.
    pub quiet_after: Duration,
}

impl Verdict {
    /// Whether everything is as it must be.
    pub fn is_verified(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.flaws.is_empty()
    }
}

/// Instances running.
pub fn active(report: &Report) -> u64 {
    report.journeys.values().map(|journey| journey.active).sum()
}

fn pending(report: &Report) -> u64 {
    report.journeys.values().flat_map(|journey| journey.messages.values()).map(|message| message.pending).sum()
}

/// Waits until all is quiet, and checks.
pub async fn verify(child: &Child, directory: &Path, run: &Run, fed: &Fed) -> anyhow::Result<Verdict> {
    let started = Instant::now();
    let mut told = started;
    let report = loop {
        let report = child.report().await?;
        let (active, pending) = (active(&report), pending(&report));
        if (active == 0 || run.wait.span > WAIT_MAX) && pending == 0 {
            break report;
        }
        ensure!(started.elapsed() < QUIET_PATIENCE, "{active} instances and {pending} messages are still under way");
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            eprintln!("        waiting for {active} instances and {pending} messages");
        }
        tokio::time::sleep(POLL).await;
    };
    let mut verdict = Verdict { quiet_after: started.elapsed(), ..Verdict::default() };
    differ(&mut verdict, fed.events, report.events);
    for (name, journey) in &report.journeys {
        adds_up(&mut verdict, name, journey);
        verdict.entered += journey.entered;
        verdict.discarded += journey.discarded.values().sum::<u64>();
    }
    let decided =
        report.journeys.values().filter_map(|journey| journey.nodes.get("remind")).map(|node| node.left).sum();
    let sent: u64 = report.journeys.values().flat_map(|j| j.messages.values()).map(|message| message.sent).sum();
    let (lines, ids) = written(&directory.join("data").join("messages.ndjson"))?;
    verdict.messages = ids;
    verdict.duplicated += lines - ids;
    differ(&mut verdict, decided, ids);
    if sent != ids {
        verdict.flaws.push(format!("{sent} messages reported as sent, {ids} in the log"));
    }
    if run.scenario == Scenario::CartAbandonment && verdict.entered == 0 {
        verdict.flaws.push("nobody entered the journey".to_owned());
    }
    Ok(verdict)
}

/// What is missing is lost, what is too much is there twice.
fn differ(verdict: &mut Verdict, due: u64, found: u64) {
    verdict.lost += due.saturating_sub(found);
    verdict.duplicated += found.saturating_sub(due);
}

fn adds_up(verdict: &mut Verdict, name: &str, journey: &JourneyReport) {
    let exited: u64 = BTreeMap::values(&journey.exited).sum();
    if journey.entered != journey.active + exited + journey.errors || journey.errors > 0 {
        verdict.flaws.push(format!("the counts of journey {name} do not add up, or it has errors: {journey:?}"));
    }
    for (node, counts) in &journey.nodes {
        if counts.entered != counts.in_node + counts.left + counts.exited + counts.errors {
            verdict.flaws.push(format!("the counts of node {node} of {name} do not add up: {counts:?}"));
        }
    }
}

/// Lines of the log of messages, and different deliveries among them.
fn written(path: &Path) -> anyhow::Result<(u64, u64)> {
    if !path.exists() {
        return Ok((0, 0));
    }
    let (mut lines, mut ids) = (0, HashSet::new());
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(&line).with_context(|| format!("a line of the log: {line}"))?;
        lines += 1;
        ids.insert(value["id"].as_str().context("a delivery's id")?.to_owned());
    }
    Ok((lines, ids.len() as u64))
}
