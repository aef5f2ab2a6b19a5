//! Ways that part: shares of a random split, and questions about fields and events put in order. Formats say what is
//! asked; here stands which nodes that takes.

use super::graph::{Form, Graph, Heard, Target, Wait};
use super::report::{Report, Subject};
use crate::domain::journey::duration;
use crate::domain::limits;

/// What a branch asks.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// Whether an expression is true.
    Expression(String),
    /// Whether any of these events comes.
    Events(Vec<Heard>),
}

/// Shortest time an event is asked for where the source asks only about the past.
pub(super) const AT_ONCE_MS: i64 = 1_000;

/// Adds the nodes of branches: events first, for as long as `wait` lasts, then expressions. Answers where they begin.
pub(super) fn branches(
    graph: &mut Graph,
    (subject, wanted): (&Subject, &str),
    wait: Option<Wait>,
    branches: Vec<(Ask, Target)>,
    otherwise: Target,
) -> Target {
    let (mut events, mut expressions) = (Vec::new(), Vec::new());
    for (ask, target) in branches {
        match ask {
            Ask::Expression(expression) => expressions.push((expression, target)),
            Ask::Events(heard) => events.extend(heard.into_iter().map(|heard| (heard, target.clone()))),
        }
    }
    let waits = wait.is_some() || !events.is_empty();
    let mut next = otherwise;
    if !expressions.is_empty() {
        let name = if waits { format!("{wanted}_check") } else { wanted.to_owned() };
        next = graph.add(subject, &name, Form::Condition(expressions, next)).1;
    }
    match (events.len(), wait) {
        (0, None) => next,
        (0, Some(wait)) => graph.add(subject, wanted, Form::Wait(wait, next)).1,
        (1, Some(Wait::For(within))) => {
            let (heard, then) = events.remove(0);
            graph.add(subject, wanted, Form::Event(heard, within, then, next)).1
        }
        (_, wait) => {
            let wait = wait.unwrap_or(Wait::For(AT_ONCE_MS));
            graph.add(subject, wanted, Form::FirstOf(events, wait, next)).1
        }
    }
}

/// A wait of so many milliseconds; none where nothing has to be waited for. One that is longer than any here is cut.
pub(super) fn wait_for(wait_ms: i64, subject: &Subject, report: &mut Report) -> Option<Wait> {
    if wait_ms > limits::WAIT_MS_MAX {
        let text = format!("a wait of {} is cut to 90d, the longest there is", duration::print(wait_ms));
        report.lost(subject, text, "wait several times; a journey lasts 91 days at most");
    }
    (wait_ms > 0).then_some(Wait::For(wait_ms.min(limits::WAIT_MS_MAX)))
}

/// The form of a random split, and where it begins: shares are percentages, what is left of 100 goes to `rest`.
pub(super) fn shares(
    graph: &mut Graph,
    (subject, wanted): (&Subject, &str),
    ways: Vec<(f64, Target)>,
    rest: Target,
    report: &mut Report,
) -> Target {
    let total: f64 = ways.iter().map(|(percent, _)| percent.max(0.0)).sum();
    let (mut left, mut hundredths, mut rounded) = (10_000_u32, Vec::new(), false);
    let count = ways.len();
    for (index, (percent, target)) in ways.into_iter().enumerate() {
        let exact = if percent.is_finite() { percent.clamp(0.0, 100.0) * 100.0 } else { 0.0 };
        // Saturating: between 0 and 10,000.
        let mut share = (exact.round() as u32).min(left);
        // What rounding leaves over of a whole belongs to the last.
        if index + 1 == count && (total - 100.0).abs() < 0.05 {
            share = left;
        }
        rounded |= (f64::from(share) - exact).abs() > 1e-6;
        left -= share;
        hundredths.push((share, target));
    }
    if left > 0 {
        hundredths.push((left, rest));
        let text = format!("the shares make {total} %: the rest, {} %, ends the journey", percent(left));
        report.lost(subject, text, "correct the shares");
    } else if (total - 100.0).abs() >= 0.05 {
        let text = format!("the shares make {total} %: what is beyond 100 % is left out");
        report.lost(subject, text, "correct the shares");
    } else if rounded {
        report.differs(subject, "shares are rounded to two decimals", "");
    }
    match hundredths.len() {
        0 => Target::End,
        1 => hundredths.remove(0).1,
        _ => graph.add(subject, wanted, Form::Split(hundredths)).1,
    }
}

/// Hundredths of a percent as people write them: `33.3`.
pub(super) fn percent(hundredths: u32) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
