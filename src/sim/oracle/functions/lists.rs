//! Functions of lists. Aggregates pass over what is not there; a place outside of a list is an error.

use std::cmp::Ordering;

use crate::sim::oracle::eval::{Scope, Value, order, settled};

/// `list.name(arguments)`.
pub(super) fn of_list(items: Vec<Value>, name: &str, arguments: &[Value], scope: &Scope<'_>) -> Result<Value, String> {
    let count = items.len();
    let place = |n: i64| usize::try_from(n).map_err(|_| "a place before the list".to_owned());
    Ok(match (name, arguments) {
        ("size", []) => Value::Integer(count as i64),
        ("isEmpty", []) => Value::Boolean(items.is_empty()),
        ("count", []) => Value::Integer(items.iter().filter(|item| **item != Value::Null).count() as i64),
        ("countNull", []) => Value::Integer(items.iter().filter(|item| **item == Value::Null).count() as i64),
        ("first", []) => items.into_iter().next().unwrap_or(Value::Null),
        ("last", []) => items.into_iter().next_back().unwrap_or(Value::Null),
        ("reverse", []) => Value::List(items.into_iter().rev().collect()),
        ("limit", [Value::Integer(n)]) => Value::List(items.into_iter().take(place(*n)?).collect()),
        ("limitLast", [Value::Integer(n)]) => {
            let kept = place(*n)?.min(count);
            Value::List(items.into_iter().skip(count - kept).collect())
        }
        ("slice", [Value::Integer(begin), Value::Integer(end)]) => {
            let (begin, end) = (place(*begin)?, place(*end)?);
            if begin > end || end > count {
                return Err("no part of the list".to_owned());
            }
            Value::List(items[begin..end].to_vec())
        }
        ("distinct", []) => Value::List(once(all(items, scope)?)),
        ("intersect", [Value::List(others)]) => {
            let (items, others) = (all(items, scope)?, all(others.clone(), scope)?);
            Value::List(once(items.into_iter().filter(|item| others.contains(item)).collect()))
        }
        ("sort", []) => {
            let mut items = all(items, scope)?;
            items.sort_by(null_last);
            Value::List(items)
        }
        ("flatten", []) => {
            let mut flat = Vec::new();
            for item in items {
                match item {
                    Value::List(inner) => flat.extend(inner),
                    Value::Null => {}
                    other => return Err(format!("{other:?} is no list")),
                }
            }
            Value::List(flat)
        }
        ("join", []) => joined(there(items, scope)?, "")?,
        ("join", [Value::Text(by)]) => joined(there(items, scope)?, by)?,
        ("sum", []) => sum(there(items, scope)?)?,
        ("avg", []) => mean(there(items, scope)?)?,
        ("min", []) => extreme(there(items, scope)?, Ordering::Less)?,
        ("max", []) => extreme(there(items, scope)?, Ordering::Greater)?,
        (name, arguments) => return Err(format!("a list's {name}({arguments:?}) is not known here")),
    })
}

/// `list[place]`.
pub(in crate::sim::oracle) fn item(items: &[Value], place: i64) -> Result<Value, String> {
    let item = usize::try_from(place).ok().and_then(|place| items.get(place));
    item.cloned().ok_or_else(|| format!("{place} is outside a list of {}", items.len()))
}

/// Whether `item` is one of `items`: what comes behind it is not looked at.
pub(in crate::sim::oracle) fn is_among(item: &Value, items: &[Value], scope: &Scope<'_>) -> Result<bool, String> {
    for other in items {
        if settled(other.clone(), scope)? == *item {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Items by their keys: ascending, those without one last.
pub(super) fn sorted_by(mut keyed: Vec<(Value, Value)>) -> Value {
    keyed.sort_by(|(a, _), (b, _)| null_last(a, b));
    Value::List(keyed.into_iter().map(|(_, item)| item).collect())
}

/// The items with which each key came first.
pub(super) fn distinct_by(keyed: Vec<(Value, Value)>) -> Value {
    let (mut keys, mut items) = (Vec::new(), Vec::new());
    for (key, item) in keyed {
        if !keys.contains(&key) {
            keys.push(key);
            items.push(item);
        }
    }
    Value::List(items)
}

/// The first that is not beaten; null of none.
pub(super) fn extreme(items: Vec<Value>, wins: Ordering) -> Result<Value, String> {
    let mut best = Value::Null;
    for item in items {
        if best == Value::Null || order(&item, &best)? == wins {
            best = item;
        }
    }
    Ok(best)
}

fn all(items: Vec<Value>, scope: &Scope<'_>) -> Result<Vec<Value>, String> {
    items.into_iter().map(|item| settled(item, scope)).collect()
}

/// Those that are not null.
pub(super) fn there(items: Vec<Value>, scope: &Scope<'_>) -> Result<Vec<Value>, String> {
    let mut items = all(items, scope)?;
    items.retain(|item| *item != Value::Null);
    Ok(items)
}

fn once(items: Vec<Value>) -> Vec<Value> {
    let mut once: Vec<Value> = Vec::new();
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

fn null_last(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (a, b) => order(a, b).unwrap_or(Ordering::Equal),
    }
}

fn joined(items: Vec<Value>, by: &str) -> Result<Value, String> {
    let texts = items.into_iter().map(|item| match item {
        Value::Text(text) => Ok(text),
        other => Err(format!("{other:?} is no text")),
    });
    Ok(Value::Text(texts.collect::<Result<Vec<_>, _>>()?.join(by)))
}

fn sum(items: Vec<Value>) -> Result<Value, String> {
    let mut items = items.into_iter();
    let Some(first) = items.next() else { return Ok(Value::Integer(0)) };
    items.try_fold(first, |sum, item| {
        Ok(match (sum, item) {
            (Value::Integer(a), Value::Integer(b)) => Value::Integer(a.checked_add(b).ok_or("overflow")?),
            (Value::Span(a), Value::Span(b)) => Value::Span(a.checked_add(b).ok_or("overflow")?),
            (Value::Number(a), Value::Number(b)) if (a + b).is_finite() => Value::Number(a + b),
            (a, b) => return Err(format!("{a:?} and {b:?} have no sum")),
        })
    })
}

fn mean(items: Vec<Value>) -> Result<Value, String> {
    let numbers = items.into_iter().map(|item| match item {
        Value::Integer(n) => Ok(n as f64),
        Value::Number(n) => Ok(n),
        other => Err(format!("{other:?} is no number")),
    });
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    let total: f64 = numbers.iter().sum();
    match numbers.len() {
        0 => Ok(Value::Null),
        _ if !total.is_finite() => Err("overflow".to_owned()),
        count => Ok(Value::Number(total / count as f64)),
    }
}
