//! From counters to reports: names for numbers, every key of the contract present.

use std::collections::BTreeMap;

use crate::domain::catalog::{Catalog, VersionStatus};
use crate::domain::ids::{JourneyId, Millis};
use crate::domain::journey::program::Program;
use crate::domain::step::{DiscardReason, ExitReason, MessageOutcome, Path, Step, StepKind};
use crate::runtime::partition::counts::{Counts, MessageCounts, NodeCounts, VersionCounts};
use crate::runtime::projection::{HistoryEntry, HistoryEvent};
use crate::runtime::view::{
    JourneyReport, JourneySummary, MessageReport, NodeReport, Report, TimelineItem, VersionSummary,
};
use crate::wire::value::map_from;

/// Everything a report is made from.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Counters of all partitions.
    pub counts: Counts,
    /// Events accepted.
    pub events: u64,
    /// Keyed sum of the chains of decisions.
    pub hash_sum: u128,
}

/// The report over all journeys, or one.
pub fn report(tally: &Tally, catalog: &Catalog, only: Option<JourneyId>) -> Report {
    let mut journeys = BTreeMap::new();
    for (index, name) in catalog.journeys.iter().enumerate() {
        let journey = JourneyId(index as u32);
        if only.is_none_or(|only| only == journey) {
            journeys.insert(name.to_string(), journey_report(tally, catalog, journey));
        }
    }
    Report { events: tally.events, journeys, hash: format!("{:032x}", tally.hash_sum) }
}

pub fn journey_report(tally: &Tally, catalog: &Catalog, journey: JourneyId) -> JourneyReport {
    let mut whole = JourneyReport::default();
    for version in catalog.versions_of(journey) {
        let program = &version.program;
        let counts = tally.counts.get(program.version).cloned().unwrap_or_default();
        let part = version_report(program, &counts);
        add(&mut whole, &part);
        whole.versions.insert(program.number.to_string(), part);
    }
    whole
}

fn version_report(program: &Program, counts: &VersionCounts) -> JourneyReport {
    let mut report = JourneyReport {
        entered: counts.entered,
        active: counts.active(),
        errors: counts.errors(),
        ..JourneyReport::default()
    };
    for reason in ExitReason::ALL {
        report.exited.insert(exit_word(reason).to_owned(), counts.exited[usize::from(reason.code())]);
    }
    for reason in DiscardReason::ALL {
        report.discarded.insert(discard_word(reason).to_owned(), counts.discarded[usize::from(reason.code())]);
    }
    for (index, node) in program.nodes.iter().enumerate() {
        let counted = counts.nodes.get(index).copied().unwrap_or_default();
        report.nodes.insert(node.name.to_string(), node_report(&counted));
    }
    for (index, message) in program.messages.iter().enumerate() {
        let counted = counts.messages.get(index).copied().unwrap_or_default();
        report.messages.insert(message.name.to_string(), message_report(&counted));
    }
    report
}

fn node_report(counts: &NodeCounts) -> NodeReport {
    NodeReport {
        entered: counts.entered,
        in_node: counts.entered - counts.left - counts.exited - counts.errors,
        left: counts.left,
        exited: counts.exited,
        errors: counts.errors,
    }
}

fn message_report(counts: &MessageCounts) -> MessageReport {
    let of = |outcome| counts.of(outcome);
    let in_doubt = of(MessageOutcome::InDoubt) - of(MessageOutcome::Resolved);
    let settled = of(MessageOutcome::Sent) + of(MessageOutcome::Failed) + of(MessageOutcome::Cancelled);
    MessageReport {
        sent: of(MessageOutcome::Sent),
        excluded: of(MessageOutcome::Excluded),
        failed: of(MessageOutcome::Failed),
        in_doubt,
        cancelled: of(MessageOutcome::Cancelled),
        pending: of(MessageOutcome::Requested) - settled - in_doubt,
    }
}

fn add(sum: &mut JourneyReport, part: &JourneyReport) {
    sum.entered += part.entered;
    sum.active += part.active;
    sum.errors += part.errors;
    for (reason, n) in &part.exited {
        *sum.exited.entry(reason.clone()).or_default() += n;
    }
    for (reason, n) in &part.discarded {
        *sum.discarded.entry(reason.clone()).or_default() += n;
    }
    for (name, node) in &part.nodes {
        let total = sum.nodes.entry(name.clone()).or_default();
        total.entered += node.entered;
        total.in_node += node.in_node;
        total.left += node.left;
        total.exited += node.exited;
        total.errors += node.errors;
    }
    for (name, message) in &part.messages {
        let total = sum.messages.entry(name.clone()).or_default();
        total.sent += message.sent;
        total.excluded += message.excluded;
        total.failed += message.failed;
        total.in_doubt += message.in_doubt;
        total.cancelled += message.cancelled;
        total.pending += message.pending;
    }
}

/// The list of journeys.
pub fn summaries(tally: &Tally, catalog: &Catalog) -> Vec<JourneySummary> {
    (0..catalog.journeys.len() as u32).map(|index| summary(tally, catalog, JourneyId(index))).collect()
}

