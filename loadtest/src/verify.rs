//! Whether everything acknowledged is there once: by the server's reports and by what its messages' receiver got, never by
//! what the generator believes.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sojourn::runtime::view::{JourneyReport, MessageReport, NodeReport, Report};
use tokio::time::Instant;

use crate::target::Target;

/// Longest time until what is waited for is so.
const QUIET_PATIENCE: Duration = Duration::from_secs(600);
/// How often the report is looked at.
const POLL: Duration = Duration::from_millis(250);
/// The node that sends, in all journeys of the load.
const SENDING_NODE: &str = "remind";

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Acknowledged events and decided messages that are not there.
    pub lost: u64,
    /// Events counted and messages received more than once.
    pub duplicated: u64,
    /// What else does not fit.
    pub flaws: Vec<String>,
    /// Messages decided.
    pub messages: u64,
    /// Instances begun.
    pub entered: u64,
    /// Entries refused: profiles that came again.
    pub discarded: u64,
}

/// What the receiver of messages got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages.
    pub all: u64,
    /// Different ones.
    pub distinct: u64,
}

impl Verdict {
    /// Of a run that had so many events acknowledged, was then reported so, and whose messages were received so (none:
    /// nobody here sees them).
    pub fn of(acknowledged: u64, report: &Report, received: Option<Received>) -> Self {
        let mut verdict = Self::default();
        verdict.differ(acknowledged, report.events);
        let (mut sent, mut other) = (0, 0);
        for (name, journey) in &report.journeys {
            verdict.adds_up(name, journey);
            verdict.entered += journey.entered;
            verdict.discarded += journey.discarded.values().sum::<u64>();
            verdict.messages += journey.nodes.get(SENDING_NODE).map_or(0, |node| node.left);
            sent += journey.messages.values().map(|message| message.sent).sum::<u64>();
            other += journey.messages.values().map(not_sent).sum::<u64>();
        }
        if other > 0 {
            verdict.flaws.push(format!("{other} messages were excluded, failed, cancelled, in doubt or are pending"));
        }
        verdict.differ(verdict.messages, received.map_or(sent, |received| received.distinct));
        if let Some(Received { all, distinct }) = received {
            verdict.duplicated += all - distinct;
            if sent != distinct {
                verdict.flaws.push(format!("{sent} messages reported as sent, {distinct} received"));
            }
        }
        verdict
    }

    /// Whether everything is as it must be.
    pub fn is_verified(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.flaws.is_empty()
    }

    /// Something must be so.
    pub fn expect(&mut self, what: &str, expected: u64, found: u64) {
        if expected != found {
            self.flaws.push(format!("{what}: expected {expected}, found {found}"));
        }
    }

    /// What is missing is lost, what is too much is there twice.
    pub fn differ(&mut self, due: u64, found: u64) {
        self.lost += due.saturating_sub(found);
        self.duplicated += found.saturating_sub(due);
    }

    fn adds_up(&mut self, name: &str, journey: &JourneyReport) {
        let exited: u64 = journey.exited.values().sum();
        if journey.entered != journey.active + exited + journey.errors || journey.errors > 0 {
            self.flaws.push(format!("the counts of journey {name} do not add up, or it has errors: {journey:?}"));
        }
        for (node, counts) in &journey.nodes {
            if counts.entered != counts.in_node + counts.left + counts.exited + counts.errors {
                self.flaws.push(format!("the counts of node {node} of {name} do not add up: {counts:?}"));
            }
        }
    }
}

fn not_sent(message: &MessageReport) -> u64 {
    message.excluded + message.failed + message.in_doubt + message.cancelled + message.pending
}

/// Instances running.
pub fn active(report: &Report) -> u64 {
    report.journeys.values().map(|journey| journey.active).sum()
}

/// Messages decided and not answered for.
pub fn pending(report: &Report) -> u64 {
    report.journeys.values().flat_map(|journey| journey.messages.values()).map(|message| message.pending).sum()
}

/// The target's report, less what was there before the run.
pub async fn report_since(target: &Target, before: &Report) -> anyhow::Result<Report> {
    Ok(since(before, target.report().await?))
}

