//! Guardrails held against what is about to be published. Every finding names the setting that allows more.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, Version};
use crate::domain::endpoint::{Deployment, Throttling};
use crate::domain::event::is_feedback;
use crate::domain::guardrails::Guardrails;
use crate::domain::journey::constant::length_ms;
use crate::domain::journey::definition::{
    FragmentDefinition, JourneyDefinition, NodeDefinition, NodeForm, OptimizeMethod, WaitDefinition,
};
use crate::domain::journey::duration::print;
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::program::{Channel, Reentry};
use crate::domain::journey::source::{Kind, Resources};
use crate::domain::limits;
use crate::domain::surface::Surface;

impl Catalog {
    /// Whether the journey is live just so: guardrails that were moved since don't concern it.
    pub(super) fn is_live_as(&self, definition: &JourneyDefinition) -> bool {
        let live = self.live.get(&definition.name.value).map(|id| &self.get(*id).source.definition);
        live.is_some_and(|live| live.same_meaning(definition))
    }
}

/// Checks one journey of the files.
pub(super) fn check_journey(definition: &JourneyDefinition, rails: &Guardrails, findings: &mut Findings<'_>) {
    let mut rule = Rule { name: &definition.name.value, findings };
    let place = definition.name.place;
    let nodes = definition.nodes.iter().filter(|node| !matches!(node.form, NodeForm::End)).count();
    // Beyond what the engine takes there is an error of its own.
    if nodes <= limits::NODES_MAX {
        rule.count(place, "it has", nodes, "nodes", ("journey_nodes_max", rails.journey_nodes_max));
    }
    if nodes > rails.journey_nodes_advised && nodes <= rails.journey_nodes_max {
        let message = format!("journey `{}` has {nodes} nodes: few can follow so many", definition.name.value);
        let suggestion = format!(
            "up to {} are advised: let it jump to another journey; see `guardrails.journey_nodes_advised`",
            rails.journey_nodes_advised
        );
        rule.findings.hint(place, "large_journey", message, suggestion);
    }
    if definition.actions().next().is_some() {
        let limit = ("call_timeout_max", rails.call_timeout_max_ms);
        rule.span(place, "its `call_timeout`", definition.call_timeout_ms, limit);
    }
    let lookups = definition.lookups().count();
    rule.count(place, "it has", lookups, "nodes that look up", ("lookups_max", rails.lookups_max));
    rule.span(place, "its timeout", definition.timeout_ms, ("timeout_max", rails.timeout_max_ms));
    if let Reentry::After(after_ms) = definition.reentry.value {
        let place = definition.reentry.place;
        rule.span(place, "its re-entrance period", after_ms, ("reentry_max", rails.reentry_max_ms));
        if after_ms < rails.reentry_min_ms {
            let least = print(rails.reentry_min_ms);
            rule.refuse(
                place,
                &format!("its re-entrance period of {} is too short", print(after_ms)),
                "reentry_min",
                &least,
            );
        }
    }
    for node in &definition.nodes {
        check_node(node, rails, &mut rule);
    }
    check_size(definition, rails, findings);
}

fn check_node(node: &NodeDefinition, rails: &Guardrails, rule: &mut Rule<'_, '_>) {
    let name = &node.name.value;
    for wait in node.form.waits() {
        if let Some(length) = length_ms(wait) {
            let limit = ("wait_max", rails.wait_max_ms);
            rule.span(length.place, &format!("the wait of node `{name}`"), length.value, limit);
        }
    }
    check_reaction(node, rails, rule);
    match &node.form {
        NodeForm::Event { within_ms: Some(within), .. } => {
            let limit = ("event_timeout_max", rails.event_timeout_max_ms);
            rule.span(within.place, &format!("`within` of node `{name}`"), within.value, limit);
        }
        NodeForm::UpdateProfile { fields, .. } => {
            let limit = ("update_fields_max", rails.update_fields_max);
            rule.count(node.name.place, &format!("node `{name}` sets"), fields.len(), "fields", limit);
        }
        NodeForm::Lookup { fields, .. } => {
            let limit = ("lookup_fields_max", rails.lookup_fields_max);
            rule.count(node.name.place, &format!("node `{name}` takes"), fields.len(), "fields", limit);
        }
        NodeForm::Optimize { method: OptimizeMethod::Experiment { treatments, .. } } => {
            let limit = ("treatments_max", rails.treatments_max);
            rule.count(node.name.place, &format!("node `{name}` has"), treatments.len(), "treatments", limit);
        }
        _ => {}
    }
}

