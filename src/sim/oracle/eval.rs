//! What expressions come to (`docs/expressions.md`): absent and null are one value, a comparison with null is false, any
//! other failure is an error. Types are those of the values at hand.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::domain::ids::Millis;
use crate::sim::oracle::cel::Cel;
use crate::sim::oracle::clock;
use crate::sim::oracle::functions::{self, converted, converted_in, is_among, item};
use crate::sim::oracle::person::Run;
use crate::sim::oracle::resources::Node;

/// What an expression reads.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) event: &'a Map<String, Json>,
    pub(super) last: &'a Map<String, Json>,
    pub(super) profile: &'a Map<String, Json>,
    pub(super) meta_id: &'a str,
    pub(super) meta_type: &'a str,
    pub(super) meta_time_ms: i64,
    pub(super) now_ms: i64,
    /// Profile and running instance, inside of one.
    pub(super) about: Option<(&'a str, &'a Run)>,
    /// What custom actions answered; the parameters of one where its body is worked out.
    pub(super) action: &'a Map<String, Json>,
    /// Declared types by path.
    pub(super) types: &'a BTreeMap<String, String>,
    /// Inside of a loop: its item.
    pub(super) bound: Option<&'a Bound<'a>>,
}

/// The item of a loop, by its name; and that of the loop around it.
#[derive(Debug)]
pub(super) struct Bound<'a> {
    pub(super) name: &'a str,
    pub(super) item: &'a Value,
    pub(super) around: Option<&'a Bound<'a>>,
}

impl<'a> Scope<'a> {
    /// The item of a loop that is called so.
    fn item(&self, name: &str) -> Option<&'a Value> {
        let mut bound = self.bound;
        while let Some(Bound { name: known, item, around }) = bound {
            if *known == name {
                return Some(item);
            }
            bound = *around;
        }
        None
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    Instant(i64),
    Span(i64),
    List(Vec<Value>),
    /// A literal one.
    Map(BTreeMap<String, Value>),
    /// An object, or an item of a list, as it is stored, and its path: of what type it is shows when it is read.
    Stored(Json, String),
}

/// Whether a filter or condition holds: null as a whole is false.
pub(super) fn holds(cel: &Cel, scope: &Scope<'_>) -> Result<bool, String> {
    Ok(eval(cel, scope)? == Value::Boolean(true))
}

/// What an expression comes to, as a document or an event holds it.
pub(super) fn stored(cel: &Cel, scope: &Scope<'_>) -> Result<Json, String> {
    Ok(match eval(cel, scope)? {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::from(b),
        Value::Integer(i) => Json::from(i),
        Value::Number(n) => Json::from(n),
        Value::Text(text) => Json::from(text),
        Value::Instant(at_ms) => Json::from(Millis(at_ms).to_iso()),
        other @ (Value::Span(_) | Value::List(_) | Value::Map(_) | Value::Stored(..)) => {
            return Err(format!("{other:?} is not drawn"));
        }
    })
}

/// The instant an expression comes to, if any; text without an offset is what a clock in `zone` shows.
pub(super) fn instant_ms(cel: &Cel, scope: &Scope<'_>, zone: &str) -> Result<Option<i64>, String> {
    match eval(cel, scope)? {
        Value::Instant(at_ms) => Ok(Some(at_ms)),
        Value::Text(text) => clock::begins_ms(&text, zone).map(Some),
        Value::Null => Ok(None),
        other => Err(format!("{other:?} is no instant")),
    }
}

