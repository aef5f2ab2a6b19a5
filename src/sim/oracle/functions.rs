//! Functions and loops of expressions (`docs/expressions.md`): null in, null out, but for what counts nulls.

mod conversions;
mod dates;
mod lists;
mod patterns;
mod texts;

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::sim::oracle::cel::Cel;
use crate::sim::oracle::eval::{Bound, Scope, Value, eval, holds, typed};

pub(super) use conversions::{converted, converted_in};
pub(super) use lists::{is_among, item};

/// `receiver.name(arguments)`.
pub(super) fn method(receiver: &Cel, name: &str, arguments: &[Cel], scope: &Scope<'_>) -> Result<Value, String> {
    if let Cel::Path(path) = receiver
        && let [space] = path.as_slice()
        && ["math", "regex", "strings"].contains(&space.as_str())
    {
        let arguments = arguments.iter().map(|argument| eval(argument, scope)).collect::<Result<Vec<_>, _>>()?;
        return match (space.as_str(), arguments.as_slice()) {
            ("math", _) => math(name, arguments, scope),
            (_, arguments) if arguments.contains(&Value::Null) => Ok(Value::Null),
            ("strings", [Value::Text(text)]) => Ok(texts::quoted(text)),
            (_, arguments) => texts::by_pattern(name, arguments),
        };
    }
    let received = eval(receiver, scope)?;
    if let (Some(Cel::Path(bound)), true) = (arguments.first(), LOOPS.contains(&name)) {
        return match arguments {
            [_, body] => a_loop(name, received, &bound[0], body, scope),
            [_, when, body] => {
                let kept = a_loop("filter", received, &bound[0], when, scope)?;
                a_loop(name, kept, &bound[0], body, scope)
            }
            _ => Err(format!("{name} of {arguments:?}")),
        };
    }
    let arguments = arguments.iter().map(|argument| eval(argument, scope)).collect::<Result<Vec<_>, _>>()?;
    // A zone that is none is an error, even where there is no time to show in it.
    if let Some(own) = dates::own_arguments(name) {
        dates::zoned(&arguments, own)?;
    }
    match (name, &received) {
        ("isEmpty", Value::Null) => return Ok(Value::Boolean(true)),
        ("isEmpty", Value::Map(fields)) => return Ok(Value::Boolean(fields.is_empty())),
        ("isEmpty", Value::Stored(Json::Object(fields), _)) => return Ok(Value::Boolean(fields.is_empty())),
        (_, Value::Null) => return Ok(Value::Null),
        _ if arguments.contains(&Value::Null) => return Ok(Value::Null),
        _ => {}
    }
    match received {
        Value::Text(text) => texts::of_text(&text, name, &arguments),
        Value::List(items) => lists::of_list(items, name, &arguments, scope),
        Value::Instant(at_ms) => dates::of_instant(at_ms, name, &arguments, scope),
        Value::Span(span_ms) => dates::of_span(span_ms, name),
        other => Err(format!("{other:?}.{name}() is not known here")),
    }
}

/// Functions that take the name of an item, and an expression for each.
const LOOPS: [&str; 7] = ["all", "exists", "exists_one", "filter", "map", "sortBy", "distinctBy"];

/// The field `name` of an object.
pub(super) fn select(object: Value, name: &str, scope: &Scope<'_>) -> Result<Value, String> {
    match object {
        Value::Null => Ok(Value::Null),
        Value::Map(mut fields) => Ok(fields.remove(name).unwrap_or(Value::Null)),
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
        Value::Null if matches!(name, "filter" | "map" | "sortBy" | "distinctBy") => return Ok(Value::Null),
        Value::Null => return Ok(Value::Boolean(false)),
        other => return Err(format!("{other:?} is no list")),
    };
    let with = |item: &Value| {
        let bound = Bound { name: bound, item, around: scope.bound };
        holds(body, &Scope { bound: Some(&bound), ..*scope })
    };
    let made = |item: &Value| {
        let bound = Bound { name: bound, item, around: scope.bound };
        eval(body, &Scope { bound: Some(&bound), ..*scope })
    };
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
        "map" => Ok(Value::List(items.iter().map(made).collect::<Result<_, _>>()?)),
        _ => {
            let keyed = items.into_iter().map(|item| {
                let key = made(&item)?;
                Ok::<_, String>((key, item))
            });
            let keyed = keyed.collect::<Result<Vec<_>, _>>()?;
            Ok(if name == "sortBy" { lists::sorted_by(keyed) } else { lists::distinct_by(keyed) })
        }
    }
}

fn math(name: &str, mut arguments: Vec<Value>, scope: &Scope<'_>) -> Result<Value, String> {
    match name {
        "greatest" | "least" => {
            if let [Value::List(items)] = arguments.as_slice() {
                arguments = lists::there(items.clone(), scope)?;
            }
            arguments.retain(|value| *value != Value::Null);
            lists::extreme(arguments, if name == "greatest" { Ordering::Greater } else { Ordering::Less })
        }
        _ => match (name, arguments.pop().unwrap_or(Value::Null)) {
            (_, Value::Null) => Ok(Value::Null),
            ("abs", Value::Integer(n)) => Ok(Value::Integer(n.checked_abs().ok_or("overflow")?)),
            ("sign", Value::Integer(n)) => Ok(Value::Integer(n.signum())),
            ("sign", Value::Number(n)) => Ok(Value::Number(if n == 0.0 { 0.0 } else { n.signum() })),
            ("abs", Value::Number(n)) => Ok(Value::Number(n.abs())),
            (_, Value::Integer(n)) => math(name, vec![Value::Number(n as f64)], scope),
            ("round", Value::Number(n)) => Ok(Value::Number(n.round())),
            ("floor", Value::Number(n)) => Ok(Value::Number(n.floor())),
            ("ceil", Value::Number(n)) => Ok(Value::Number(n.ceil())),
            ("trunc", Value::Number(n)) => Ok(Value::Number(n.trunc())),
            (name, argument) => Err(format!("math.{name}({argument:?}) is not known here")),
        },
    }
}
