//! The rules of a journey's graph and times (spec §3.0, §3.4, §2.4). Expressions and references are checked elsewhere.

use std::collections::BTreeSet;

use crate::domain::guardrails::tighter_by;
use crate::domain::journey::definition::{
    ChoiceDefinition, JourneyDefinition, NodeDefinition, NodeForm, WaitDefinition,
};
use crate::domain::journey::duration::print;
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::graph::{Edge, Graph};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

use smol_str::SmolStr;

/// Notes everything wrong with the graph of `definition`.
pub fn check(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    check_count(definition, findings);
    check_targets(definition, findings);
    check_recomputed(definition, findings);
    check_single_waits(definition, findings);
    check_heard(definition, findings);
    check_error_ways(definition, findings);
    check_dates(definition, findings);
    // A node that can't be read or a target that does not exist hides ways: what they lead to would seem unreachable.
    let Some(graph) = Graph::new(definition) else { return };
    let reachable = graph.reachable();
    for (node, reachable) in definition.nodes.iter().zip(&reachable) {
        if !reachable {
            let message = format!("node `{}` can't be reached from `{}`", node.name.value, definition.start.value);
            findings.error_with(node.name.place, "unreachable_node", message, "lead to it, or remove it".to_owned());
        }
    }
    check_feedback(definition, &graph, findings);
    check_ends(definition, &graph, &reachable, findings);
    check_cycles(definition, &graph, findings);
}

fn check_count(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    let count = definition.nodes.iter().filter(|node| !matches!(node.form, NodeForm::End)).count();
    if count > limits::NODES_MAX {
        let message = format!(
            "journey `{}` has {count} nodes, `end` nodes not counted: the limit is {}, as in AJO, for people have to follow it",
            definition.name.value,
            limits::NODES_MAX
        );
        let suggestion = format!("split it: a `jump` leads to another journey; {}", tighter_by("journey_nodes_max"));
        findings.error_with(definition.name.place, "too_many_nodes", message, suggestion);
    }
}

fn check_targets(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    if definition.nodes.is_empty() {
        if !definition.broken {
            let message = format!("journey `{}` has no nodes", definition.name.value);
            findings.error_with(
                definition.name.place,
                "missing_end",
                message,
                "add at least `done: { end: true }`".to_owned(),
            );
        }
        return;
    }
    let names: BTreeSet<&str> = definition.nodes.iter().map(|node| node.name.value.as_str()).collect();
    let mut check = |target: &At<SmolStr>, whence: String| {
        if !names.contains(target.value.as_str()) {
            let suggestion = did_you_mean(&target.value, names.iter().copied())
                .unwrap_or_else(|| format!("add a node `{}`, or name one that exists", target.value));
            let message = format!("{whence} leads to `{}`, which is no node", target.value);
            findings.error_with(target.place, "unknown_target", message, suggestion);
        }
    };
    if !definition.start.value.is_empty() {
        check(&definition.start, "`start`".to_owned());
    }
    for node in &definition.nodes {
        for target in node.targets() {
            check(target, format!("node `{}`", node.name.value));
        }
    }
    for target in definition.migration.iter().flat_map(|migration| migration.value.targets()) {
        check(target, "`migration`".to_owned());
    }
}

/// What is computed anew is a wait, also in this version.
fn check_recomputed(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    let chosen = definition.migration.iter().flat_map(|migration| &migration.value.nodes);
    for (name, choice) in chosen.filter(|(_, choice)| choice.value == ChoiceDefinition::Recompute) {
        let node = definition.nodes.iter().find(|node| node.name.value == name.value);
        if !node.is_some_and(|node| node.form.pauses() || matches!(node.form, NodeForm::Broken)) {
            let what = if node.is_some() { "is no wait" } else { "does not exist" };
            let message = format!("`recompute` for `{}`, which {what} in this version", name.value);
            let suggestion = "write `{ move: NODE }`, `exit` or `keep`".to_owned();
            findings.error_with(choice.place, "recompute_no_wait", message, suggestion);
        }
    }
}

/// Every span that a node names, and what it is.
fn durations(node: &NodeDefinition) -> impl Iterator<Item = (&NodeDefinition, &'static str, &At<i64>)> {
    let within = match &node.form {
        NodeForm::Event { within_ms, .. } => within_ms.as_ref(),
        _ => None,
    };
    let waits = node.form.waits().filter_map(move |wait| match wait {
        WaitDefinition::For(duration_ms) => Some((node, "wait", duration_ms)),
        WaitDefinition::Until(_) | WaitDefinition::Local { .. } => None,
    });
    waits.chain(within.map(|within_ms| (node, "`within`", within_ms)))
}

