//! Functions and loops of expressions (`docs/expressions.md`): null in, null out, but for what counts nulls.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::domain::ids::Millis;
use crate::sim::oracle::cel::Cel;
use crate::sim::oracle::clock::{first_ms, is_zone, shown_ms, weekday};
use crate::sim::oracle::eval::{Scope, Value, eval, holds, order, typed};

const DAY_MS: i64 = 86_400_000;

/// `receiver.name(arguments)`.
pub(super) fn method(receiver: &Cel, name: &str, arguments: &[Cel], scope: &Scope<'_>) -> Result<Value, String> {
    if let Cel::Path(path) = receiver
        && path[0] == "math"
    {
        let arguments = arguments.iter().map(|argument| eval(argument, scope)).collect::<Result<Vec<_>, _>>()?;
        return math(name, arguments);
    }
    let received = eval(receiver, scope)?;
    if let ("all" | "exists" | "exists_one" | "filter" | "map" | "sortBy", [Cel::Path(bound), body]) = (name, arguments)
    {
        return a_loop(name, received, &bound[0], body, scope);
    }
    let arguments = arguments.iter().map(|argument| eval(argument, scope)).collect::<Result<Vec<_>, _>>()?;
    // A zone that is none is an error, even where there is no time to show in it.
    if let Some(own) = own_arguments(name) {
        zoned(&arguments, own)?;
    }
    match (name, &received) {
        ("isEmpty", Value::Null) => return Ok(Value::Boolean(true)),
        ("isEmpty", Value::Text(text)) => return Ok(Value::Boolean(text.is_empty())),
        ("isEmpty", Value::List(items)) => return Ok(Value::Boolean(items.is_empty())),
        (_, Value::Null) => return Ok(Value::Null),
        _ if arguments.contains(&Value::Null) => return Ok(Value::Null),
        _ => {}
    }
    match received {
        Value::Text(text) => of_text(&text, name, &arguments),
        Value::List(items) => of_list(items, name, &arguments),
        Value::Instant(at_ms) => of_instant(at_ms, name, &arguments, scope),
        other => Err(format!("{other:?}.{name}() is not known here")),
    }
}

/// The field `name` of an object.
pub(super) fn select(object: Value, name: &str, scope: &Scope<'_>) -> Result<Value, String> {
    match object {
        Value::Null => Ok(Value::Null),
        Value::Stored(Json::Object(map), path) => {
            let path = format!("{path}.{name}");
            let declared = scope.types.get(&path).ok_or_else(|| format!("{path} is not declared"))?;
            match map.get(name) {
                None | Some(Json::Null) => Ok(Value::Null),
                Some(value) => typed(value, declared).ok_or_else(|| format!("{path} is {value}, and no {declared}")),
            }
        }
        other => Err(format!("{other:?} has no fields")),
    }
}

/// A loop of `body` over the items, each of them bound to a name.
fn a_loop(name: &str, list: Value, bound: &str, body: &Cel, scope: &Scope<'_>) -> Result<Value, String> {
    let items = match list {
        Value::List(items) => items,
        Value::Null if matches!(name, "filter" | "map" | "sortBy") => return Ok(Value::Null),
        Value::Null => return Ok(Value::Boolean(false)),
        other => return Err(format!("{other:?} is no list")),
    };
    let with = |item: &Value| holds(body, &Scope { bound: Some((bound, item)), ..*scope });
    match name {
        // As with && and ||: who decides outweighs the errors of others.
        "all" | "exists" => {
            let alone = name == "exists";
            let answers: Vec<_> = items.iter().map(with).collect();
            if answers.contains(&Ok(alone)) {
                return Ok(Value::Boolean(alone));
            }
            answers.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Boolean(!alone))
        }
        "exists_one" => {
            let answers = items.iter().map(with).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Boolean(answers.into_iter().filter(|holds| *holds).count() == 1))
        }
        "filter" => {
            let mut kept = Vec::new();
            for item in items {
                if with(&item)? {
                    kept.push(item);
                }
            }
            Ok(Value::List(kept))
        }
        "map" => {
            let made = items.iter().map(|item| eval(body, &Scope { bound: Some((bound, item)), ..*scope }));
            Ok(Value::List(made.collect::<Result<_, _>>()?))
        }
        _ => {
            let keyed = items.into_iter().map(|item| {
                let key = eval(body, &Scope { bound: Some((bound, &item)), ..*scope })?;
                Ok::<_, String>((key, item))
            });
            let mut keyed = keyed.collect::<Result<Vec<_>, _>>()?;
            keyed.sort_by(|(a, _), (b, _)| null_last(a, b));
            Ok(Value::List(keyed.into_iter().map(|(_, item)| item).collect()))
        }
    }
}

