//! A Pinpoint journey: who enters, when, how often, and what Pinpoint's settings of a whole journey become.

use serde_json::Value;

use super::activities::Activities;
use super::conditions::Conditions;
use super::read::Library;
use super::shapes::{
    EventDimensions, EventFilter, EventStartCondition, Journey, Limits, Schedule, SegmentCondition, SetDimension,
    StartCondition,
};
use crate::domain::journey::duration;
use crate::domain::limits;
use crate::import::bundle::{self, Bundle, Clock, Reentry};
use crate::import::graph::{Graph, Target};
use crate::import::report::Subject;
use crate::import::text::{json, shown, slug};
use crate::import::unread::is_nothing;

/// What to do for messages at good hours.
const ZONES_AND_CALLS: &str = "keep zones in `profile.timezone`; let an `action` ask your contact center to call";
const HOURS: &str = "wait for a good hour before a message: `wait: { time: \"09:00\" }`, with `local_time: profile`";

/// Adds the journey to the bundle.
pub(super) fn import(subject: &Subject, journey: Journey, library: &mut Library, bundle: &mut Bundle) {
    let Journey {
        activities,
        application_id: _,
        closed_days,
        creation_date: _,
        id,
        journey_channel_settings,
        last_modified_date: _,
        limits,
        local_time,
        name,
        open_hours,
        quiet_time,
        refresh_frequency,
        refresh_on_segment_update,
        schedule,
        sending_schedule,
        start_activity,
        start_condition,
        state,
        tags: _,
        timezone_estimation_methods,
        wait_for_quiet_time,
    } = journey;
    let title = name.unwrap_or_default();
    let name = bundle.journey_names.take(&title, "journey");
    let report = &mut bundle.report;
    let hours = [
        ("QuietTime", quiet_time),
        ("WaitForQuietTime", wait_for_quiet_time.map(Value::from)),
        ("SendingSchedule", sending_schedule.map(Value::from)),
        ("OpenHours", open_hours),
    ];
    report.left_out(subject, hours, HOURS);
    report.left_out(subject, [("ClosedDays", closed_days)], "ask for the `date` in a condition before a message");
    let others = [
        ("TimezoneEstimationMethods", timezone_estimation_methods),
        ("JourneyChannelSettings", journey_channel_settings),
    ];
    report.left_out(subject, others, ZONES_AND_CALLS);
    let refresh = [
        ("RefreshFrequency", refresh_frequency.map(Value::from)),
        ("RefreshOnSegmentUpdate", refresh_on_segment_update.map(Value::from)),
    ];
    report.left_out(subject, refresh, "send the event for new members when you find them");
    tell_state(subject, state, bundle);
    let entry = entry(subject, &name, start_condition.unwrap_or_default(), library, bundle);
    let (start_date, end_date) = dates(subject, schedule, local_time, bundle);
    let reentry = reentry(subject, limits.unwrap_or_default(), bundle);
    let mut adding = Activities { journey: subject, library, bundle, graph: Graph::default() };
    activities.unwrap_or_default().iter().for_each(|(id, activity)| adding.add(id, activity));
    let graph = adding.graph.finish(&Target::to(start_activity.as_deref()), subject, &mut bundle.report);
    bundle.report.mapped(subject, format!("journey `{name}`, entered by event `{}`", entry.event));
    bundle.journeys.push(bundle::Journey {
        name,
        origin: shown(format!("Amazon Pinpoint journey {title} {}", id.unwrap_or_default()).trim()),
        description: None,
        timezone: None,
        clock: Clock::Journey,
        start_date,
        end_date,
        event: entry.event,
        when: entry.when,
        supplemental_id: None,
        reentry,
        exit: Vec::new(),
        graph,
    });
}

/// Who enters.
struct Entry {
    event: String,
    when: Option<String>,
}

