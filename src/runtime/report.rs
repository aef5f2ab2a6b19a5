//! From counters to reports: names for numbers, every key of the contract present.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, Version, VersionStatus};
use crate::domain::effect::CallStatus;
use crate::domain::ids::{JourneyId, Millis, NodeNo};
use crate::domain::journey::program::{Method, NodeKind, Program};
use crate::domain::journey::source::FALLBACK;
use crate::domain::note;
use crate::domain::step::{DiscardReason, Entrance, ExitReason, Failure, MessageOutcome, Path, Step, StepKind};
use crate::runtime::partition::counts::{Counts, MessageCounts, NodeCounts, VersionCounts};
use crate::runtime::projection::{HistoryEntry, HistoryEvent};
use crate::runtime::view::{
    JourneyReport, JourneySummary, MessageReport, NodeReport, PauseView, Report, TimelineItem, VersionSummary,
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
    /// Engine time.
    pub now: Millis,
}

/// Reasons of failures that every report has; codes of HTTP only where they happened.
const FAILURES: [Failure; 9] = [
    Failure::Expression,
    Failure::VisitLimit,
    Failure::StepLimit,
    Failure::InstanceTooLarge,
    Failure::Jump,
    Failure::DocumentTooLarge,
    Failure::Action(Some(CallStatus::TimedOut)),
    Failure::Action(Some(CallStatus::Capped)),
    Failure::Action(Some(CallStatus::InternalError)),
];

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
        held: counts.held(),
        held_entrants: counts.entrants,
        ..JourneyReport::default()
    };
    for reason in ExitReason::ALL {
        report.exited.insert(exit_word(reason).to_owned(), counts.exited[usize::from(reason.code())]);
    }
    for failure in FAILURES {
        report.failed.insert(failure.to_string(), 0);
    }
    for (failure, count) in counts.failures().filter(|(_, count)| *count > 0) {
        report.failed.insert(failure.to_string(), count);
    }
    for reason in DiscardReason::ALL {
        report.discarded.insert(discard_word(reason).to_owned(), counts.discarded[usize::from(reason.code())]);
    }
    for (index, node) in program.nodes.iter().enumerate() {
        let counted = counts.nodes.get(index).copied().unwrap_or_default();
        let held = counts.held.get(index).copied().unwrap_or(0);
        let mut of_node = NodeReport { held, ..node_report(&counted) };
        for (way, name) in way_names(&node.kind).into_iter().enumerate() {
            let is_it = |((no, of), _): &&((NodeNo, u16), u64)| (usize::from(no.0), usize::from(*of)) == (index, way);
            of_node.ways.insert(name, counts.ways.iter().find(is_it).map_or(0, |(_, count)| *count));
        }
        report.nodes.insert(node.name.to_string(), of_node);
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
        held: 0,
        ways: BTreeMap::new(),
    }
}

/// Names of the ways of a node whose ways are counted, in order; none of others.
pub fn way_names(node: &NodeKind) -> Vec<String> {
    match node {
        NodeKind::ProfileCap { .. } => vec!["within".to_owned(), "beyond".to_owned()],
        NodeKind::Optimize { method: Method::Experiment { ways } } => {
            ways.iter().map(|(name, ..)| name.to_string()).collect()
        }
        NodeKind::Optimize { method: Method::Targeting { rules, fallback } } => {
            let fallback = fallback.map(|_| FALLBACK.to_owned());
            rules.iter().map(|(name, ..)| name.to_string()).chain(fallback).collect()
        }
        _ => Vec::new(),
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
        dropped: of(MessageOutcome::Dropped),
        merged: of(MessageOutcome::Merged),
    }
}

fn add(sum: &mut JourneyReport, part: &JourneyReport) {
    sum.entered += part.entered;
    sum.active += part.active;
    sum.errors += part.errors;
    sum.held += part.held;
    sum.held_entrants += part.held_entrants;
    for (reason, n) in &part.exited {
        *sum.exited.entry(reason.clone()).or_default() += n;
    }
    for (reason, n) in &part.failed {
        *sum.failed.entry(reason.clone()).or_default() += n;
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
        total.held += node.held;
        for (way, count) in &node.ways {
            *total.ways.entry(way.clone()).or_default() += count;
        }
    }
    for (name, message) in &part.messages {
        let total = sum.messages.entry(name.clone()).or_default();
        total.sent += message.sent;
        total.excluded += message.excluded;
        total.failed += message.failed;
        total.in_doubt += message.in_doubt;
        total.cancelled += message.cancelled;
        total.pending += message.pending;
        total.dropped += message.dropped;
        total.merged += message.merged;
    }
}