pub(super) fn eval(cel: &Cel, scope: &Scope<'_>) -> Result<Value, String> {
    Ok(match cel {
        Cel::Null => Value::Null,
        Cel::Boolean(b) => Value::Boolean(*b),
        Cel::Integer(i) => Value::Integer(*i),
        Cel::Number(n) => Value::Number(*n),
        Cel::Text(text) => Value::Text(text.clone()),
        Cel::Path(path) => read(path, scope)?,
        Cel::Has(path) if path[0] == "journey" => Value::Boolean(fact(path, scope)? != Value::Null),
        Cel::Has(path) if path[0] == "meta" => Value::Boolean(true),
        Cel::Has(path) if scope.item(&path[0]).is_some() => Value::Boolean(of_item(path, scope)?.is_some()),
        Cel::Has(path) => Value::Boolean(find(path, scope)?.is_some()),
        Cel::List(items) => Value::List(items.iter().map(|item| eval(item, scope)).collect::<Result<_, _>>()?),
        Cel::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| Ok((name.clone(), eval(value, scope)?)));
            Value::Map(entries.collect::<Result<_, String>>()?)
        }
        Cel::Index(list, place) => match (eval(list, scope)?, eval(place, scope)?) {
            (Value::Null, _) | (_, Value::Null) => Value::Null,
            (Value::List(items), Value::Integer(place)) => settled(item(&items, place)?, scope)?,
            (list, place) => return Err(format!("{list:?}[{place:?}]")),
        },
        Cel::Call(name, arguments) => {
            let mut values = arguments.iter().map(|argument| eval(argument, scope)).collect::<Result<Vec<_>, _>>()?;
            match (values.pop(), values.pop()) {
                (Some(zone), Some(value)) => converted_in(name, value, zone)?,
                (Some(value), None) => converted(name, value)?,
                _ => return Err(format!("{name}() takes something")),
            }
        }
        Cel::Method(receiver, name, arguments) => settled(functions::method(receiver, name, arguments, scope)?, scope)?,
        Cel::Select(object, name) => functions::select(eval(object, scope)?, name, scope)?,
        Cel::Not(operand) => Value::Boolean(!holds(operand, scope)?),
        Cel::Minus(operand) => match eval(operand, scope)? {
            Value::Integer(i) => Value::Integer(i.checked_neg().ok_or("overflow")?),
            Value::Number(n) => Value::Number(-n),
            Value::Null => Value::Null,
            other => return Err(format!("- of {other:?}")),
        },
        Cel::Binary(sign, left, right) if sign == "&&" || sign == "||" => {
            // The operand that decides alone does so on either side, whatever the other one comes to.
            let alone = sign == "||";
            match (holds(left, scope), holds(right, scope)) {
                (Ok(left), _) if left == alone => Value::Boolean(alone),
                (_, Ok(right)) if right == alone => Value::Boolean(alone),
                (Err(error), _) | (_, Err(error)) => return Err(error),
                (Ok(_), Ok(_)) => Value::Boolean(!alone),
            }
        }
        Cel::Binary(sign, left, right) => binary(sign, left, right, scope)?,
        Cel::Choice(condition, yes, no) => {
            return if holds(condition, scope)? { eval(yes, scope) } else { eval(no, scope) };
        }
    })
}

fn binary(sign: &str, left: &Cel, right: &Cel, scope: &Scope<'_>) -> Result<Value, String> {
    if matches!(sign, "==" | "!=") && (*left == Cel::Null || *right == Cel::Null) {
        let absent = match if *left == Cel::Null { right } else { left } {
            // A stored value is there, of whatever type it is.
            Cel::Path(path) if scope.item(&path[0]).is_some() => {
                of_item(path, scope)?.is_none_or(|json| json.is_null())
            }
            Cel::Path(path) if path.len() > 1 && path[0] != "meta" && path[0] != "journey" => {
                find(path, scope)?.is_none_or(Json::is_null)
            }
            operand => eval(operand, scope)? == Value::Null,
        };
        return Ok(Value::Boolean(absent == (sign == "==")));
    }
    let (left, right) = (eval(left, scope)?, eval(right, scope)?);
    let compares = matches!(sign, "==" | "!=" | "<" | "<=" | ">" | ">=" | "in");
    if left == Value::Null || right == Value::Null {
        return Ok(if compares { Value::Boolean(false) } else { Value::Null });
    }
    if sign == "in" {
        return Ok(Value::Boolean(match (&left, &right) {
            (left, Value::List(items)) => is_among(left, items, scope)?,
            (Value::Text(name), Value::Map(fields)) => fields.contains_key(name),
            (Value::Text(name), Value::Stored(Json::Object(fields), _)) => fields.contains_key(name),
            (left, right) => return Err(format!("{left:?} in {right:?}")),
        }));
    }
    if let (Value::List(left), Value::List(right), "==" | "!=") = (&left, &right, sign) {
        let same = left.len() == right.len() && left.iter().zip(right).all(|(a, b)| plain(a) == plain(b));
        return Ok(Value::Boolean(same == (sign == "==")));
    }
    if compares {
        let order = order(&left, &right)?;
        return Ok(Value::Boolean(match sign {
            "==" => order == Ordering::Equal,
            "!=" => order != Ordering::Equal,
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }));
    }
    arithmetic(sign, left, right)
}

