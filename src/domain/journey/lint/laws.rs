//! Laws: what the rules say of random journeys is what walking through them shows, in every way that there is.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::ids::{Millis, VersionId};
use crate::domain::journey::graph::{Edge, Graph};
use crate::domain::journey::program::{NodeKind, Pause, Program};

const HOUR_MS: i64 = 3_600_000;

/// A graph by its edges, some of which need no pause.
fn graph() -> impl Strategy<Value = Graph> {
    (1..7usize).prop_flat_map(|count| {
        let edge =
            (0..count, any::<bool>()).prop_map(|(to, at_once)| Edge { to, duration_ms: 0, at_once, may_pass: at_once });
        let nodes = prop::collection::vec((prop::collection::vec(edge, 0..3), any::<bool>()), count);
        nodes.prop_map(|nodes| {
            let (edges, ends) = nodes.into_iter().unzip();
            Graph { start: 0, edges, ends }
        })
    })
}

/// Nodes at the ends of all walks from `from` of one step up to as many as there are nodes.
fn walked(graph: &Graph, from: usize, follows: impl Fn(&Edge) -> bool) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut here = BTreeSet::from([from]);
    for _ in 0..graph.edges.len() {
        here = here.iter().flat_map(|node| &graph.edges[*node]).filter(|edge| follows(edge)).map(|e| e.to).collect();
        found.extend(&here);
    }
    found
}

/// The first way of a node leads to the next one, so that the graph leads everywhere; whether anybody goes there is the question.
fn journey() -> impl Strategy<Value = (String, i64)> {
    (2..8usize, 1..30i64).prop_flat_map(|(count, timeout_h)| {
        let nodes: Vec<_> = (0..count)
            .map(|index| {
                let hours = (1..12i64).prop_map(move |hours| hours.min(timeout_h));
                (0..7u8, hours, 0..=count, index + 1..=count).prop_map(move |(form, hours, any, ahead)| {
                    let next = index + 1;
                    match form {
                        0 => format!("{{ wait: {hours}h, then: n{next} }}"),
                        1 => format!("{{ event: go, within: {hours}h, then: n{any}, on_timeout: n{next} }}"),
                        2 => format!("{{ event: go, within: {hours}h, then: n{next}, on_timeout: n{any} }}"),
                        3 => format!("{{ split: [ {{ percent: 0, then: n{next} }}, {{ percent: 100, then: n{ahead} }} ] }}"),
                        4 => format!("{{ split: [ {{ percent: 40, then: n{next} }}, {{ percent: 60, then: n{ahead} }} ] }}"),
                        5 => format!(
                            "{{ condition: [ {{ when: event.n > 5, then: n{ahead} }}, {{ when: event.n > 7, then: n{next} }} ], otherwise: n{ahead} }}"
                        ),
                        _ => format!(
                            "{{ condition: [ {{ when: event.n > 5 && event.n < 3, then: n{next} }} ], otherwise: n{ahead} }}"
                        ),
                    }
                })
            })
            .collect();
        nodes.prop_map(move |nodes| {
            let mut text = format!(
                "kind: event\nname: go\nschema: {{ n: integer }}\n---\nkind: journey\nname: j\nentry: {{ event: go }}\ntimeout: {timeout_h}h\nstart: n0\nnodes:\n"
            );
            for (index, node) in nodes.iter().enumerate() {
                text.push_str(&format!("  n{index}: {node}\n"));
            }
            text.push_str(&format!("  n{}: {{ end: true }}\n", nodes.len()));
            (text, timeout_h)
        })
    })
}

/// Ways that an instance may go from a node: what it waits for at least, in hours, and where it comes to.
fn ways(program: &Program, node: usize) -> Vec<(i64, usize)> {
    let to = |no: &crate::domain::ids::NodeNo| usize::from(no.0);
    match &program.nodes[node].kind {
        NodeKind::Wait { pause: Pause::For(duration_ms), then } => vec![(duration_ms / HOUR_MS, to(then))],
        NodeKind::Event { within_ms: Some(within_ms), then, on_timeout: Some(on_timeout), .. } => {
            vec![(0, to(then)), (within_ms / HOUR_MS, to(on_timeout))]
        }
        NodeKind::Split { ways } => {
            let shares = ways.iter().scan(0, |before, (sum, way)| {
                let share = sum - std::mem::replace(before, *sum);
                Some((share, to(way)))
            });
            shares.filter(|(share, _)| *share > 0).map(|(_, way)| (0, way)).collect()
        }
        // Of the conditions drawn only the first with a single comparison is ever true first, and `otherwise`.
        NodeKind::Condition { branches, otherwise } => {
            let first = (branches.len() == 2).then(|| to(&branches[0].1));
            first.into_iter().chain(otherwise.iter().map(to)).map(|way| (0, way)).collect()
        }
        _ => Vec::new(),
    }
}

