//! `sojourn report`: what happened, as tables. `demo` and `replay` print theirs with the same function.

use std::collections::BTreeMap;

use sojourn::runtime::view::{JourneyReport, MessageReport, Report};
use sojourn::transport::http::schema::HashBody;

use crate::cli::ReportArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Asks the server.
pub fn run(args: &ReportArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    if args.hash {
        let body: HashBody = client.get(client.url(&["v1", "hash"], &[]))?;
        output.result(&body, |body| body.hash.clone());
        return Ok(());
    }
    let mut segments = vec!["v1", "reports"];
    segments.extend(args.journey.as_deref());
    let report: Report = client.get(client.url(&segments, &[]))?;
    output.result(&report, |report| if args.journey.is_some() { in_detail(report) } else { overview(report) });
    Ok(())
}

/// One line a journey.
pub fn overview(report: &Report) -> String {
    let mut rows = table(&["journey", "#entered", "#active", "exited", "#errors", "discarded", "messages"]);
    for (name, journey) in &report.journeys {
        rows.add_row([
            name.clone(),
            journey.entered.to_string(),
            journey.active.to_string(),
            counts(&journey.exited),
            errors(journey),
            counts(&journey.discarded),
            messages(journey),
        ]);
    }
    format!("{rows}\n{} events, decisions {}", report.events, report.hash)
}

/// Everything about every journey of the report.
pub fn in_detail(report: &Report) -> String {
    let mut text = String::new();
    for (name, journey) in &report.journeys {
        text.push_str(&format!("{name}\n{}\n", one(journey)));
        // The only version is the journey.
        for (number, version) in journey.versions.iter().filter(|_| journey.versions.len() > 1) {
            text.push_str(&format!("{name}, version {number}\n{}\n", one(version)));
        }
    }
    text.trim_end().to_owned()
}

fn one(journey: &JourneyReport) -> String {
    let mut text = format!(
        "  entered {} = active {} + exited {} + errors {}\n",
        journey.entered,
        journey.active,
        journey.exited.values().sum::<u64>(),
        journey.errors
    );
    for (what, reasons) in [("exited", &journey.exited), ("failed", &journey.failed), ("discarded", &journey.discarded)]
    {
        text.push_str(&format!("  {what}: {}\n", counts(reasons)));
    }
    let mut nodes = table(&["node", "#entered", "#in node", "#left", "#exited", "#errors"]);
    for (name, n) in &journey.nodes {
        let figures = [n.entered, n.in_node, n.left, n.exited, n.errors];
        nodes.add_row(std::iter::once(name.clone()).chain(figures.iter().map(u64::to_string)));
    }
    text.push_str(&format!("{nodes}\n"));
    for (name, node) in journey.nodes.iter().filter(|(_, node)| !node.ways.is_empty()) {
        let ways: Vec<String> = node.ways.iter().map(|(way, n)| format!("{way} {n}")).collect();
        text.push_str(&format!("  ways of `{name}`: {}\n", ways.join(", ")));
    }
    if !journey.messages.is_empty() {
        let headings = outcomes(&MessageReport::default()).map(|(outcome, _)| format!("#{outcome}"));
        let headings: Vec<&str> = std::iter::once("message").chain(headings.iter().map(String::as_str)).collect();
        let mut messages = table(&headings);
        for (name, message) in &journey.messages {
            let figures = outcomes(message).map(|(_, n)| n.to_string());
            messages.add_row(std::iter::once(name.clone()).chain(figures));
        }
        text.push_str(&format!("{messages}\n"));
    }
    text
}

/// `3 (capped 1, http_500 2)`.
fn errors(journey: &JourneyReport) -> String {
    match journey.errors {
        0 => "0".to_owned(),
        errors => format!("{errors} ({})", counts(&journey.failed)),
    }
}

/// Those that are not 0: `completed 5, timeout 2`.
fn counts(counts: &BTreeMap<String, u64>) -> String {
    let some: Vec<String> = counts.iter().filter(|(_, n)| **n > 0).map(|(key, n)| format!("{key} {n}")).collect();
    if some.is_empty() { "-".to_owned() } else { some.join(", ") }
}

/// What became of a message, in the words of the headings.
fn outcomes(message: &MessageReport) -> [(&'static str, u64); 8] {
    [
        ("sent", message.sent),
        ("excluded", message.excluded),
        ("failed", message.failed),
        ("in doubt", message.in_doubt),
        ("cancelled", message.cancelled),
        ("dropped", message.dropped),
        ("merged", message.merged),
        ("pending", message.pending),
    ]
}

/// All messages of a journey by outcome.
fn messages(journey: &JourneyReport) -> String {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (outcome, n) in journey.messages.values().flat_map(outcomes) {
        *sums.entry(outcome.to_owned()).or_default() += n;
    }
    counts(&sums)
}