pub(super) fn order(left: &Value, right: &Value) -> Result<Ordering, String> {
    let of_numbers = |a: f64, b: f64| a.partial_cmp(&b).ok_or_else(|| "not a number".to_owned());
    match (left, right) {
        (Value::Boolean(a), Value::Boolean(b)) => Ok(a.cmp(b)),
        (Value::Integer(a), Value::Integer(b))
        | (Value::Instant(a), Value::Instant(b))
        | (Value::Span(a), Value::Span(b)) => Ok(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => of_numbers(*a, *b),
        (Value::Integer(a), Value::Number(b)) => of_numbers(*a as f64, *b),
        (Value::Number(a), Value::Integer(b)) => of_numbers(*a, *b as f64),
        (a, b) => Err(format!("{a:?} can't be compared with {b:?}")),
    }
}

fn arithmetic(sign: &str, left: Value, right: Value) -> Result<Value, String> {
    let overflow = || "overflow or a division by zero".to_owned();
    Ok(match (left, right) {
        (Value::Integer(a), Value::Integer(b)) => Value::Integer(
            match sign {
                "+" => a.checked_add(b),
                "-" => a.checked_sub(b),
                "*" => a.checked_mul(b),
                "/" => a.checked_div(b),
                _ => a.checked_rem(b),
            }
            .ok_or_else(overflow)?,
        ),
        (Value::Integer(a), Value::Number(b)) => return arithmetic(sign, Value::Number(a as f64), Value::Number(b)),
        (Value::Number(a), Value::Integer(b)) => return arithmetic(sign, Value::Number(a), Value::Number(b as f64)),
        (Value::Number(a), Value::Number(b)) => {
            let result = match sign {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                _ => a / b,
            };
            if !result.is_finite() {
                return Err(overflow());
            }
            Value::Number(result)
        }
        (Value::Instant(a), Value::Span(b)) => {
            Value::Instant(if sign == "+" { a.checked_add(b) } else { a.checked_sub(b) }.ok_or_else(overflow)?)
        }
        (Value::Instant(a), Value::Instant(b)) => Value::Span(a.checked_sub(b).ok_or_else(overflow)?),
        (Value::Span(a), Value::Span(b)) => {
            Value::Span(if sign == "+" { a.checked_add(b) } else { a.checked_sub(b) }.ok_or_else(overflow)?)
        }
        (Value::Text(a), Value::Text(b)) if sign == "+" => Value::Text(a + &b),
        (Value::List(a), Value::List(b)) if sign == "+" => Value::List(a.into_iter().chain(b).collect()),
        (a, b) => return Err(format!("{a:?} {sign} {b:?}")),
    })
}

/// An item of a stored list as what it is declared to be; objects and everything else stay as they are.
pub(super) fn settled(value: Value, scope: &Scope<'_>) -> Result<Value, String> {
    match value {
        Value::Stored(Json::Null, _) => Ok(Value::Null),
        Value::Stored(json, path) => match scope.types.get(&path) {
            Some(declared) => typed(&json, declared).ok_or_else(|| format!("{path} is {json}, and no {declared}")),
            None => Ok(Value::Stored(json, path)),
        },
        value => Ok(value),
    }
}

/// The stored value at a path below the item of a loop; none if its key is not there.
fn of_item(path: &[String], scope: &Scope<'_>) -> Result<Option<Json>, String> {
    let (name, names) = path.split_first().ok_or("an empty path")?;
    let mut found = scope.item(name).map(plain);
    for name in names {
        found = match found {
            None | Some(Json::Null) => return Ok(None),
            Some(Json::Object(mut fields)) => fields.remove(name),
            Some(other) => return Err(format!("{} of {other}", path.join("."))),
        };
    }
    Ok(found)
}

/// A value of a list as it is stored. A whole number is the same as a double.
fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::from(*b),
        Value::Integer(n) => Json::from(*n),
        Value::Number(n) if n.fract() == 0.0 && n.abs() < 9e15 => Json::from(*n as i64),
        Value::Number(n) => Json::from(*n),
        Value::Text(text) => Json::from(text.clone()),
        Value::Instant(ms) | Value::Span(ms) => Json::from(*ms),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(fields) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Value::Stored(Json::Number(n), _) => {
            n.as_i64().map_or_else(|| plain(&Value::Number(n.as_f64().unwrap_or(0.0))), Json::from)
        }
        Value::Stored(json, _) => json.clone(),
    }
}