/// Every node and hour that a walk may come to before the timeout.
fn moments(program: &Program, timeout_h: i64) -> BTreeSet<(usize, i64)> {
    let mut found = BTreeSet::new();
    let mut open = vec![(usize::from(program.start.0), 0)];
    while let Some((node, hour)) = open.pop() {
        if hour <= timeout_h && found.insert((node, hour)) {
            open.extend(ways(program, node).into_iter().map(|(hours, to)| (to, hour + hours)));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reachability_and_loops_are_what_a_walk_finds(graph in graph()) {
        let reachable = graph.reachable();
        let walks = walked(&graph, graph.start, |_| true);
        let can_end = graph.can_end();
        let at_once = |_: usize, edge: Edge| edge.at_once;
        let mut looping = BTreeSet::new();
        for component in graph.components(at_once) {
            if graph.is_cycle(&component, at_once) {
                looping.extend(component);
            }
        }
        for node in 0..graph.edges.len() {
            prop_assert_eq!(reachable[node], node == graph.start || walks.contains(&node), "{} of {:?}", node, graph);
            let ends = graph.ends[node] || walked(&graph, node, |_| true).iter().any(|to| graph.ends[*to]);
            prop_assert_eq!(can_end[node], ends, "{} of {:?}", node, graph);
            let loops = walked(&graph, node, |edge| edge.at_once).contains(&node);
            prop_assert_eq!(looping.contains(&node), loops, "{} of {:?}", node, graph);
        }
    }

    #[test]
    fn who_is_never_visited_is_never_walked_to((text, timeout_h) in journey()) {
        let file = SourceFile { name: "f.yaml".to_owned(), text: text.clone() };
        let applied = Catalog::default().apply(&[file], Millis(0));
        prop_assume!(applied.is_ok());
        let (catalog, report) = applied.expect("assumed");
        let program = catalog.program(VersionId(0));
        let moments = moments(program, timeout_h);
        let walked: BTreeSet<usize> = moments.iter().map(|(node, _)| *node).collect();
        let found = |code: &str| -> BTreeSet<usize> {
            let of_code = report.warnings.iter().filter(|finding| finding.code == code);
            // Nodes stand on lines of their own, from the eleventh line on.
            of_code.map(|finding| finding.line as usize - 11).collect()
        };
        let (never, endless) = (found("never_visited"), found("wait_never_ends"));
        for node in 0..program.nodes.len() {
            prop_assert!(!(never.contains(&node) && walked.contains(&node)), "n{node} is walked to\n{text}");
            // Of those that nobody walks to the first are named: somebody walks to a node that leads there.
            let is_next = walked.iter().any(|from| targets(program, *from).contains(&node));
            prop_assert_eq!(never.contains(&node), !walked.contains(&node) && is_next, "n{}\n{}", node, text);
            let timer = ways(program, node).into_iter().map(|(hours, _)| hours).max().filter(|hours| *hours > 0);
            if let (Some(hours), true) = (timer, walked.contains(&node)) {
                let ends = moments.iter().any(|(at, hour)| *at == node && hour + hours <= timeout_h);
                prop_assert_eq!(endless.contains(&node), !ends, "n{}\n{}", node, text);
            }
        }
    }
}

/// All targets, whether anybody goes there or not.
fn targets(program: &Program, node: usize) -> Vec<usize> {
    let to = |no: &crate::domain::ids::NodeNo| usize::from(no.0);
    match &program.nodes[node].kind {
        NodeKind::Split { ways } => ways.iter().map(|(_, way)| to(way)).collect(),
        NodeKind::Condition { branches, otherwise } => {
            branches.iter().map(|(_, way)| to(way)).chain(otherwise.iter().map(to)).collect()
        }
        _ => ways(program, node).into_iter().map(|(_, way)| way).collect(),
    }
}
