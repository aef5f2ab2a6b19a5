//! The parts of sentences: what set a step off, why a node was left, what was awaited; and the rules that go with them.

use smol_str::SmolStr;

use crate::domain::calendar::{Period, local_text};
use crate::domain::ids::Millis;
use crate::domain::journey::definition::{LocalTime, RuleSetDefinition};
use crate::domain::journey::program::{Arm, EventFilter, Method, NodeKind, Program, Test};
use crate::domain::limits::UNCAPPED;
use crate::domain::step::{Path, StepKind};
use crate::domain::value::Map;
use crate::runtime::past::pauses::LetGo;
use crate::runtime::past::rules::{RuleDraft, Sight, draft, holds, rule};
use crate::runtime::past::transition::{Cause, Transition, arm};
use crate::runtime::report::{discard_word, path_words};

/// What made somebody leave a node, in words, and the rules that were asked; `None` if another item tells it.
pub(super) fn left_text(
    told: &Transition<'_>,
    path: Path,
    sight: Sight<'_>,
    rules: &mut Vec<RuleDraft>,
) -> Option<String> {
    let (program, node) = (told.program, told.program.node(told.step.node));
    Some(match (path, &node.kind) {
        // What the message became is told as its own item.
        (Path::Then, NodeKind::Message { .. }) => return None,
        (Path::Then, NodeKind::Jump { journey, .. }) => {
            let there = match told.jumped {
                Some(StepKind::Entered(_)) => "which it entered".to_owned(),
                Some(StepKind::Held(_)) => "which is paused, and keeps it at the entrance".to_owned(),
                Some(StepKind::Discarded(reason)) => format!("which discarded it as `{}`", discard_word(reason)),
                _ => "whose entry filter was false".to_owned(),
            };
            format!("passed the jump to `{journey}` at `{}`, {there}", node.name)
        }
        (Path::Then, NodeKind::Lookup(lookup)) => format!("looked up in `{}` at `{}`", lookup.dataset, node.name),
        (Path::Then, NodeKind::Action { .. }) => format!("the call of `{}` was answered", node.name),
        (Path::Then, _) => format!("the profile was updated at `{}`", node.name),
        (Path::Branch(index), NodeKind::Condition { branches, .. }) => {
            let test = branches.get(usize::from(index)).map(|(test, _)| test);
            rules.extend(test.map(|test| test_rule(test, Some(true), program, sight)));
            format!("branch {} of `{}` held", index + 1, node.name)
        }
        (Path::Branch(index), kind) => way_text(arm(kind, index), index, told, &node.name),
        (Path::Otherwise, NodeKind::Condition { branches, .. }) => {
            rules.extend(branches.iter().map(|(test, _)| test_rule(test, Some(false), program, sight)));
            format!("no branch of `{}` held", node.name)
        }
        (Path::Way(index), kind) => chosen_text(told, index, kind, sight, rules),
        (Path::Otherwise, _) => format!("no branch of `{}` held", node.name),
        (Path::WaitEnded, _) => format!("the wait at `{}` ended", node.name),
        (Path::EventReceived, kind) => {
            if let NodeKind::Event { awaited, .. } = kind {
                rules.extend(awaited.filter.when.iter().map(|when| rule(when, Some(true), sight)));
            }
            match &told.cause {
                Cause::Event(_) => format!("{} came, awaited at `{}`", caused(told), node.name),
                Cause::Jump(_) | Cause::Other => format!("what `{}` awaits had come before", node.name),
            }
        }
        (Path::TimedOut, kind) => {
            let awaited = match kind {
                NodeKind::Event { awaited, .. } => filter_text(&awaited.filter, program),
                _ => "it awaited".to_owned(),
            };
            format!("no event {awaited} came to `{}` in time", node.name)
        }
        (Path::Failed, NodeKind::Action { .. }) if told.note.is_none() => {
            format!("the call of `{}` had failed", node.name)
        }
        (Path::Failed, _) => format!("`{}` failed: {}", node.name, told.note.unwrap_or("no error was noted")),
    })
}

/// Which of the ways that are counted was taken, and why.
fn chosen_text(
    told: &Transition<'_>,
    index: u16,
    kind: &NodeKind,
    sight: Sight<'_>,
    rules: &mut Vec<RuleDraft>,
) -> String {
    let (program, node) = (told.program, told.program.node(told.step.node));
    match kind {
        NodeKind::ProfileCap { max: UNCAPPED, .. } if index == 0 => {
            format!("caps do not count in a test: there was a place at `{}`", node.name)
        }
        NodeKind::ProfileCap { max, .. } => match index {
            0 => format!("there was a place of the {max} of `{}`", node.name),
            _ => format!("all {max} places of `{}` were taken", node.name),
        },
        NodeKind::Optimize { method: Method::Experiment { .. } } => {
            let way = path_words(Path::Way(index), kind);
            match program.is_in_test {
                true => format!("a test takes the top way of `{}`, `{way}`", node.name),
                false => format!("drew `{way}` at `{}`, as it always would", node.name),
            }
        }
        NodeKind::Optimize { method: Method::Targeting { rules: all, .. } } => {
            let index = usize::from(index);
            let asked = all.iter().take(index + 1).enumerate();
            rules.extend(asked.map(|(place, (_, when, _))| rule(when, Some(place == index), sight)));
            match all.get(index) {
                Some((name, ..)) => format!("rule `{name}` of `{}` was the first that held", node.name),
                None => format!("no rule of `{}` held", node.name),
            }
        }
        _ => format!("way {} of `{}`", index + 1, node.name),
    }
}

