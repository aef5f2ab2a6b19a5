//! Rules about `time` and `date` of branches: dates that are never, and hours that earlier branches have taken.

use jiff::tz::TimeZone;

use super::subject::{DeadWays, Subject};
use crate::domain::calendar::zone;
use crate::domain::ids::Millis;
use crate::domain::journey::definition::{Dates, JourneyDefinition, LocalTime, NodeForm, TestDefinition};
use crate::domain::journey::findings::Findings;

/// How far two clocks on earth are apart at most, and how far a zone ever set its clock, together: clocks of profiles may
/// show a date so much earlier or later than that of the journey.
const CLOCKS_APART_MS: i64 = 2 * 86_400_000;

/// `never_true` of dates, and `hidden_branch` of hours.
pub(super) fn check(subject: &Subject<'_>, dead: &mut DeadWays, findings: &mut Findings<'_>) {
    let definition = subject.definition;
    for (index, node) in definition.nodes.iter().enumerate() {
        let NodeForm::Condition { branches, otherwise } = &node.form else { continue };
        let mut taken: Vec<(u32, u32)> = Vec::new();
        for (way, branch) in branches.iter().enumerate() {
            match &branch.test {
                TestDefinition::When(_) => {}
                TestDefinition::Date(dates) => {
                    if let Some(why) = never(definition, *dates) {
                        let message = format!(
                            "{why}: nobody goes from `{}` to `{}` this way",
                            node.name.value, branch.then.value
                        );
                        let suggestion = "correct the dates, or remove the branch".to_owned();
                        findings.warning(branch.then.place, "never_true", message, suggestion);
                        dead.insert((index, way), "the dates before never come".to_owned());
                    }
                }
                TestDefinition::Time(hours) => {
                    let hours = hours.of_week();
                    if hours.iter().all(|hours| covers(&taken, *hours)) {
                        let message = format!(
                            "earlier branches of `{}` take all these hours: nobody goes to `{}` this way",
                            node.name.value, branch.then.value
                        );
                        let suggestion = "put it before the branch that is wider, or remove it".to_owned();
                        findings.warning(branch.then.place, "hidden_branch", message, suggestion);
                        dead.insert((index, way), "an earlier branch takes everybody".to_owned());
                    }
                    taken.extend(hours);
                }
            }
        }
        if let Some(target) = otherwise
            && covers(&taken, WEEK)
        {
            let message = format!("the hours of `{}` are all hours: nobody goes to `otherwise`", node.name.value);
            findings.warning(target.place, "hidden_branch", message, "remove `otherwise`".to_owned());
            dead.insert((index, branches.len()), "the hours before are all hours".to_owned());
        }
    }
}

/// The whole week, in milliseconds of the clock on the wall.
const WEEK: (u32, u32) = (0, 7 * 86_400_000);

/// Whether `ranges` together hold all of `wanted`.
fn covers(ranges: &[(u32, u32)], wanted: (u32, u32)) -> bool {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut reached = wanted.0;
    for (from, to) in sorted {
        if from > reached {
            break;
        }
        reached = reached.max(to);
    }
    reached >= wanted.1
}

/// Why it is never such a date while an instance is inside.
fn never(definition: &JourneyDefinition, dates: Dates) -> Option<&'static str> {
    let (zone, margin_ms) = match definition.local_time {
        LocalTime::Journey => (zone(&definition.timezone)?, 0),
        LocalTime::Profile => (TimeZone::UTC, CLOCKS_APART_MS),
    };
    let begins = dates.from.and_then(|from| from.begins(&zone));
    let ends = dates.to.and_then(|to| to.ends(&zone));
    let is_before = |end: Option<Millis>, begin: Option<Millis>| match (end, begin) {
        (Some(end), Some(begin)) => end.plus(margin_ms) <= begin,
        _ => false,
    };
    if is_before(ends, begins) {
        return Some("the dates end before they begin");
    }
    if is_before(ends, definition.starts_at) {
        return Some("the dates are over before the journey's `start_date`");
    }
    if is_before(definition.ends_at.as_ref().map(|at| at.value), begins) {
        return Some("the dates begin after the journey's `end_date`");
    }
    None
}
