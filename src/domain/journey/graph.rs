//! The graph of a journey: who leads where, what is reachable, what lies on cycles. Knows nodes as numbers only.

use std::collections::BTreeMap;

use crate::domain::journey::constant::length_ms;
use crate::domain::journey::definition::{JourneyDefinition, NodeForm, RacerDefinition, WaitDefinition};

/// The next time of a day on a day of the week is that far at most, clock changes aside.
const WEEK_MS: i64 = 7 * 86_400_000;

/// The longest that a wait takes, where that can be told; else 0.
fn longest_ms(wait: &WaitDefinition) -> i64 {
    let otherwise_ms = if matches!(wait, WaitDefinition::Local { .. }) { WEEK_MS } else { 0 };
    length_ms(wait).map_or(otherwise_ms, |length| length.value)
}

/// Whether a way is that of an instant that may have passed.
fn may_have_passed(form: &NodeForm, way: usize) -> bool {
    let wait = match form {
        NodeForm::Wait { wait, .. } => Some(wait),
        NodeForm::FirstOf { arms } => match arms.get(way).map(|arm| &arm.what) {
            Some(RacerDefinition::Wait(wait)) => Some(wait),
            _ => None,
        },
        _ => None,
    };
    matches!(wait, Some(wait @ WaitDefinition::Until(_)) if length_ms(wait).is_none_or(|length| length.value == 0))
}

/// A way from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where it leads.
    pub to: usize,
    /// The longest time an instance may spend before it goes this way (milliseconds).
    pub duration_ms: i64,
    /// Whether an instance goes this way without stopping at its node.
    pub at_once: bool,
    /// The same, or the instant that it waits for there may have passed.
    pub may_pass: bool,
}

/// The nodes of a journey and the ways between them.
#[derive(Clone, Debug)]
pub struct Graph {
    /// First node.
    pub start: usize,
    /// Ways on, by node.
    pub edges: Vec<Vec<Edge>>,
    /// Whether an instance may end here: an end node, or a condition without `otherwise`.
    pub ends: Vec<bool>,
}

impl Graph {
    /// The graph of `definition`; `None` if a node is broken or a target unknown.
    pub fn new(definition: &JourneyDefinition) -> Option<Self> {
        let numbers: BTreeMap<&str, usize> =
            definition.nodes.iter().enumerate().map(|(number, node)| (node.name.value.as_str(), number)).collect();
        let number = |name: &str| numbers.get(name).copied();
        let mut graph = Self {
            start: number(&definition.start.value)?,
            edges: Vec::with_capacity(definition.nodes.len()),
            ends: Vec::new(),
        };
        for node in &definition.nodes {
            let mut edges = Vec::new();
            for (index, target) in node.targets().into_iter().enumerate() {
                let duration_ms = match &node.form {
                    NodeForm::Wait { wait, .. } => longest_ms(wait),
                    // Waits race each other: the shortest ends all of them, if there is one.
                    NodeForm::FirstOf { arms } => match arms.get(index).map(|arm| &arm.what) {
                        Some(RacerDefinition::Wait(wait)) => longest_ms(wait),
                        _ => node.form.waits().map(longest_ms).min().unwrap_or(0),
                    },
                    NodeForm::Event { within_ms: Some(within_ms), on_timeout, .. } => {
                        // The event's own way may be taken at once, unless the timeout goes there too.
                        if index == 0 && on_timeout.is_some() { 0 } else { within_ms.value }
                    }
                    _ => 0,
                };
                // Where the instant to wait for can't be told, nothing is waited for.
                let is_error = node.on_error.as_ref().is_some_and(|on_error| std::ptr::eq(on_error, target));
                let at_once = !node.form.pauses() || (is_error && node.form.reckons());
                let may_pass = at_once || may_have_passed(&node.form, index);
                edges.push(Edge { to: number(&target.value)?, duration_ms, at_once, may_pass });
            }
            graph.edges.push(edges);
            graph.ends.push(node.form.may_end());
            if matches!(node.form, NodeForm::Fragment { .. } | NodeForm::Broken) {
                return None;
            }
        }
        Some(graph)
    }

