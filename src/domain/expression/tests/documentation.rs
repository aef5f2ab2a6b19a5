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

/// What the letters of the page's tables stand for, one line for each thing that `a`, `b`, `l` and `x` may be.
const LETTERS: [&str; 6] = [
    "a=1 b=2 l=event.sizes x=1 other=event.sizes",
    "a=1.5 b=2.5 l=[1.5] x=2.5 other=[2.5]",
    "a='u' b='v' l=event.tags x='u' other=event.tags",
    "a=event.at b=event.at l=[event.at] x=event.at other=[event.at]",
    "a=event.sizes b=event.sizes l=event.items x=event.tags other=event.items",
    "a=event.cart b=event.cart l=[event.sizes] x=event.ok other=[event.sizes]",
];
/// What all others stand for, whatever those are.
const OTHERS: &str = "s=event.name i=0 n=1 from=0 begin=0 end=1 y='w' pattern='^a$' separator=',' p=true q=false e=x key=x \
                      values=event.tags t=event.at t2=event.at zone='Europe/Paris' unit='days' text='2026-03-01' ms=1 h=9 d=1";
/// Where `x` is a variable of the expression's own.
const LOOPS: [&str; 7] = ["all", "exists", "exists_one", "filter", "map", "sortBy", "distinctBy"];

/// The expression with its letters replaced: names that stand alone, and are neither fields nor functions nor variables.
fn spelled(source: &str, letters: &str) -> String {
    let known: Vec<(&str, &str)> = letters.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    let is_loop = LOOPS.iter().any(|name| source.contains(&format!(".{name}(x, ")));
    let mut spelled = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |at| at + 2),
            _ if c.is_alphabetic() => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
            _ => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        let is_other = spelled.ends_with('.') || after.starts_with('(') || (is_loop && token == "x");
        let value = known.iter().find(|(letter, _)| !is_other && *letter == token).map_or(token, |(_, value)| value);
        spelled.push_str(value);
        rest = after;
    }
    spelled
}

/// Whether the expression compiles, whichever of the things its letters stand for.
fn compiles(source: &str, schemas: &Schemas) -> bool {
    // A date and its day, or a duration.
    let durations = OTHERS.replace("d=1", "d=duration('1h')").replace("text='2026-03-01'", "text='1h'");
    LETTERS.iter().any(|letters| {
        [OTHERS, &durations].iter().any(|others| {
            let source = spelled(source, &format!("{letters} {others}"));
            Expr::compile_any(&source, schemas).is_ok()
        })
    })
}

/// Cells of a table's rows, by their column.
fn cells(table: &str, column: usize) -> impl Iterator<Item = &str> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(move |line| line.trim_matches(['|', ' ']).split(" | ").nth(column).expect("as many cells as columns"))
}

/// Texts in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What the page's tables write is there: it compiles, at least for one kind of value that its letters may stand for.
#[test]
fn what_the_tables_name_is_there() {
    let mut schemas = schemas();
    let event = schemas.event.as_mut().expect("fields of the event");
    event.retain(|(name, _)| name != "items" && name != "cart");
    let item = Type::Object(fields(&[("key", Type::String)]));
    event.push((SmolStr::new("items"), Type::List(Box::new(item))));
    event.push((SmolStr::new("cart"), Type::Object(fields(&[("b", Type::Integer)]))));
    let part = |from: &str, to: &str| {
        let rest = &PAGE[PAGE.find(from).expect("the part begins")..];
        &rest[..rest.find(to).expect("the part ends")]
    };
    let mut count = 0;
    for cell in cells(part("## From AJO", "## From AJO's journey"), 1) {
        assert!(quoted(cell).next().is_some() || cell == "–", "{cell}");
        for source in quoted(cell) {
            assert!(compiles(&source.replace('\\', ""), &schemas), "{source}");
            count += 1;
        }
    }
    assert!(count > 80, "{count} expressions for AJO's functions");
    for cell in cells(part("## Functions", "## From AJO"), 0) {
        for source in quoted(cell) {
            let source = source.replace(", …", "");
            let is_bare = source.chars().all(char::is_alphanumeric);
            let source = if is_bare { format!("t.{source}(zone)") } else { source };
            assert!(compiles(&source, &schemas), "{source}");
            count += 1;
        }
    }
    assert!(count > 170, "{count} expressions altogether");
    for absent in ["l.mean()", "s.substr(begin, end)", "a.daysSince(l)", "math.average(a, b)", "l.sortBy(y, y.key)"] {
        assert!(!compiles(absent, &schemas), "{absent}");
    }
}
