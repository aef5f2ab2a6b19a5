//! Expressions: types, values, errors.

use proptest::prelude::*;
use smol_str::SmolStr;

use super::{EvalError, Expr, FieldPath, Fields, Root, Schemas, Scope, Type};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

fn fields(list: &[(&str, Type)]) -> Fields {
    list.iter().map(|(name, ty)| (SmolStr::new(name), ty.clone())).collect()
}

fn schemas() -> Schemas {
    let item = Type::Object(fields(&[("sku", Type::String), ("price", Type::Number), ("count", Type::Integer)]));
    let event = fields(&[
        ("total", Type::Number),
        ("count", Type::Integer),
        ("name", Type::String),
        ("ok", Type::Boolean),
        ("at", Type::Timestamp),
        ("text", Type::String),
        ("tags", Type::List(Box::new(Type::String))),
        ("sizes", Type::List(Box::new(Type::Integer))),
        ("items", Type::List(Box::new(item.clone()))),
        ("cart", Type::Object(fields(&[("total", Type::Number), ("best", item)]))),
        ("nothing", Type::String),
        ("nil", Type::Number),
        ("wrong", Type::Number),
        ("odd", Type::Integer),
    ]);
    let profile = fields(&[
        ("tier", Type::String),
        ("age", Type::Integer),
        ("timezone", Type::String),
        ("consents", Type::Object(fields(&[("email", Type::Boolean), ("sms", Type::Boolean)]))),
        ("since", Type::Timestamp),
    ]);
    Schemas {
        event: Some(event),
        last: Some(fields(&[("opened", Type::Boolean)])),
        profile: Some(profile),
        ..Schemas::default()
    }
}

fn map(json: &str) -> Map {
    match Value::from_json(&serde_json::from_str(json).expect("json")) {
        Value::Map(map) => map,
        other => panic!("not a map: {other:?}"),
    }
}

const EVENT: &str = r#"{"total":59.9,"count":3,"name":"Ann","ok":true,"at":"2026-03-29T00:30:00Z","text":"Grüße",
    "tags":["a","b",null],"sizes":[1,2,3],"nil":null,"wrong":"five","odd":4.0,
    "items":[{"sku":"x1","price":10,"count":1},{"sku":"y2","price":2.5,"count":4}],
    "cart":{"total":7,"best":{"sku":"z"}}}"#;
const PROFILE: &str = r#"{"tier":"gold","age":40,"timezone":"Europe/Paris","consents":{"email":true}}"#;

