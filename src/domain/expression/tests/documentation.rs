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
        ..Schemas::default()
    };
    let scope = Scope {
        event,
        last: event,
        profile,
        meta_id: "e1",
        meta_type: "cart_add",
        meta_time: Millis(0),
        action: crate::domain::value::Map::EMPTY,
        now: Millis(0),
        facts: None,
    };
    let (results, errors) = (examples("cel"), examples("cel-errors"));
    assert!(results.len() > 30 && errors.len() > 5, "the page has its examples");
    for (source, expected) in results {
        let json: serde_json::Value = serde_json::from_str(expected).unwrap_or_else(|e| panic!("{expected}: {e}"));
        let ty = type_of(&Value::from_json(&json));
        // A result that reads as an instant may be a text all the same.
        let expr = Expr::compile(source, &schemas, &ty).or_else(|_| Expr::compile(source, &schemas, &Type::String));
        let expr = expr.unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
        let value = expr.eval(&scope).unwrap_or_else(|error| panic!("{source}: {error}"));
        let value = if value == Value::Null { Value::Bool(false) } else { value };
        assert_eq!(value.to_json(), json, "{source}");
    }
    for (source, code) in errors {
        let errors = Expr::compile(source, &schemas, &Type::Boolean).expect_err(source);
        assert_eq!(errors[0].code, code, "{source}: {errors:?}");
    }
}

/// Every function of AJO's expression language.
const OF_AJO: [&str; 69] = [
    "inAudience",
    "inSegment",
    "avg",
    "count",
    "countOnlyNull",
    "countWithNull",
    "distinctCount",
    "distinctCountWithNull",
    "max",
    "min",
    "sum",
    "toBool",
    "toDateOnly",
    "toDateTime",
    "toDateTimeOnly",
    "toDecimal",
    "toDuration",
    "toInteger",
    "toString",
    "currentTimeInMillis",
    "dateDiff",
    "inLastHours",
    "inLastDays",
    "inLastMonths",
    "inLastYears",
    "inNextHours",
    "inNextDays",
    "inNextMonths",
    "inNextYears",
    "now",
    "nowWithDelta",
    "setHours",
    "setDays",
    "updateTimeZone",
    "distinct",
    "distinctWithNull",
    "filter",
    "getListItem",
    "in",
    "intersect",
    "limit",
    "listSize",
    "serializeList",
    "sort",
    "random",
    "round",
    "concat",
    "contain",
    "containIgnoreCase",
    "endWith",
    "endWithIgnoreCase",
    "startWith",
    "startWithIgnoreCase",
    "equalIgnoreCase",
    "notEqualIgnoreCase",
    "indexOf",
    "lastIndexOf",
    "isEmpty",
    "isNotEmpty",
    "length",
    "lower",
    "upper",
    "trim",
    "matchRegExp",
    "replace",
    "replaceAll",
    "split",
    "substr",
    "uuid",
];

#[test]
fn every_function_of_ajo_has_its_row_and_its_hint() {
    let table = &PAGE[PAGE.find("## From AJO").expect("the table is there")..];
    let first_cells: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    for name in OF_AJO {
        let is_in = |cell: &&str| cell.contains(&format!("`{name}(")) || cell.contains(&format!("`{name}`"));
        assert!(first_cells.iter().any(is_in), "{name} has a row");
        // What is called as in AJO is refused with the way it is called here, or is the same here.
        let errors = Expr::compile(&format!("{name}(event.name) == 1"), &schemas(), &Type::Boolean).expect_err(name);
        let same_name = ["now", "in", "uuid"].contains(&name);
        assert!(same_name || errors[0].suggestion.is_some(), "{name}: {errors:?}");
    }
    for name in super::super::names::of_ajo() {
        assert!(OF_AJO.contains(&name) || name == "at", "{name} is a function of AJO");
    }
}
