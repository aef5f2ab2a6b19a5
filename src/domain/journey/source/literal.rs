//! Values written in YAML, read as the types that are declared for them. Knows no resource.
//!
//! A bare word becomes what its declared type wants: `4711` is text where text is declared. An instant may be written as a
//! duration since a start (`30d`, `-2h`). A value of another type than declared stays what it looks like, with a warning:
//! producers make such mistakes, and a test may be about one.

use smol_str::SmolStr;

use crate::domain::expression::{Fields, Type};
use crate::domain::ids::Millis;
use crate::domain::journey::duration;
use crate::domain::journey::findings::Findings;
use crate::domain::journey::source::reader::{entries, shortened};
use crate::domain::journey::source::tree::{Shape, Tree};
use crate::domain::suggest::did_you_mean;
use crate::domain::value::{Map, Value};

/// Reads a map with these fields; `what` is called so in findings. Fields that are not declared are errors.
pub fn fields(tree: &Tree, declared: &Fields, what: &str, start: Millis, findings: &mut Findings<'_>) -> Map {
    let mut map = Map::new();
    for (name, place, value) in entries(tree, what, findings).unwrap_or_default() {
        let Some((_, declared_type)) = declared.iter().find(|(known, _)| known == name) else {
            let suggestion = did_you_mean(name, declared.iter().map(|(known, _)| known.as_str()))
                .unwrap_or_else(|| "declare it, or remove it: what is not declared is ignored".to_owned());
            findings.error_with(
                place,
                "unknown_field",
                format!("{what} has no field `{}`", shortened(name)),
                suggestion,
            );
            continue;
        };
        map.0.push((SmolStr::new(name), typed(value, declared_type, name, start, findings)));
    }
    map
}

fn typed(tree: &Tree, declared: &Type, name: &str, start: Millis, findings: &mut Findings<'_>) -> Value {
    if tree.is_null() {
        return Value::Null;
    }
    let found = match (declared, &tree.shape) {
        (Type::String, Shape::Text(text) | Shape::Word(text)) => Some(Value::Str(SmolStr::new(text))),
        (Type::Timestamp, Shape::Text(text) | Shape::Word(text)) => timestamp(text, start),
        (Type::Integer, Shape::Word(word)) => plain(word).filter(|value| matches!(value, Value::Int(_))),
        (Type::Number, Shape::Word(word)) => {
            plain(word).filter(|value| matches!(value, Value::Int(_) | Value::Float(_)))
        }
        (Type::Boolean, Shape::Word(word)) => plain(word).filter(|value| matches!(value, Value::Bool(_))),
        (Type::List(item), Shape::List(items)) => {
            Some(Value::List(items.iter().map(|tree| typed(tree, item, name, start, findings)).collect()))
        }
        (Type::Object(inner), Shape::Map(_)) => {
            Some(Value::Map(fields(tree, inner, &format!("`{name}`"), start, findings)))
        }
        _ => None,
    };
    found.unwrap_or_else(|| {
        let message = format!("`{name}` is declared as {declared}, and this is none");
        let suggestion = "the event is sent as it is; mend the value unless the test is about that".to_owned();
        findings.warning(tree.place, "wrong_type", message, suggestion);
        untyped(tree)
    })
}

/// As producers send it: ISO-8601 text.
fn timestamp(text: &str, start: Millis) -> Option<Value> {
    if Millis::parse_iso(text).is_some() {
        return Some(Value::Str(SmolStr::new(text)));
    }
    let at = match text.strip_prefix('-') {
        Some(before) => start.plus(-duration::parse(before).ok()?),
        None => start.plus(duration::parse(text).ok()?),
    };
    Some(Value::Str(SmolStr::new(at.to_iso())))
}

/// A value for which no type is declared.
pub fn untyped(tree: &Tree) -> Value {
    match &tree.shape {
        _ if tree.is_null() => Value::Null,
        Shape::Text(text) => Value::Str(SmolStr::new(text)),
        Shape::Word(word) => plain(word).unwrap_or_else(|| Value::Str(SmolStr::new(word))),
        Shape::List(items) => Value::List(items.iter().map(untyped).collect()),
        Shape::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                map.insert(key.text().unwrap_or_default(), untyped(value));
            }
            Value::Map(map)
        }
    }
}

/// A bare word that is no text.
fn plain(word: &str) -> Option<Value> {
    match word {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    // Words such as `inf` are numbers to the parser below and to nobody else.
    if !word.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let float = || word.parse::<f64>().ok().filter(|float| float.is_finite()).map(Value::Float);
    word.parse::<i64>().map(Value::Int).ok().or_else(float)
}
