//! `optimize`: a node that sends profiles several ways to see which is best, or to each the one that is meant for it.

use smol_str::SmolStr;

use crate::domain::guardrails::tighter_by;
use crate::domain::journey::definition::{NodeForm, OptimizeMethod, TargetDefinition, TreatmentDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::nodes::{read_percent, read_then};
use crate::domain::journey::source::reader::{MapReader, full_text, items, name};
use crate::domain::journey::source::tree::Tree;
use crate::domain::limits;

/// The way of those who are held out, and of those for whom nothing is meant: no treatment or rule is called so.
pub const HOLDOUT: &str = "holdout";
/// The way of those that no rule qualifies.
pub const FALLBACK: &str = "fallback";

/// Reads `optimize: { experiment: … }` or `optimize: { targeting: … }`.
pub(super) fn read(map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<NodeForm> {
    let tree = map.optional("optimize")?;
    let what = map.what.clone();
    let mut inner = MapReader::open(tree, format!("`optimize` of {what}"), findings)?;
    let (experiment, targeting) = (inner.optional("experiment"), inner.optional("targeting"));
    let method = match (experiment, targeting) {
        (Some(tree), None) => read_experiment(tree, &mut inner, findings),
        (None, Some(tree)) => read_targeting(tree, &mut inner, findings),
        _ => {
            let message = format!("`optimize` of {what} has no method, or two");
            let suggestion = "give it `experiment` or `targeting`; by other conditions a node `condition` decides";
            findings.error_with(tree.place, "bad_optimize", message, suggestion.to_owned());
            inner.optional("holdout");
            inner.optional("fallback");
            None
        }
    };
    inner.finish(findings);
    method.map(|method| NodeForm::Optimize { method })
}

fn read_experiment(tree: &Tree, map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<OptimizeMethod> {
    let listed = items(tree, "`experiment`", findings)?;
    let (least, most) = limits::TREATMENTS_RANGE;
    if !(least..=most).contains(&listed.len()) {
        let message =
            format!("{} has {} treatments: the limits are {least} and {most}, as in AJO", map.what, listed.len());
        findings.error_with(tree.place, "bad_optimize", message, tighter_by("treatments_max"));
        return None;
    }
    let mut treatments: Vec<TreatmentDefinition> = Vec::new();
    for item in listed {
        let Some(mut way) = MapReader::open(item, format!("a treatment of {}", map.what), findings) else { continue };
        let treatment = way.required("treatment", findings).and_then(|tree| full_text(tree, "`treatment`", findings));
        let weight = match way.optional("weight") {
            Some(tree) => read_weight(tree, findings),
            None => Some(1),
        };
        let then = read_then(&mut way, findings);
        way.finish(findings);
        let taken = treatments.iter().map(|other| &other.name.value);
        if let Some(called) = treatment.filter(|called| is_free(called, taken, findings))
            && let (Some(weight), Some(then)) = (weight, then)
        {
            treatments.push(TreatmentDefinition { name: called, weight, then });
        }
    }
    let holdout = map.optional("holdout").map(|tree| read_holdout(tree, findings));
    let whole = treatments.len() == listed.len();
    whole.then_some(OptimizeMethod::Experiment {
        treatments,
        holdout: holdout.map_or(Some(None), |read| read.map(Some))?,
    })
}

/// Whether a treatment or rule may be called so.
fn is_free<'n>(
    called: &At<SmolStr>,
    mut taken: impl Iterator<Item = &'n SmolStr>,
    findings: &mut Findings<'_>,
) -> bool {
    name(called, "a treatment or rule", findings);
    let is_free = ![HOLDOUT, FALLBACK].contains(&called.value.as_str()) && !taken.any(|known| *known == called.value);
    if !is_free {
        let message = format!("`{}` is the name of another way", called.value);
        findings.error_with(called.place, "bad_optimize", message, "choose another name".to_owned());
    }
    is_free
}

fn read_weight(tree: &Tree, findings: &mut Findings<'_>) -> Option<u32> {
    let written = full_text(tree, "`weight`", findings)?;
    let weight = written.value.parse().ok().filter(|weight| (1..=limits::TREATMENT_WEIGHT_MAX).contains(weight));
    if weight.is_none() {
        let message = format!("`weight` can't be `{}`", written.value);
        let suggestion = format!("use 1 to {}; without it all treatments weigh the same", limits::TREATMENT_WEIGHT_MAX);
        findings.error_with(tree.place, "bad_weight", message, suggestion);
    }
    weight
}

/// `holdout: { percent: 10, then: NODE }`.
fn read_holdout(tree: &Tree, findings: &mut Findings<'_>) -> Option<(u32, At<SmolStr>)> {
    let mut map = MapReader::open(tree, "`holdout`".to_owned(), findings)?;
    let share = match map.optional("percent") {
        Some(tree) => read_percent(tree, findings),
        None => Some(limits::HOLDOUT_SHARE_DEFAULT),
    };
    let then = read_then(&mut map, findings);
    map.finish(findings);
    Some((share?, then?))
}

fn read_targeting(tree: &Tree, map: &mut MapReader<'_>, findings: &mut Findings<'_>) -> Option<OptimizeMethod> {
    let listed = items(tree, "`targeting`", findings)?;
    if listed.is_empty() || listed.len() > limits::BRANCHES_MAX {
        let message = format!("{} has {} rules; 1 to {} are allowed", map.what, listed.len(), limits::BRANCHES_MAX);
        findings.error(tree.place, "bad_optimize", message);
        return None;
    }
    let mut rules: Vec<TargetDefinition> = Vec::new();
    for item in listed {
        let Some(mut way) = MapReader::open(item, format!("a rule of {}", map.what), findings) else { continue };
        let rule = way.required("rule", findings).and_then(|tree| full_text(tree, "`rule`", findings));
        let when = way.required("when", findings).and_then(|tree| full_text(tree, "`when`", findings));
        let then = read_then(&mut way, findings);
        way.finish(findings);
        let taken = rules.iter().map(|other| &other.name.value);
        if let Some(called) = rule.filter(|called| is_free(called, taken, findings))
            && let (Some(when), Some(then)) = (when, then)
        {
            rules.push(TargetDefinition { name: called, when, then });
        }
    }
    let fallback = map.optional("fallback").map(|tree| full_text(tree, "`fallback`", findings));
    let fallback = fallback.map_or(Some(None), |read| read.map(Some))?;
    (rules.len() == listed.len()).then_some(OptimizeMethod::Targeting { rules, fallback })
}