/// How long it waits for feedback: `within`, or the shortest wait beside it.
fn check_reaction(node: &NodeDefinition, rails: &Guardrails, rule: &mut Rule<'_, '_>) {
    if !node.form.awaited().any(|awaited| is_feedback(&awaited.filter.event.value)) {
        return;
    }
    let beside = node.form.waits().filter_map(|wait| match wait {
        WaitDefinition::For(span) => Some(span),
        WaitDefinition::Until(_) | WaitDefinition::Local { .. } => None,
    });
    let span = match &node.form {
        NodeForm::Event { within_ms, .. } => within_ms.as_ref(),
        _ => beside.min_by_key(|span| span.value),
    };
    if let Some(span) = span.filter(|span| span.value < rails.reaction_timeout_min_ms) {
        let message = format!("node `{}` waits {} for feedback: few are so quick", node.name.value, print(span.value));
        let least = print(rails.reaction_timeout_min_ms);
        let suggestion = format!("wait {least} at least; see `guardrails.reaction_timeout_min`");
        rule.findings.warning(span.place, "short_reaction", message, suggestion);
    }
}

/// Its size as it is stored, and which node takes most of it.
fn check_size(definition: &JourneyDefinition, rails: &Guardrails, findings: &mut Findings<'_>) {
    let size = stored_bytes(definition);
    let max = rails.journey_bytes_max;
    if size < max - max / 10 {
        return;
    }
    let largest = definition.nodes.iter().max_by_key(stored_bytes);
    let of_node =
        largest.map(|node| format!("; its largest node is `{}` with {} bytes", node.name.value, stored_bytes(node)));
    let message = format!(
        "journey `{}` takes {size} bytes of the {max} that are allowed{}",
        definition.name.value,
        of_node.unwrap_or_default()
    );
    let suggestion = "split it, or ask the operator for more: `guardrails.journey_bytes_max`".to_owned();
    let place = definition.name.place;
    if size > max {
        findings.error_with(place, "guardrail", message, suggestion);
    } else {
        findings.warning(place, "near_guardrail", message, suggestion);
    }
}

fn stored_bytes(what: &impl serde::Serialize) -> usize {
    rmp_serde::to_vec(what).map_or(usize::MAX, |bytes| bytes.len())
}

/// One journey's findings against guardrails.
struct Rule<'r, 'f> {
    name: &'r SmolStr,
    findings: &'r mut Findings<'f>,
}

impl Rule<'_, '_> {
    fn span(&mut self, place: Place, what: &str, span_ms: i64, (setting, max_ms): (&str, i64)) {
        if span_ms > max_ms {
            self.refuse(place, &format!("{what} of {} is too long", print(span_ms)), setting, &print(max_ms));
        }
    }

    fn count(&mut self, place: Place, what: &str, count: usize, of: &str, (setting, max): (&str, usize)) {
        if count > max {
            self.refuse(place, &format!("{what} {count} {of}"), setting, &max.to_string());
        }
    }

    fn refuse(&mut self, place: Place, what: &str, setting: &str, limit: &str) {
        let message = format!("journey `{}`: {what}; the limit is {limit}", self.name);
        let suggestion = format!("keep to the limit, or ask the operator to move it: `guardrails.{setting}`");
        self.findings.error_with(place, "guardrail", message, suggestion);
    }
}