/// Why the way with this index was taken: what came first, or what was drawn.
pub(super) fn way_text(arm: Option<&Arm>, index: u16, told: &Transition<'_>, node: &str) -> String {
    match (arm, &told.cause) {
        (None, _) if told.program.is_in_test => format!("a test takes the top way of `{node}`"),
        (None, _) => format!("drew way {} of `{node}`, as it always would", index + 1),
        (Some(Arm::Event(_)), Cause::Event(_)) => format!("{} came first at `{node}`", caused(told)),
        (Some(Arm::Event(_)), _) => format!("what way {} of `{node}` awaits had come before", index + 1),
        (Some(Arm::Wait(_)), _) => format!("the wait of way {} of `{node}` ended first", index + 1),
    }
}

pub(super) fn name(node: Option<&SmolStr>) -> &str {
    node.map_or("", SmolStr::as_str)
}

/// What set it off, as the beginning of a sentence.
pub(super) fn caused(told: &Transition<'_>) -> String {
    match &told.cause {
        Cause::Event(event) => format!("event {} `{}`", event.id, event.kind),
        Cause::Jump(id) => format!("a jump ({id})"),
        Cause::Other => "time".to_owned(),
    }
}

/// The same where somebody enters, or does not: perhaps the end of a pause let it go.
pub(super) fn entrance_text(told: &Transition<'_>, let_go: Option<&LetGo>) -> String {
    match let_go.map(|let_go| &let_go.event) {
        None => caused(told),
        Some(None) => "what a pause had kept".to_owned(),
        Some(Some(event)) => format!("event {} `{}`, which a pause had kept,", event.id, event.kind),
    }
}

/// Why somebody comes too early, or too late, at `at`.
pub(super) fn dates_text(program: &Program, at: Millis) -> String {
    match (program.starts_at.filter(|starts_at| *starts_at > at), program.ends_at) {
        (Some(starts_at), _) => format!("the journey takes entries from {starts_at} on"),
        (None, Some(ends_at)) => format!("the journey takes no entries since {ends_at}"),
        (None, None) => "it was outside the journey's dates".to_owned(),
    }
}

pub(super) fn filter_text(filter: &EventFilter, program: &Program) -> String {
    let mut text = format!("`{}`", filter.event);
    if let Some(node) = filter.of {
        text.push_str(&format!(" on the message of `{}`", program.node(node).name));
    }
    if let Some(when) = &filter.when {
        text.push_str(&format!(" with `{}`", when.source()));
    }
    text
}

/// What a rule set allows now; it may have allowed something else then.
pub(super) fn caps_text(rules: &RuleSetDefinition) -> String {
    let period = |per| match per {
        Period::Hour => "an hour",
        Period::Day => "a day",
        Period::Week => "a week",
        Period::Month => "a month",
    };
    let entries = rules.entries.map(|cap| format!("{} entries {}", cap.max, period(cap.per)));
    let concurrent = rules.concurrent.map(|max| format!("{max} journeys at once"));
    let caps: Vec<String> = entries.into_iter().chain(concurrent).collect();
    format!(" (it allows {})", caps.join(" and "))
}

/// A rule that failed: neither true nor false.
pub(super) fn draft_of(expression: &crate::domain::expression::Expr, sight: Sight<'_>) -> RuleDraft {
    draft(expression.source().to_owned(), None, expression.reads(), sight)
}

/// A branch of a condition, with what it saw: for hours and dates the clock of the zone that counts.
pub(super) fn test_rule(test: &Test, held: Option<bool>, program: &Program, sight: Sight<'_>) -> RuleDraft {
    let text = match test {
        Test::When(when) => return rule(when, held, sight),
        Test::Time(hours) => format!("time {hours}"),
        Test::Date(dates) => format!("date {dates}"),
    };
    let mut draft = RuleDraft::plain(text, held);
    let shown = local_text(sight.at, &program.zone_of(sight.document));
    let is_own = program.local_time == LocalTime::Profile;
    draft.sees("local time", shown.into(), is_own.then(|| SmolStr::new_static("timezone")));
    draft
}

/// The exit criterion that an event met: the only one that names its type, or the first that holds.
pub(super) fn exit_rule(
    program: &Program,
    is_it: impl Fn(&str) -> bool,
    properties: &Map,
    sight: Sight<'_>,
) -> Option<RuleDraft> {
    let sight = Sight { last: Some(properties), ..sight };
    let named: Vec<&EventFilter> = program.exit.iter().filter(|filter| is_it(&filter.event)).collect();
    let holding = named.iter().find(|filter| filter.when.as_ref().is_none_or(|when| holds(when, sight) == Some(true)));
    let filter = holding.or(named.first())?;
    let kind = &filter.event;
    let held = if named.len() == 1 { Some(true) } else { None };
    Some(match &filter.when {
        None => RuleDraft::plain(format!("event {kind}"), Some(true)),
        Some(when) => rule(when, held, sight).of(&format!("event {kind} when")),
    })
}
