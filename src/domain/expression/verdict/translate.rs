//! From a syntax tree to a formula: logic becomes logic, comparisons become questions about subjects, and what is not
//! understood becomes a subject of its own, of which nothing is known but that it is the same wherever it stands.

use cel::common::ast::{CallExpr, Expr as Tree, IdedExpr, LiteralValue, SelectExpr, operators};

use super::Reasoner;
use super::formula::{Formula, Outcomes, Test};
use super::print::text_of;
use super::subject::{Origin, Point, Sort, Subject};
use crate::domain::expression::comparison::Comparison;
use crate::domain::expression::compile::Compiler;
use crate::domain::expression::read;
use crate::domain::expression::scope::Scope;
use crate::domain::expression::types::{Root, Type};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

impl Reasoner<'_> {
    /// The formula of a condition that has been checked.
    pub(super) fn formula(&mut self, node: &IdedExpr) -> Formula {
        match &node.expr {
            Tree::Literal(LiteralValue::Boolean(truth)) => Formula::Constant(Outcomes::of(*truth.inner())),
            Tree::Literal(LiteralValue::Null) => Formula::Constant(Outcomes::FALSE),
            Tree::Call(call) if call.target.is_none() => self.call(node, call),
            Tree::Select(select) if select.test => self.presence(node, select),
            _ => self.truth(node),
        }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Formula {
        let mut inner = |node: &IdedExpr| Box::new(self.formula(node));
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Formula::And(inner(left), inner(right)),
            (operators::LOGICAL_OR, [left, right]) => Formula::Or(inner(left), inner(right)),
            (operators::LOGICAL_NOT, [of]) => Formula::Not(inner(of)),
            (operators::CONDITIONAL, [condition, yes, no]) => Formula::Choose(inner(condition), inner(yes), inner(no)),
            (operators::IN, [item, list]) => self.membership(item, list).unwrap_or_else(|| self.truth(node)),
            (operator, [left, right]) => {
                let formula = Comparison::of(operator).and_then(|by| self.comparison(by, left, right));
                formula.unwrap_or_else(|| self.truth(node))
            }
            _ => self.truth(node),
        }
    }

    fn comparison(&mut self, by: Comparison, left: &IdedExpr, right: &IdedExpr) -> Option<Formula> {
        if is_null(left) || is_null(right) {
            let subject = self.subject(if is_null(right) { left } else { right })?;
            let atom = Formula::Atom { subject, test: Test::IsNull };
            return Some(if by == Comparison::Equal { atom } else { atom.not() });
        }
        match (self.closed(left), self.closed(right)) {
            (None, None) => self.pair(by, left, right),
            (Some((_, value)), None) => self.against(by.swapped(), right, &value?),
            (None, Some((_, value))) => self.against(by, left, &value?),
            (Some((_, left)), Some((_, right))) => {
                let (left, right) = (left?, right?);
                if left == Value::Null || right == Value::Null {
                    return Some(Formula::Constant(Outcomes::FALSE));
                }
                let order = Point::of(&left)?.order(&Point::of(&right)?);
                Some(Formula::Constant(Outcomes::of(by.holds(Some(order)))))
            }
        }
    }

    /// A subject against a known value.
    fn against(&mut self, by: Comparison, node: &IdedExpr, value: &Value) -> Option<Formula> {
        if *value == Value::Null {
            return Some(Formula::Constant(Outcomes::FALSE));
        }
        let point = Point::of(value)?;
        let subject = self.subject(node)?;
        let point = self.subjects[subject].point(point);
        Some(Formula::Atom { subject, test: Test::Compare(by, point) })
    }

    /// One subject against another.
    fn pair(&mut self, by: Comparison, left: &IdedExpr, right: &IdedExpr) -> Option<Formula> {
        let (left, right) = (self.subject(left)?, self.subject(right)?);
        let (first, second) = (left.min(right), left.max(right));
        let by = if first == left { by } else { by.swapped() };
        let of = |subject: usize| &self.subjects[subject];
        if of(first).sort == Sort::Other || of(second).sort == Sort::Other {
            return None;
        }
        let is_found = of(first).origin == Origin::Found || of(second).origin == Origin::Found;
        let is_given = of(first).origin == Origin::Given && of(second).origin == Origin::Given;
        let origin = match () {
            () if is_found => Origin::Found,
            () if is_given => Origin::Given,
            () => Origin::Field,
        };
        let key = format!("{} <> {}", of(first).key, of(second).key);
        let subject = self.subject_of(Subject { key, sort: Sort::Pair(first, second), origin, points: Vec::new() });
        let point = self.subjects[subject].point(Point::Same);
        Some(Formula::Atom { subject, test: Test::Compare(by, point) })
    }

    /// `item in list`, where the list is known.
    fn membership(&mut self, item: &IdedExpr, list: &IdedExpr) -> Option<Formula> {
        let (_, Some(Value::List(values))) = self.closed(list)? else { return None };
        if self.closed(item).is_some() {
            return None;
        }
        let subject = self.subject(item)?;
        let values: Vec<&Value> = values.iter().filter(|value| **value != Value::Null).collect();
        let sort = self.subjects[subject].sort;
        let points: Vec<Point> = values.iter().map(|value| Point::of(value)).collect::<Option<_>>()?;
        // Items of a list are compared as the one type of the list, which rounds large integers.
        let is_exact = |point: &Point| match (sort, point) {
            (Sort::Real, Point::Int(int)) => read::order_mixed(*int, *int as f64).is_some_and(|order| order.is_eq()),
            (Sort::Whole, Point::Number(_)) => false,
            _ => true,
        };
        if !points.iter().all(is_exact) {
            return None;
        }
        let points = points.into_iter().map(|point| self.subjects[subject].point(point)).collect();
        Some(Formula::Atom { subject, test: Test::OneOf(points) })
    }

    /// `has(a.b)`.
    fn presence(&mut self, node: &IdedExpr, select: &SelectExpr) -> Formula {
        let field = IdedExpr { id: node.id, expr: Tree::Select(SelectExpr { test: false, ..select.clone() }) };
        match root_of(&field) {
            // Facts of the instance are no stored fields: whether they are there is a question of its own.
            Some(root) if root != "journey" => match self.subject(&field) {
                Some(subject) => Formula::Atom { subject, test: Test::Has },
                None => self.truth(node),
            },
            _ => self.truth(node),
        }
    }

    /// Whether a boolean that is no logic is true.
    fn truth(&mut self, node: &IdedExpr) -> Formula {
        if let Some((_, value)) = self.closed(node) {
            return Formula::Constant(value.map_or(Outcomes::ERROR, |value| Outcomes::of(value == Value::Bool(true))));
        }
        let Some(subject) = self.subject(node) else {
            // It has been checked, so it has a type; but nothing hangs on it.
            return Formula::Constant(Outcomes::TRUE.or(Outcomes::OTHER));
        };
        let point = self.subjects[subject].point(Point::Bool(true));
        Formula::Atom { subject, test: Test::Compare(Comparison::Equal, point) }
    }

    /// The type and value of a node that reads nothing; no value if it ends in an error.
    fn closed(&self, node: &IdedExpr) -> Option<(Type, Option<Value>)> {
        if !is_closed(node) {
            return None;
        }
        let nothing = Map::default();
        let scope = Scope {
            facts: None,
            event: &nothing,
            last: &nothing,
            profile: &nothing,
            meta_id: "",
            meta_type: "",
            meta_time: Millis(0),
            action: &nothing,
            now: Millis(0),
        };
        Compiler::new(self.schemas).valued(node, &scope)
    }

    /// The index of the subject that `node` is.
    fn subject(&mut self, node: &IdedExpr) -> Option<usize> {
        let ty = Compiler::new(self.schemas).node(node)?.ty;
        let origin = match root_of(node) {
            Some("now" | "meta") => Origin::Given,
            Some(_) => Origin::Field,
            None => Origin::Found,
        };
        let sort = Sort::of(&ty);
        let points = match sort {
            Sort::Truth => vec![Point::Bool(false), Point::Bool(true)],
            _ => Vec::new(),
        };
        Some(self.subject_of(Subject { key: text_of(node), sort, origin, points }))
    }

    fn subject_of(&mut self, subject: Subject) -> usize {
        let known = self.subjects.iter().position(|known| known.key == subject.key);
        known.unwrap_or_else(|| {
            self.subjects.push(subject);
            self.subjects.len() - 1
        })
    }
}

