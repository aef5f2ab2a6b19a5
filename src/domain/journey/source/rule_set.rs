//! `kind: rule_set`: how often profiles may enter journeys, and how many at once.

use smol_str::SmolStr;

use crate::domain::calendar::Period;
use crate::domain::journey::definition::{EntryCap, RuleSetDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::reader::{MapReader, choice, name, number};
use crate::domain::journey::source::tree::Tree;

const PERIODS: [(&str, Period); 4] =
    [("hour", Period::Hour), ("day", Period::Day), ("week", Period::Week), ("month", Period::Month)];
/// More entries than that are no cap.
const ENTRIES_MAX: u32 = 1_000_000;

/// Reads a rule set. Whatever can't be read leaves `broken` set and a finding behind.
pub fn read(rule_set_name: At<SmolStr>, mut map: MapReader<'_>, findings: &mut Findings<'_>) -> RuleSetDefinition {
    let before = findings.count();
    name(&rule_set_name, "a rule set", findings);
    let entries = map.optional("entries").and_then(|tree| read_entries(tree, findings));
    let bounds = (1, crate::domain::limits::INSTANCES_PER_PROFILE_MAX as u32);
    let concurrent = map.optional("concurrent").and_then(|tree| number(tree, "`concurrent`", bounds, findings));
    if !map.has("entries") && !map.has("concurrent") {
        let message = format!("{} limits nothing", map.what);
        let suggestion = "add `entries: { max: 3, per: week }`, or `concurrent: 2`".to_owned();
        findings.error_with(rule_set_name.place, "empty_rule_set", message, suggestion);
    }
    map.finish(findings);
    RuleSetDefinition { name: rule_set_name, entries, concurrent, broken: findings.any_error_since(before) }
}

fn read_entries(tree: &Tree, findings: &mut Findings<'_>) -> Option<EntryCap> {
    let mut map = MapReader::open(tree, "`entries`", findings)?;
    let max = map.required("max", findings).and_then(|tree| number(tree, "`max`", (1, ENTRIES_MAX), findings));
    let per = map.required("per", findings).and_then(|tree| choice(tree, "`per`", &PERIODS, findings));
    map.finish(findings);
    Some(EntryCap { max: max?, per: per? })
}