fn null_last(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (a, b) => order(a, b).unwrap_or(Ordering::Equal),
    }
}

fn of_text(text: &str, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let characters: Vec<char> = text.chars().collect();
    let place = |n: i64| usize::try_from(n).ok().filter(|n| *n <= characters.len()).ok_or("a place outside the text");
    Ok(match (name, arguments) {
        ("size", []) => Value::Integer(characters.len() as i64),
        ("lowerAscii" | "lower", []) => Value::Text(text.to_lowercase()),
        ("upperAscii" | "upper", []) => Value::Text(text.to_uppercase()),
        ("trim", []) => Value::Text(text.trim().to_owned()),
        ("reverse", []) => Value::Text(characters.into_iter().rev().collect()),
        ("contains", [Value::Text(part)]) => Value::Boolean(text.contains(part)),
        ("startsWith", [Value::Text(part)]) => Value::Boolean(text.starts_with(part)),
        ("endsWith", [Value::Text(part)]) => Value::Boolean(text.ends_with(part)),
        ("equalsIgnoreCase", [Value::Text(other)]) => Value::Boolean(text.to_lowercase() == other.to_lowercase()),
        ("indexOf", [Value::Text(part)]) => Value::Integer(text.find(part).map_or(-1, |at| at as i64)),
        ("substring", [Value::Integer(from)]) => Value::Text(characters[place(*from)?..].iter().collect()),
        ("replace", [Value::Text(from), Value::Text(to)]) => Value::Text(text.replace(from, to)),
        ("split", [Value::Text(by)]) => Value::List(text.split(by).map(|part| Value::Text(part.to_owned())).collect()),
        (name, arguments) => return Err(format!("{text:?}.{name}({arguments:?}) is not known here")),
    })
}

fn of_list(items: Vec<Value>, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let there = |items: &[Value]| items.iter().filter(|item| **item != Value::Null).cloned().collect::<Vec<_>>();
    Ok(match (name, arguments) {
        ("size", []) => Value::Integer(items.len() as i64),
        ("count", []) => Value::Integer(there(&items).len() as i64),
        ("countNull", []) => Value::Integer((items.len() - there(&items).len()) as i64),
        ("first", []) => items.first().cloned().unwrap_or(Value::Null),
        ("last", []) => items.last().cloned().unwrap_or(Value::Null),
        ("reverse", []) => Value::List(items.into_iter().rev().collect()),
        ("limit", [Value::Integer(n)]) => {
            Value::List(items.into_iter().take(usize::try_from(*n).unwrap_or(0)).collect())
        }
        ("distinct", []) => {
            let mut once: Vec<Value> = Vec::new();
            for item in items {
                if !once.contains(&item) {
                    once.push(item);
                }
            }
            Value::List(once)
        }
        ("join", [Value::Text(by)]) => {
            let texts = there(&items).into_iter().map(|item| match item {
                Value::Text(text) => Ok(text),
                other => Err(format!("{other:?} is no text")),
            });
            Value::Text(texts.collect::<Result<Vec<_>, _>>()?.join(by))
        }
        ("sum", []) => {
            let whole = there(&items).into_iter().map(|item| match item {
                Value::Integer(n) => Ok(n),
                other => Err(format!("{other:?} is no integer")),
            });
            let whole = whole.collect::<Result<Vec<_>, _>>()?;
            Value::Integer(whole.into_iter().try_fold(0_i64, i64::checked_add).ok_or("overflow")?)
        }
        ("min", []) => extreme(there(&items), Ordering::Less)?,
        ("max", []) => extreme(there(&items), Ordering::Greater)?,
        (name, arguments) => return Err(format!("a list's {name}({arguments:?}) is not known here")),
    })
}

/// The first that is not beaten; null of none.
fn extreme(items: Vec<Value>, wins: Ordering) -> Result<Value, String> {
    let mut best = Value::Null;
    for item in items {
        if best == Value::Null || order(&item, &best)? == wins {
            best = item;
        }
    }
    Ok(best)
}