/// Journeys that take no entries any more and still have profiles inside: a stop lets everybody go.
pub fn closing(tally: &Tally, catalog: &Catalog) -> BTreeSet<SmolStr> {
    let is_left = |version: &&Version| {
        version.status == VersionStatus::Closed
            && version.test.is_none()
            && tally.counts.get(version.program.version).is_some_and(|counts| counts.active() > 0)
    };
    let left = catalog.versions.iter().filter(is_left).map(|version| version.program.name.clone());
    left.filter(|name| !catalog.live.contains_key(name)).collect()
}

/// The list of journeys.
pub fn summaries(tally: &Tally, catalog: &Catalog) -> Vec<JourneySummary> {
    let known = (0..catalog.journeys.len() as u32).map(|index| summary(tally, catalog, JourneyId(index)));
    let only_drafts = catalog.drafts.keys().filter(|name| catalog.journey_id(name).is_none());
    let only_drafts = only_drafts.filter_map(|name| {
        Some(JourneySummary {
            name: name.to_string(),
            versions: vec![draft_summary(tally, catalog, name)?],
            pause: None,
        })
    });
    let mut summaries: Vec<JourneySummary> = known.chain(only_drafts).collect();
    // A journey whose draft was tested and given up is none.
    summaries.retain(|summary| !summary.versions.is_empty());
    summaries
}

/// The draft of a journey, under the number that it would be published with; who entered and is inside is of its test.
fn draft_summary(tally: &Tally, catalog: &Catalog, name: &str) -> Option<VersionSummary> {
    let draft = catalog.drafts.get(name)?;
    let counts = draft.test.and_then(|test| tally.counts.get(test.version));
    Some(VersionSummary {
        number: catalog.next_number(name),
        status: if draft.test.is_some() { "draft_test" } else { "draft" }.to_owned(),
        finished_as: None,
        entered: counts.map_or(0, |counts| counts.entered),
        active: counts.map_or(0, VersionCounts::active),
        held: 0,
        held_entrants: 0,
        held_events: 0,
    })
}

/// One journey of the list.
pub fn summary(tally: &Tally, catalog: &Catalog, journey: JourneyId) -> JourneySummary {
    let versions = catalog
        .versions_of(journey)
        .map(|version| {
            let counts = tally.counts.get(version.program.version);
            let active = counts.map_or(0, VersionCounts::active);
            let status = status_word(version, counts, catalog, tally.now);
            VersionSummary {
                number: version.program.number,
                status: status.to_owned(),
                finished_as: (status == "finished").then(|| ending_word(version, catalog, tally.now).to_owned()),
                entered: counts.map_or(0, |c| c.entered),
                active,
                held: counts.map_or(0, VersionCounts::held),
                held_entrants: counts.map_or(0, |c| c.entrants),
                held_events: counts.map_or(0, |c| c.kept),
            }
        })
        .chain(draft_summary(tally, catalog, catalog.journey_name(journey)))
        .collect();
    let pause = catalog.pause_before(journey, tally.now).map(|pause| PauseView {
        mode: pause.mode,
        since: pause.at.to_iso(),
        until: pause.ends_at.to_iso(),
        then: pause.ending,
        overdue: pause.overdue,
        rate: pause.rate,
    });
    JourneySummary { name: catalog.journey_name(journey).to_string(), versions, pause }
}

/// The status of a version at `now` (spec §4.3): what was ordered, and what became of it.
fn status_word(version: &Version, counts: Option<&VersionCounts>, catalog: &Catalog, now: Millis) -> &'static str {
    let id = version.program.version;
    let is_empty = counts.is_none_or(|counts| counts.active() == 0);
    let keeps = counts.is_some_and(|counts| counts.held() + counts.entrants > 0);
    let is_stopped = catalog.is_stopped(id, now);
    let is_over = version.program.ends_at.is_some_and(|ends_at| ends_at <= now);
    match version.status {
        _ if is_empty && !keeps && (is_stopped || is_over || version.status != VersionStatus::Live) => "finished",
        _ if is_stopped => "stopped",
        _ if catalog.pause_at(&version.program, now).is_some() => "paused",
        _ if keeps => "resuming",
        VersionStatus::Live => "live",
        VersionStatus::Closed | VersionStatus::Stopped => "closed",
    }
}

