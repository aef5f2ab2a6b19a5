//! Rules about ways that nobody goes, and what lies behind them.

use std::collections::BTreeSet;

use super::conditions::is_left_by_event;
use super::subject::{DeadWays, Subject};
use super::waits::soonest_arrivals_ms;
use crate::domain::journey::definition::{AwaitedDefinition, NodeForm, RacerDefinition};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::graph::Graph;

/// Why nobody goes a way that waits for an event.
const TAKEN: &str = "an exit criterion takes the event before";

/// Ways of a split that get no share, and events that an exit criterion takes first.
pub(super) fn check_shares(subject: &Subject<'_>, dead: &mut DeadWays) {
    let definition = subject.definition;
    let is_taken = |awaited: &AwaitedDefinition| {
        definition.exit.iter().any(|exit| exit.event == awaited.filter.event && exit.when.is_none())
    };
    for (index, node) in definition.nodes.iter().enumerate() {
        match &node.form {
            NodeForm::Split { shares } => {
                for (way, _) in shares.iter().enumerate().filter(|(_, way)| way.share == 0) {
                    dead.insert((index, way), "its share of the split is 0 %".to_owned());
                }
            }
            NodeForm::Event { awaited, .. } if is_left_by_event(&node.form) && is_taken(awaited) => {
                dead.insert((index, 0), TAKEN.to_owned());
            }
            NodeForm::FirstOf { arms } => {
                for (way, arm) in arms.iter().enumerate() {
                    if matches!(&arm.what, RacerDefinition::Event(awaited) if is_taken(awaited)) {
                        dead.insert((index, way), TAKEN.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
}

/// `never_visited`: nodes that the graph leads to and nobody comes to. Of those behind each other the first is named.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph, dead: &DeadWays, findings: &mut Findings<'_>) {
    let visited = visited(subject, graph, dead);
    let reachable = graph.reachable();
    for (index, node) in subject.definition.nodes.iter().enumerate() {
        if visited.contains(&index) || !reachable[index] {
            continue;
        }
        let leads_here = |((from, way), _): &(&(usize, usize), &String)| {
            visited.contains(from) && graph.edges[*from][*way].to == index
        };
        let reasons: BTreeSet<&str> = dead.iter().filter(leads_here).map(|(_, reason)| reason.as_str()).collect();
        if !reasons.is_empty() {
            let reasons: Vec<&str> = reasons.into_iter().collect();
            let message = format!("nobody ever comes to node `{}`: {}", node.name.value, reasons.join("; "));
            let suggestion = "mend the ways that lead to it, or remove it".to_owned();
            findings.warning(node.name.place, "never_visited", message, suggestion);
        }
    }
}

/// Nodes that somebody may come to.
pub(super) fn visited(subject: &Subject<'_>, graph: &Graph, dead: &DeadWays) -> BTreeSet<usize> {
    let arrivals = soonest_arrivals_ms(subject, graph, dead);
    (0..arrivals.len()).filter(|index| arrivals[*index].is_some()).collect()
}
