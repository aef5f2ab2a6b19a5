//! `== != < <= > >=` and `in`, specialised where a path meets a literal, which is what most filters are: such a
//! comparison borrows the stored value and allocates nothing.

use std::cmp::Ordering;

use cel::common::ast::operators;

use super::code::{Code, Kind, Literal, Owned as _, Place, Run, RunList, Scalar, Typed, run};
use super::compile::Compiler;
use super::operators::sign;
use super::parse::At;
use super::read::{self, Instant, Span};
use super::scope::Out;
use super::types::Type;
use crate::domain::value::Value;

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) fn of(operator: &str) -> Option<Self> {
        Some(match operator {
            operators::EQUALS => Self::Equal,
            operators::NOT_EQUALS => Self::Unequal,
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::LessOrEqual,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether it holds for operands in this order; none = unordered (NaN).
    #[inline]
    pub(super) fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }

    /// The same with its operands swapped.
    pub(super) fn swapped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

impl Compiler<'_> {
    pub(super) fn comparison(
        &mut self,
        id: u64,
        by: Comparison,
        operator: &str,
        left: Typed,
        right: Typed,
    ) -> Option<Typed> {
        let equality = matches!(by, Comparison::Equal | Comparison::Unequal);
        if equality && (left.is_null() || right.is_null()) {
            let operand = if right.is_null() { left } else { right };
            return Some(absence(operand, by == Comparison::Equal));
        }
        if left.is_null() || right.is_null() {
            let suggestion = Some("ask `… == null` or `… != null`".to_owned());
            return self.mismatch(At::Node(id), format!("`{}` with null is always false", sign(operator)), suggestion);
        }
        let test = match (&left.ty, &right.ty) {
            (Type::Integer, Type::Integer) => compare::<i64>(by, left, right),
            (Type::Integer, Type::Number) if !matches!(left.kind, Kind::Literal(_)) => mixed(by, left, right),
            (Type::Number, Type::Integer) if !matches!(right.kind, Kind::Literal(_)) => {
                mixed(by.swapped(), right, left)
            }
            (a, b) if a.is_numeric() && b.is_numeric() => compare_numbers(by, left, right),
            (Type::Boolean, Type::Boolean) => compare::<bool>(by, left, right),
            (Type::Timestamp, Type::Timestamp) => compare::<Instant>(by, left, right),
            (Type::Duration, Type::Duration) => compare::<Span>(by, left, right),
            (Type::String, Type::String) => compare_texts(by, left, right),
            (Type::List(_) | Type::Object(_), _) if equality && left.ty.union(&right.ty).is_some() => {
                compare_whole(by, left, right)
            }
            (a, b) => {
                let (a, b) = (a.clone(), b.clone());
                return self.cannot(id, operator, &a, &b);
            }
        };
        Some(Typed::code_of(Type::Boolean, Code::Bool(test)))
    }

    pub(super) fn contained(&mut self, id: u64, item: Typed, whole: Typed) -> Option<Typed> {
        match &whole.ty {
            Type::List(element) if element.join(&item.ty).is_some() && !item.is_null() => {
                let ty = element.join(&item.ty)?;
                Some(Typed::code_of(Type::Boolean, Code::Bool(in_list(&ty, item, whole.list()))))
            }
            Type::Object(_) if item.ty == Type::String => {
                let (key, map) = (item.text(), whole.map());
                Some(Typed::boolean(move |env| match (key(env)?, map(env)?) {
                    (Some(key), Some(map)) => Ok(Some(map.get(&key).is_some())),
                    _ => Ok(Some(false)),
                }))
            }
            ty => {
                let (item, whole) = (item.ty.clone(), ty.clone());
                self.cannot(id, operators::IN, &item, &whole)
            }
        }
    }
}

/// `operand == null`, or `!=`.
fn absence(operand: Typed, null: bool) -> Typed {
    if let Kind::Place(place) = operand.kind {
        return Typed::boolean(move |env| Ok(Some(matches!(place.get(env)?, None | Some(Value::Null)) == null)));
    }
    if let Kind::Value(value, _) = operand.kind {
        return Typed::boolean(move |env| Ok(Some(value(env)?.is_none_or(|value| *value == Value::Null) == null)));
    }
    let ty = operand.ty.clone();
    let code = operand.code(&ty);
    Typed::boolean(move |env| {
        let absent = match &code {
            Code::Null => true,
            Code::Bool(run) => run(env)?.is_none(),
            Code::Int(run) => run(env)?.is_none(),
            Code::Number(run) => run(env)?.is_none(),
            Code::Time(run) => run(env)?.is_none(),
            Code::Span(run) => run(env)?.is_none(),
            Code::Text(run) => run(env)?.is_none(),
            Code::List(run) => run(env)?.is_none(),
            Code::Map(run) => run(env)?.is_none(),
        };
        Ok(Some(absent == null))
    })
}

fn compare<T: Scalar>(by: Comparison, left: Typed, right: Typed) -> Run<bool> {
    match (left.kind, right.kind) {
        (Kind::Place(place), Kind::Literal(literal)) => compare_stored::<T>(by, place, &literal),
        (Kind::Literal(literal), Kind::Place(place)) => compare_stored::<T>(by.swapped(), place, &literal),
        (left_kind, right_kind) => {
            let left = Typed { ty: left.ty, kind: left_kind }.scalar::<T>();
            let right = Typed { ty: right.ty, kind: right_kind }.scalar::<T>();
            run(move |env| {
                Ok(Some(match (left(env)?, right(env)?) {
                    (Some(a), Some(b)) => by.holds(a.partial_cmp(&b)),
                    _ => false,
                }))
            })
        }
    }
}

fn compare_stored<T: Scalar>(by: Comparison, place: Place, literal: &Literal) -> Run<bool> {
    let Some(literal) = T::literal(literal) else { return run(|_| Ok(Some(false))) };
    run(move |env| {
        Ok(Some(match place.read::<T>(env)? {
            Some(value) => by.holds(value.partial_cmp(&literal)),
            None => false,
        }))
    })
}

/// Numbers, of which one may be an integer literal. One that no double holds exactly is compared as the integer it is.
fn compare_numbers(by: Comparison, left: Typed, right: Typed) -> Run<bool> {
    let exact = |typed: &Typed| match typed.kind {
        Kind::Literal(Literal::Int(int)) => read::order_mixed(int, int as f64) == Some(Ordering::Equal),
        _ => true,
    };
    match (exact(&left), exact(&right)) {
        (false, _) => mixed(by, left, right),
        (_, false) => mixed(by.swapped(), right, left),
        _ => compare::<f64>(by, left, right),
    }
}

/// An integer against a number, as real numbers.
fn mixed(by: Comparison, int: Typed, number: Typed) -> Run<bool> {
    let (int, number) = (int.scalar::<i64>(), number.scalar::<f64>());
    run(move |env| {
        Ok(Some(match (int(env)?, number(env)?) {
            (Some(int), Some(number)) => by.holds(read::order_mixed(int, number)),
            _ => false,
        }))
    })
}

fn compare_texts(by: Comparison, left: Typed, right: Typed) -> Run<bool> {
    let (place, literal, by) = match (left.kind, right.kind) {
        (Kind::Place(place), Kind::Literal(Literal::Text(text, _))) => (place, text, by),
        (Kind::Literal(Literal::Text(text, _)), Kind::Place(place)) => (place, text, by.swapped()),
        (left_kind, right_kind) => {
            let left = Typed { ty: left.ty, kind: left_kind }.text();
            let right = Typed { ty: right.ty, kind: right_kind }.text();
            return run(move |env| {
                let (Some(a), Some(b)) = (left(env)?, right(env)?) else { return Ok(Some(false)) };
                env.charge_text(a.len().min(b.len()))?;
                Ok(Some(by.holds(Some(a.as_ref().cmp(b.as_ref())))))
            });
        }
    };
    run(move |env| {
        Ok(Some(match place.text(env)? {
            // Texts of different length differ at once; order needs their bytes.
            Some(text) if by == Comparison::Equal => text == literal,
            Some(text) if by == Comparison::Unequal => text != literal,
            Some(text) => by.holds(Some(text.cmp(literal.as_str()))),
            None => false,
        }))
    })
}

/// Lists and objects, for equality only.
fn compare_whole(by: Comparison, left: Typed, right: Typed) -> Run<bool> {
    let ty = left.ty.union(&right.ty).unwrap_or(Type::Null);
    let (left, right) = (left.code(&ty), right.code(&ty));
    run(move |env| {
        let (a, b) = (left.owned(env)?, right.owned(env)?);
        if a == Value::Null || b == Value::Null {
            return Ok(Some(false));
        }
        Ok(Some(read::equal(&a, &b, &ty) == (by == Comparison::Equal)))
    })
}

fn in_list(ty: &Type, item: Typed, list: RunList) -> Run<bool> {
    match ty {
        Type::Boolean => in_scalars::<bool>(item.scalar(), list),
        Type::Integer => in_scalars::<i64>(item.scalar(), list),
        Type::Number => in_scalars::<f64>(item.scalar(), list),
        Type::Timestamp => in_scalars::<Instant>(item.scalar(), list),
        Type::Duration => in_scalars::<Span>(item.scalar(), list),
        Type::String => in_texts(item, list),
        _ => {
            let (ty, item) = (ty.clone(), item.code(ty));
            run(move |env| {
                let item = item.owned(env)?;
                let Some(list) = list(env)?.filter(|_| item != Value::Null) else { return Ok(Some(false)) };
                env.charge(list.iter().map(read::weight).sum())?;
                Ok(Some(list.iter().any(|other| read::equal(&item, other, &ty))))
            })
        }
    }
}

fn in_scalars<T: Scalar>(item: Run<T>, list: RunList) -> Run<bool> {
    run(move |env| {
        let (Some(item), Some(list)) = (item(env)?, list(env)?) else { return Ok(Some(false)) };
        env.charge(list.len())?;
        for other in list.iter() {
            if T::read(other, "an item of the list")? == Some(item) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    })
}

fn in_texts(item: Typed, list: RunList) -> Run<bool> {
    let item = item.text();
    run(move |env| {
        let (Some(item), Some(list)) = (item(env)?, list(env)?) else { return Ok(Some(false)) };
        env.charge(list.len() + item.len() / 64)?;
        text_among(&item, &list)
    })
}

fn text_among(item: &str, list: &[Value]) -> Out<bool> {
    for other in list {
        if read::text(other, "an item of the list")? == Some(item) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}
