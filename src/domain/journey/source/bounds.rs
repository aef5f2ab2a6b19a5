//! Spans that the engine bounds and a guardrail may make tighter: what is said where one is passed.

use crate::domain::guardrails::tighter_by;
use crate::domain::journey::duration::print;
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::reader::written_duration;
use crate::domain::journey::source::tree::Tree;
use crate::domain::limits;

/// The bounds of a span.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanBounds {
    /// Milliseconds, both included.
    range_ms: (i64, i64),
    /// Why there is the lower one, and its guardrail if it has one.
    least: (&'static str, Option<&'static str>),
    /// Why there is the upper one, and its guardrail.
    most: (&'static str, &'static str),
}

const ANY: (&str, Option<&str>) = ("as nothing would be waited for", None);

/// A wait (spec §3.4).
pub(super) const WAIT: SpanBounds = SpanBounds {
    range_ms: (1, limits::WAIT_MS_MAX),
    least: ANY,
    most: ("as in AJO, where everybody leaves after 91 days", "wait_max"),
};
/// The time an event is waited for (spec §3.1).
pub(super) const WITHIN: SpanBounds = SpanBounds { most: (WAIT.most.0, "event_timeout_max"), ..WAIT };
/// The life of an instance (spec §2.4).
pub(super) const TIMEOUT: SpanBounds = SpanBounds {
    range_ms: (1, limits::TIMEOUT_MS_MAX),
    least: ANY,
    most: ("as in AJO, which keeps nobody in a journey for longer", "timeout_max"),
};
/// A re-entrance period (spec §2.2).
pub(super) const REENTRY: SpanBounds = SpanBounds {
    range_ms: (limits::REENTRY_MS_MIN, limits::REENTRY_MS_MAX),
    least: ("as in AJO, so that what comes in a burst lets a profile in once", Some("reentry_min")),
    most: ("as in AJO; `never` is for ever", "reentry_max"),
};
/// The time of one call, its retries included (spec §3.7).
pub(super) const CALL: SpanBounds = SpanBounds {
    range_ms: limits::CALL_TIMEOUT_RANGE_MS,
    least: ("as in AJO: few endpoints are so quick", None),
    most: ("as in AJO, so that slow endpoints don't hold up others", "call_timeout_max"),
};

/// The bounds of a list of fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountBounds {
    code: &'static str,
    /// What a node does with them.
    verb: &'static str,
    max: usize,
    setting: &'static str,
    /// What to do about too many.
    instead: &'static str,
}

/// Fields that one node sets in the profile's document (spec §3.6).
pub(super) const UPDATE_FIELDS: CountBounds = CountBounds {
    code: "bad_update",
    verb: "sets",
    max: limits::UPDATE_FIELDS_MAX,
    setting: "update_fields_max",
    instead: "use several nodes",
};
/// Fields that one node takes from a dataset (spec §3.8b).
pub(super) const LOOKUP_FIELDS: CountBounds = CountBounds {
    code: "bad_lookup",
    verb: "takes",
    max: limits::LOOKUP_FIELDS_MAX,
    setting: "lookup_fields_max",
    instead: "name those that are read",
};

/// Checks that there are fields, and not too many; `what` is the node.
pub(super) fn count(tree: &Tree, what: &str, count: usize, bounds: &CountBounds, findings: &mut Findings<'_>) {
    let CountBounds { code, verb, max, setting, instead } = bounds;
    if count == 0 {
        let message = format!("{what} {verb} no field");
        findings.error_with(tree.place, code, message, format!("name 1 to {max}"));
    } else if count > *max {
        let message = format!("{what} {verb} {count} fields: the limit is {max}, as in AJO");
        findings.error_with(tree.place, code, message, format!("{instead}; {}", tighter_by(setting)));
    }
}

/// Reads a duration within `bounds`; `what` is what has it, such as "the `wait` of node `x`".
pub(super) fn span(tree: &Tree, what: &str, bounds: &SpanBounds, findings: &mut Findings<'_>) -> Option<At<i64>> {
    let (span_ms, written) = written_duration(tree, what, findings)?;
    let (least_ms, most_ms) = bounds.range_ms;
    let (flaw, limit_ms, (because, setting)) = match span_ms {
        ms if ms < least_ms => ("short", least_ms, bounds.least),
        ms if ms > most_ms => ("long", most_ms, (bounds.most.0, Some(bounds.most.1))),
        _ => return Some(At::new(span_ms, tree.place)),
    };
    let message = format!("{what} is {written}, which is too {flaw}: the limit is {}, {because}", print(limit_ms));
    let range = format!("use {} to {}", print(least_ms), print(most_ms));
    let suggestion = setting.map_or(range.clone(), |setting| format!("{range}; {}", tighter_by(setting)));
    findings.error_with(tree.place, "duration_out_of_range", message, suggestion);
    None
}