    /// Nodes that `from` reaches by at least one way.
    pub fn onwards(&self, from: usize) -> Vec<bool> {
        let mut reached = vec![false; self.edges.len()];
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            for edge in &self.edges[node] {
                if !std::mem::replace(&mut reached[edge.to], true) {
                    open.push(edge.to);
                }
            }
        }
        reached
    }

    /// Whether each node can be reached from the start.
    pub fn reachable(&self) -> Vec<bool> {
        let mut reached = self.onwards(self.start);
        reached[self.start] = true;
        reached
    }

    /// Whether an instance can come to an end from each node.
    pub fn can_end(&self) -> Vec<bool> {
        let mut can_end = self.ends.clone();
        // Backwards, one round per step of the longest way: 50 nodes that are no end.
        loop {
            let mut changed = false;
            for node in 0..self.edges.len() {
                if !can_end[node] && self.edges[node].iter().any(|edge| can_end[edge.to]) {
                    can_end[node] = true;
                    changed = true;
                }
            }
            if !changed {
                return can_end;
            }
        }
    }

    /// Groups of nodes that reach each other, each node in one; later groups lead to earlier ones only. Ways for which
    /// `follows` is false do not count. (Tarjan 1972, without recursion.)
    pub fn components(&self, follows: impl Fn(usize, Edge) -> bool) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        let count = self.edges.len();
        let (mut order, mut low) = (vec![UNSEEN; count], vec![UNSEEN; count]);
        let (mut on_stack, mut stack, mut components) = (vec![false; count], Vec::new(), Vec::new());
        let mut next = 0;
        for root in 0..count {
            if order[root] != UNSEEN {
                continue;
            }
            let mut calls = vec![(root, 0)];
            while let Some((node, edge_index)) = calls.pop() {
                if edge_index == 0 {
                    order[node] = next;
                    low[node] = next;
                    next += 1;
                    stack.push(node);
                    on_stack[node] = true;
                }
                if let Some(edge) = self.edges[node].get(edge_index) {
                    calls.push((node, edge_index + 1));
                    if !follows(node, *edge) {
                        continue;
                    }
                    if order[edge.to] == UNSEEN {
                        calls.push((edge.to, 0));
                    } else if on_stack[edge.to] {
                        low[node] = low[node].min(order[edge.to]);
                    }
                    continue;
                }
                if let Some((caller, _)) = calls.last() {
                    low[*caller] = low[*caller].min(low[node]);
                }
                if low[node] == order[node] {
                    let at = stack
                        .iter()
                        .rposition(|n| *n == node)
                        .expect("a node is on the stack until its group is taken");
                    let mut component = stack.split_off(at);
                    for member in &component {
                        on_stack[*member] = false;
                    }
                    component.sort_unstable();
                    components.push(component);
                }
            }
        }
        components
    }

    /// Whether `component` holds a cycle.
    pub fn is_cycle(&self, component: &[usize], follows: impl Fn(usize, Edge) -> bool) -> bool {
        component.len() > 1
            || self.edges[component[0]].iter().any(|e| e.to == component[0] && follows(component[0], *e))
    }

    /// Whether each node lies on a cycle.
    pub fn on_cycle(&self) -> Vec<bool> {
        let mut on_cycle = vec![false; self.edges.len()];
        for component in self.components(|_, _| true) {
            if self.is_cycle(&component, |_, _| true) {
                for node in component {
                    on_cycle[node] = true;
                }
            }
        }
        on_cycle
    }

    /// The longest time from the start until each node is left, going round no cycle twice; and the node's own share.
    pub fn longest_ways_ms(&self) -> Vec<Option<i64>> {
        let components = self.components(|_, _| true);
        let mut component_of = vec![0; self.edges.len()];
        for (index, component) in components.iter().enumerate() {
            for node in component {
                component_of[*node] = index;
            }
        }
        let mut arrival: Vec<Option<i64>> = vec![None; components.len()];
        let mut leave = vec![None; self.edges.len()];
        arrival[component_of[self.start]] = Some(0);
        for index in (0..components.len()).rev() {
            let Some(arrived_ms) = arrival[index] else { continue };
            for &node in &components[index] {
                for edge in &self.edges[node] {
                    let left_ms = arrived_ms.saturating_add(edge.duration_ms);
                    leave[node] = leave[node].max(Some(left_ms));
                    let to = component_of[edge.to];
                    if to != index {
                        arrival[to] = arrival[to].max(Some(left_ms));
                    }
                }
            }
        }
        leave
    }
}