/// Waits until the report, less what was there before, satisfies; tells what it waits for.
pub async fn wait_for(
    target: &Target,
    before: &Report,
    is_met: impl Fn(&Report) -> bool,
) -> anyhow::Result<(Report, Duration)> {
    let started = Instant::now();
    let mut told = started;
    loop {
        let report = report_since(target, before).await?;
        if is_met(&report) {
            return Ok((report, started.elapsed()));
        }
        let (active, pending) = (active(&report), pending(&report));
        ensure!(started.elapsed() < QUIET_PATIENCE, "{active} instances and {pending} messages are still under way");
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            eprintln!("        {active} instances and {pending} messages are under way");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a report says beyond an earlier one of the same server.
pub fn since(before: &Report, now: Report) -> Report {
    let events = now.events.saturating_sub(before.events);
    let none = JourneyReport::default();
    let journeys = now.journeys.into_iter().map(|(name, journey)| {
        let before = before.journeys.get(&name).unwrap_or(&none);
        let nodes = journey.nodes.into_iter().map(|(key, node)| {
            let node = node_since(before.nodes.get(&key).unwrap_or(&NodeReport::default()), node);
            (key, node)
        });
        let messages = journey.messages.into_iter().map(|(key, message)| {
            let message = message_since(before.messages.get(&key).copied().unwrap_or_default(), message);
            (key, message)
        });
        let journey = JourneyReport {
            entered: journey.entered.saturating_sub(before.entered),
            active: journey.active.saturating_sub(before.active),
            exited: counts_since(&before.exited, journey.exited),
            errors: journey.errors.saturating_sub(before.errors),
            failed: counts_since(&before.failed, journey.failed),
            held: journey.held.saturating_sub(before.held),
            held_entrants: journey.held_entrants.saturating_sub(before.held_entrants),
            discarded: counts_since(&before.discarded, journey.discarded),
            nodes: nodes.collect(),
            messages: messages.collect(),
            versions: BTreeMap::new(),
        };
        (name, journey)
    });
    Report { events, journeys: journeys.collect(), hash: now.hash }
}

fn counts_since(before: &BTreeMap<String, u64>, now: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let since = |key: &String, count: u64| count.saturating_sub(before.get(key).copied().unwrap_or(0));
    now.into_iter().map(|(key, count)| (key.clone(), since(&key, count))).collect()
}

fn node_since(before: &NodeReport, now: NodeReport) -> NodeReport {
    NodeReport {
        entered: now.entered.saturating_sub(before.entered),
        in_node: now.in_node.saturating_sub(before.in_node),
        left: now.left.saturating_sub(before.left),
        exited: now.exited.saturating_sub(before.exited),
        errors: now.errors.saturating_sub(before.errors),
        held: now.held.saturating_sub(before.held),
        ways: counts_since(&before.ways, now.ways),
    }
}

fn message_since(before: MessageReport, now: MessageReport) -> MessageReport {
    MessageReport {
        sent: now.sent.saturating_sub(before.sent),
        excluded: now.excluded.saturating_sub(before.excluded),
        failed: now.failed.saturating_sub(before.failed),
        in_doubt: now.in_doubt.saturating_sub(before.in_doubt),
        cancelled: now.cancelled.saturating_sub(before.cancelled),
        pending: now.pending.saturating_sub(before.pending),
        dropped: now.dropped.saturating_sub(before.dropped),
        merged: now.merged.saturating_sub(before.merged),
    }
}

/// What is in the log of messages of a data directory.
pub fn logged(data: &Path) -> anyhow::Result<Received> {
    let path = data.join("messages.ndjson");
    if !path.exists() {
        return Ok(Received::default());
    }
    let mut ids = Ids::default();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(&line).with_context(|| format!("a line of the log: {line}"))?;
        ids.add(value["id"].as_str().context("a delivery's id")?);
    }
    Ok(ids.received())
}

/// Counts deliveries by their ids.
#[derive(Debug, Default)]
pub struct Ids {
    seen: HashMap<String, u64>,
    all: u64,
}

impl Ids {
    /// One more with this id.
    pub fn add(&mut self, id: &str) {
        self.all += 1;
        match self.seen.get_mut(id) {
            Some(count) => *count += 1,
            None => {
                self.seen.insert(id.to_owned(), 1);
            }
        }
    }

    /// So far.
    pub fn received(&self) -> Received {
        Received { all: self.all, distinct: self.seen.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of one journey: events, entered, exited, messages decided, and sent.
    fn report(events: u64, entered: u64, exited: u64, decided: u64, sent: u64) -> Report {
        let node = NodeReport { entered: decided, left: decided, ..NodeReport::default() };
        let journey = JourneyReport {
            entered,
            active: entered - exited,
            exited: BTreeMap::from([("completed".to_owned(), exited)]),
            nodes: BTreeMap::from([(SENDING_NODE.to_owned(), node)]),
            messages: BTreeMap::from([("m".to_owned(), MessageReport { sent, ..MessageReport::default() })]),
            ..JourneyReport::default()
        };
        Report { events, journeys: BTreeMap::from([("j".to_owned(), journey)]), hash: String::new() }
    }

    fn check(
        acknowledged: u64,
        report: &Report,
        received: Option<(u64, u64)>,
        lost: u64,
        duplicated: u64,
        flaws: usize,
    ) {
        let received = received.map(|(all, distinct)| Received { all, distinct });
        let verdict = Verdict::of(acknowledged, report, received);
        assert_eq!((verdict.lost, verdict.duplicated, verdict.flaws.len()), (lost, duplicated, flaws), "{verdict:?}");
        assert_eq!(verdict.is_verified(), (lost, duplicated, flaws) == (0, 0, 0));
    }

    #[test]
    fn what_fits_is_verified() {
        check(10, &report(10, 5, 3, 2, 2), Some((2, 2)), 0, 0, 0);
        check(10, &report(10, 5, 3, 2, 2), None, 0, 0, 0);
    }

    #[test]
    fn what_is_missing_is_lost_and_what_is_too_much_is_doubled() {
        check(11, &report(10, 5, 3, 2, 2), Some((2, 2)), 1, 0, 0);
        check(9, &report(10, 5, 3, 2, 2), Some((2, 2)), 0, 1, 0);
        check(10, &report(10, 5, 3, 2, 2), Some((1, 1)), 1, 0, 1);
        check(10, &report(10, 5, 3, 2, 2), Some((3, 2)), 0, 1, 0);
        check(10, &report(10, 5, 3, 2, 1), None, 1, 0, 0);
    }

    #[test]
    fn counts_must_add_up() {
        let mut wrong = report(10, 5, 3, 2, 2);
        wrong.journeys.get_mut("j").expect("there").active = 3;
        check(10, &wrong, Some((2, 2)), 0, 0, 1);
        let mut wrong = report(10, 5, 3, 2, 2);
        wrong.journeys.get_mut("j").expect("there").nodes.get_mut(SENDING_NODE).expect("there").in_node = 1;
        check(10, &wrong, Some((2, 2)), 0, 0, 1);
    }

    #[test]
    fn an_earlier_run_on_the_same_server_does_not_count() {
        assert_eq!(since(&report(7, 4, 2, 1, 1), report(17, 9, 5, 3, 3)), report(10, 5, 3, 2, 2));
    }
}