fn math(name: &str, mut arguments: Vec<Value>) -> Result<Value, String> {
    match name {
        "greatest" | "least" => {
            arguments.retain(|value| *value != Value::Null);
            extreme(arguments, if name == "greatest" { Ordering::Greater } else { Ordering::Less })
        }
        _ => match (name, arguments.pop().unwrap_or(Value::Null)) {
            (_, Value::Null) => Ok(Value::Null),
            ("abs", Value::Integer(n)) => Ok(Value::Integer(n.checked_abs().ok_or("overflow")?)),
            ("sign", Value::Integer(n)) => Ok(Value::Integer(n.signum())),
            ("abs", Value::Number(n)) => Ok(Value::Number(n.abs())),
            ("round", Value::Number(n)) => Ok(Value::Number(n.round())),
            ("floor", Value::Number(n)) => Ok(Value::Number(n.floor())),
            ("ceil", Value::Number(n)) => Ok(Value::Number(n.ceil())),
            ("trunc", Value::Number(n)) => Ok(Value::Number(n.trunc())),
            (name, argument) => Err(format!("math.{name}({argument:?}) is not known here")),
        },
    }
}

/// `arguments` without the zone behind them; and the zone, UTC without one.
fn zoned(arguments: &[Value], count: usize) -> Result<(&[Value], &str), String> {
    let (own, zone) = arguments.split_at(count.min(arguments.len()));
    match zone {
        [] => Ok((own, "UTC")),
        [Value::Text(zone)] if is_zone(zone) => Ok((own, zone)),
        [Value::Null] => Ok((own, "UTC")),
        other => Err(format!("{other:?} is no zone")),
    }
}

/// How many arguments a function of an instant takes before the zone.
fn own_arguments(name: &str) -> Option<usize> {
    match name {
        "plus" | "inLast" | "inNext" => Some(2),
        "setHours" => Some(1),
        "getHours" | "getMinutes" | "getDayOfWeek" | "getFullYear" | "getDate" | "startOfDay" => Some(0),
        _ => None,
    }
}

fn of_instant(at_ms: i64, name: &str, arguments: &[Value], scope: &Scope<'_>) -> Result<Value, String> {
    let (own, zone) = zoned(arguments, own_arguments(name).unwrap_or(0))?;
    let shown = shown_ms(at_ms, zone);
    let (day, time) = (shown.div_euclid(DAY_MS), shown.rem_euclid(DAY_MS));
    let iso = Millis(shown).to_iso();
    let part = |from: usize, to: usize| iso[from..to].parse::<i64>().map(Value::Integer).map_err(|e| e.to_string());
    match (name, own) {
        ("getHours", []) => Ok(Value::Integer(time / 3_600_000)),
        ("getMinutes", []) => Ok(Value::Integer(time / 60_000 % 60)),
        // Sunday is 0 here.
        ("getDayOfWeek", []) => Ok(Value::Integer((weekday(shown) + 1) % 7)),
        ("getFullYear", []) => part(0, 4),
        ("getDate", []) => part(8, 10),
        ("startOfDay", []) => Ok(Value::Instant(first_ms(day * DAY_MS, zone))),
        ("setHours", [Value::Integer(hour)]) if (0..24).contains(hour) => {
            Ok(Value::Instant(first_ms(day * DAY_MS + hour * 3_600_000 + time % 3_600_000, zone)))
        }
        ("plus", [Value::Integer(n), Value::Text(unit)]) => Ok(Value::Instant(plus(at_ms, *n, unit, zone)?)),
        ("inLast", [Value::Integer(n), Value::Text(unit)]) => {
            Ok(Value::Boolean((plus(scope.now_ms, -n, unit, zone)?..=scope.now_ms).contains(&at_ms)))
        }
        ("inNext", [Value::Integer(n), Value::Text(unit)]) => {
            Ok(Value::Boolean((scope.now_ms..=plus(scope.now_ms, *n, unit, zone)?).contains(&at_ms)))
        }
        (name, own) => Err(format!("a timestamp's {name}({own:?}) is not known here")),
    }
}

/// `n` units later: hours are spans of time, days go by the calendar of the zone.
fn plus(at_ms: i64, n: i64, unit: &str, zone: &str) -> Result<i64, String> {
    match unit {
        "hours" => Ok(at_ms + n * 3_600_000),
        "days" => Ok(first_ms(shown_ms(at_ms, zone) + n * DAY_MS, zone)),
        "weeks" => Ok(first_ms(shown_ms(at_ms, zone) + n * 7 * DAY_MS, zone)),
        other => Err(format!("{other} are not drawn")),
    }
}
