//! Known verdicts, and the law: what is claimed of random conditions holds for what they come to when compiled.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use smol_str::SmolStr;

use super::{Claim, Reasoner};
use crate::domain::expression::{Expr, Fields, Schemas, Scope, Type};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};

fn schemas() -> Schemas {
    let field = |name: &str, ty: Type| (SmolStr::new(name), ty);
    let fields: Fields = vec![
        field("n", Type::Integer),
        field("x", Type::Number),
        field("tag", Type::String),
        field("flag", Type::Boolean),
        field("at", Type::Timestamp),
        field("tags", Type::List(Box::new(Type::String))),
        field("cart", Type::Object(vec![field("n", Type::Integer)])),
    ];
    Schemas { event: Some(fields.clone()), last: Some(fields.clone()), profile: Some(fields), ..Schemas::default() }
}

/// `never`, `always` or `open`.
fn verdict(source: &str) -> &'static str {
    let schemas = schemas();
    let mut reasoner = Reasoner::new(&schemas);
    let claim = reasoner.read(source).expect("compiles");
    match (reasoner.never(claim, &[]), reasoner.always_one(&[claim])) {
        (true, true) => panic!("both: {source}"),
        (true, _) => "never",
        (_, true) => "always",
        _ => "open",
    }
}

#[test]
fn verdicts() {
    for (source, expected) in [
        ("event.x > 5.0 && event.x < 3.0", "never"),
        ("event.x > 5.0 && event.x < 6.0", "open"),
        ("event.n > 5 && event.n < 6", "never"),
        ("event.n > 5 && event.n < 5.5", "never"),
        ("event.n == 2.5", "never"),
        ("event.x == 2.5", "open"),
        ("event.tag == 'a' && event.tag == 'b'", "never"),
        ("event['tag'] == 'a' && event.tag == 'b'", "never"),
        ("event.tag == 'a' && profile.tag == 'b'", "open"),
        ("event.tag == 'a' && event.tag in ['b', 'c']", "never"),
        ("event.tag in ['a', 'b'] && !(event.tag in ['a', 'b', 'c'])", "never"),
        ("event.tag < ''", "never"),
        ("event.n in []", "never"),
        // They read the clock, whatever they are asked of.
        ("timestamp('2027-12-31').inNext(1, 'days')", "open"),
        ("!timestamp('2026-01-01').inLast(10, 'years')", "open"),
        ("event.at.inNext(7, 'days') && !event.at.inNext(7, 'days')", "never"),
        // Absent is neither more nor less.
        ("event.n > 5 || event.n <= 5", "open"),
        ("event.n == null || event.n > 5 || event.n <= 5", "always"),
        ("event.n == null && event.n > 5", "never"),
        ("!has(event.n) && event.n != null", "never"),
        ("has(event.n) && event.n == null", "open"),
        ("!(event.n > 5 && event.n < 3)", "always"),
        ("event.flag && !event.flag", "never"),
        ("event.flag || !event.flag", "always"),
        ("event.flag == true && event.flag == false", "never"),
        ("event.n > last.n && event.n < last.n", "never"),
        ("event.n > last.n && last.n > event.n", "never"),
        ("event.n >= last.n && last.n >= event.n", "open"),
        ("event.n != event.n", "never"),
        ("event.n == event.n", "open"),
        ("now == now", "always"),
        ("event.n > last.n && event.n == null", "never"),
        ("now < meta.time || now >= meta.time", "always"),
        ("now - meta.time > duration('2h') && now - meta.time < duration('1h')", "never"),
        ("event.tag.startsWith('a') && !event.tag.startsWith('a')", "never"),
        // A function may fail, so neither side is certain.
        ("event.tag.matches('a') || !event.tag.matches('a')", "open"),
        ("event.n + 1 > 5 && event.n + 1 < 3", "never"),
        ("event.cart.n > 5 && event.cart.n < 3", "never"),
        ("event.tags == null && event.tags != null", "never"),
        ("event.tags.exists(t, t == 'a') && !event.tags.exists(t, t == 'a')", "never"),
        ("1 > 2", "never"),
        ("1 < 2 && 'a' == 'a'", "always"),
        ("duration('1h') > duration('2h')", "never"),
        ("1 / 0 > 1", "never"),
        ("true", "always"),
        ("false || event.flag", "open"),
        ("event.flag ? event.n > 1 : event.n > 1", "open"),
        ("event.flag ? false : event.n > 1 && event.n < 1", "never"),
        ("has(meta.id)", "always"),
        ("meta.type == 'a' && meta.type == 'b'", "never"),
    ] {
        assert_eq!(verdict(source), expected, "{source}");
    }
}

