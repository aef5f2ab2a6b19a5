//! Nodes whose ways are counted, and ways that must not go round without a pause.

use super::{Journey, Node};
use crate::sim::dice::Dice;
use crate::sim::workload::{Roots, condition};

/// An experiment, targeting or a cap, of which one way leads to `next`.
pub(super) fn draw(dice: &mut Dice, next: usize, anywhere: impl Fn(&mut Dice) -> usize) -> Node {
    match dice.below(4) {
        0 => {
            let count = if dice.chance(85) { dice.between(2, 4) } else { dice.between(5, 10) };
            let weight = |dice: &mut Dice| dice.chance(85).then(|| *dice.pick(&[1, 1, 2, 7, 10_000]));
            let mut ways: Vec<(Option<i64>, usize)> = (0..count).map(|_| (weight(dice), anywhere(dice))).collect();
            ways[0].1 = next;
            let percents = [Some("10"), Some("0.5"), Some("90"), None];
            let holdout = dice.chance(50).then(|| (*dice.pick(&percents), anywhere(dice)));
            Node::Experiment(ways, holdout)
        }
        1 => {
            let mut rules: Vec<(String, usize)> =
                (0..dice.between(1, 3)).map(|_| (condition(dice, Roots::Inside, 1), anywhere(dice))).collect();
            let fallback = dice.chance(60).then(|| anywhere(dice));
            rules[0].1 = next;
            Node::Targeting(rules, fallback)
        }
        _ => {
            let places = *dice.pick(&[Some(1), Some(2), Some(3), Some(5), Some(20), Some(1), Some(2), Some(3), None]);
            if dice.chance(50) {
                Node::Cap(places, next, anywhere(dice))
            } else {
                Node::Cap(places, anywhere(dice), next)
            }
        }
    }
}

/// Such a node as text.
pub(super) fn text(node: &Node) -> String {
    match node {
        Node::Experiment(ways, holdout) => {
            let ways: Vec<String> = ways
                .iter()
                .enumerate()
                .map(|(number, (weight, to))| {
                    let weight = weight.map(|weight| format!("weight: {weight}, ")).unwrap_or_default();
                    format!("{{ treatment: t{number}, {weight}then: n{to} }}")
                })
                .collect();
            let holdout = holdout.map(|(percent, to)| {
                let percent = percent.map(|percent| format!("percent: {percent}, ")).unwrap_or_default();
                format!(", holdout: {{ {percent}then: n{to} }}")
            });
            format!("optimize: {{ experiment: [ {} ]{} }}", ways.join(", "), holdout.unwrap_or_default())
        }
        Node::Targeting(rules, fallback) => {
            let rules: Vec<String> = rules
                .iter()
                .enumerate()
                .map(|(number, (when, to))| format!("{{ rule: r{number}, when: \"{when}\", then: n{to} }}"))
                .collect();
            let fallback = fallback.map(|to| format!(", fallback: n{to}")).unwrap_or_default();
            format!("optimize: {{ targeting: [ {} ]{fallback} }}", rules.join(", "))
        }
        Node::Cap(places, then, otherwise) => {
            let places = places.map(|places| places.to_string()).unwrap_or_default();
            format!("profile_cap: {places}, then: n{then}, otherwise: n{otherwise}")
        }
        other => unreachable!("{other:?} counts no ways"),
    }
}

/// Whether `from` comes back to itself without a pause, by what `pauses` takes for one.
pub(super) fn goes_round_at_once(
    nodes: &[Node],
    on_error: &[Option<usize>],
    from: usize,
    pauses: fn(&Node) -> bool,
) -> bool {
    let mut seen = vec![false; nodes.len()];
    let mut open = vec![from];
    while let Some(number) = open.pop() {
        // Where the instant to wait for can't be told, nothing is waited for.
        let on_error = on_error.get(number).copied().flatten();
        let on_error = on_error.filter(|_| !pauses(&nodes[number]) || nodes[number].reckons());
        let targets = if pauses(&nodes[number]) { Vec::new() } else { nodes[number].targets() };
        for to in targets.into_iter().chain(on_error) {
            if to == from {
                return true;
            }
            if !std::mem::replace(&mut seen[to], true) {
                open.push(to);
            }
        }
    }
    false
}

/// Makes every way of a node that chooses at once lead ahead.
pub(super) fn lead_ahead(node: &mut Node, number: usize) {
    let next = number + 1;
    let ahead = |to: &mut usize| *to = (*to).max(next);
    match node {
        Node::Split(shares) => shares.iter_mut().for_each(|(_, to)| ahead(to)),
        Node::Experiment(ways, holdout) => {
            ways.iter_mut().for_each(|(_, to)| ahead(to));
            holdout.iter_mut().for_each(|(_, to)| ahead(to));
        }
        Node::Targeting(rules, fallback) => {
            rules.iter_mut().for_each(|(_, to)| ahead(to));
            fallback.iter_mut().for_each(ahead);
        }
        Node::Cap(_, then, otherwise) => [then, otherwise].into_iter().for_each(ahead),
        Node::Condition(branches, otherwise) => {
            branches.iter_mut().filter(|(_, to)| *to <= number).for_each(|(_, to)| *to = next);
            otherwise.iter_mut().for_each(ahead);
        }
        _ => {}
    }
}

/// Where nearly everybody goes round until they have gone round too often: a share is the same at every visit.
pub(super) fn treadmill(timeout_ms: i64) -> Vec<Node> {
    let shares = vec![("99", 0), ("1", 2)];
    vec![Node::Wait((timeout_ms / 5_000).max(1), 1), Node::Split(shares), Node::End]
}

impl Node {
    /// Whether each round takes time here, and not so little that there are a thousand: what is awaited can't have come
    /// already.
    pub(super) fn surely_pauses(&self) -> bool {
        match self {
            Self::Wait(..) => true,
            Self::Clock(text, _) => !text.contains("days"),
            Self::Event { since, .. } => since.is_empty(),
            Self::FirstOf(arms) => !arms.iter().any(|(arm, ..)| {
                let is_short = arm.strip_prefix("wait: ").is_some_and(|wait| !wait.contains('d'));
                is_short || ["until", "since", "days"].iter().any(|word| arm.contains(word))
            }),
            _ => false,
        }
    }

    /// Makes all ways of a node that waits lead ahead.
    pub(super) fn lead_on(&mut self, next: usize) {
        match self {
            Self::Until(_, to) | Self::Clock(_, to) => *to = next.max(*to),
            Self::Event { then, on_timeout, .. } => {
                *then = next.max(*then);
                on_timeout.iter_mut().for_each(|to| *to = next.max(*to));
            }
            Self::FirstOf(arms) => arms.iter_mut().for_each(|(_, _, to)| *to = next.max(*to)),
            _ => {}
        }
    }
}

impl Journey {
    /// Lets most profiles go another way than the first, at once, where that changes nothing else.
    pub(in crate::sim::workload) fn begin_with_split(&mut self) {
        let last = self.nodes.len() - 1;
        if last > 1 && matches!(self.nodes[0], Node::Wait(..) | Node::Condition(..) | Node::Until(..) | Node::Clock(..))
        {
            self.nodes[0] = Node::Split(vec![("1", 1), ("99", last)]);
            self.on_error[0] = None;
        }
    }
}
