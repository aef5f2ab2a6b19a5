//! The reference page is checked by running it: its values are the input, its examples the table.

use super::*;

const PAGE: &str = include_str!("../../../../docs/expressions.md");

/// The fenced blocks of the page marked `language`.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let opening = format!("```{language}\n");
    PAGE.match_indices(&opening)
        .map(|(at, fence)| &PAGE[at + fence.len()..])
        .map(|rest| &rest[..rest.find("```").expect("blocks are closed")])
        .collect::<Vec<_>>()
        .into_iter()
}

/// The lines `expression → result` of such blocks.
fn examples(language: &str) -> Vec<(&'static str, &'static str)> {
    let lines = blocks(language).flat_map(str::lines);
    lines
        .map(|line| line.split_once('→').expect("an example has a result"))
        .map(|(a, b)| (a.trim(), b.trim()))
        .collect()
}

/// The type a declared field would have for this value.
fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Boolean,
        Value::Int(_) => Type::Integer,
        Value::Float(_) => Type::Number,
        Value::Str(text) if Millis::parse_iso(text).is_some() => Type::Timestamp,
        Value::List(items) => Type::List(Box::new(items.first().map_or(Type::Null, type_of))),
        Value::Map(map) => Type::Object(map.0.iter().map(|(name, value)| (name.clone(), type_of(value))).collect()),
        _ => Type::String,
    }
}

fn declared(map: &Map, absent: (&str, Type)) -> Option<Fields> {
    let Type::Object(mut fields) = type_of(&Value::Map(map.clone())) else { return None };
    fields.push((SmolStr::new(absent.0), absent.1));
    Some(fields)
}

#[test]
fn every_example_of_the_page_holds() {
    let values = map(blocks("json").next().expect("the page has its values"));
    let (Some(Value::Map(event)), Some(Value::Map(profile))) = (values.get("event"), values.get("profile")) else {
        panic!("values of event and profile")
    };
    let schemas = Schemas {
        event: declared(event, ("discount", Type::Number)),
        last: None,
        profile: declared(profile, ("phone", Type::String)),
    };
    let scope = Scope {
        event,
        last: event,
        profile,
        meta_id: "e1",
        meta_type: "cart_add",
        meta_time: Millis(0),
        now: Millis(0),
    };
    let (results, errors) = (examples("cel"), examples("cel-errors"));
    assert!(results.len() > 30 && errors.len() > 5, "the page has its examples");
    for (source, expected) in results {
        let json: serde_json::Value = serde_json::from_str(expected).unwrap_or_else(|e| panic!("{expected}: {e}"));
        let ty = type_of(&Value::from_json(&json));
        let expr = Expr::compile(source, &schemas, &ty).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
        let value = expr.eval(&scope).unwrap_or_else(|error| panic!("{source}: {error}"));
        let value = if value == Value::Null { Value::Bool(false) } else { value };
        assert_eq!(value.to_json(), json, "{source}");
    }
    for (source, code) in errors {
        let errors = Expr::compile(source, &schemas, &Type::Boolean).expect_err(source);
        assert_eq!(errors[0].code, code, "{source}: {errors:?}");
    }
}
