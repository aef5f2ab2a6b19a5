//! Rules about waits and the journey's timeout: those that outlive it on every way, and those that may on some.

use super::subject::{DeadWays, Subject};
use crate::domain::journey::constant::length_ms;
use crate::domain::journey::definition::{NodeForm, RacerDefinition};
use crate::domain::journey::duration::print;
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::graph::Graph;

/// `wait_never_ends`, `waits_exceed_timeout`, and `hidden_branch` of waits that race a shorter one.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph, dead: &mut DeadWays, findings: &mut Findings<'_>) {
    let definition = subject.definition;
    let timeout_ms = definition.timeout_ms;
    check_races(subject, dead, findings);
    let arrivals = soonest_arrivals_ms(subject, graph, dead);
    let latest = graph.longest_ways_ms();
    for (index, node) in definition.nodes.iter().enumerate() {
        let spans = spans(&node.form);
        let (Some(arrival_ms), Some(leave_ms)) = (arrivals[index], latest[index]) else { continue };
        // A timer that is due at the very instant of the timeout goes first.
        let (endless, others): (Vec<_>, Vec<_>) =
            spans.into_iter().partition(|(_, span)| arrival_ms.saturating_add(span.value) > timeout_ms);
        for (way, span) in endless {
            if let Some(way) = way {
                let reason = format!("the timeout ends everybody who waits at `{}`", node.name.value);
                dead.entry((index, way)).or_insert(reason);
            }
            let message = format!(
                "every way to node `{}` takes {} at least: its {} more end after the journey's timeout of {}",
                node.name.value,
                print(arrival_ms),
                print(span.value),
                print(timeout_ms)
            );
            let suggestion = "shorten the waits, or lengthen `timeout` (at most 91d)".to_owned();
            findings.warning(span.place, "wait_never_ends", message, suggestion);
        }
        let longest = others.into_iter().map(|(_, span)| span).max_by_key(|span| span.value);
        if let Some(span) = longest.filter(|span| leave_ms > timeout_ms && leave_ms - span.value <= timeout_ms) {
            let message = format!(
                "waits up to node `{}` may add up to {}, more than the journey's timeout of {}",
                node.name.value,
                print(leave_ms),
                print(timeout_ms)
            );
            let suggestion =
                "the timeout will end those instances: shorten the waits, or lengthen `timeout`".to_owned();
            findings.warning(span.place, "waits_exceed_timeout", message, suggestion);
        }
    }
}

/// Of waits that race each other only the shortest ever ends first.
fn check_races(subject: &Subject<'_>, dead: &mut DeadWays, findings: &mut Findings<'_>) {
    for (index, node) in subject.definition.nodes.iter().enumerate() {
        let NodeForm::FirstOf { arms } = &node.form else { continue };
        let spans = spans(&node.form);
        let Some(shortest_ms) = spans.iter().map(|(_, span)| span.value).min() else { continue };
        for (way, span) in spans {
            if let Some(way) = way.filter(|_| span.value > shortest_ms) {
                let message = format!(
                    "a wait of {} beside it ends first: nobody goes from `{}` to `{}` this way",
                    print(shortest_ms),
                    node.name.value,
                    arms[way].then.value
                );
                findings.warning(span.place, "hidden_branch", message, "remove the longer wait".to_owned());
                dead.insert((index, way), "a shorter wait ends first".to_owned());
            }
        }
    }
}

/// Times that a node names, and the way that is gone when one has passed, if it is a way of its own.
fn spans(form: &NodeForm) -> Vec<(Option<usize>, At<i64>)> {
    match form {
        NodeForm::Wait { wait, .. } => length_ms(wait).map(|length| (Some(0), length)).into_iter().collect(),
        NodeForm::Event { within_ms: Some(within), on_timeout, .. } => {
            vec![(on_timeout.as_ref().map(|_| 1), within.clone())]
        }
        NodeForm::FirstOf { arms } => {
            let spans = arms.iter().enumerate().filter_map(|(way, arm)| match &arm.what {
                RacerDefinition::Wait(wait) => length_ms(wait).map(|length| (Some(way), length)),
                RacerDefinition::Event(_) => None,
            });
            spans.collect()
        }
        _ => Vec::new(),
    }
}

/// The least time that an instance spends at a node before it goes the way numbered `way`.
fn soonest_ms(form: &NodeForm, way: usize) -> i64 {
    spans(form).into_iter().find(|(of, _)| *of == Some(way)).map_or(0, |(_, span)| span.value)
}

/// The least time from entry to each node, over ways that somebody goes and that do not pass the timeout.
pub(super) fn soonest_arrivals_ms(subject: &Subject<'_>, graph: &Graph, dead: &DeadWays) -> Vec<Option<i64>> {
    let nodes = &subject.definition.nodes;
    let mut arrivals: Vec<Option<i64>> = vec![None; nodes.len()];
    arrivals[graph.start] = Some(0);
    let mut open = vec![graph.start];
    while let Some(index) = open.pop() {
        let Some(arrival_ms) = arrivals[index] else { continue };
        for (way, edge) in graph.edges[index].iter().enumerate() {
            let left_ms = arrival_ms.saturating_add(soonest_ms(&nodes[index].form, way));
            let is_sooner = arrivals[edge.to].is_none_or(|known_ms| left_ms < known_ms);
            if is_sooner && left_ms <= subject.definition.timeout_ms && !dead.contains_key(&(index, way)) {
                arrivals[edge.to] = Some(left_ms);
                open.push(edge.to);
            }
        }
    }
    arrivals
}
