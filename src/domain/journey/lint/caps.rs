//! Rules about rule sets: caps that no profile can come to, and sets that no journey carries.

use crate::domain::calendar::Period;
use crate::domain::journey::definition::{JourneyDefinition, RuleSetDefinition};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::program::Reentry;

const HOUR_MS: i64 = 3_600_000;

/// The longest that a period may be.
fn longest_ms(period: Period) -> i64 {
    match period {
        Period::Hour => HOUR_MS,
        Period::Day => 24 * HOUR_MS,
        Period::Week => 7 * 24 * HOUR_MS,
        Period::Month => 31 * 24 * HOUR_MS,
    }
}

/// `cap_never_met` and `unused_rule_set`. `carriers` are all versions of journeys that carry the rule set, whatever becomes of
/// them.
pub fn lint_rule_set(rules: &RuleSetDefinition, carriers: &[&JourneyDefinition], findings: &mut Findings<'_>) {
    let name = &rules.name.value;
    if carriers.is_empty() {
        let message = format!("no journey carries rule set `{name}`");
        let suggestion = format!("write `rule_set: {name}` into a journey, or remove it");
        findings.hint(rules.name.place, "unused_rule_set", message, suggestion);
        return;
    }
    let mut journeys: Vec<&JourneyDefinition> = Vec::new();
    for journey in carriers {
        if !journeys.iter().any(|known| known.name.value == journey.name.value) {
            journeys.push(journey);
        }
    }
    if let Some(max) = rules.concurrent.filter(|max| journeys.len() <= *max as usize) {
        let message = format!(
            "`concurrent: {max}` of rule set `{name}` holds nobody back: it counts journeys, and {} carry the set",
            journeys.len()
        );
        let suggestion = "lower it, or leave it out".to_owned();
        findings.warning(rules.name.place, "cap_never_met", message, suggestion);
    }
    // Under supplemental ids a profile may enter one journey several times.
    let Some(cap) = rules.entries.filter(|_| carriers.iter().all(|journey| journey.supplemental_id.is_none())) else {
        return;
    };
    let possible: i64 = journeys.iter().map(|journey| entries_max(journey, cap.per)).sum();
    if possible <= i64::from(cap.max) {
        let message = format!(
            "`max: {}` of rule set `{name}` holds nobody back: re-entrance lets a profile in {possible} times at most in such a period",
            cap.max
        );
        findings.warning(rules.name.place, "cap_never_met", message, "lower it, or leave it out".to_owned());
    }
}

/// How often re-entrance lets a profile into a journey within a period, at most.
fn entries_max(journey: &JourneyDefinition, per: Period) -> i64 {
    match journey.reentry.value {
        Reentry::Never => 1,
        Reentry::After(after_ms) => (longest_ms(per) + after_ms - 1) / after_ms,
    }
}