/// Runs it with what it costs left to the budget.
fn run_in(source: &str, expected: &Type, event: &Map) -> Result<Value, EvalError> {
    let expr = Expr::costing(source, &schemas(), Some(expected), u64::MAX);
    let expr = expr.unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    let (last, profile) = (map(r#"{"opened":true}"#), map(PROFILE));
    let scope = Scope {
        event,
        last: &last,
        profile: &profile,
        meta_id: "e1",
        meta_type: "cart_add",
        meta_time: Millis(1_000),
        action: Map::EMPTY,
        now: Millis(86_400_000),
        facts: None,
    };
    expr.eval(&scope)
}

fn run(source: &str, expected: &Type) -> Result<Value, EvalError> {
    run_in(source, expected, &map(EVENT))
}

/// `source` is of type `ty` and gives `json`, where durations are milliseconds.
fn check(ty: &Type, source: &str, json: &str) {
    let value = run(source, ty).unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(value.to_json().to_string(), json, "{source}");
}

fn check_bool(source: &str, expected: bool) {
    let value = run(source, &Type::Boolean).unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(value == Value::Bool(true), expected, "{source}");
}

/// `source` fails to compile with `code` at the offset that `^` marks.
fn check_error(source: &str, expected: &Type, code: &str, marked: &str, suggestion: &str) {
    let errors = Expr::compile(source, &schemas(), expected).expect_err(source);
    let error = &errors[0];
    let mark = format!("{}^", " ".repeat(source[..error.offset].chars().count()));
    assert_eq!((error.code, mark.as_str()), (code, marked), "{source}\n{errors:?}");
    let given = error.suggestion.as_deref().unwrap_or_default();
    assert!(given.contains(suggestion) && given.is_empty() == suggestion.is_empty(), "{source}\n{error:?}");
}

#[test]
fn comparisons_and_logic() {
    for (source, expected) in [
        ("event.total >= 50", true),
        ("event.total >= 50.0 && profile.tier != 'vip'", true),
        ("50 <= event.total", true),
        ("event.total == 59.9", true),
        ("event.count == 3.0", true),
        ("event.count < event.total", true),
        ("event.total > event.count", true),
        ("event.count != 9007199254740993", true),
        ("event.total < 9007199254740993", true),
        ("9007199254740993 == 9007199254740992.0", false),
        ("event.odd == 4", true),
        ("event.ok", true),
        ("!event.ok", false),
        ("event.ok == true", true),
        ("'a' < 'b' && 'b' >= 'b'", true),
        ("event.name == 'Ann'", true),
        ("'Ann' == event.name", true),
        ("'Bob' > event.name", true),
        ("event.name + '!' == 'Ann!'", true),
        ("event.at < now", false),
        ("event.at > timestamp('2026-03-29')", true),
        ("event.at == timestamp('2026-03-29T01:30:00+01:00')", true),
        ("event.sizes == [1, 2, 3]", true),
        ("event.sizes == [1.0, 2.0, 3.0]", true),
        ("event.sizes != [1, 2]", true),
        ("event.cart.best == {'sku': 'z'}", true),
        ("{'a': 1, 'b': 2} == {'a': 1} || {'a': 1} == {'b': 1}", false),
        ("event.items == [{'sku': 'x1'}, {'sku': 'y2'}]", false),
        ("dyn(event.count) == 3.0", true),
        ("last.opened", true),
        ("meta.id == 'e1' && meta.type == 'cart_add' && meta.time == timestamp(1)", true),
        ("event['name'] == 'Ann'", true),
        ("event.cart['best'].sku == 'z'", true),
        ("true ? event.ok : false", true),
        ("duration('1h') > duration('59m')", true),
        ("false < true", true),
    ] {
        check_bool(source, expected);
    }
}

#[test]
fn null_is_absence() {
    for (source, expected) in [
        ("event.nothing == null", true),
        ("event.nothing != null", false),
        ("null == event.nil", true),
        ("event.name != null", true),
        ("event.nothing == 'x'", false),
        ("event.nothing != 'x'", false),
        ("event.nil < 1.0 || event.nil >= 1.0", false),
        ("event.nil == event.nil", false),
        ("event.nil != event.nil", false),
        ("has(event.nothing)", false),
        ("has(event.nil)", true),
        ("has(event.cart.best)", true),
        ("has(event.cart.best.price)", false),
        ("has(profile.consents.sms)", false),
        ("has(meta.id)", true),
        ("profile.consents.sms", false),
        ("!profile.consents.sms", true),
        ("profile.consents.sms == false", false),
        ("profile.since < now", false),
        ("event.nil + 1.0 == null", true),
        ("event.nothing.size() == null", true),
        ("event.nothing.contains('a')", false),
        ("!event.nothing.contains('a')", true),
        ("size(event.nothing) > 0", false),
        ("event.nothing in ['a']", false),
        ("'a' in event.tags && !('c' in event.tags)", true),
        ("event.tags[2] == null", true),
        ("(event.ok ? event.nothing : 'x') == null", true),
        ("(event.nothing == 'x' ? 1 : 2) == 2", true),
        ("event.cart.best.count == null", true),
        ("string(event.nil) == null", true),
        ("event.items[0].count == 1", true),
        ("event.items.all(i, i.price > 1 && i.count != null)", true),
    ] {
        check_bool(source, expected);
    }
    let empty = Map::new();
    assert_eq!(run_in("event.cart.best.sku == 'z'", &Type::Boolean, &empty), Ok(Value::Bool(false)));
    assert_eq!(run_in("event.cart.best.sku == null", &Type::Boolean, &empty), Ok(Value::Bool(true)));
    assert_eq!(run_in("event.items.all(i, i.price > 1)", &Type::Boolean, &empty), Ok(Value::Bool(false)));
    assert_eq!(run_in("event.at", &Type::Timestamp, &empty), Ok(Value::Null));
}

#[test]
fn values_of_every_type() {
    let list = |ty| Type::List(Box::new(ty));
    for (ty, source, json) in [
        (Type::Integer, "1 + 2 * 3 - 4", "3"),
        (Type::Integer, "-7 / 2", "-3"),
        (Type::Integer, "-7 % 2", "-1"),
        (Type::Integer, "0x10", "16"),
        (Type::Integer, "7u", "7"),
        (Type::Integer, "-event.count", "-3"),
        (Type::Number, "event.count + 0.5", "3.5"),
        (Type::Number, "event.count", "3.0"),
        (Type::Number, "event.count * 2", "6.0"),
        (Type::Number, "7.0 / 2", "3.5"),
        (Type::Number, "event.cart.total", "7.0"),
        (Type::String, "'a' + \"b\" + r'\\n'", "\"ab\\\\n\""),
        (Type::String, "event.text.trim().upperAscii()", "\"GRüßE\""),
        (Type::String, "'  A b '.trim().lowerAscii()", "\"a b\""),
        (Type::String, "event.ok ? 'yes' : 'no'", "\"yes\""),
        (Type::String, "string(1) + string(2.5) + string(50.0) + string(true)", "\"12.550true\""),
        (
            Type::String,
            "string(timestamp('2026-01-02')) + string(duration('1.5s'))",
            "\"2026-01-02T00:00:00.000Z1.5s\"",
        ),
        (Type::String, "event.items[1].sku", "\"y2\""),
        (Type::String, "event.items.filter(i, i.price < 5.0)[0].sku", "\"y2\""),
        (Type::String, "{'a': 'x', 'b': 'y'}.b", "\"y\""),
        (Type::Integer, "size(event.text) + event.tags.size() + size({'a': 1})", "9"),
        (Type::Integer, "int(3.99) + int('-4') + int(timestamp('1970-01-01T00:00:01.5Z'))", "0"),
        (Type::Number, "double('2.5') + double(1)", "3.5"),
        (Type::Boolean, "bool('true') && !bool('0')", "true"),
        (Type::Timestamp, "timestamp('2026-03-01') + duration('1d12h')", "\"2026-03-02T12:00:00.000Z\""),
        (Type::Timestamp, "duration('1h') + event.at - duration('PT30M')", "\"2026-03-29T01:00:00.000Z\""),
        (Type::Timestamp, "now", "\"1970-01-02T00:00:00.000Z\""),
        (Type::Duration, "now - meta.time", "86399000"),
        (Type::Duration, "-duration('1m') + duration('3m') - duration('1m')", "60000"),
        (list(Type::Integer), "event.sizes + [4]", "[1,2,3,4]"),
        (list(Type::Integer), "event.sizes.map(x, x * x)", "[1,4,9]"),
        (list(Type::Integer), "event.sizes.map(x, x > 1, x * 10)", "[20,30]"),
        (list(Type::Integer), "event.sizes.filter(x, x != 2)", "[1,3]"),
        (list(Type::String), "event.items.map(i, i.sku)", "[\"x1\",\"y2\"]"),
        (list(list(Type::Integer)), "event.sizes.map(x, event.sizes.filter(y, y > x))", "[[2,3],[3],[]]"),
        (list(Type::Integer), "[]", "[]"),
        (list(Type::Boolean), "event.tags.map(t, t == null)", "[false,false,true]"),
    ] {
        check(&ty, source, json);
    }
}

#[test]
fn functions_of_text_lists_and_time() {
    for (source, expected) in [
        ("event.name.startsWith('A') && event.name.endsWith('nn') && event.name.contains('n')", true),
        ("event.name.matches('^A.n$')", true),
        ("event.name.matches('x')", false),
        ("event.name in ['Ann', 'Bob'] && !(event.count in [1, 2])", true),
        ("3 in event.sizes && 3.0 in event.sizes && event.total in [59.9]", true),
        ("[1] in [[1], [2]]", true),
        ("'email' in profile.consents && !('sms' in profile.consents)", true),
        ("event.sizes.exists(x, x == 2) && event.sizes.exists_one(x, x == 2)", true),
        ("event.sizes.exists_one(x, x > 1)", false),
        ("[].all(x, false) && ![].exists(x, true)", true),
        ("event.items.exists(i, i.price * i.count == 10.0)", true),
        ("event.sizes.all(x, event.sizes.exists(y, x == y))", true),
        ("event.at.getFullYear() == 2026 && event.at.getMonth() == 2 && event.at.getDate() == 29", true),
        ("event.at.getDayOfMonth() == 28 && event.at.getDayOfWeek() == 0 && event.at.getDayOfYear() == 87", true),
        ("event.at.getHours() == 0 && event.at.getHours('Europe/Paris') == 1", true),
        ("(event.at + duration('1h')).getHours(profile.timezone) == 3", true),
        ("event.at.getHours('-01:30') == 23 && event.at.getMinutes() == 30 && event.at.getSeconds() == 0", true),
        ("duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90", true),
        ("(now - meta.time).getSeconds() == 86399", true),
        ("timestamp('2026-01-01T00:00:00.250Z').getMilliseconds() == 250", true),
    ] {
        check_bool(source, expected);
    }
}

#[test]
fn errors_while_running() {
    let other = |text: &str| EvalError::Other(text.to_owned());
    let wrong = |field: &str, expected: &str| EvalError::WrongType { field: field.into(), expected: expected.into() };
    for (source, error) in [
        ("1 / 0 == 1", EvalError::DivisionByZero),
        ("1 % 0 == 1", EvalError::DivisionByZero),
        ("1.0 / 0.0 == 1.0", EvalError::DivisionByZero),
        ("9223372036854775807 + 1 == 0", EvalError::Overflow),
        ("-9223372036854775808 / -1 == 0", EvalError::Overflow),
        ("1e308 * 10.0 == 0.0", EvalError::Overflow),
        ("int(1e30) == 0", EvalError::Overflow),
        ("event.wrong > 1.0", wrong("event.wrong", "number")),
        ("event.sizes[3] == 1", other("index 3 is outside a list of 3")),
        ("event.sizes[-1] == 1", other("index -1 is outside a list of 3")),
        ("int(event.name) == 1", other("text \"Ann\" is no integer")),
        ("timestamp(event.name) < now", other("text \"Ann\" is no timestamp")),
        ("now.getHours(event.name) == 1", other("\"Ann\" is no time zone")),
        ("timestamp(event.nothing).getHours(event.name) == 1", other("\"Ann\" is no time zone")),
        ("event.sizes.map(x, 6 / (x - 2)).size() == 3", EvalError::DivisionByZero),
        ("event.sizes.all(x, 6 / (x - 2) != 0)", EvalError::DivisionByZero),
        ("true && 1 / 0 == 1", EvalError::DivisionByZero),
        ("1 / 0 == 1 || false", EvalError::DivisionByZero),
        ("!(1 / 0 == 1)", EvalError::DivisionByZero),
    ] {
        assert_eq!(run(source, &Type::Boolean), Err(error), "{source}");
    }
    let event = map(r#"{"cart":"none","tags":[1],"at":"yesterday","odd":1.5,"ok":1}"#);
    for (source, error) in [
        ("event.cart.total > 1.0", wrong("event.cart.total", "object")),
        ("'x' in event.tags", wrong("an item of the list", "string")),
        ("event.tags[0] == 'x'", wrong("event.tags[…]", "string")),
        ("event.at < now", wrong("event.at", "timestamp")),
        ("event.odd == 1", wrong("event.odd", "integer")),
        ("event.ok", wrong("event.ok", "boolean")),
    ] {
        assert_eq!(run_in(source, &Type::Boolean, &event), Err(error), "{source}");
    }
}

#[test]
fn logic_absorbs_errors() {
    for (source, expected) in [
        ("false && 1 / 0 == 1", false),
        ("1 / 0 == 1 && false", false),
        ("true || 1 / 0 == 1", true),
        ("1 / 0 == 1 || true", true),
        ("1 / 0 == 1 && event.nothing == 'x'", false),
        ("event.sizes.exists(x, 6 / (x - 2) == 6)", true),
        ("event.sizes.all(x, 6 / (x - 2) == 7)", false),
    ] {
        check_bool(source, expected);
    }
}

#[test]
fn errors_of_the_source() {
    for (source, code, mark, suggestion) in [
        ("event.totl > 1.0", "unknown_field", "      ^", "`total`"),
        ("event.cart.bset.sku == 'x'", "unknown_field", "           ^", "`best`"),
        ("event.cart.zzzzz == 'x'", "unknown_field", "           ^", "total, best"),
        ("has(event.totl)", "unknown_field", "          ^", "`total`"),
        ("evnt.total > 1.0", "unknown_root", "^", "`event`"),
        ("total > 1.0", "unknown_root", "^", "`event.total`"),
        ("tier == vip", "unknown_root", "^", "`profile.tier`"),
        ("profile.tier == vip", "unknown_root", "                ^", "quotes"),
        ("event == null", "type_mismatch", "^", "event.total"),
        ("event.total == '5'", "type_mismatch", "            ^", "double"),
        ("event.at > '2026-01-01'", "type_mismatch", "         ^", "timestamp"),
        ("profile.age && true", "type_mismatch", "       ^", "compare the number"),
        ("event.total < null", "type_mismatch", "            ^", "== null"),
        ("event.total % 2 == 1", "type_mismatch", "            ^", "int(…)"),
        ("event.name * 2 == 1", "type_mismatch", "           ^", "int"),
        ("  event.total", "type_mismatch", "  ^", "compare the number"),
        ("null", "type_mismatch", "^", ""),
        ("[1, 'a'] == [1]", "type_mismatch", "    ^", "int"),
        ("event.tags[event.name] == 'x'", "type_mismatch", "                ^", "int"),
        ("event.cart[0] == 1", "type_mismatch", "          ^", "field"),
        ("event.cart.exists(x, true)", "type_mismatch", "                 ^", ""),
        ("event.name.startsWith(1)", "type_mismatch", "                      ^", "string"),
        ("event.tags.contains('a')", "type_mismatch", "           ^", "in list"),
        ("(true ? 1 : 'a') == 1", "type_mismatch", "      ^", "int"),
        ("sise(event.tags) > 1", "unknown_function", "^", "`size`"),
        ("event.name.startWith('A')", "unknown_function", "           ^", "`text.startsWith(part)`"),
        ("event.name.toLowerCase() == 'a'", "unknown_function", "           ^", "`lower`"),
        ("uint(1) == 1", "unknown_function", "^", "`int`"),
        ("event.tags.exists(true)", "unknown_function", "           ^", "variable"),
        ("size(1, 2) == 1", "wrong_arguments", "^", ""),
        ("event.name.contains() == true", "wrong_arguments", "           ^", ""),
        ("event.name.matches('(')", "bad_literal", "                   ^", ""),
        ("event.name.matches(event.text)", "bad_literal", "                        ^", "contains"),
        ("timestamp('tomorrow') < now", "bad_literal", "^", "2026-03-01"),
        ("timestamp('2026-12-24T18:00') < now", "bad_literal", "^", "journey.timezone"),
        ("duration('5 minutes') < now - now", "bad_literal", "^", "PT5M"),
        ("now.getHours('Europe/Pariss') == 1", "bad_literal", "    ^", "IANA"),
        ("18446744073709551615u == 1", "bad_literal", "^", ""),
        ("b'x' == b'x'", "unsupported", "^", ""),
        ("Foo{a: 1} == 1", "unsupported", "^", ""),
        ("event.total = 5.0", "syntax", "            ^", "=="),
        ("event.ok and true", "syntax", "         ^", "&&"),
        ("not event.ok", "syntax", "    ^", "`!`"),
        ("event.name is null", "syntax", "           ^", "== null"),
        ("event.count is  numeric", "syntax", "            ^", "schema"),
        ("event.items.all(currentEventField.price > 1.0)", "unknown_function", "            ^", "list.filter(x, "),
        ("currentEventField.price > 1.0", "unknown_root", "^", "list.filter(x, "),
        ("if (event.ok) then true else false", "syntax", "^", "?"),
        ("event.name.matches('\\d+')", "syntax", "                   ^", "r'"),
        ("9223372036854775808 > event.count", "syntax", "^", "64 bits"),
        ("event.ok &&", "syntax", "           ^", ""),
        ("event.name == 'Ann", "syntax", "              ^", ""),
        ("", "syntax", "^", ""),
        ("'äö' == event.nme", "unknown_field", "              ^", "name"),
        ("// why\nevent.nme == 'x'", "unknown_field", "             ^", "name"),
    ] {
        check_error(source, &Type::Boolean, code, mark, suggestion);
    }
    check_error("event.at", &Type::String, "type_mismatch", "^", "string");
    check_error("event.total", &Type::Integer, "type_mismatch", "^", "int");
    check_error("'x'", &Type::Timestamp, "type_mismatch", "^", "timestamp");
}

#[test]
fn every_error_is_reported_once() {
    let errors = Expr::compile("event.totl > 1.0 && profile.teir == 'x' && size(1) > 0", &schemas(), &Type::Boolean);
    let places: Vec<usize> = errors.expect_err("three").iter().map(|error| error.offset).collect();
    assert_eq!(places, [6, 28, 43]);
}

#[test]
fn a_root_may_be_out_of_reach() {
    let schemas = Schemas { event: Some(Vec::new()), ..Schemas::default() };
    let errors = Expr::compile("last.opened || profile.x", &schemas, &Type::Boolean).expect_err("no last");
    assert_eq!(
        errors.iter().map(|e| (e.code, e.offset)).collect::<Vec<_>>(),
        [("root_not_available", 0), ("root_not_available", 15)]
    );
    assert_eq!(errors[0].suggestion.as_deref(), Some("use `event`, `meta`"));
}

#[test]
fn reads_are_the_longest_paths() {
    let expr = Expr::compile(
        "event.cart.best.sku == 'x' && event.items.exists(i, i.price > profile.age) && has(event.cart.total) && \
         meta.type == 'a' && event.cart.best.sku != null",
        &schemas(),
        &Type::Boolean,
    )
    .expect("valid");
    let path = |root, names: &[&str]| FieldPath { root, path: names.iter().map(SmolStr::new).collect() };
    assert_eq!(
        expr.reads(),
        [
            path(Root::Event, &["cart", "best", "sku"]),
            path(Root::Event, &["cart", "total"]),
            path(Root::Event, &["items"]),
            path(Root::Profile, &["age"]),
            path(Root::Meta, &["type"]),
        ]
    );
}

#[test]
fn a_whole_object_is_read_beside_its_field() {
    let source = "event.cart.best == {'sku': 'z'} && event.cart.best.sku == 'z' && size(event.cart) == 2";
    let expr = Expr::compile(source, &schemas(), &Type::Boolean).expect("valid");
    let paths: Vec<String> = expr.reads().iter().map(|read| read.path.join(".")).collect();
    assert_eq!(paths, ["cart", "cart.best", "cart.best.sku"]);
}

/// Runs the examples of `docs/expressions.md`.
mod documentation;

mod functions;

mod against_cel;

mod conformance;

mod cost;
