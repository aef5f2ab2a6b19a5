//! A Parcelvoy journey: one of ours for each of its entrances, since ours have one.

use serde_json::Value;

use super::read::{Given, Library};
use super::rules;
use super::shapes::{Data, Journey, Step};
use super::steps::Steps;
use crate::domain::limits;
use crate::import::bundle::{self, Bundle, Clock, Reentry};
use crate::import::declared::Type;
use crate::import::graph::{Graph, Target};
use crate::import::report::Subject;
use crate::import::text::{json, shown};
use crate::import::unread::{self, is_nothing};

/// A step as it was given.
pub(super) type Parts = Vec<(String, Subject, Step)>;

/// A journey that is to be: its name here and the entrance it begins at.
struct Planned {
    given: usize,
    name: String,
    entrance: (String, Subject, Step),
}

/// Adds all journeys to the bundle.
pub(super) fn import(given: Vec<Given>, library: &mut Library, bundle: &mut Bundle) {
    let (mut read, mut planned) = (Vec::new(), Vec::new());
    for (index, given) in given.into_iter().enumerate() {
        let steps = steps(&given.subject, &given.steps, bundle);
        plan(index, &given, &steps, library, bundle, &mut planned);
        read.push((given, steps));
    }
    for planned in planned {
        let (given, steps) = &read[planned.given];
        add(planned, given, steps, library, bundle);
    }
}

fn steps(journey: &Subject, steps: &serde_json::Map<String, Value>, bundle: &mut Bundle) -> Parts {
    let mut parts = Vec::new();
    for (id, value) in steps {
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let subject = journey.part(word("type").unwrap_or("step"), id, word("name"));
        match unread::read::<Step>(value, &subject, &mut bundle.report) {
            Ok(step) => parts.push((id.clone(), subject, step)),
            Err(error) => {
                let text = format!("can't be read ({error}): it ends the journey. {}", json(value));
                bundle.report.lost(&subject, text, "write the node by hand");
                parts.push((id.clone(), subject, Step::default()));
            }
        }
    }
    parts
}

