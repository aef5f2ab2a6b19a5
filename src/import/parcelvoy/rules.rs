//! Rules of Parcelvoy as questions: those about the user as expressions, those about events as awaited events.

use serde_json::Value;

use super::shapes::Rule;
use crate::import::bundle::Bundle;
use crate::import::declared::Type;
use crate::import::graph::{Heard, Since};
use crate::import::split::Ask;
use crate::import::text::{json, literal, number, segments};

/// Where the fields of a rule lie: in the profile, or in an event read by a root.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root<'r> {
    Profile,
    Event(&'r str, &'r str),
}

/// What a rule asks, or why that can't be asked.
pub(super) fn ask(rule: &Rule, bundle: &mut Bundle) -> Result<Ask, String> {
    if let Some(event) = event_of(rule) {
        let event = bundle.declared.event(&event)?;
        let when = group(rule, Root::Event(&event, "last"), bundle)?;
        let when = Some(when).filter(|when| when != "true");
        return Ok(Ask::Events(vec![Heard { event, of: None, when, since: Since::Entry }]));
    }
    let children = rule.children.clone().unwrap_or_default();
    let asks_events = children.iter().any(|child| event_of(child).is_some());
    if rule.r#type.as_deref() == Some("wrapper") && asks_events {
        let all_events = children.iter().all(|child| event_of(child).is_some());
        return match (rule.operator.as_deref(), children.as_slice()) {
            (_, [only]) => ask(only, bundle),
            (Some("or"), children) if all_events => {
                let mut heard = Vec::new();
                for child in children {
                    if let Ask::Events(events) = ask(child, bundle)? {
                        heard.extend(events);
                    }
                }
                Ok(Ask::Events(heard))
            }
            _ => Err("it asks for events and other things together".to_owned()),
        };
    }
    Ok(Ask::Expression(expression(rule, Root::Profile, bundle)?))
}

/// The event that a group of rules is about.
fn event_of(rule: &Rule) -> Option<String> {
    let named = rule.group.as_deref() == Some("event") && rule.path.as_deref().is_some_and(is_name);
    let name = rule.value.as_ref().and_then(Value::as_str).unwrap_or_default();
    (named && rule.r#type.as_deref() == Some("wrapper") && !name.is_empty()).then(|| name.to_owned())
}

/// The rule of an entrance or an exit, which is about its event.
pub(super) fn of_event(rule: &Rule, (event, root): (&str, &str), bundle: &mut Bundle) -> Result<String, String> {
    if rule.r#type.as_deref() != Some("wrapper") {
        return expression(rule, Root::Event(event, root), bundle);
    }
    let named = rule.value.as_ref().filter(|value| !value.is_null() && **value != "");
    if named.is_some_and(|name| name != event)
        || rule.path.as_deref().is_some_and(|path| !is_of_group(path) && !is_name(path))
    {
        return Err(format!("it is about {} of another event", json(&(&rule.path, &rule.value))));
    }
    group(rule, Root::Event(event, root), bundle)
}

fn is_name(path: &str) -> bool {
    matches!(path, "$.name" | "name")
}

/// What stands as the path of a group that reads nothing itself.
fn is_of_group(path: &str) -> bool {
    matches!(path, "" | "$")
}

/// A group of rules about one event, or about the user.
fn group(rule: &Rule, root: Root<'_>, bundle: &mut Bundle) -> Result<String, String> {
    let children = rule.children.clone().unwrap_or_default();
    let mut parts = Vec::new();
    for child in &children {
        parts.push(expression(child, root, bundle)?);
    }
    let joined = |sign: &str| match parts.as_slice() {
        [only] => only.clone(),
        parts => parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(sign),
    };
    match rule.operator.as_deref().unwrap_or("and") {
        _ if parts.is_empty() => Ok("true".to_owned()),
        "and" | "=" => Ok(joined(" && ")),
        "or" => Ok(joined(" || ")),
        "none" => Ok(format!("!({})", joined(" || "))),
        "xor" => {
            let ones = parts.iter().map(|part| format!("({part} ? 1 : 0)")).collect::<Vec<_>>().join(" + ");
            Ok(format!("{ones} == 1"))
        }
        other => Err(format!("`{other}` is no way to join rules")),
    }
}

