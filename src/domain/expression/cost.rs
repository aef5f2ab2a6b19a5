//! What an expression costs at worst, known at publish. The unit is one node evaluated; an author sees the figure when it
//! is too high, and an operator can rely on it: no condition holds up a shard.
//!
//! 1. Every node costs 1, and a node that gives a list as much again as the list may have items.
//! 2. A loop costs, for each item, 1 and what stands inside it.
//! 3. Functions that do more than walk a list or a short text once cost more; [`Compiler::spend`] says where.
//!
//! A literal list has the items it has; of others [`limits::EXPRESSION_LIST_ITEMS_ASSUMED`] are assumed, unless `limit` or
//! `slice` bounds them. Longer lists and texts are not refused while running: there the budget of steps counts what is.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr as Tree, IdedExpr, LiteralValue, operators};

use super::compile::{Compiler, Problem};
use super::parse::At;
use super::types::Type;
use crate::domain::limits;

const ASSUMED: u64 = limits::EXPRESSION_LIST_ITEMS_ASSUMED;

/// What searching for a pattern, folding the case of letters or looking up a zone costs beyond its node: it looks at each
/// byte about so many times as long as a comparison does.
pub(super) const SLOW: u64 = 8;

/// The part of an expression that costs most.
#[derive(Debug)]
pub(super) struct Heaviest {
    at: At,
    cost: u64,
    /// How often it runs what inside it costs how much.
    turns: u64,
    inside: u64,
}

/// How many items the list that `node` gives may have.
pub(super) fn items(node: &IdedExpr) -> u64 {
    match &node.expr {
        Tree::List(list) => list.elements.len() as u64,
        Tree::Comprehension(fold) => items(&fold.iter_range),
        Tree::Call(call) => items_of_call(call),
        _ => ASSUMED,
    }
}

fn items_of_call(call: &CallExpr) -> u64 {
    let arguments = call.args.as_slice();
    let Some(target) = &call.target else {
        return match (call.func_name.as_str(), arguments) {
            (operators::ADD, [left, right]) => items(left).saturating_add(items(right)),
            (operators::CONDITIONAL, [_, yes, no]) => items(yes).max(items(no)),
            _ => ASSUMED,
        };
    };
    match (call.func_name.as_str(), arguments) {
        ("reverse" | "sort" | "sortBy" | "distinct" | "distinctBy" | "intersect", _) => items(target),
        ("limit" | "limitLast", [count]) => items(target).min(literal(count).unwrap_or(u64::MAX)),
        ("slice", [begin, end]) => {
            let size = literal(end).map_or(u64::MAX, |end| end.saturating_sub(literal(begin).unwrap_or(0)));
            items(target).min(size)
        }
        ("split", [_, count]) => ASSUMED.min(literal(count).unwrap_or(u64::MAX)),
        ("flatten", _) => match &target.expr {
            Tree::List(list) => list.elements.iter().map(items).fold(0, u64::saturating_add),
            _ => items(target).saturating_mul(ASSUMED),
        },
        _ => ASSUMED,
    }
}

fn literal(node: &IdedExpr) -> Option<u64> {
    match &node.expr {
        Tree::Literal(LiteralValue::Int(value)) => u64::try_from(*value.inner()).ok(),
        _ => None,
    }
}

/// Comparisons of sorting so many items, for each of them.
pub(super) fn depth(items: u64) -> u64 {
    u64::from(items.max(2).ilog2()) + 1
}

/// What comparing or copying one value of `ty` costs.
pub(super) fn weight(ty: &Type) -> u64 {
    match ty {
        Type::List(item) => ASSUMED.saturating_mul(weight(item)).saturating_add(1),
        Type::Object(fields) => fields.iter().fold(1, |sum, (_, ty)| weight(ty).saturating_add(sum).saturating_add(1)),
        _ => 1,
    }
}

impl Compiler<'_> {
    /// Adds to the cost.
    pub(super) fn spend(&mut self, units: u64) {
        self.spent = self.spent.saturating_add(units);
    }

    /// What was spent since it stood at `before` is the inside of a loop that runs `turns` times.
    pub(super) fn spend_turns(&mut self, at: At, before: u64, turns: u64) {
        let inside = (self.spent - before).saturating_add(1);
        let cost = turns.saturating_mul(inside);
        self.spent = before.saturating_add(cost);
        if self.heaviest.as_ref().is_none_or(|heaviest| heaviest.cost <= cost) {
            self.heaviest = Some(Heaviest { at, cost, turns, inside });
        }
    }

    /// The same of an expanded macro.
    pub(super) fn spend_fold(&mut self, id: u64, before: u64, fold: &ComprehensionExpr) {
        self.spend_turns(At::Node(id), before, items(&fold.iter_range));
    }

    /// Reports a cost above `most`, at the part that costs most.
    pub(super) fn check_cost(&mut self, most: u64) {
        if self.spent <= most {
            return;
        }
        let (at, part) = match self.heaviest.take() {
            Some(Heaviest { at, cost, turns, inside }) => {
                (at, format!("; this loop costs {cost} of them: {turns} items, {inside} each"))
            }
            None => (At::Start, String::new()),
        };
        let spent = self.spent;
        let problem = Problem {
            code: "too_costly",
            message: format!("expression may cost {spent} units; at most {most} are allowed{part}"),
            suggestion: Some(
                "replace a loop inside a loop by `x in list`, or bound its list: `list.limit(10).exists(x, …)`"
                    .to_owned(),
            ),
        };
        self.report::<()>(at, problem);
    }
}