/// Names the journeys, so that links can find them.
fn plan(
    index: usize,
    given: &Given,
    steps: &Parts,
    library: &mut Library,
    bundle: &mut Bundle,
    planned: &mut Vec<Planned>,
) {
    let Journey {
        created_at: _,
        deleted_at,
        description: _,
        id,
        name,
        project_id: _,
        published,
        stats: _,
        stats_at: _,
        tags: _,
        updated_at: _,
    } = given.journey.clone();
    let subject = &given.subject;
    if published == Some(false) || deleted_at.as_ref().is_some_and(|at| !is_nothing(at)) {
        bundle.report.differs(
            subject,
            "is not published there: publishing it makes it live",
            "publish it when it shall run",
        );
    }
    let entrances: Vec<_> = steps.iter().filter(|(_, _, step)| step.r#type.as_deref() == Some("entrance")).collect();
    if entrances.is_empty() {
        bundle.report.lost(subject, "has no entrance: left out", "write the journey by hand");
    }
    if entrances.len() > 1 {
        let text = format!("its {} entrances become as many journeys", entrances.len());
        bundle.report.differs(subject, text, "a profile may be in each of them at once");
    }
    let of_file = subject.file.rsplit('/').next().unwrap_or_default().trim_end_matches(".json").to_owned();
    let title = name.filter(|name| !name.is_empty()).unwrap_or(of_file);
    for (position, entrance) in entrances.into_iter().enumerate() {
        let wanted = match &entrance.1.name {
            Some(entrance) if position > 0 => format!("{title} {entrance}"),
            _ => title.clone(),
        };
        let name = bundle.journey_names.take(&wanted, "journey");
        // Ids of steps and of journeys share the place of a link's target; the first who has it keeps it.
        for id in entrance.2.id.into_iter().chain(id.filter(|_| position == 0)) {
            library.journeys.entry(id).or_insert_with(|| name.clone());
        }
        planned.push(Planned { given: index, name, entrance: entrance.clone() });
    }
}

fn add(planned: Planned, given: &Given, steps: &Parts, library: &mut Library, bundle: &mut Bundle) {
    let Planned { name, entrance: (entrance_id, subject, step), .. } = planned;
    let entered = entrance(&subject, &name, &step.data.clone().unwrap_or_default(), bundle);
    let mut adding = Steps {
        journey: &name,
        library,
        bundle,
        graph: Graph::default(),
        clock: Clock::Journey,
        entry: (&entered.event, step.data_key.as_deref()),
        steps,
        end_on_failure: false,
    };
    adding.enter(&entrance_id);
    let start = Target::to(step.children.iter().flatten().next().and_then(|child| child.external_id.as_deref()));
    if step.children.as_ref().is_some_and(|children| children.len() > 1) {
        adding.bundle.report.lost(&subject, "leads to several steps: only the first counts", "split the way by hand");
    }
    let Steps { graph, clock, end_on_failure, .. } = adding;
    if end_on_failure {
        let text =
            "goes on as soon as a message is on its way; there it waits until it was sent, and ends where that fails";
        bundle.report.differs(&given.subject, text, "await `message.delivered` behind the message");
    }
    let exit = exits(&entrance_id, steps, bundle);
    let graph = graph.finish(&start, &given.subject, &mut bundle.report);
    bundle.report.mapped(&subject, format!("journey `{name}`, entered by event `{}`", entered.event));
    let Journey { description, id, name: title, .. } = given.journey.clone();
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    bundle.journeys.push(bundle::Journey {
        name,
        origin: shown(format!("Parcelvoy journey {} {id}, entrance {entrance_id}", title.unwrap_or_default()).trim()),
        description: description.filter(|text| !text.is_empty()),
        timezone: None,
        clock,
        start_date: None,
        end_date: None,
        event: entered.event,
        when: entered.when,
        supplemental_id: entered.supplemental_id,
        reentry: entered.reentry,
        exit,
        graph,
    });
}

/// Who enters.
struct Entered {
    event: String,
    when: Option<String>,
    supplemental_id: Option<String>,
    reentry: Reentry,
}

fn entrance(subject: &Subject, journey: &str, data: &Data, bundle: &mut Bundle) -> Entered {
    let trigger = data.trigger.as_deref().unwrap_or("none");
    let fields: &[&str] = match trigger {
        "event" => &["event_name", "rule"],
        "schedule" => &["list_id", "schedule"],
        _ => &[],
    };
    let allowed: Vec<&str> = fields.iter().chain(&["trigger", "multiple", "concurrent"]).copied().collect();
    unread::beside(data, &allowed, subject, &mut bundle.report);
    let event = match trigger {
        "event" => bundle.declared.event(data.event_name.as_deref().unwrap_or_default()),
        _ => Err(String::new()),
    };
    let by_event = event.is_ok();
    let event = event.unwrap_or_else(|error| {
        let event = format!("enter_{journey}");
        bundle.declared.events.entry(event.clone()).or_default();
        let (text, help) = match trigger {
            "event" => (error, "send that event"),
            "schedule" => {
                let schedule = json(&(data.schedule.clone(), data.list_id.clone()));
                (
                    format!("members of a list don't enter on a schedule {schedule}"),
                    "send that event for each of them, on time",
                )
            }
            "none" => ("enters by a call of the API".to_owned(), "send that event instead of the call"),
            other => (format!("a trigger `{other}` is not known"), "send that event when somebody shall enter"),
        };
        let text = format!("{text}: event `{event}` lets a profile in");
        match trigger {
            "none" => bundle.report.differs(subject, text, help),
            _ => bundle.report.lost(subject, text, help),
        }
        event
    });
    let mut when = None;
    if let (Some(rule), true) = (&data.rule, by_event) {
        match rules::of_event(rule, (&event, "event"), bundle) {
            Ok(rule) => when = Some(rule).filter(|rule| rule != "true"),
            Err(error) => {
                let text = format!("its rule is left out ({error}), so every `{event}` lets in: {}", json(rule));
                bundle.report.lost(subject, text, "write it as the entry's `when`");
            }
        }
    }
    let (reentry, supplemental_id) = match (data.multiple.unwrap_or_default(), data.concurrent.unwrap_or_default()) {
        (false, _) => (Reentry::Never, None),
        (true, true) => {
            let text = "several at once, up to ten, each known by the id of its event";
            bundle.report.differs(subject, text, "change `supplemental_id`");
            (Reentry::Never, Some("meta.id".to_owned()))
        }
        (true, false) => {
            bundle.report.differs(subject, "a profile may enter again after 5 minutes, not before", "change `reentry`");
            (Reentry::After(limits::REENTRY_MS_MIN), None)
        }
    };
    Entered { event, when, supplemental_id, reentry }
}

/// Exit criteria: steps of type `exit` of this entrance.
fn exits(entrance: &str, steps: &Parts, bundle: &mut Bundle) -> Vec<(String, Option<String>)> {
    let mut exits = Vec::new();
    for (_, subject, step) in steps.iter().filter(|(_, _, step)| step.r#type.as_deref() == Some("exit")) {
        let Data { entrance_uuid, event_name, rule, .. } = step.data.clone().unwrap_or_default();
        if entrance_uuid.as_deref() != Some(entrance) {
            if !steps.iter().any(|(id, _, _)| Some(id) == entrance_uuid.as_ref()) {
                let text = format!("is of no entrance that is there: {}", json(&entrance_uuid));
                bundle.report.lost(subject, text, "write it as an exit criterion: `exit: [ { event: … } ]`");
            }
            continue;
        }
        let exit = bundle.declared.event(event_name.as_deref().unwrap_or_default()).and_then(|event| {
            let group = rule.as_ref().map(|rule| rules::of_event(rule, (&event, "last"), bundle));
            Ok((event, group.transpose()?.filter(|rule| rule != "true")))
        });
        match exit {
            Ok((event, when)) => {
                bundle.report.mapped(subject, format!("exit by event `{event}`"));
                exits.push((event, when));
            }
            Err(error) => {
                let text = format!("is left out ({error}): {}", json(&(event_name, rule)));
                bundle.report.lost(subject, text, "write it as an exit criterion: `exit: [ { event: … } ]`");
            }
        }
    }
    exits
}

/// The profile field with the user's zone, declared.
pub(super) fn declare_timezone(bundle: &mut Bundle) {
    // A field of another type stays as it is, for the checker to tell.
    let _ = bundle.declared.profile(&["timezone".to_owned()], Some(Type::Text));
}