pub(super) fn instant(text: &str) -> Result<Value, String> {
    Millis::parse_iso(text).map(|at| Value::Instant(at.0)).ok_or_else(|| format!("`{text}` is no instant"))
}

/// The stored value at a path; none if its key is not there. What stands in the way of a path has the wrong type.
fn find<'a>(path: &[String], scope: &Scope<'a>) -> Result<Option<&'a Json>, String> {
    let (root, names) = path.split_first().ok_or("an empty path")?;
    // What is called is kept in one place, each kind by names of its own.
    let kept: Vec<String>;
    let names = match (root.as_str(), names) {
        ("source" | "lookup", [first, rest @ ..]) => {
            kept = [format!("{root}:{first}")].into_iter().chain(rest.iter().cloned()).collect();
            kept.as_slice()
        }
        (_, names) => names,
    };
    let mut map = match root.as_str() {
        "event" => scope.event,
        "last" => scope.last,
        "profile" => scope.profile,
        // `with` where a body is worked out.
        "action" | "source" | "lookup" | "with" => scope.action,
        other => return Err(format!("unknown root `{other}`")),
    };
    let (leaf, way) = names.split_last().ok_or("a root as a whole is no value")?;
    for name in way {
        map = match map.get(name) {
            None | Some(Json::Null) => return Ok(None),
            Some(Json::Object(inner)) => inner,
            Some(other) => return Err(format!("{} is {other}", path.join("."))),
        };
    }
    Ok(map.get(leaf))
}

fn read(path: &[String], scope: &Scope<'_>) -> Result<Value, String> {
    if let Some(item) = scope.item(&path[0]) {
        let found = path[1..].iter().try_fold(item.clone(), |object, name| functions::select(object, name, scope))?;
        return settled(found, scope);
    }
    match path.join(".").as_str() {
        "now" => return Ok(Value::Instant(scope.now_ms)),
        "meta.id" => return Ok(Value::Text(scope.meta_id.to_owned())),
        "meta.type" => return Ok(Value::Text(scope.meta_type.to_owned())),
        "meta.time" => return Ok(Value::Instant(scope.meta_time_ms)),
        _ if path[0] == "journey" => return fact(path, scope),
        _ => {}
    }
    let declared = path.join(".").replacen("last.", "event.", 1);
    let value = match find(path, scope)? {
        None | Some(Json::Null) => return Ok(Value::Null),
        Some(value) => value,
    };
    let Some(declared) = scope.types.get(&declared) else {
        let is_object = value.is_object() && scope.types.keys().any(|known| known.starts_with(&format!("{declared}.")));
        let stored = || Value::Stored(value.clone(), declared.clone());
        return is_object.then(stored).ok_or_else(|| format!("{declared} is {value}, and no object"));
    };
    if let ("list", Json::Array(items)) = (declared.as_str(), value) {
        let of = format!("{}[]", path.join(".").replacen("last.", "event.", 1));
        let item = |item: &Json| if item.is_null() { Value::Null } else { Value::Stored(item.clone(), of.clone()) };
        return Ok(Value::List(items.iter().map(item).collect()));
    }
    typed(value, declared).ok_or_else(|| format!("{} is {value}, and no {declared}", path.join(".")))
}

