//! The public conformance suite of CEL, as far as it is about booleans, scalars, texts, lists and maps (see
//! `tests/data/cel/README.md`). Every case either passes or is listed in `not_run.tsv` with its reason, and none of those
//! listed would pass.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::*;

const CASES: &str = include_str!("../../../../tests/data/cel/cases.tsv");
const NOT_RUN: &str = include_str!("../../../../tests/data/cel/not_run.tsv");
const PAGE: &str = include_str!("../../../../docs/cel-conformance.md");

struct Case {
    name: &'static str,
    source: String,
    expected: Json,
    bindings: Vec<(String, Json)>,
}

fn cases() -> impl Iterator<Item = Case> {
    CASES.lines().map(|line| {
        let mut cells = line.split('\t');
        let name = cells.next().expect("a name");
        let mut json = || serde_json::from_str::<Json>(cells.next().unwrap_or("{}")).expect(name);
        let (source, expected, bindings) = (json(), json(), json());
        let bindings = bindings.as_object().expect("bindings").clone().into_iter().collect();
        Case { name, source: source.as_str().expect("a source").to_owned(), expected, bindings }
    })
}

/// A value of the suite, which names its type, as ours; none for what we have no type for.
fn value_of(json: &Json) -> Option<(Type, Value)> {
    let (kind, inner) = json.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "int64" | "uint64" => (Type::Integer, Value::Int(inner.as_i64()?)),
        "double" => (Type::Number, Value::Float(inner.as_str()?.parse().ok().filter(|f: &f64| f.is_finite())?)),
        "string" => (Type::String, Value::Str(inner.as_str()?.into())),
        "bool" => (Type::Boolean, Value::Bool(inner.as_bool()?)),
        "null" => (Type::Null, Value::Null),
        "timestamp" => (Type::Timestamp, Value::Time(Millis(ms_of(inner)?))),
        "duration" => (Type::Duration, Value::Int(ms_of(inner)?)),
        "list" => {
            let items = inner.as_array()?.iter().map(value_of).collect::<Option<Vec<_>>>()?;
            let ty = items.iter().try_fold(Type::Null, |ty, (item, _)| ty.join(item))?;
            (Type::List(Box::new(ty)), Value::List(items.into_iter().map(|(_, value)| value).collect()))
        }
        "map" => {
            let (mut fields, mut map) = (Vec::new(), Map::new());
            for entry in inner.as_array()? {
                let (Value::Str(key), (ty, value)) = (value_of(&entry[0])?.1, value_of(&entry[1])?) else {
                    return None;
                };
                fields.push((key.clone(), ty));
                map.insert(key, value);
            }
            (Type::Object(fields), Value::Map(map))
        }
        _ => return None,
    })
}

fn ms_of(json: &Json) -> Option<i64> {
    Some(json[0].as_i64()? * 1_000 + json[1].as_i64()? / 1_000_000)
}

/// CEL's equality: numbers by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(int), Value::Float(float)) | (Value::Float(float), Value::Int(int)) => *float == *int as f64,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.0.len() == b.0.len() && a.0.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

const SCALARS: [Type; 6] = [Type::Integer, Type::Number, Type::Boolean, Type::String, Type::Timestamp, Type::Duration];

fn lists() -> impl Iterator<Item = Type> {
    SCALARS.into_iter().map(|item| Type::List(Box::new(item)))
}

/// What went wrong.
fn outcome(case: &Case) -> Result<(), String> {
    let mut event = Map::new();
    let mut fields: Fields = Vec::new();
    for (name, value) in &case.bindings {
        let (ty, value) = value_of(value).ok_or("a variable of no type of ours")?;
        fields.push((name.into(), ty));
        event.insert(name, value);
    }
    let schemas = Schemas { event: Some(fields), ..Schemas::default() };
    let empty = Map::new();
    let scope = Scope {
        event: &event,
        last: &empty,
        profile: &empty,
        meta_id: "",
        meta_type: "",
        meta_time: Millis(0),
        action: crate::domain::value::Map::EMPTY,
        now: Millis(0),
        facts: None,
    };
    if case.expected.get("error").is_some() {
        // Refused at publish is an error too, the earlier the better.
        let scalars = [Type::Integer, Type::Number, Type::Boolean, Type::String, Type::Timestamp, Type::Duration];
        let lists = scalars.clone().into_iter().map(|item| Type::List(Box::new(item)));
        let compiled =
            scalars.iter().cloned().chain(lists).find_map(|ty| Expr::compile(&case.source, &schemas, &ty).ok());
        return match compiled.map(|expr| expr.eval(&scope)) {
            None | Some(Err(_)) => Ok(()),
            Some(Ok(value)) => Err(format!("an error is due, not {value:?}")),
        };
    }
    let (ty, expected) = value_of(&case.expected).ok_or("a result of no type of ours")?;
    let mut types = vec![ty.clone()];
    match &ty {
        Type::Integer => types.push(Type::Number),
        Type::List(item) if **item == Type::Null => types.extend(lists()),
        _ => {}
    }
    let compiled = types.iter().map(|ty| Expr::compile(&case.source, &schemas, ty)).find(Result::is_ok);
    let expr = match compiled.unwrap_or_else(|| Expr::compile(&case.source, &schemas, &ty)) {
        Ok(expr) => expr,
        Err(errors) => return Err(format!("{}: {}", errors[0].code, errors[0].message)),
    };
    let found = expr.eval(&scope).map_err(|error| error.to_string())?;
    if same(&found, &expected) { Ok(()) } else { Err(format!("{found:?}, not {expected:?}")) }
}

#[test]
fn every_case_passes_or_is_listed_with_its_reason() {
    let listed: BTreeMap<&str, &str> =
        NOT_RUN.lines().map(|line| line.split_once('\t').expect("a name and a reason")).collect();
    let (mut passed, mut wrong) = (0_usize, Vec::new());
    for case in cases() {
        match (outcome(&case), listed.get(case.name)) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{}\tis listed, but passes", case.name)),
            (Err(_), Some(_)) => {}
            (Err(why), None) => wrong.push(format!("{}\t{}\t{}\t{why}", case.name, case.source, case.expected)),
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let names: Vec<&str> = cases().map(|case| case.name).collect();
    assert_eq!(names.len(), passed + listed.len(), "what is listed exists");
    // The page says how many, and why each is left out.
    let row = |text: &str| assert!(PAGE.contains(text), "docs/cel-conformance.md lacks `{text}`");
    row(&format!("{} cases: {passed} pass, {} are listed", names.len(), listed.len()));
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in listed.values() {
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        row(&format!("| `{reason}` | {count} |"));
    }
}