fn entry(subject: &Subject, journey: &str, start: StartCondition, library: &mut Library, bundle: &mut Bundle) -> Entry {
    let StartCondition { description, event_start_condition, segment_start_condition } = start;
    let subject = &subject.part("StartCondition", "", description.as_deref());
    if let Some(EventStartCondition { event_filter, segment_id }) = event_start_condition {
        if let Some(SegmentCondition { segment_id }) = segment_start_condition {
            let text = format!("segment `{}` beside an event is left out", segment_id.unwrap_or_default());
            bundle.report.lost(subject, text, "let its members in by a journey of their own");
        }
        return by_event(subject, journey, event_filter.unwrap_or_default(), segment_id, library, bundle);
    }
    let segment = segment_start_condition.and_then(|segment| segment.segment_id).unwrap_or_default();
    let known = library.segments.contains_key(&segment);
    let name = library.segments.get(&segment).and_then(|known| known.shape.name.clone()).unwrap_or_default();
    let called = [slug(&name), slug(&segment)].into_iter().find(|name| !name.is_empty());
    let event = called.map_or_else(|| format!("enter_{journey}"), |name| format!("segment_{name}"));
    let event = bundle.declared.event(&event).unwrap_or_else(|_| unreachable_name(bundle));
    let text = if segment.is_empty() {
        format!("nobody enters by itself: event `{event}` lets a profile in")
    } else {
        format!("members of segment `{segment}` don't enter by themselves: event `{event}` lets a profile in")
    };
    bundle.report.lost(subject, text, "send that event for each of them, when they shall enter");
    let when = known.then(|| Conditions { subject, library, bundle }.segment(&segment));
    Entry { event, when }
}

/// An event of a name that can't fail.
fn unreachable_name(bundle: &mut Bundle) -> String {
    bundle.declared.events.entry("enter".to_owned()).or_default();
    "enter".to_owned()
}

fn by_event(
    subject: &Subject,
    journey: &str,
    filter: EventFilter,
    segment: Option<String>,
    library: &mut Library,
    bundle: &mut Bundle,
) -> Entry {
    let EventFilter { dimensions, filter_type } = filter;
    let EventDimensions { attributes, event_type, metrics } = dimensions.unwrap_or_default();
    let SetDimension { dimension_type, values } = event_type.unwrap_or_default();
    let values = values.unwrap_or_default();
    let excluded = dimension_type.as_deref().is_some_and(|kind| kind != "INCLUSIVE");
    let first = values.first().filter(|_| !excluded).cloned().unwrap_or_default();
    let event = match bundle.declared.event(first.trim_start_matches('_')) {
        Ok(event) => event,
        Err(error) => {
            let event = format!("enter_{journey}");
            let event = bundle.declared.event(&event).unwrap_or_else(|_| unreachable_name(bundle));
            let text = format!(
                "event {} can't let anybody in ({error}): event `{event}` does",
                json(&(&values, &dimension_type))
            );
            bundle.report.lost(subject, text, "send that event");
            event
        }
    };
    if let Some(kind) = filter_type.as_ref().filter(|kind| !matches!(kind.as_str(), "SYSTEM" | "ENDPOINT")) {
        bundle.report.lost(subject, format!("`FilterType` {kind} is not known"), "see what it meant there");
    }
    if filter_type.as_deref() == Some("SYSTEM") || first.starts_with('_') {
        let text = format!("`{first}` is an event of Pinpoint: nothing sends `{event}` here");
        bundle.report.lost(subject, text, "send it yourself");
    }
    if values.len() > 1 {
        let text = format!("of the events {} only `{event}` lets anybody in", json(&values));
        bundle.report.lost(subject, text, "let the others in by journeys of their own that `jump` here");
    }
    let mut conditions = Conditions { subject, library, bundle };
    let mut all: Vec<String> = conditions.event_rule((&event, "event"), attributes, metrics).into_iter().collect();
    all.extend(segment.filter(|segment| !segment.is_empty()).map(|segment| conditions.segment(&segment)));
    Entry { event, when: (!all.is_empty()).then(|| all.join(" && ")) }
}

fn tell_state(subject: &Subject, state: Option<String>, bundle: &mut Bundle) {
    if let Some(state) = state.filter(|state| state != "ACTIVE") {
        let text = format!("`State` is {state}: publishing it makes it live");
        bundle.report.differs(subject, text, "publish it when it shall run");
    }
}