/// What an entry filter found out by the clock may be over later.
#[test]
fn time_goes_on_after_the_entry() {
    let schemas = schemas();
    let mut reasoner = Reasoner::new(&schemas);
    reasoner.entered_by("event.at.inNext(7, 'days')");
    let later = reasoner.read("event.at.inNext(7, 'days')").expect("compiles");
    assert!(!reasoner.always_one(&[later]));
    let over = reasoner.read("!event.at.inNext(7, 'days')").expect("compiles");
    assert!(!reasoner.never(over, &[]));
}

#[test]
fn conflicts_name_the_parts() {
    let schemas = schemas();
    let mut reasoner = Reasoner::new(&schemas);
    reasoner.entered_by("event.n >= 50 && profile.n > 3");
    let claim = reasoner.read("profile.flag && event.n < 20").expect("compiles");
    assert!(reasoner.never(claim, &[]));
    let parts: Vec<_> = reasoner.conflict(claim).into_iter().map(|part| (part.offset, part.text)).collect();
    assert_eq!(parts, [(Some(16), "event.n < 20".to_owned()), (None, "event.n >= 50".to_owned())]);
    // What was true of the profile at entry may have changed.
    let later = reasoner.read("profile.n < 2").expect("compiles");
    assert!(!reasoner.never(later, &[]));
}

#[test]
fn earlier_conditions_take_what_later_ones_ask_for() {
    let schemas = schemas();
    let mut reasoner = Reasoner::new(&schemas);
    let mut read = |source: &str| reasoner.read(source).expect("compiles");
    let (wide, narrow, other) = (read("event.n > 10"), read("event.n > 20 && event.flag"), read("event.n < 5"));
    let (low, middle) = (read("event.n <= 7"), read("event.n > 7 && event.n < 11"));
    assert!(reasoner.never(narrow, &[wide]));
    assert!(!reasoner.never(wide, &[narrow]));
    assert!(!reasoner.never(other, &[wide, narrow]));
    assert!(!reasoner.always_one(&[wide, low, middle]), "it may be absent");
    let absent = reasoner.read("event.n == null").expect("compiles");
    assert!(reasoner.always_one(&[wide, low, middle, absent]));
}

#[test]
fn a_field_that_is_only_told_from_something_is_unguarded() {
    let schemas = schemas();
    for (source, fields) in [
        ("profile.tag != 'vip'", &["profile.tag"][..]),
        ("profile.tag != 'vip' && profile.tag != 'gold'", &["profile.tag"]),
        ("profile.flag && !(profile.tag == 'vip')", &[]),
        ("!(profile.tag != 'vip')", &[]),
        ("profile.tag == null || profile.tag != 'vip'", &[]),
        ("has(profile.tag) && profile.tag != 'vip'", &[]),
        ("profile.tag in ['a', 'b'] && profile.tag != 'a'", &[]),
        ("profile.tag != null", &[]),
        ("event.tag != 'vip'", &[]),
    ] {
        let mut reasoner = Reasoner::new(&schemas);
        let claim = reasoner.read(source).expect("compiles");
        assert_eq!(reasoner.unguarded(claim, "profile"), fields, "{source}");
    }
}

