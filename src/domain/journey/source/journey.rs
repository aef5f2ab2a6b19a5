//! `kind: journey` as written: what lets profiles in and out, its zone and dates; [`nodes`] reads the graph.

use jiff::tz::TimeZone;
use smol_str::SmolStr;

use crate::domain::calendar::{self, Moment};
use crate::domain::event::{FEEDBACK_TYPES, RESERVED_PREFIXES, is_feedback};
use crate::domain::ids::Millis;
use crate::domain::journey::definition::{FilterDefinition, JourneyDefinition, LocalTime};
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::program::Reentry;
use crate::domain::journey::source::bounds;
use crate::domain::journey::source::migration;
use crate::domain::journey::source::nodes;
use crate::domain::journey::source::reader::{MapReader, choice, event_name, full_text, items, listed, name, number};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

const ENTRY_HELP: &str = "journeys are entered by events: `entry: { event: NAME, when: … }`";
const EVENT_HELP: &str = "await an event of your own, declared with `kind: event`";
const LOCAL_TIMES: [(&str, LocalTime); 2] = [("journey", LocalTime::Journey), ("profile", LocalTime::Profile)];
/// Priority unless given: in the middle (spec §7.5).
const PRIORITY: u32 = 50;
/// Re-entrance unless given (spec §2.2).
const REENTRY: Reentry = Reentry::After(limits::REENTRY_MS_MIN);