/// How a version came to take no more entries.
fn ending_word(version: &Version, catalog: &Catalog, now: Millis) -> &'static str {
    match version.status {
        _ if catalog.is_stopped(version.program.version, now) => "stopped",
        VersionStatus::Closed => "closed",
        VersionStatus::Live | VersionStatus::Stopped => "ended",
    }
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
        in_test: false,
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
    if let Some(before) = came_over(entry, step) {
        reason = format!("migrated from version {}", catalog.program(before.version).number);
    }
    match (step.kind, note) {
        (StepKind::Called(_), Some(note)) => reason = format!("{reason}: {}", note::shown(note)),
        (_, Some(note)) => reason = format!("{reason}: {note}"),
        (_, None) => {}
    }
    TimelineItem {
        at: entry.at.to_iso(),
        what: what.to_owned(),
        journey: Some(program.name.to_string()),
        version: Some(program.number),
        in_test: program.is_in_test,
        node: (step.node != Step::NO_NODE).then(|| program.node(step.node).name.to_string()),
        reason,
        message,
        event_id: None,
        properties: None,
    }
}

/// The last step in the older version from which an instance comes with this one.
fn came_over<'e>(entry: &'e HistoryEntry, step: &Step) -> Option<&'e Step> {
    let is_it = |other: &&Step| other.ordinal == step.ordinal && other.kind == StepKind::Exited(ExitReason::Migrated);
    let comes = step.kind == StepKind::Entered(Entrance::Migrated);
    let before = entry.steps.iter().take_while(|other| *other != step);
    before.filter(is_it).last().filter(|_| comes)
}

fn step_words(step: &Step, program: &Program) -> (&'static str, String, Option<String>) {
    match step.kind {
        StepKind::Entered(_) => ("entered", format!("event {}", program.entry.event), None),
        // Elsewhere the next timer is the journey's end, which says nothing of the node.
        StepKind::Arrived if program.node(step.node).kind.pauses() => {
            ("arrived", format!("due {}", step.due.to_iso()), None)
        }
        StepKind::Arrived => ("arrived", String::new(), None),
        StepKind::Left(path) => ("left", path_words(path, &program.node(step.node).kind), None),
        StepKind::Exited(reason) => ("exited", exit_word(reason).to_owned(), None),
        StepKind::Failed(failure) => ("failed", failure.to_string(), None),
        StepKind::Discarded(reason) => ("discarded", discard_word(reason).to_owned(), None),
        StepKind::Called(status) => ("called", status.to_string(), None),
        StepKind::Held(_) => ("held", "paused".to_owned(), None),
        StepKind::Released(_) => ("released", "paused".to_owned(), None),
        StepKind::Kept(node) => ("kept", format!("paused: for {}", program.node(node).name), None),
        StepKind::NotKept(why) => ("not_kept", format!("paused: {}", why.told()), None),
        StepKind::Message { message, outcome } => {
            let name = program.messages.get(usize::from(message)).map(|m| m.name.to_string());
            ("message", outcome_word(outcome).to_owned(), name)
        }
    }
}

/// The words of a path from a node.
pub fn path_words(path: Path, node: &NodeKind) -> String {
    match path {
        Path::Then => "then".to_owned(),
        Path::Branch(index) => format!("branch {}", index + 1),
        Path::Otherwise => "otherwise".to_owned(),
        Path::WaitEnded => "wait_ended".to_owned(),
        Path::EventReceived => "event_received".to_owned(),
        Path::TimedOut => "timed_out".to_owned(),
        Path::Failed => "error".to_owned(),
        Path::Way(index) => {
            let name = way_names(node).into_iter().nth(usize::from(index));
            name.unwrap_or_else(|| format!("way {}", index + 1))
        }
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
        ExitReason::Forced => "forced",
        ExitReason::Migrated => "migrated",
        ExitReason::Withdrawn => "withdrawn",
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
        DiscardReason::Paused => "paused",
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
        MessageOutcome::Dropped => "dropped",
        MessageOutcome::Merged => "merged",
    }
}
