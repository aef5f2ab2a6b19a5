//! Stored values read as their declared types. A stored null is null; a value of another type is an error.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::scope::{EvalError, Fault, Out};
use super::types::Type;
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

/// An instant, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(pub(super) i64);

/// A span of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) i64);

#[cold]
pub(super) fn wrong_type(name: &str, expected: &Type) -> Fault {
    Box::new(EvalError::WrongType { field: name.to_owned(), expected: expected.to_string() })
}

/// Whether `float` is a whole number of 64 bits, and which.
pub(super) fn whole(float: f64) -> Option<i64> {
    // 2^63 itself is out of range, and every double below it converts without loss.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (float.fract() == 0.0 && (-LIMIT..LIMIT).contains(&float)).then_some(float as i64)
}

pub(super) fn boolean(value: &Value, name: &str) -> Out<bool> {
    match value {
        Value::Bool(b) => Ok(Some(*b)),
        Value::Null => Ok(None),
        _ => Err(wrong_type(name, &Type::Boolean)),
    }
}

pub(super) fn integer(value: &Value, name: &str) -> Out<i64> {
    match value {
        Value::Int(i) => Ok(Some(*i)),
        Value::Null => Ok(None),
        Value::Float(f) => whole(*f).map(Some).ok_or_else(|| wrong_type(name, &Type::Integer)),
        _ => Err(wrong_type(name, &Type::Integer)),
    }
}

pub(super) fn number(value: &Value, name: &str) -> Out<f64> {
    match value {
        Value::Float(f) => Ok(Some(*f)),
        Value::Int(i) => Ok(Some(*i as f64)),
        Value::Null => Ok(None),
        _ => Err(wrong_type(name, &Type::Number)),
    }
}

pub(super) fn instant(value: &Value, name: &str) -> Out<Instant> {
    match value {
        Value::Time(t) => Ok(Some(Instant(t.0))),
        Value::Null => Ok(None),
        Value::Str(text) => match Millis::parse_iso(text) {
            Some(t) => Ok(Some(Instant(t.0))),
            None => Err(wrong_type(name, &Type::Timestamp)),
        },
        _ => Err(wrong_type(name, &Type::Timestamp)),
    }
}

/// Durations are stored nowhere; inside an expression's own lists they are integers of milliseconds.
pub(super) fn span(value: &Value, name: &str) -> Out<Span> {
    match value {
        Value::Int(ms) => Ok(Some(Span(*ms))),
        Value::Null => Ok(None),
        _ => Err(wrong_type(name, &Type::Duration)),
    }
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> Out<&'v str> {
    match value {
        Value::Str(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err(wrong_type(name, &Type::String)),
    }
}

/// A list or map out of a borrowed or owned value, staying borrowed where it was.
pub(super) fn list<'v>(value: Cow<'v, Value>, name: &str, declared: &Type) -> Out<Cow<'v, [Value]>> {
    match value {
        Cow::Borrowed(Value::List(items)) => Ok(Some(Cow::Borrowed(items))),
        Cow::Owned(Value::List(items)) => Ok(Some(Cow::Owned(items))),
        Cow::Borrowed(Value::Null) | Cow::Owned(Value::Null) => Ok(None),
        _ => Err(wrong_type(name, declared)),
    }
}

pub(super) fn map<'v>(value: Cow<'v, Value>, name: &str, declared: &Type) -> Out<Cow<'v, Map>> {
    match value {
        Cow::Borrowed(Value::Map(map)) => Ok(Some(Cow::Borrowed(map))),
        Cow::Owned(Value::Map(map)) => Ok(Some(Cow::Owned(map))),
        Cow::Borrowed(Value::Null) | Cow::Owned(Value::Null) => Ok(None),
        _ => Err(wrong_type(name, declared)),
    }
}

/// The order of an integer and a double as real numbers; none for NaN.
pub(super) fn order_mixed(int: i64, float: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= LIMIT {
        Some(Ordering::Less)
    } else if float < -LIMIT {
        Some(Ordering::Greater)
    } else {
        // The integral part fits 64 bits now; the fraction decides between equals.
        let by_whole = int.cmp(&(float.trunc() as i64));
        Some(by_whole.then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)))
    }
}

/// Whether two values read as `ty` are equal; within lists and maps null equals null and an absent field equals a null
/// one.
pub(super) fn equal(a: &Value, b: &Value, ty: &Type) -> bool {
    match (ty, a, b) {
        (_, Value::Null, Value::Null) => true,
        (_, Value::Null, _) | (_, _, Value::Null) => false,
        (Type::Timestamp, a, b) => matches!((instant(a, ""), instant(b, "")), (Ok(Some(a)), Ok(Some(b))) if a == b),
        (Type::List(item), Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, item))
        }
        (Type::Object(fields), Value::Map(a), Value::Map(b)) => fields
            .iter()
            .all(|(name, ty)| equal(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), ty)),
        (_, Value::Int(int), Value::Float(float)) | (_, Value::Float(float), Value::Int(int)) => {
            order_mixed(*int, *float) == Some(Ordering::Equal)
        }
        (_, a, b) => a == b,
    }
}

/// What copying or walking a value costs, in steps.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Str(text) => 1 + text.len() / 64,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(map) => 1 + map.0.iter().map(|(_, value)| 1 + weight(value)).sum::<usize>(),
        _ => 1,
    }
}