const NUMBERS: [&str; 6] = ["-1", "0", "1", "2", "0.5", "1.5"];
const TEXTS: [&str; 4] = ["''", "'a'", "'b'", "'c'"];
const SIGNS: [&str; 6] = ["<", "<=", ">", ">=", "==", "!="];
const NUMERIC: [&str; 5] = ["event.n", "event.x", "last.n", "event.n + 1", "60 / event.n"];
const TEXTUAL: [&str; 2] = ["event.tag", "last.tag"];
const FIELDS: [&str; 5] = ["event.n", "event.x", "event.tag", "event.flag", "last.n"];

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(words)
}

fn term() -> impl Strategy<Value = String> {
    let numeric = one_of(&NUMERIC);
    prop_oneof![
        4 => (numeric.clone(), one_of(&SIGNS), one_of(&NUMBERS)).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
        1 => (one_of(&NUMBERS), one_of(&SIGNS), numeric.clone()).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
        1 => (numeric.clone(), one_of(&SIGNS), numeric).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
        2 => (one_of(&TEXTUAL), one_of(&SIGNS), one_of(&TEXTS)).prop_map(|(a, by, b)| format!("{a} {by} {b}")),
        1 => (one_of(&SIGNS)).prop_map(|by| format!("event.tag {by} last.tag")),
        1 => (one_of(&TEXTUAL), prop::collection::vec(one_of(&TEXTS), 0..3))
            .prop_map(|(a, items)| format!("{a} in [{}]", items.join(", "))),
        1 => prop::collection::vec(one_of(&NUMBERS), 0..3)
            .prop_map(|items| format!("event.n in [{}]", items.join(", "))),
        1 => one_of(&FIELDS).prop_map(|field| format!("{field} == null")),
        1 => one_of(&FIELDS).prop_map(|field| format!("has({field})")),
        1 => Just("event.flag".to_owned()),
        1 => one_of(&["true", "event.tag.startsWith('a')", "event.flag == last.flag", "1 > 2"]).prop_map(str::to_owned),
    ]
}

pub(crate) fn condition() -> impl Strategy<Value = String> {
    term().prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            4 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        ]
    })
}

fn optional(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 8 => value.prop_map(Some)]
}

/// Values around those that conditions name, now and then of another type than the declared one.
fn document() -> impl Strategy<Value = Map> {
    let integer = (-2..4i64).prop_map(Value::Int);
    let number = prop_oneof![
        (-2..4i64).prop_map(Value::Int),
        (-4..8i32).prop_map(|quarters| Value::Float(f64::from(quarters) / 4.0))
    ];
    let text = one_of(&["", "a", "aa", "b", "bc", "c", "z"]).prop_map(|text| Value::Str(SmolStr::new(text)));
    let flag = any::<bool>().prop_map(Value::Bool);
    (optional(integer), optional(number), optional(text), optional(flag)).prop_map(|(n, x, tag, flag)| {
        let fields = [("n", n), ("x", x), ("tag", tag), ("flag", flag)];
        Map(fields.into_iter().filter_map(|(name, value)| Some((SmolStr::new(name), value?))).collect())
    })
}

fn outcome(expr: &Expr, event: &Map, last: &Map) -> Option<bool> {
    let nothing = Map::default();
    let scope = Scope {
        facts: None,
        event,
        last,
        profile: &nothing,
        meta_id: "e",
        meta_type: "go",
        meta_time: Millis(1_000),
        action: crate::domain::value::Map::EMPTY,
        now: Millis(2_000),
    };
    expr.eval_bool(&scope).ok()
}