fn check_single_waits(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    for (node, what, duration_ms) in definition.nodes.iter().flat_map(durations) {
        if duration_ms.value > definition.timeout_ms {
            let message = format!(
                "the {what} of {} at node `{}` is longer than the journey's timeout of {}",
                print(duration_ms.value),
                node.name.value,
                print(definition.timeout_ms)
            );
            let suggestion = "shorten it, or lengthen `timeout` (at most 91d)".to_owned();
            findings.error_with(duration_ms.place, "wait_exceeds_timeout", message, suggestion);
        }
    }
}

/// Exit criteria go before event nodes: what always ends the instance never reaches a node.
fn check_heard(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    for filter in definition.awaited().map(|awaited| &awaited.filter) {
        let ended_by = definition.exit.iter().find(|exit| exit.event == filter.event && exit.when.is_none());
        if ended_by.is_some() {
            let message =
                format!("no `{}` arrives here: the exit criterion ends the instance before", filter.event.value);
            let suggestion = "give the exit criterion a `when`, or remove one of the two".to_owned();
            findings.warning(filter.event.place, "never_received", message, suggestion);
        }
    }
}

/// Feedback is awaited on a message that was sent before.
fn check_feedback(definition: &JourneyDefinition, graph: &Graph, findings: &mut Findings<'_>) {
    for (number, node) in definition.nodes.iter().enumerate() {
        for of in node.form.awaited().filter_map(|awaited| awaited.of.as_ref()) {
            let sender = definition.nodes.iter().position(|other| other.name.value == of.value);
            let (code, message) = match sender.map(|sender| (sender, &definition.nodes[sender].form)) {
                None => ("unknown_target", format!("`of` names `{}`, which is no node", of.value)),
                Some((_, form)) if !matches!(form, NodeForm::Message { .. }) => {
                    ("not_a_message", format!("`of` names node `{}`, which sends no message", of.value))
                }
                Some((sender, _)) if !graph.onwards(sender)[number] => {
                    let message = format!("no way leads from `{}`, whose message this is about, to here", of.value);
                    ("feedback_before_message", message)
                }
                Some(_) => continue,
            };
            let senders = definition.nodes.iter().filter(|node| matches!(node.form, NodeForm::Message { .. }));
            let suggestion = did_you_mean(&of.value, senders.map(|node| node.name.value.as_str()))
                .unwrap_or_else(|| "name a message node that comes before".to_owned());
            findings.error_with(of.place, code, message, suggestion);
        }
    }
}

fn check_error_ways(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    for node in &definition.nodes {
        if let Some(on_error) = node.on_error.as_ref().filter(|_| !node.form.may_fail()) {
            let message = format!("nothing can fail at node `{}`: `on_error` is never taken", node.name.value);
            findings.error_with(on_error.place, "never_fails", message, "remove it".to_owned());
        }
    }
}

fn check_dates(definition: &JourneyDefinition, findings: &mut Findings<'_>) {
    if let (Some(starts_at), Some(ends_at)) = (definition.starts_at, &definition.ends_at)
        && ends_at.value <= starts_at
    {
        let message = format!("journey `{}` ends before it starts", definition.name.value);
        findings.error_with(
            ends_at.place,
            "ends_before_start",
            message,
            "set `end_date` after `start_date`".to_owned(),
        );
    }
}

/// One finding per group of nodes that has no way out.
fn check_ends(definition: &JourneyDefinition, graph: &Graph, reachable: &[bool], findings: &mut Findings<'_>) {
    let can_end = graph.can_end();
    for component in graph.components(|_, _| true) {
        let trapped = reachable[component[0]] && !can_end[component[0]];
        let leads_out = component.iter().any(|n| graph.edges[*n].iter().any(|e| !component.contains(&e.to)));
        if trapped && !leads_out {
            let names: Vec<String> =
                component.iter().map(|n| format!("`{}`", definition.nodes[*n].name.value)).collect();
            let message = format!("no path leads from {} to an end", names.join(", "));
            let suggestion = "lead out of it to a node `{ end: true }`".to_owned();
            findings.error_with(definition.nodes[component[0]].name.place, "no_path_to_end", message, suggestion);
        }
    }
}

fn check_cycles(definition: &JourneyDefinition, graph: &Graph, findings: &mut Findings<'_>) {
    let at_once = |_: usize, edge: Edge| edge.at_once;
    for component in graph.components(at_once) {
        if graph.is_cycle(&component, at_once) {
            let names: Vec<String> =
                component.iter().map(|n| format!("`{}`", definition.nodes[*n].name.value)).collect();
            let message = format!("{} go round in a cycle without a wait or an event", names.join(", "));
            let suggestion = "put a wait or an event into the cycle".to_owned();
            findings.error_with(definition.nodes[component[0]].name.place, "cycle_without_wait", message, suggestion);
        }
    }
}