fn expression(rule: &Rule, root: Root<'_>, bundle: &mut Bundle) -> Result<String, String> {
    let kind = rule.r#type.as_deref().unwrap_or_default();
    if kind == "wrapper" {
        if event_of(rule).is_some() {
            return Err("it asks for events within other rules".to_owned());
        }
        if let Some(path) = rule.path.as_ref().filter(|path| !is_of_group(path)) {
            return Err(format!("a group of rules reads `{path}`"));
        }
        return group(rule, root, bundle);
    }
    if !matches!(kind, "string" | "number" | "boolean" | "date" | "array") {
        return Err(format!("a rule of type `{kind}` is not known"));
    }
    if rule.children.as_ref().is_some_and(|children| !children.is_empty()) {
        return Err(format!("rules within a rule of type `{kind}`"));
    }
    let path = rule.path.as_deref().unwrap_or_default();
    let path = segments(path).ok_or_else(|| format!("`{path}` is no field"))?;
    let operator = rule.operator.as_deref().unwrap_or_default();
    let mut field = |ty: Option<Type>| match (root, path.as_slice()) {
        (Root::Profile, [id]) if id == "id" || id == "external_id" => Err("it asks for the user's id".to_owned()),
        (Root::Profile, path) => bundle.declared.profile(path, ty),
        (Root::Event(_, root), [name]) if name == "created_at" => Err(format!("it asks when `{root}` came")),
        (Root::Event(event, root), path) => bundle.declared.property((event, root), path, ty),
    };
    match operator {
        "is set" => return Ok(format!("{} != null", field(None)?)),
        "is not set" => return Ok(format!("{} == null", field(None)?)),
        _ => {}
    }
    let value = rule.value.clone().unwrap_or(Value::Null);
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.contains("{{") {
        return Err(format!("it compares with a template: {text}"));
    }
    let signed = |field: &str, constant: &str| match operator {
        "=" => Ok(format!("{field} == {constant}")),
        "!=" => Ok(format!("{field} != {constant}")),
        sign @ ("<" | "<=" | ">" | ">=") => Ok(format!("{field} {sign} {constant}")),
        other => Err(format!("`{other}` is no comparison of this type")),
    };
    match kind {
        "string" => texts(operator, &text, &field(Some(Type::Text))?),
        "number" => {
            let given = value.as_f64().or_else(|| text.trim().parse().ok()).and_then(number);
            let constant = given.ok_or_else(|| format!("{} is no number", json(&value)))?;
            signed(&field(Some(Type::Number))?, &constant)
        }
        "boolean" if !matches!(value, Value::Null | Value::Bool(true)) && text != "true" && text != "1" => {
            Err(format!("it compares with {text}, and always meant true there"))
        }
        "boolean" => match (operator, field(Some(Type::Boolean))?) {
            ("=", field) => Ok(format!("{field} == true")),
            ("!=", field) => Ok(format!("!({field} == true)")),
            (other, _) => Err(format!("`{other}` is no comparison of truth values")),
        },
        "date" => {
            let instant = [text.clone(), format!("{text}Z"), format!("{text}T00:00:00Z")];
            let instant = instant.iter().find(|text| text.parse::<jiff::Timestamp>().is_ok());
            let instant = instant.ok_or_else(|| format!("`{text}` is no instant"))?;
            signed(&field(Some(Type::Timestamp))?, &format!("timestamp({})", literal(instant)))
        }
        "array" if operator == "empty" => Ok(format!("{}.isEmpty()", field(Some(Type::Texts))?)),
        other => Err(format!("`{operator}` of type `{other}` is not known")),
    }
}

fn texts(operator: &str, text: &str, field: &str) -> Result<String, String> {
    let constant = literal(text);
    Ok(match operator {
        "=" => format!("{field} == {constant}"),
        "!=" => format!("{field} != {constant}"),
        "empty" => format!("{field}.isEmpty()"),
        "contains" => format!("{field}.contains({constant})"),
        "not contain" => format!("!({field}.contains({constant}))"),
        "starts with" => format!("{field}.startsWith({constant})"),
        "not start with" => format!("!({field}.startsWith({constant}))"),
        "ends with" => format!("{field}.endsWith({constant})"),
        other => return Err(format!("`{other}` is no comparison of texts")),
    })
}