/// Checks how many rule sets, cappings, and surfaces of each channel there would be. What is published already is never refused.
pub(super) fn check_totals(catalog: &Catalog, files: &Resources, rails: &Guardrails, findings: &mut Findings<'_>) {
    let place = |kind: Kind, name: &SmolStr| files.places.get(&(kind, name.clone())).copied().unwrap_or_default();
    let mut check = |what: &str, known: usize, added: Vec<(&SmolStr, Place)>, (setting, max): (&str, usize)| {
        let total = known + added.len();
        if let Some((last, place)) = added.last().filter(|_| total > max) {
            let message = format!("with {what} `{last}` there would be {total}; the limit is {max}");
            let suggestion = format!("share one, or ask the operator for more: `guardrails.{setting}`");
            findings.error_with(*place, "guardrail", message, suggestion);
        }
    };
    let sets = files.rule_sets.keys().filter(|name| !catalog.rule_sets.contains_key(*name));
    let sets = sets.map(|name| (name, place(Kind::RuleSet, name))).collect();
    check("rule set", catalog.rule_sets.len(), sets, ("rule_sets_max", rails.rule_sets_max));
    let cappings = files.cappings.keys().filter(|name| !catalog.cappings.contains_key(*name));
    let cappings = cappings.map(|name| (name, place(Kind::Capping, name))).collect();
    check("capping", catalog.cappings.len(), cappings, ("cappings_max", rails.cappings_max));
    for (channel, what) in [(Channel::Email, "email surface"), (Channel::Webhook, "webhook surface")] {
        let of_it = |surface: &Surface| surface.channel() == channel;
        let others =
            catalog.surfaces.values().filter(|known| of_it(known) && !files.surfaces.contains_key(&known.name));
        let of_files = files.surfaces.values().filter(|surface| of_it(&surface.value));
        let (known, added): (Vec<_>, Vec<_>) = of_files
            .map(|surface| (&surface.value.name, surface.place))
            .partition(|(name, _)| catalog.surfaces.get(*name).is_some_and(|known| of_it(known)));
        check(what, others.count() + known.len(), added, ("surfaces_max", rails.surfaces_max));
    }
}

/// Checks the nodes of fragments that are new or changed.
pub(super) fn check_fragments(catalog: &Catalog, files: &Resources, rails: &Guardrails, findings: &mut Findings<'_>) {
    let is_new = |fragment: &&FragmentDefinition| catalog.fragments.get(&fragment.name.value) != Some(*fragment);
    for fragment in files.fragments.values().filter(is_new) {
        let nodes = fragment.nodes.iter().filter(|node| !matches!(node.form, NodeForm::End)).count();
        // Beyond what the engine takes there is an error of its own.
        if nodes > rails.fragment_nodes_max && nodes <= limits::FRAGMENT_NODES_MAX {
            let (name, limit) = (&fragment.name.value, rails.fragment_nodes_max);
            let message = format!("fragment `{name}` has {nodes} nodes; the limit is {limit}");
            let suggestion = "split it, or ask the operator for more: `guardrails.fragment_nodes_max`".to_owned();
            findings.error_with(fragment.name.place, "guardrail", message, suggestion);
        }
    }
}

/// Checks rates, and that one throttling at most would be deployed (spec §3.7). What is published just so is never refused.
pub(super) fn check_throttlings(
    catalog: &Catalog,
    files: &BTreeMap<SmolStr, At<Throttling>>,
    rails: &Guardrails,
    findings: &mut Findings<'_>,
) {
    let is_new = |throttling: &Throttling| catalog.throttlings.get(&throttling.name).is_none_or(|t| **t != *throttling);
    for throttling in files.values().filter(|throttling| is_new(&throttling.value)) {
        let (rate, place) = (throttling.value.throughput_max, throttling.place);
        let (setting, limit) = match rate {
            rate if rate < rails.throughput_min => ("throughput_min", rails.throughput_min),
            rate if rate > rails.throughput_max => ("throughput_max", rails.throughput_max),
            _ => continue,
        };
        let message =
            format!("throttling `{}` asks for {rate} calls a second; the limit is {limit}", throttling.value.name);
        let suggestion = format!("keep to the limit, or ask the operator to move it: `guardrails.{setting}`");
        findings.error_with(place, "guardrail", message, suggestion);
    }
    let others = catalog.throttlings.values().filter(|throttling| !files.contains_key(&throttling.name));
    let here = files.values().map(|throttling| &throttling.value);
    let is_deployed = |throttling: &&Throttling| throttling.deployment == Deployment::Deployed;
    let deployed: Vec<&Throttling> = others.map(|other| &**other).chain(here).filter(is_deployed).collect();
    if let ([first, .., last], Some(one)) = (deployed.as_slice(), files.values().rfind(|one| is_deployed(&&one.value)))
    {
        let other = if first.name == one.value.name { last } else { first };
        let message = format!("throttlings `{}` and `{}` would both be deployed", one.value.name, other.name);
        let suggestion =
            format!("there is one at a time: set `deployed: false` in `{}`, or give it the other's name", other.name);
        findings.error_with(one.place, "second_throttling", message, suggestion);
    }
}