/// A fact of the running instance.
fn fact(path: &[String], scope: &Scope<'_>) -> Result<Value, String> {
    let (profile, run) = scope.about.ok_or("no instance runs here")?;
    let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
    let (namespace, key) = profile.split_once(':').unwrap_or(("", profile));
    let error = run.error.as_ref();
    Ok(match path[1].as_str() {
        "name" => text(Some(&run.journey)),
        // Only that it is there, and how long it is, is known here.
        "instance" => Value::Text("0".repeat(32)),
        "version" => Value::Integer(i64::from(run.version % crate::sim::observe::TESTS_FROM)),
        "profile" => text(Some(profile)),
        "namespace" => text(Some(namespace)),
        "key" => text(Some(key)),
        "supplemental_id" => text(run.supplemental_id.as_deref()),
        "entered_at" => Value::Instant(run.entered_at_ms),
        "node" => text(Some(&run.node)),
        "previous_node" => text(run.previous_node.as_deref()),
        "description" => text(run.program.description.as_deref()),
        "error" => text(error.map(|wrong| wrong.error.as_str())),
        "error_code" => text(error.map(|wrong| wrong.code.as_str())),
        "error_node" => text(error.map(|wrong| wrong.node.as_str())),
        "error_node_kind" => text(error.map(|wrong| kind_word(&run.program.nodes[&wrong.node]))),
        "action_error_code" => text(run.asked[0].error.as_deref()),
        "source_error_code" => text(run.asked[1].error.as_deref()),
        "action_ms" => run.asked[0].took_ms.map_or(Value::Null, Value::Integer),
        "source_ms" => run.asked[1].took_ms.map_or(Value::Null, Value::Integer),
        "timezone" => text(Some(clock::zone_of(&run.program, scope.profile))),
        other => return Err(format!("nothing is known of journey.{other}")),
    })
}

/// What a node does (`docs/step-events.md`, `node_kind`).
fn kind_word(node: &Node) -> &'static str {
    match node {
        Node::Wait { .. } => "wait",
        Node::Condition { .. } => "condition",
        Node::Experiment { .. } | Node::Targeting { .. } => "optimize",
        Node::ProfileCap { .. } => "profile_cap",
        Node::Split { .. } => "split",
        Node::FirstOf { .. } => "first_of",
        Node::Event { .. } => "event",
        Node::Message { .. } => "message",
        Node::Update { .. } => "update_profile",
        Node::Action { .. } => "action",
        Node::Lookup { .. } => "lookup",
        Node::Jump { .. } => "jump",
        Node::End => "end",
    }
}

pub(super) fn typed(value: &Json, declared: &str) -> Option<Value> {
    match declared {
        "string" => value.as_str().map(|text| Value::Text(text.to_owned())),
        "boolean" => value.as_bool().map(Value::Boolean),
        "number" => value.as_f64().map(Value::Number),
        // A whole double counts as an integer.
        "integer" => value.as_i64().map(Value::Integer).or_else(|| {
            let number = value.as_f64()?;
            (number.fract() == 0.0 && number.abs() < 9e18).then_some(Value::Integer(number as i64))
        }),
        "timestamp" => instant(value.as_str()?).ok(),
        _ => None,
    }
}