/// One journey of the list.
pub fn summary(tally: &Tally, catalog: &Catalog, journey: JourneyId) -> JourneySummary {
    let versions = catalog
        .versions_of(journey)
        .map(|version| {
            let counts = tally.counts.get(version.program.version);
            let active = counts.map_or(0, VersionCounts::active);
            let status = match version.status {
                VersionStatus::Live => "live",
                VersionStatus::Closed | VersionStatus::Stopped if active == 0 => "finished",
                VersionStatus::Closed => "closed",
                VersionStatus::Stopped => "stopped",
            };
            VersionSummary {
                number: version.program.number,
                status: status.to_owned(),
                entered: counts.map_or(0, |c| c.entered),
                active,
            }
        })
        .collect();
    JourneySummary { name: catalog.journey_name(journey).to_string(), versions }
}

/// Timeline items of history entries, newest first, as entries are.
pub fn timeline(entries: &[HistoryEntry], catalog: &Catalog) -> Vec<TimelineItem> {
    entries.iter().flat_map(|entry| timeline_items(entry, catalog, None)).collect()
}

/// Timeline items of an entry, newest first: all, or those of one journey with the event that led to them.
pub fn timeline_items(entry: &HistoryEntry, catalog: &Catalog, journey: Option<JourneyId>) -> Vec<TimelineItem> {
    let mut items = Vec::new();
    let is_wanted = |step: &Step| journey.is_none_or(|journey| catalog.program(step.version).journey == journey);
    for (index, step) in entry.steps.iter().enumerate().rev().filter(|(_, step)| is_wanted(step)) {
        let note = entry.notes.iter().find(|(i, _)| *i == index).map(|(_, text)| text.as_str());
        items.push(step_item(entry, step, note, catalog));
    }
    if let Some(event) = entry.event.as_ref().filter(|_| journey.is_none() || !items.is_empty()) {
        items.push(event_item(entry.at, event));
    }
    items
}

fn event_item(at: Millis, event: &HistoryEvent) -> TimelineItem {
    TimelineItem {
        at: at.to_iso(),
        what: "event".to_owned(),
        journey: None,
        version: None,
        node: None,
        reason: event.kind.to_string(),
        message: None,
        event_id: Some(event.id.to_string()),
        properties: map_from(&event.properties).ok().map(|map| crate::domain::value::Value::Map(map).to_json()),
    }
}

fn step_item(entry: &HistoryEntry, step: &Step, note: Option<&str>, catalog: &Catalog) -> TimelineItem {
    let program = catalog.program(step.version);
    let (what, mut reason, message) = step_words(step, program);
    if let Some(note) = note {
        reason = format!("{reason}: {note}");
    }
    TimelineItem {
        at: entry.at.to_iso(),
        what: what.to_owned(),
        journey: Some(program.name.to_string()),
        version: Some(program.number),
        node: (step.node != Step::NO_NODE).then(|| program.node(step.node).name.to_string()),
        reason,
        message,
        event_id: None,
        properties: None,
    }
}

fn step_words(step: &Step, program: &Program) -> (&'static str, String, Option<String>) {
    match step.kind {
        StepKind::Entered(_) => ("entered", format!("event {}", program.entry.event), None),
        StepKind::Arrived => ("arrived", format!("due {}", step.due.to_iso()), None),
        StepKind::Left(path) => ("left", path_words(path), None),
        StepKind::Exited(reason) => ("exited", exit_word(reason).to_owned(), None),
        StepKind::Failed(failure) => ("failed", failure.word().to_owned(), None),
        StepKind::Discarded(reason) => ("discarded", discard_word(reason).to_owned(), None),
        StepKind::Called(status) => ("called", status.to_string(), None),
        StepKind::Message { message, outcome } => {
            let name = program.messages.get(usize::from(message)).map(|m| m.name.to_string());
            ("message", outcome_word(outcome).to_owned(), name)
        }
    }
}

/// The words of a path.
pub fn path_words(path: Path) -> String {
    match path {
        Path::Then => "then".to_owned(),
        Path::Branch(index) => format!("branch {}", index + 1),
        Path::Otherwise => "otherwise".to_owned(),
        Path::WaitEnded => "wait_ended".to_owned(),
        Path::EventReceived => "event_received".to_owned(),
        Path::TimedOut => "timed_out".to_owned(),
        Path::Failed => "error".to_owned(),
    }
}

/// The word of an exit reason, as reports have it.
pub fn exit_word(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Completed => "completed",
        ExitReason::Criteria => "criteria",
        ExitReason::Timeout => "timeout",
        ExitReason::Stopped => "stopped",
        ExitReason::Ended => "ended",
    }
}

/// The word of a discard reason.
pub fn discard_word(reason: DiscardReason) -> &'static str {
    match reason {
        DiscardReason::AlreadyInJourney => "already_in_journey",
        DiscardReason::ReentranceNotAllowed => "reentrance_not_allowed",
        DiscardReason::EntryFilterError => "entry_filter_error",
        DiscardReason::TooManyInstances => "too_many_instances",
        DiscardReason::OutsideDates => "outside_dates",
        DiscardReason::NoSupplementalId => "no_supplemental_id",
        DiscardReason::CapReached => "cap_reached",
        DiscardReason::LowerPriority => "lower_priority",
    }
}

/// The word of what became of a message.
pub fn outcome_word(outcome: MessageOutcome) -> &'static str {
    match outcome {
        MessageOutcome::Requested => "requested",
        MessageOutcome::Excluded => "excluded",
        MessageOutcome::Sent => "sent",
        MessageOutcome::Failed => "failed",
        MessageOutcome::InDoubt => "in_doubt",
        MessageOutcome::Cancelled => "cancelled",
        MessageOutcome::Resolved => "resolved",
    }
}
