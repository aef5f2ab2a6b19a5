//! What must hold once everything is quiet: every acknowledged event's effect is there, exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use sojourn::runtime::view::{JourneyReport, Report};
use tokio::time::{Instant, sleep};

use crate::script::Expected;
use crate::server::{Api, PATIENCE, POLL};
use crate::sinks::Sink;

/// The server's report over all journeys.
pub async fn report(api: &Api) -> Report {
    serde_json::from_value(api.get("/v1/reports").await).expect("a report")
}

/// Waits until nobody is inside and nothing is on its way; the report then. As long as something happens it waits on: after
/// hundreds of rounds with sinks that were down there is much to catch up with.
pub async fn quiet(api: &Api) -> Report {
    let mut last = report(api).await;
    let mut until = Instant::now() + PATIENCE;
    loop {
        let is_quiet = last
            .journeys
            .values()
            .all(|journey| journey.active == 0 && journey.messages.values().all(|message| message.pending == 0));
        if is_quiet {
            return last;
        }
        assert!(Instant::now() < until, "it goes on until it is quiet: {last:#?}");
        sleep(POLL).await;
        let next = report(api).await;
        if next != last {
            until = Instant::now() + PATIENCE;
        }
        last = next;
    }
}

/// Checks everything against what the producers expect.
pub async fn check(api: &Api, data: &Path, expected: &Expected, hook: &Sink, mail: &Sink) -> Report {
    let report = quiet(api).await;
    assert_eq!(report.events, expected.events, "events, repeats not counted");
    for (name, journey) in &report.journeys {
        adds_up(name, journey);
    }
    let hooked = check_hooks(expected, hook);
    let logged = check_log(expected, data);
    let in_doubt = check_mails(expected, mail, api).await;
    check_counts(&report, expected, hooked, logged, in_doubt);
    report
}

fn adds_up(name: &str, journey: &JourneyReport) {
    let exited: u64 = journey.exited.values().sum();
    assert_eq!(journey.entered, journey.active + exited + journey.errors, "journey {name}: {journey:#?}");
    for (node, counts) in &journey.nodes {
        let sum = counts.in_node + counts.left + counts.exited + counts.errors;
        assert_eq!(counts.entered, sum, "node {node} of {name}: {counts:?}");
    }
}

/// Says what two sets do not share, a few of each.
fn same<T: Ord + std::fmt::Debug>(what: &str, expected: &BTreeSet<T>, found: &BTreeSet<T>) {
    let missing: Vec<_> = expected.difference(found).take(5).collect();
    let extra: Vec<_> = found.difference(expected).take(5).collect();
    let (want, have) = (expected.len(), found.len());
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: want {want}, have {have}\nlost {missing:?}\nextra {extra:?}"
    );
}

/// Every event that must call the webhook did so under one key; no other did. How many keys there are.
fn check_hooks(expected: &Expected, hook: &Sink) -> usize {
    let taken = hook.taken();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, taken) in &taken {
        let body: Value = serde_json::from_str(&taken.content).expect("JSON");
        keys.entry(body["event"].as_str().expect("an event").to_owned()).or_default().push(key.clone());
    }
    let twice = keys.iter().find(|(_, keys)| keys.len() > 1);
    assert!(twice.is_none(), "one effect under two keys: {twice:?}");
    let optional: BTreeSet<&String> = expected.may_hook.values().collect();
    let found: BTreeSet<String> = keys.into_keys().filter(|event| !optional.contains(event)).collect();
    same("webhooks", &expected.hooks.values().cloned().collect(), &found);
    taken.len()
}

/// Every line of the log is there exactly once. How many there are.
fn check_log(expected: &Expected, data: &Path) -> usize {
    let text = std::fs::read_to_string(data.join("messages.ndjson")).expect("the log of messages");
    let (mut ids, mut lines) = (BTreeSet::new(), BTreeSet::new());
    // A line that a crash left unreadable is overwritten with spaces.
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |key: &str| line[key].as_str().expect("text").to_owned();
        assert!(ids.insert(text("id")), "a delivery stands in the log twice: {line}");
        assert!(lines.insert((text("profile"), text("body"))), "a message stands in the log twice: {line}");
    }
    same("lines of the log", &expected.logs, &lines);
    ids.len()
}

/// Every mail went out once, or is in doubt and then at most once. How many are in doubt.
async fn check_mails(expected: &Expected, mail: &Sink, api: &Api) -> usize {
    let answer = api.get("/v1/deliveries?state=in_doubt&max=1000000").await;
    let in_doubt: BTreeSet<String> = answer["deliveries"]
        .as_array()
        .expect("deliveries")
        .iter()
        .map(|delivery| delivery["profile"].as_str().expect("a profile").to_owned())
        .collect();
    assert_eq!(in_doubt.len(), answer["deliveries"].as_array().map_or(0, Vec::len), "one mail a profile");
    let mut sent = BTreeSet::new();
    for (key, taken) in mail.taken() {
        assert_eq!(taken.times, 1, "mail {key} went out twice");
        assert!(sent.insert(taken.content.clone()), "two mails about event {}", taken.content);
    }
    let certain = |(profile, _): &(&String, &String)| !in_doubt.contains(*profile);
    let expected_sent: BTreeSet<String> =
        expected.mails.iter().filter(certain).map(|(_, event)| event.clone()).collect();
    let doubtful: BTreeSet<String> =
        expected.mails.iter().filter(|m| !certain(m)).map(|(_, event)| event.clone()).collect();
    assert_eq!(doubtful.len(), in_doubt.len(), "only mails are in doubt");
    let sent: BTreeSet<String> = sent.difference(&doubtful).cloned().collect();
    same("mails", &expected_sent, &sent);
    in_doubt.len()
}

/// The server's own counts say the same as the sinks.
fn check_counts(report: &Report, expected: &Expected, hooked: usize, logged: usize, in_doubt: usize) {
    let (routes, trail) = (&report.journeys["routes"], &report.journeys["trail"]);
    assert_eq!((routes.entered, trail.entered), (expected.routed, expected.trailed), "entries");
    assert_eq!((routes.errors, trail.errors), (0, 0), "errors");
    assert_eq!(trail.exited["completed"], expected.trailed, "the three events of a trail arrive in order");
    assert!(routes.exited["criteria"] <= expected.may_hook.len() as u64, "only cancelled ones leave early");
    let sent = |journey: &JourneyReport, message: &str| journey.messages[message].sent as usize;
    assert_eq!(sent(routes, "hooked"), hooked, "webhooks, as reported and as received");
    assert_eq!(sent(routes, "logged") + sent(trail, "trailed"), logged, "lines, as reported and as written");
    assert_eq!(sent(routes, "mailed") + in_doubt, expected.mails.len(), "mails sent or in doubt");
    assert_eq!(routes.messages["mailed"].in_doubt as usize, in_doubt, "in doubt, as reported and as listed");
    let lost = report.journeys.values().flat_map(|j| j.messages.values()).map(|m| m.failed + m.excluded + m.cancelled);
    assert_eq!(lost.sum::<u64>(), 0, "no message failed, was excluded or was taken back");
}
