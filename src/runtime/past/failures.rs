//! Which expression it was that failed. The record has the error; whose it is shows by asking again.

use crate::domain::expression::Expr;
use crate::domain::ids::Millis;
use crate::domain::journey::program::{Arm, Awaited, Method, NodeKind, Pause, Test};
use crate::runtime::past::rules::{RuleDraft, Sight, fails};
use crate::runtime::past::transition::{Cause, Transition, may_be};
use crate::runtime::past::why::{Story, seen};
use crate::runtime::past::words::draft_of;

impl Story<'_> {
    /// The expression that failed at a step: of those that were asked there, in their order, the first that fails now with the
    /// error of the record. None where one before it can't be asked again, unless it is the only one.
    pub(super) fn culprit(&self, at: Millis, told: &Transition<'_>) -> Option<RuleDraft> {
        let error = told.note?;
        let (program, node) = (told.program, &told.program.node(told.step.node).kind);
        let sight = self.sight(told.step.ordinal, at);
        let heard = match &told.cause {
            Cause::Event(event) => Some((event, seen(event, at).properties)),
            Cause::Jump(_) | Cause::Other => None,
        };
        let mut asked: Vec<(&Expr, Sight<'_>)> = Vec::new();
        if let Some((event, properties)) = &heard {
            let filters = program.exit.iter().chain(awaited(node).into_iter().map(|awaited| &awaited.filter));
            let met = filters.filter(|filter| may_be(event, &filter.event, self.catalog));
            asked.extend(
                met.filter_map(|filter| Some((filter.when.as_ref()?, Sight { last: Some(properties), ..sight }))),
            );
        }
        if matches!(node, NodeKind::Message { .. } | NodeKind::Action { .. }) {
            asked.extend(program.exit_when.iter().map(|when| (when, sight)));
        }
        asked.extend(own(node).into_iter().map(|expression| (expression, sight)));
        // Jumps fail for other reasons too.
        if let ([(only, sight)], false) = (asked.as_slice(), matches!(node, NodeKind::Jump { .. })) {
            return Some(draft_of(only, *sight));
        }
        for (expression, sight) in asked {
            if fails(expression, error, sight)? {
                return Some(draft_of(expression, sight));
            }
        }
        None
    }
}

/// Events that a node waits for.
fn awaited(node: &NodeKind) -> Vec<&Awaited> {
    match node {
        NodeKind::Event { awaited, .. } => vec![awaited],
        NodeKind::FirstOf { arms } => {
            let heard = arms.iter().filter_map(|(arm, _)| match arm {
                Arm::Event(awaited) => Some(awaited),
                Arm::Wait(_) => None,
            });
            heard.collect()
        }
        _ => Vec::new(),
    }
}

/// Expressions of a node but those of events, in the order in which they are asked.
fn own(node: &NodeKind) -> Vec<&Expr> {
    match node {
        NodeKind::Wait { pause, .. } => until(pause).into_iter().collect(),
        NodeKind::FirstOf { arms } => {
            let waits = arms.iter().filter_map(|(arm, _)| match arm {
                Arm::Wait(pause) => until(pause),
                Arm::Event(_) => None,
            });
            waits.collect()
        }
        NodeKind::Condition { branches, .. } => {
            let tests = branches.iter().filter_map(|(test, _)| match test {
                Test::When(when) => Some(when),
                Test::Time(_) | Test::Date(_) => None,
            });
            tests.collect()
        }
        NodeKind::Optimize { method: Method::Targeting { rules, .. } } => {
            rules.iter().map(|(_, when, _)| when).collect()
        }
        NodeKind::UpdateProfile { fields, .. } => fields.iter().filter_map(|(_, value)| value.as_ref()).collect(),
        NodeKind::Jump { with, .. } | NodeKind::Action { with, .. } => {
            with.iter().filter_map(|(_, value)| value.as_ref()).collect()
        }
        NodeKind::Lookup(lookup) => vec![&lookup.keys],
        NodeKind::Optimize { .. }
        | NodeKind::Split { .. }
        | NodeKind::ProfileCap { .. }
        | NodeKind::Event { .. }
        | NodeKind::Message { .. }
        | NodeKind::End => Vec::new(),
    }
}

fn until(pause: &Pause) -> Option<&Expr> {
    match pause {
        Pause::Until(until) => Some(until),
        Pause::For(_) | Pause::Local { .. } => None,
    }
}
