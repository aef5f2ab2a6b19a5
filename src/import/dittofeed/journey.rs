//! A Dittofeed journey: who enters, and what its settings become.

use serde_json::Value;

use super::nodes::Nodes;
use super::read::Library;
use super::segments::Segments;
use super::shapes::{Definition, Entry, Exit, Journey};
use crate::domain::limits;
use crate::import::bundle::{self, Bundle, Clock, Reentry};
use crate::import::declared::Type;
use crate::import::graph::{Graph, Target};
use crate::import::report::Subject;
use crate::import::split::Ask;
use crate::import::text::{json, segments, shown};

/// Adds the journey to the bundle.
pub(super) fn import(subject: &Subject, journey: Journey, library: &mut Library, bundle: &mut Bundle) {
    let Journey {
        can_run_multiple,
        created_at: _,
        definition,
        draft,
        id,
        name,
        resource_type: _,
        status,
        updated_at: _,
        workspace_id: _,
    } = journey;
    tell_state(subject, draft, status, bundle);
    let Some(Definition { entry_node, exit_node, nodes }) = definition else {
        bundle.report.lost(subject, "has no definition: left out", "publish it there and export again");
        return;
    };
    let title = name.unwrap_or_default();
    let name = bundle.journey_names.take(&title, "journey");
    let entry = entry(subject, &name, entry_node.unwrap_or_default(), can_run_multiple, library, bundle);
    let Exit { id: exit_id, r#type: exit_type } = exit_node.unwrap_or_default();
    let mut graph = Graph::default();
    // Ways to the exit name its type; files applied from outside give it an id.
    for exit in [Some("ExitNode".to_owned()), exit_id, exit_type].into_iter().flatten() {
        graph.enter(&exit, Target::End);
    }
    let mut adding = Nodes {
        journey: subject,
        library,
        bundle,
        graph,
        key: entry.key.map(|key| (key, entry.event.clone())),
        timezone: None,
        clock: Clock::Journey,
        going_on: Vec::new(),
    };
    for node in nodes.unwrap_or_default() {
        adding.add(&node);
    }
    let Nodes { graph, timezone, clock, going_on, .. } = adding;
    if !going_on.is_empty() {
        let nodes = going_on.join(", ");
        let text =
            format!("who gets no message goes on at {nodes}, where the journey ended for want of `skipOnFailure`");
        bundle.report.differs(subject, text, "ask for the address before the message");
    }
    let graph = graph.finish(&Target::to(entry.child.as_deref()), subject, &mut bundle.report);
    bundle.report.mapped(subject, format!("journey `{name}`, entered by event `{}`", entry.event));
    bundle.journeys.push(bundle::Journey {
        name,
        origin: shown(format!("Dittofeed journey {title} {}", id.unwrap_or_default()).trim()),
        description: None,
        timezone,
        clock,
        start_date: None,
        end_date: None,
        event: entry.event,
        when: entry.when,
        supplemental_id: entry.supplemental_id,
        reentry: entry.reentry,
        exit: Vec::new(),
        graph,
    });
}

/// What was not published there, or does not run.
fn tell_state(subject: &Subject, draft: Option<Value>, status: Option<String>, bundle: &mut Bundle) {
    let help = "publish it there and export again, if it counts";
    bundle.report.left_out(subject, [("draft", draft)], help);
    if let Some(status) = status.filter(|status| status != "Running") {
        let text = format!("`status` is {status}: publishing it makes it live");
        bundle.report.differs(subject, text, "publish it when it shall run");
    }
}

/// Who enters.
struct Entered {
    event: String,
    when: Option<String>,
    supplemental_id: Option<String>,
    reentry: Reentry,
    child: Option<String>,
    key: Option<String>,
}

fn entry(
    journey: &Subject,
    name: &str,
    entry: Entry,
    can_run_multiple: Option<bool>,
    library: &mut Library,
    bundle: &mut Bundle,
) -> Entered {
    let Entry { child, event, id, key, re_enter, segment, r#type } = entry;
    let kind = r#type.unwrap_or_else(|| if event.is_some() { "EventEntryNode" } else { "EntryNode" }.to_owned());
    let subject = &journey.part(&kind, id.as_deref().unwrap_or_default(), None);
    let again = can_run_multiple == Some(true);
    let shortest = Reentry::After(limits::REENTRY_MS_MIN);
    if kind == "EventEntryNode" {
        if let Some(left) = segment.map(|s| format!("`segment` {s}")).or(re_enter.map(|r| format!("`reEnter` {r}"))) {
            bundle.report.lost(
                subject,
                format!("{left} beside an event is left out"),
                "ask for it in the entry's `when`",
            );
        }
        let declared = bundle.declared.event(event.as_deref().unwrap_or_default());
        let event = declared.unwrap_or_else(|error| {
            let event = instead(name, bundle);
            bundle.report.lost(subject, format!("{error}: event `{event}` lets a profile in"), "send that event");
            event
        });
        let (key, supplemental_id) = keyed(subject, &event, key, bundle);
        if again && key.is_some() {
            bundle.report.differs(subject, "the same key may enter again after 5 minutes", "change `reentry`");
        }
        let reentry = if again && key.is_some() { shortest } else { Reentry::Never };
        if key.is_none() {
            let text = "every event enters by itself, up to ten at once, known by its id";
            bundle.report.differs(subject, text, "drop `supplemental_id` if one run at a time is enough");
        }
        bundle.report.mapped(subject, format!("entry by event `{event}`"));
        return Entered { event, when: None, supplemental_id, reentry, child, key };
    }
    if let Some(event) = event {
        bundle.report.lost(subject, format!("`event` {event} beside a segment is left out"), "see what it meant there");
    }
    if let Some(key) = key {
        bundle.report.lost(subject, format!("`key` {key} beside a segment is left out"), "see what it meant there");
    }
    let segment = segment.unwrap_or_default();
    let mut asks = Segments { subject, library, bundle, key: None };
    let event = format!("segment_{}", asks.called(&segment));
    let known = asks.library.segments.contains_key(&asks.library.segment(&segment));
    let when = if known { in_segment(&mut asks, &segment) } else { None };
    let event = bundle.declared.event(&event).unwrap_or_else(|_| instead(name, bundle));
    let text = format!("who comes into segment `{segment}` doesn't enter by itself: event `{event}` lets a profile in");
    bundle.report.lost(subject, text, "send that event for each of them, when they shall enter");
    let re_enter = re_enter == Some(true);
    if re_enter {
        let text = "`reEnter`: who is in the segment at the end doesn't begin again by itself";
        bundle.report.lost(subject, text, "send the event again");
    } else if again {
        bundle.report.differs(
            subject,
            "`canRunMultiple`: a profile may enter again after 5 minutes",
            "change `reentry`",
        );
    }
    let reentry = if again || re_enter { shortest } else { Reentry::Never };
    Entered { event, when, supplemental_id: None, reentry, child, key: None }
}

/// The rule of a segment as a filter of entries, where it looks at the profile alone.
fn in_segment(asks: &mut Segments<'_>, segment: &str) -> Option<String> {
    match asks.ask(segment) {
        Ask::Expression(expression) => Some(expression).filter(|expression| expression != "true"),
        Ask::Events(heard) => {
            let events: Vec<String> = heard.into_iter().map(|heard| heard.event).collect();
            let text = format!("segment `{segment}` asks for events {}, which the entry doesn't", json(&events));
            asks.bundle.report.lost(asks.subject, text, "let that event in instead: `entry: { event: … }`");
            None
        }
    }
}

/// An event for journeys whose own can't be had.
fn instead(journey: &str, bundle: &mut Bundle) -> String {
    let event = format!("enter_{journey}");
    bundle.declared.events.entry(event.clone()).or_default();
    event
}

/// The key of an event entry, and the supplemental id that it is here.
fn keyed(subject: &Subject, event: &str, key: Option<String>, bundle: &mut Bundle) -> (Option<String>, Option<String>) {
    let by_event = Some("meta.id".to_owned());
    let Some(key) = key.filter(|key| !key.is_empty()) else { return (None, by_event) };
    let path = segments(&key).ok_or_else(|| "it is no field".to_owned());
    match path.and_then(|path| bundle.declared.property((event, "event"), &path, Some(Type::Text))) {
        Ok(field) => {
            let text = format!("`key` {key} has to be a text; an event without it doesn't enter");
            bundle.report.differs(subject, text, "send it as a text");
            (Some(key), Some(field))
        }
        Err(error) => {
            bundle.report.lost(subject, format!("`key` {key} is left out: {error}"), "write `supplemental_id`");
            (None, by_event)
        }
    }
}
