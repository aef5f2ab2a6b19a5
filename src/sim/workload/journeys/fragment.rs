//! Fragments: nodes that journeys take over. All ways lead ahead: where anything goes round, the journey says.

use super::text::node_text;
use super::{Node, Site, ask_for_answers, draw_error_ways, draw_node};
use crate::sim::dice::Dice;
use crate::sim::workload::durations::{MINUTE_MS, drawn_duration};
use crate::sim::workload::{EVENT_KINDS, Roots, condition};

/// The shortest timeout of a journey: whatever it takes over may wait no longer.
const WAIT_MS_MAX: i64 = 10 * MINUTE_MS;

/// A pause and a message, and a question that may fail.
pub(in crate::sim::workload) fn usual(dice: &mut Dice) -> [String; 2] {
    let (wait, kind) = (drawn_duration(dice, WAIT_MS_MAX).1, dice.pick(&EVENT_KINDS));
    let when = condition(dice, Roots::Inside, 1);
    [
        format!(
            "start: in\nnodes:\n  in: {{ event: {kind}, within: {wait}, then: say, on_timeout: out }}\n  say: {{ message: hello, then: out }}\n  out: {{ end: true }}\n"
        ),
        format!(
            "start: ask\nnodes:\n  ask: {{ condition: [ {{ when: \"{when}\", then: say }} ], otherwise: out, on_error: out }}\n  say: {{ message: reminder, then: out }}\n  out: {{ end: true }}\n"
        ),
    ]
}

/// One to four nodes of any form, and the end.
pub(in crate::sim::workload) fn draw(dice: &mut Dice) -> String {
    let count = dice.between(1, 4) as usize;
    let mut nodes: Vec<Node> = Vec::new();
    while nodes.len() < count {
        let node = draw_node(dice, Site { before: &nodes, count, wait_ms_max: WAIT_MS_MAX, others: None });
        // A journey may take over many fragments, and look up in ten nodes.
        let is_one_too_many =
            matches!(node, Node::Lookup(..)) && nodes.iter().any(|other| matches!(other, Node::Lookup(..)));
        if !is_one_too_many {
            nodes.push(node);
        }
    }
    nodes.push(Node::End);
    ask_for_answers(dice, &mut nodes, |node| matches!(node, Node::Action(..)));
    let on_error = draw_error_ways(dice, &nodes);
    let mut text = "start: n0\nnodes:\n".to_owned();
    for (number, (node, on_error)) in nodes.iter().zip(&on_error).enumerate() {
        text.push_str(&node_text(number, node, *on_error));
    }
    text
}