/// Checks how many journeys there would be: live ones, and those of `closing`, which take no entries and have profiles inside
/// (spec §14). What is live already is never refused.
pub(super) fn check_journey_total<'d>(
    catalog: &Catalog,
    files: impl Iterator<Item = &'d JourneyDefinition>,
    rails: &Guardrails,
    closing: &BTreeSet<SmolStr>,
    findings: &mut Findings<'_>,
) {
    let files: Vec<&JourneyDefinition> = files.collect();
    let is_in_files = |name: &SmolStr| files.iter().any(|journey| journey.name.value == *name);
    let is_live = |name: &SmolStr| catalog.live.contains_key(name);
    let others = catalog.live.keys().filter(|name| !is_in_files(name)).count();
    let closed = closing.iter().filter(|name| !is_in_files(name) && !is_live(name)).count();
    let total = others + files.len() + closed;
    if total > rails.journeys_max
        && let Some(journey) = files.iter().rev().find(|journey| !is_live(&journey.name.value))
    {
        let beside = match closed {
            0 => String::new(),
            closed => {
                format!(", counting {closed} that {} closed and not yet empty", if closed == 1 { "is" } else { "are" })
            }
        };
        let message = format!(
            "with journey `{}` there would be {total} active journeys{beside}; the limit is {}",
            journey.name.value, rails.journeys_max
        );
        let suggestion = "stop or close some, or ask the operator for more: `guardrails.journeys_max`".to_owned();
        findings.error_with(journey.name.place, "guardrail", message, suggestion);
    }
}

/// Checks how many live journeys would name one event. What is live already is never refused.
pub(super) fn check_counts<'d>(
    catalog: &Catalog,
    files: impl Iterator<Item = &'d JourneyDefinition>,
    rails: &Guardrails,
    findings: &mut Findings<'_>,
) {
    let files: Vec<&JourneyDefinition> = files.collect();
    let is_in_files = |name: &SmolStr| files.iter().any(|journey| journey.name.value == *name);
    let live: Vec<&Version> = catalog.versions.iter().filter(|version| version.is_live()).collect();
    let others =
        live.iter().filter(|version| !is_in_files(&version.program.name)).map(|version| &version.source.definition);
    let others: Vec<&JourneyDefinition> = others.collect();
    let names =
        |journey: &JourneyDefinition, event: &str| journey.event_types().iter().any(|known| known.value == event);
    let was_named = |journey: &SmolStr, event: &str| {
        live.iter().any(|version| version.program.name == *journey && names(&version.source.definition, event))
    };
    for journey in &files {
        for event in journey.event_types().into_iter().filter(|event| !is_feedback(&event.value)) {
            let count = others.iter().chain(&files).filter(|other| names(other, &event.value)).count();
            if count > rails.journeys_per_event_max && !was_named(&journey.name.value, &event.value) {
                let message = format!(
                    "event `{}` is named by {count} live journeys; the limit is {}",
                    event.value, rails.journeys_per_event_max
                );
                let suggestion =
                    "merge some of them, or ask the operator for more: `guardrails.journeys_per_event_max`".to_owned();
                findings.error_with(event.place, "guardrail", message, suggestion);
            }
        }
    }
}

#[cfg(test)]
mod tests;
