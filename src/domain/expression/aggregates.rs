//! Sums, means, extremes and counts. As in AJO they pass over nulls, so a missing price does not void a total; of nothing,
//! a sum is 0 and a mean or an extreme is null.

use cel::common::ast::CallExpr;

use super::code::{Code, Run, RunList, Scalar, Typed, run};
use super::compile::Compiler;
use super::operators::{finite, overflow};
use super::parse::At;
use super::read::{Instant, Span};
use super::scope::Fault;
use super::types::Type;
use crate::domain::value::Value;

/// Which end of an order is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Least,
    Greatest,
}

impl End {
    fn of<T: PartialOrd>(self, a: T, b: T) -> T {
        let takes_second = if self == Self::Least { b < a } else { b > a };
        if takes_second { b } else { a }
    }
}

impl Compiler<'_> {
    /// `sum`, `avg`, `min`, `max`, `count` and `countNull` of a list.
    pub(super) fn aggregate(&mut self, at: At, name: &str, item: Type, list: RunList) -> Option<Typed> {
        // `[]` alone has items of no type; sums of it are integers.
        let item = if item == Type::Null { Type::Integer } else { item };
        let code = match (name, &item) {
            ("count", _) => counted(list, |value| *value != Value::Null),
            ("countNull", _) => counted(list, |value| *value == Value::Null),
            ("sum", Type::Integer) => {
                Code::Int(folded(list, 0_i64, |sum, item| sum.checked_add(item).ok_or_else(overflow)))
            }
            ("sum", Type::Number) => Code::Number(folded(list, 0.0, |sum: f64, item: f64| finite(sum + item))),
            ("sum", Type::Duration) => Code::Span(folded(list, Span(0), |sum: Span, item: Span| {
                sum.0.checked_add(item.0).map(Span).ok_or_else(overflow)
            })),
            ("avg", Type::Integer) => Code::Number(mean(list, |item: i64| item as f64)),
            ("avg", Type::Number) => Code::Number(mean(list, |item: f64| item)),
            ("min", _) => return self.extreme_of(at, name, End::Least, item, list),
            ("max", _) => return self.extreme_of(at, name, End::Greatest, item, list),
            _ => return self.not_of(at, name, &item),
        };
        let ty = match &code {
            Code::Int(_) => Type::Integer,
            Code::Number(_) => Type::Number,
            _ => Type::Duration,
        };
        Some(Typed::code_of(ty, code))
    }

    fn not_of<T>(&mut self, at: At, name: &str, item: &Type) -> Option<T> {
        let message = format!("`{name}` can't be taken of values of type {item}");
        let suggestion =
            matches!(item, Type::Object(_)).then(|| format!("name a field: `list.map(x, x.field).{name}()`"));
        self.mismatch(at, message, suggestion)
    }

    fn extreme_of(&mut self, at: At, name: &str, end: End, item: Type, list: RunList) -> Option<Typed> {
        let code = match item {
            Type::Integer => Code::Int(extreme(list, end)),
            Type::Number => Code::Number(extreme(list, end)),
            Type::Timestamp => Code::Time(extreme::<Instant>(list, end)),
            Type::Duration => Code::Span(extreme::<Span>(list, end)),
            item => return self.not_of(at, name, &item),
        };
        Some(Typed::code_of(item, code))
    }

    /// `math.greatest(…)` and `math.least(…)`, of one list or of several values.
    pub(super) fn extreme(&mut self, at: At, name: &str, call: &CallExpr, arguments: Vec<Typed>) -> Option<Typed> {
        let end = if name == "least" { End::Least } else { End::Greatest };
        let mut ty = Type::Null;
        for (argument, node) in arguments.iter().zip(&call.args) {
            let Some(joined) = ty.join(&argument.ty) else {
                let message = format!("`{name}` compares values of one type; {} follows {ty}", argument.ty);
                return self.mismatch(At::Node(node.id), message, None);
            };
            ty = joined;
        }
        if let (Type::List(item), 1) = (&ty, arguments.len()) {
            let item = if **item == Type::Null { Type::Integer } else { (**item).clone() };
            let list = arguments.into_iter().next()?.list();
            return self.extreme_of(at, name, end, item, list);
        }
        if arguments.is_empty() {
            return self.wrong_arguments(at, name, "one argument or more", 0);
        }
        let code = match ty {
            Type::Integer | Type::Null => Code::Int(extreme_among(arguments, end)),
            Type::Number => Code::Number(extreme_among(arguments, end)),
            Type::Timestamp => Code::Time(extreme_among::<Instant>(arguments, end)),
            Type::Duration => Code::Span(extreme_among::<Span>(arguments, end)),
            ty => return self.not_of(at, name, &ty),
        };
        Some(Typed::code_of(if ty == Type::Null { Type::Integer } else { ty }, code))
    }
}

fn counted(list: RunList, counts: fn(&Value) -> bool) -> Code {
    Code::Int(run(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        env.charge(list.len())?;
        Ok(Some(list.iter().filter(|value| counts(value)).count() as i64))
    }))
}

/// What the items that are there come to, one after the other.
fn folded<T: Scalar, A: Copy + Send + Sync + 'static>(
    list: RunList,
    start: A,
    f: impl Fn(A, T) -> Result<A, Fault> + Send + Sync + 'static,
) -> Run<A> {
    run(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        env.charge(list.len())?;
        let mut result = start;
        for item in list.iter() {
            if let Some(item) = T::read(item, "an item of the list")? {
                result = f(result, item)?;
            }
        }
        Ok(Some(result))
    })
}

fn mean<T: Scalar>(list: RunList, widened: fn(T) -> f64) -> Run<f64> {
    let total = folded(list, (0.0, 0_u32), move |(sum, count), item| Ok((finite(sum + widened(item))?, count + 1)));
    run(move |env| Ok(total(env)?.filter(|(_, count)| *count > 0).map(|(sum, count)| sum / f64::from(count))))
}

fn extreme<T: Scalar>(list: RunList, end: End) -> Run<T> {
    run(move |env| {
        let Some(list) = list(env)? else { return Ok(None) };
        env.charge(list.len())?;
        let mut found: Option<T> = None;
        for item in list.iter() {
            if let Some(item) = T::read(item, "an item of the list")? {
                found = Some(found.map_or(item, |found| end.of(found, item)));
            }
        }
        Ok(found)
    })
}

fn extreme_among<T: Scalar>(arguments: Vec<Typed>, end: End) -> Run<T> {
    let values: Vec<Run<T>> = arguments.into_iter().map(Typed::scalar).collect();
    run(move |env| {
        let mut found: Option<T> = None;
        for value in &values {
            if let Some(value) = value(env)? {
                found = Some(found.map_or(value, |found| end.of(found, value)));
            }
        }
        Ok(found)
    })
}