/// Reads a journey. Whatever can't be read leaves `broken` set and a finding behind.
pub fn read(journey_name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> JourneyDefinition {
    let before = findings.count();
    name(&journey_name, "a journey", findings);
    let timezone = map.optional("timezone").and_then(|tree| read_timezone(tree, findings));
    let local_time = map.optional("local_time").and_then(|tree| choice(tree, "`local_time`", &LOCAL_TIMES, findings));
    let starts_at = map.optional("start_date").and_then(|tree| read_instant(tree, "`start_date`", findings));
    let ends_at = map.optional("end_date").and_then(|tree| read_instant(tree, "`end_date`", findings));
    let (entry, supplemental_id) =
        map.required("entry", findings).and_then(|tree| read_entry(tree, findings)).unwrap_or_default();
    let reentry = match map.optional("reentry") {
        Some(tree) => read_reentry(tree, &map.what, findings),
        None => Some(At::new(REENTRY, journey_name.place)),
    };
    let (exit, exit_when) = map.optional("exit").map(|tree| read_exit(tree, findings)).unwrap_or_default();
    let (lives, calls) = (format!("the `timeout` of {}", map.what), format!("the `call_timeout` of {}", map.what));
    let timeout = map.optional("timeout").and_then(|tree| bounds::span(tree, &lives, &bounds::TIMEOUT, findings));
    let call_timeout =
        map.optional("call_timeout").and_then(|tree| bounds::span(tree, &calls, &bounds::CALL, findings));
    let start = map.required("start", findings).and_then(|tree| full_text(tree, "`start`", findings));
    let nodes = map.required("nodes", findings).map(|tree| nodes::read(tree, findings)).unwrap_or_default();
    let rule_set = map.optional("rule_set").and_then(|tree| full_text(tree, "`rule_set`", findings));
    let priority = map.optional("priority").and_then(|tree| number(tree, "`priority`", (0, 100), findings));
    let migration = map.optional("migration").and_then(|tree| migration::read(tree, findings));
    // What is wrong with it was noted by whoever opened this document.
    let description = map.optional("description").and_then(Tree::text).map(SmolStr::new);
    map.not_available("holdout", "remove it", findings);
    map.finish(findings);
    JourneyDefinition {
        name: journey_name,
        timezone: timezone.unwrap_or_else(|| SmolStr::new_static("UTC")),
        local_time: local_time.unwrap_or(LocalTime::Journey),
        starts_at: starts_at.map(|at| at.value),
        ends_at,
        entry,
        supplemental_id,
        rule_set,
        priority: priority.unwrap_or(PRIORITY),
        reentry: reentry.unwrap_or_else(|| At::new(REENTRY, Place::default())),
        exit,
        exit_when,
        timeout_ms: timeout.map_or(limits::TIMEOUT_MS_MAX, |at| at.value),
        call_timeout_ms: call_timeout.map_or(limits::CALL_TIMEOUT_RANGE_MS.1, |at| at.value),
        start: start.unwrap_or_default(),
        nodes,
        migration,
        description,
        broken: findings.any_error_since(before),
    }
}

fn read_timezone(tree: &Tree, findings: &mut Findings<'_>) -> Option<SmolStr> {
    let zone = full_text(tree, "`timezone`", findings)?;
    let known = calendar::zone_names();
    if known.iter().any(|name| name.eq_ignore_ascii_case(&zone.value)) {
        return Some(zone.value);
    }
    let suggestion = did_you_mean(&zone.value, known.iter().map(String::as_str))
        .unwrap_or_else(|| "use an IANA name such as `Europe/Paris`".to_owned());
    findings.error_with(zone.place, "unknown_timezone", format!("unknown time zone `{}`", zone.value), suggestion);
    None
}

/// An instant; without an offset in UTC (spec §2.5: not in the journey's zone).
fn read_instant(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<Millis>> {
    let moment = read_moment(tree, what, findings)?;
    moment.value.begins(&TimeZone::UTC).map(|instant| At::new(instant, moment.place))
}

pub(super) fn read_moment(tree: &Tree, what: &str, findings: &mut Findings<'_>) -> Option<At<Moment>> {
    let written = full_text(tree, what, findings)?;
    let moment = Moment::parse(&written.value);
    // Beyond the years that events may come from nothing happens.
    let sane = moment.filter(|moment| {
        let begins = moment.begins(&TimeZone::UTC);
        begins.is_some_and(|at| (limits::EVENT_TIME_MIN..=limits::EVENT_TIME_MAX).contains(&at))
    });
    if sane.is_none() {
        let suggestion = "write it as `2026-12-01`, `2026-12-01T09:00` or `2026-12-01T09:00:00Z`".to_owned();
        findings.error_with(tree.place, "bad_date", format!("{what} can't be `{}`", written.value), suggestion);
    }
    sane.map(|moment| At::new(moment, tree.place))
}

fn read_entry(tree: &Tree, findings: &mut Findings<'_>) -> Option<(FilterDefinition, Option<At<SmolStr>>)> {
    let mut map = MapReader::open(tree, "`entry`", findings)?;
    for later in ["audience", "read_audience", "qualification", "business_event", "schedule"] {
        if map.not_available(later, ENTRY_HELP, findings) {
            return None;
        }
    }
    let supplemental_id = map.optional("supplemental_id").map(|tree| full_text(tree, "`supplemental_id`", findings));
    let filter = read_filter(&mut map, Listening::Outside, findings);
    map.finish(findings);
    let supplemental_id = match supplemental_id {
        Some(id) => Some(id?),
        None => None,
    };
    Some((filter?, supplemental_id))
}

/// Those by an event, and those by what the profile is.
fn read_exit(tree: &Tree, findings: &mut Findings<'_>) -> (Vec<FilterDefinition>, Vec<At<SmolStr>>) {
    let (mut exits, mut exits_when) = (Vec::new(), Vec::new());
    let Some(items) = items(tree, "`exit`", findings) else { return (exits, exits_when) };
    if items.len() > limits::EXITS_MAX {
        let message = format!("{} exit criteria; at most {} are allowed", items.len(), limits::EXITS_MAX);
        findings.error(tree.place, "too_many_exits", message);
    }
    for item in items {
        let Some(mut map) = MapReader::open(item, "an exit criterion", findings) else { continue };
        if map.not_available("audience", "exit by an event: `exit: [ { event: NAME, when: … } ]`", findings) {
            continue;
        }
        if map.has("when") && !map.has("event") {
            exits_when.extend(map.optional("when").and_then(|tree| full_text(tree, "`when`", findings)));
            map.optional("event");
        } else {
            exits.extend(read_filter(&mut map, Listening::Outside, findings));
        }
        map.finish(findings);
    }
    (exits, exits_when)
}

/// Whether a filter belongs to a node, which may await feedback on a message that was sent before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    Inside,
    Outside,
}

/// `event` and `when`.
pub(super) fn read_filter(
    map: &mut MapReader<'_>,
    listening: Listening,
    findings: &mut Findings<'_>,
) -> Option<FilterDefinition> {
    let event = map.required("event", findings).and_then(|tree| full_text(tree, "`event`", findings));
    let when = map.optional("when").map(|tree| full_text(tree, "`when`", findings));
    let event = event?;
    if !event_name(&event, "an event type", findings) {
        return None;
    }
    if is_feedback(&event.value) && listening == Listening::Outside {
        let message = format!("`{}` is feedback on a message, which only nodes can await", event.value);
        let suggestion = "use a node `{ event: …, of: NODE }`, or an event of your own".to_owned();
        findings.error_with(event.place, "feedback_outside", message, suggestion);
        return None;
    }
    if !is_feedback(&event.value) && RESERVED_PREFIXES.iter().any(|prefix| event.value.starts_with(prefix)) {
        let message = format!("events of the reserved type `{}` can't be awaited", event.value);
        let suggestion = match event.value.starts_with("message.") {
            true => format!("await feedback: {}", listed(&FEEDBACK_TYPES)),
            false => EVENT_HELP.to_owned(),
        };
        findings.error_with(event.place, "reserved_event", message, suggestion);
        return None;
    }
    match when {
        Some(when) => Some(FilterDefinition { event, when: Some(when?) }),
        None => Some(FilterDefinition { event, when: None }),
    }
}

fn read_reentry(tree: &Tree, whose: &str, findings: &mut Findings<'_>) -> Option<At<Reentry>> {
    if tree.text() == Some("never") {
        return Some(At::new(Reentry::Never, tree.place));
    }
    if !matches!(tree.shape, Shape::Map(_)) {
        let suggestion = "write `never` or `{ after: 1d }`".to_owned();
        findings.error_with(tree.place, "unknown_value", "`reentry` can't be read".to_owned(), suggestion);
        return None;
    }
    let mut map = MapReader::open(tree, "`reentry`", findings)?;
    let what = format!("the re-entrance period of {whose}");
    let after = map.required("after", findings);
    let after = after.and_then(|tree| bounds::span(tree, &what, &bounds::REENTRY, findings));
    map.finish(findings);
    Some(At::new(Reentry::After(after?.value), tree.place))
}