fn is_null(node: &IdedExpr) -> bool {
    matches!(node.expr, Tree::Literal(LiteralValue::Null))
}

/// The word that a stored field, or a root that is a value, begins with.
fn root_of(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Tree::Ident(name) => (name == "now" || Root::from_word(name).is_some()).then_some(name.as_str()),
        Tree::Select(select) if !select.test => root_of(&select.operand).filter(|root| *root != "now"),
        Tree::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [of, at]) if matches!(at.expr, Tree::Literal(LiteralValue::String(_))) => root_of(of),
            _ => None,
        },
        _ => None,
    }
}

/// Calls that look at the time without naming it.
fn asks_clock(call: &CallExpr) -> bool {
    matches!(call.func_name.as_str(), "inLast" | "inNext")
}

/// Whether it reads nothing: no root, no variable, no clock.
fn is_closed(node: &IdedExpr) -> bool {
    match &node.expr {
        Tree::Literal(_) => true,
        Tree::Call(call) if asks_clock(call) => false,
        Tree::Call(call) => call.target.iter().all(|target| is_closed(target)) && call.args.iter().all(is_closed),
        Tree::List(list) => list.elements.iter().all(is_closed),
        _ => false,
    }
}

/// The conditions that `&&` joins at the top of `node`, each with the place where it begins.
pub(super) fn joined(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Tree::Call(call) if call.func_name == operators::LOGICAL_AND => call.args.iter().flat_map(joined).collect(),
        _ => vec![node],
    }
}

/// The node of `node` that stands first in the text.
pub(super) fn first(node: &IdedExpr) -> &IdedExpr {
    match &node.expr {
        Tree::Call(call) => {
            let prefix = matches!(call.func_name.as_str(), operators::LOGICAL_NOT | operators::NEGATE);
            let is_operator = prefix || call.func_name.starts_with(['_', '@']);
            match (&call.target, call.args.first()) {
                (Some(target), _) => first(target),
                (None, Some(argument)) if is_operator && !prefix => first(argument),
                _ => node,
            }
        }
        Tree::Select(select) if !select.test => first(&select.operand),
        Tree::Comprehension(fold) => first(&fold.iter_range),
        _ => node,
    }
}

/// Roots and `now` that `node` names.
pub(super) fn roots(node: &IdedExpr) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &node.expr {
            Tree::Ident(name) => found.push(name.clone()),
            Tree::Call(call) if asks_clock(call) => found.push("now".to_owned()),
            _ => {}
        }
        open.extend(super::super::parse::children(node));
    }
    found
}