/// `start_date` and `end_date`.
fn dates(
    subject: &Subject,
    schedule: Option<Schedule>,
    local_time: Option<bool>,
    bundle: &mut Bundle,
) -> (Option<String>, Option<String>) {
    let Schedule { end_time, start_time, timezone } = schedule.unwrap_or_default();
    let mut instant = |field: &str, value: Option<Value>| {
        let value = value.filter(|value| !is_nothing(value))?;
        let text = value.as_str().unwrap_or_default().trim();
        let read: Option<jiff::Timestamp> = text.parse().ok().or_else(|| format!("{text}Z").parse().ok());
        let read = read.or_else(|| value.as_f64().and_then(|s| jiff::Timestamp::from_second(s as i64).ok()));
        // What dates of journeys may be.
        let read = read.filter(|at| (0..7_000_000_000).contains(&at.as_second()));
        if read.is_none() {
            let text = format!("`Schedule.{field}` {} can't be read", json(&value));
            bundle.report.lost(subject, text, "write `start_date` and `end_date`");
        }
        read
    };
    let start = instant("StartTime", start_time);
    let mut end = instant("EndTime", end_time);
    if start.zip(end).is_some_and(|(start, end)| end <= start) {
        let text = format!(
            "`Schedule.EndTime` {} is before its start: left out",
            end.map(|e| e.to_string()).unwrap_or_default()
        );
        bundle.report.lost(subject, text, "write `end_date`");
        end = None;
    }
    if local_time == Some(true) && (start.is_some() || end.is_some()) {
        let text =
            format!("starts and ends at one instant, not at each participant's local time (zone {})", json(&timezone));
        bundle.report.differs(subject, text, "shift `start_date` and `end_date`");
    } else if let Some(zone) = timezone.filter(|zone| zone != "UTC") {
        let text = format!("`Schedule.Timezone` {zone}: start and end are instants with an offset of their own");
        bundle.report.differs(subject, text, "look at `start_date` and `end_date`");
    }
    let print = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    (start.map(print), end.map(print))
}

fn reentry(subject: &Subject, limits: Limits, bundle: &mut Bundle) -> Reentry {
    let Limits {
        daily_cap,
        endpoint_reentry_cap,
        endpoint_reentry_interval,
        messages_per_second,
        timeframe_cap,
        total_cap,
    } = limits;
    let caps = "keep to it where you send, or split the journey; entries are limited by a `rule_set`";
    let numbers = [("DailyCap", daily_cap), ("TotalCap", total_cap), ("MessagesPerSecond", messages_per_second)];
    for (field, cap) in numbers.into_iter().filter_map(|(field, cap)| Some((field, cap.filter(|cap| *cap != 0)?))) {
        bundle.report.lost(subject, format!("`Limits.{field}` {cap} is left out"), caps);
    }
    if let Some(cap) = timeframe_cap.filter(|cap| !is_nothing(cap)) {
        bundle.report.lost(subject, format!("`Limits.TimeframeCap` {} is left out", json(&cap)), caps);
    }
    let cap = endpoint_reentry_cap.unwrap_or_default();
    if cap == 1 {
        if let Some(interval) = endpoint_reentry_interval {
            bundle.report.mapped(subject, format!("`EndpointReentryInterval` {interval}: nobody enters twice anyhow"));
        }
        return Reentry::Never;
    }
    if cap > 1 {
        let text = format!("`Limits.EndpointReentryCap` {cap}: profiles may enter as often as they like");
        bundle.report.lost(subject, text, "count entries in an attribute and ask for it in the entry's `when`");
    }
    let shortest = limits_of_reentry();
    let Some(interval) = endpoint_reentry_interval.filter(|interval| !interval.is_empty()) else {
        return Reentry::After(shortest.0);
    };
    match duration::parse(&interval) {
        Ok(after) if (shortest.0..=shortest.1).contains(&after) => Reentry::After(after),
        Ok(after) => {
            let kept = after.clamp(shortest.0, shortest.1);
            let text = format!("`Limits.EndpointReentryInterval` {interval} is {}", duration::print(kept));
            bundle.report.differs(subject, text, "profiles may enter again after 5 minutes to 90 days");
            Reentry::After(kept)
        }
        Err(error) => {
            let text = format!("`Limits.EndpointReentryInterval` can't be read: {error}");
            bundle.report.lost(subject, text, "write `reentry: { after: … }`");
            Reentry::After(shortest.0)
        }
    }
}

/// The shortest and the longest time after which a profile may enter again.
fn limits_of_reentry() -> (i64, i64) {
    (limits::REENTRY_MS_MIN, limits::REENTRY_MS_MAX)
}
