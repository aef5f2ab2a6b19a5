//! Requests as they are filled in, and answers as they are cut to what is declared.

use super::*;
use crate::domain::journey::findings::Place;

fn at(text: &str) -> At<SmolStr> {
    At::new(text.into(), Place::default())
}

fn shape() -> ActionShape {
    ActionShape {
        parameters: vec![
            ("member".into(), Type::String),
            ("points".into(), Type::Integer),
            ("tags".into(), Type::List(Box::new(Type::String))),
        ],
        path: Some(at("/{member}/points")),
        query: vec![("n".into(), at("{points}")), ("who".into(), at("x-{member}"))],
        headers: vec![("X-Shop".into(), at("a{{b}}"))],
        body: Some(BodyDefinition::Object(vec![
            ("double".into(), BodyDefinition::Value(at("with.points * 2"))),
            ("all".into(), BodyDefinition::List(vec![BodyDefinition::Value(at("with.tags")), BodyDefinition::Null])),
        ])),
        ..ActionShape::default()
    }
}

fn compiled(shape: &ActionShape) -> Result<Action, Vec<String>> {
    let mut findings = Findings::new(&[]);
    let action = Action::compile(&"loyalty".into(), shape, &mut findings);
    action.ok_or_else(|| findings.into_sorted().into_iter().map(|finding| finding.code.to_owned()).collect())
}

fn parameters(member: Value, points: Value) -> Map {
    Map(vec![
        ("member".into(), member),
        ("points".into(), points),
        ("tags".into(), Value::List(vec![Value::Str("a".into())])),
    ])
}

#[test]
fn a_request_follows_from_its_parameters() {
    let action = compiled(&shape()).expect("compiles");
    let request = action.request(&parameters(Value::Str("ä/b".into()), Value::Int(4)), Millis(0)).expect("request");
    assert_eq!(request.path, "/%C3%A4%2Fb/points");
    assert_eq!(request.query, [("n".into(), "4".to_owned()), ("who".into(), "x-ä/b".to_owned())]);
    assert_eq!(request.headers, [("X-Shop".into(), "a{b}".to_owned())]);
    let body = request.body.expect("a body").to_json();
    assert_eq!(body, serde_json::json!({ "double": 8, "all": [["a"], null] }));
    // A null is left out where a text may be, and is an error where it must be.
    let request = action.request(&parameters(Value::Str("m".into()), Value::Null), Millis(0)).expect("request");
    assert_eq!(request.query, [("who".into(), "x-m".to_owned())]);
    action.request(&parameters(Value::Null, Value::Int(1)), Millis(0)).expect_err("no path");
    action.request(&parameters(Value::Str("..".into()), Value::Int(1)), Millis(0)).expect_err("another place");
}

#[test]
fn what_is_wrong_has_a_code() {
    let wrong = |change: fn(&mut ActionShape)| {
        let mut shape = shape();
        change(&mut shape);
        compiled(&shape).err().unwrap_or_default()
    };
    assert_eq!(wrong(|shape| shape.path = Some(at("/{membr}"))), ["unknown_parameter"]);
    assert_eq!(wrong(|shape| shape.path = Some(at("/{member"))), ["bad_placeholder"]);
    assert_eq!(wrong(|shape| shape.path = Some(at("/{tags}"))), ["type_mismatch"]);
    assert_eq!(wrong(|shape| shape.body = Some(BodyDefinition::Value(at("with.nobody")))), ["unknown_field"]);
    assert_eq!(wrong(|shape| shape.body = Some(BodyDefinition::Value(at("event.total")))), ["root_not_available"]);
}

#[test]
fn answers_are_cut_to_what_is_declared() {
    let fields: Fields = vec![
        ("level".into(), Type::String),
        ("points".into(), Type::Integer),
        ("rate".into(), Type::Number),
        ("since".into(), Type::Timestamp),
        ("of".into(), Type::Object(vec![("tags".into(), Type::List(Box::new(Type::String)))])),
    ];
    let read = |text: &str| {
        let Value::Map(map) = Value::from_json(&serde_json::from_str(text).expect("JSON")) else { panic!("a map") };
        declared(&map, &fields).map(|map| Value::Map(map).to_json().to_string())
    };
    let good =
        r#"{"level":"gold","points":4.0,"rate":1,"since":"1970-01-01T00:00:01Z","of":{"tags":["a"],"x":1},"y":2}"#;
    assert_eq!(
        read(good).expect("fits"),
        r#"{"level":"gold","points":4,"rate":1.0,"since":"1970-01-01T00:00:01.000Z","of":{"tags":["a"]}}"#
    );
    assert_eq!(read(r#"{"level":null}"#).expect("fits"), "{}");
    assert_eq!(read(r#"{"points":4.5}"#), Err("points".to_owned()));
    assert_eq!(read(r#"{"of":{"tags":[1]}}"#), Err("of.tags".to_owned()));
}