/// A value of the wrong type under one of the names.
fn spoilt(document: &Map, name: &str) -> Map {
    let mut spoilt = document.clone();
    let other = if name == "tag" { Value::Int(1) } else { Value::Str(SmolStr::new("b")) };
    spoilt.0.retain(|(known, _)| known != name);
    spoilt.0.push((SmolStr::new(name), other));
    spoilt
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The documents of one case are few, but each condition is about three or four values of two or three fields.
    #[test]
    fn claims_hold(
        sources in prop::collection::vec(condition(), 1..4),
        documents in prop::collection::vec((document(), document()), 40),
    ) {
        let schemas = schemas();
        let mut reasoner = Reasoner::new(&schemas);
        let claims: Vec<Claim> = sources.iter().map(|source| reasoner.read(source).expect("compiles")).collect();
        let compiled: Vec<Expr> = sources
            .iter()
            .map(|source| Expr::compile(source, &schemas, &Type::Boolean).expect("compiles"))
            .collect();
        let (first, later) = (claims[0], &claims[1..]);
        let (never, always) = (reasoner.never(first, &[]), reasoner.always_one(&[first]));
        let hidden = reasoner.never(first, later);
        let exclusive = reasoner.never_all(&claims, &[]);
        let exhaustive = reasoner.always_one(&claims);
        for (event, last) in &documents {
            let outcomes: Vec<Option<bool>> = compiled.iter().map(|expr| outcome(expr, event, last)).collect();
            prop_assert!(!never || outcomes[0] != Some(true), "never: {} with {event:?} {last:?}", sources[0]);
            prop_assert!(!always || outcomes[0] == Some(true), "always: {} with {event:?} {last:?}", sources[0]);
            let free = outcomes[1..].iter().all(|outcome| *outcome == Some(false));
            prop_assert!(!(hidden && free && outcomes[0] == Some(true)), "hidden: {sources:?} {event:?} {last:?}");
            let all = outcomes.iter().all(|outcome| *outcome == Some(true));
            prop_assert!(!(exclusive && all), "exclusive: {sources:?} {event:?} {last:?}");
            let some = outcomes.contains(&Some(true));
            prop_assert!(!exhaustive || some, "exhaustive: {sources:?} {event:?} {last:?}");
            for name in ["n", "tag", "flag"] {
                let outcome = outcome(&compiled[0], &spoilt(event, name), last);
                prop_assert!(!never || outcome != Some(true), "never, of another type: {}", sources[0]);
            }
        }
    }
}

/// The law above is not empty: of random conditions many are decided, and most of what no document makes true is found.
#[test]
fn claims_are_made() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let schemas = schemas();
    let documents: Vec<(Map, Map)> =
        (0..300).map(|_| (document(), document()).new_tree(&mut runner).expect("generates").current()).collect();
    let (mut never, mut never_true, mut always) = (0, 0, 0);
    for _ in 0..600 {
        let source = condition().new_tree(&mut runner).expect("generates").current();
        let mut reasoner = Reasoner::new(&schemas);
        let claim = reasoner.read(&source).expect("compiles");
        let expr = Expr::compile(&source, &schemas, &Type::Boolean).expect("compiles");
        never += u32::from(reasoner.never(claim, &[]));
        always += u32::from(reasoner.always_one(&[claim]));
        never_true += u32::from(documents.iter().all(|(event, last)| outcome(&expr, event, last) != Some(true)));
    }
    assert!(never >= 30 && always >= 10, "never {never}, always {always} of 600");
    assert!(never * 2 >= never_true, "never {never}, of {never_true} that no document makes true");
}

/// A condition whose subjects are many is given up on, in time.
#[test]
fn reasoning_is_bounded() {
    let parts: Vec<String> =
        (0..60).map(|n| format!("(event.n + {n} > last.n || event.n + {n} < last.n + {n})")).collect();
    let schemas = schemas();
    let mut reasoner = Reasoner::new(&schemas);
    let claim = reasoner.read(&format!("{} && !has(event.n)", parts.join(" && "))).expect("compiles");
    let _ = reasoner.never(claim, &[]);
    assert!(!reasoner.never(claim, &[]), "nothing is claimed once the steps are used up");
}
