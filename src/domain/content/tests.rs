//! Templates: what they render, refuse and escape.

use proptest::prelude::*;
use smol_str::SmolStr;

use super::{Escape, RenderError, RenderInput, Template};
use crate::domain::expression::{Fields, Schemas, Type};
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::domain::value::{Map, Value};

fn fields(list: &[(&str, Type)]) -> Fields {
    list.iter().map(|(name, ty)| (SmolStr::new(name), ty.clone())).collect()
}

fn schemas() -> Schemas {
    let item = Type::Object(fields(&[("sku", Type::String), ("price", Type::Number)]));
    Schemas {
        event: Some(fields(&[
            ("total", Type::Number),
            ("count", Type::Integer),
            ("at", Type::Timestamp),
            ("items", Type::List(Box::new(item.clone()))),
            ("tags", Type::List(Box::new(Type::String))),
            ("cart", Type::Object(fields(&[("best", item)]))),
            ("ok", Type::Boolean),
        ])),
        last: None,
        profile: Some(fields(&[
            ("first_name", Type::String),
            ("nick", Type::String),
            ("address", Type::Object(fields(&[("city", Type::String)]))),
        ])),
        journey: Schemas::of_instance(),
        ..Schemas::default()
    }
}

fn map(json: &str) -> Map {
    match Value::from_json(&serde_json::from_str(json).expect("json")) {
        Value::Map(map) => map,
        other => panic!("not a map: {other:?}"),
    }
}

fn input() -> RenderInput {
    let mut meta = map(r#"{"id":"e1","type":"cart_add"}"#);
    meta.insert("time", Value::Time(Millis(1_500)));
    RenderInput {
        profile: map(r#"{"first_name":"<Ann> & \"Bo\"\n'C'","nick":null}"#),
        event: map(r#"{"total":50.0,"count":3,"ok":true,"tags":["a","b"],
            "items":[{"sku":"x","price":59.9},{"sku":"y","price":2}]}"#),
        last: Map::new(),
        meta,
        journey: map(r#"{"name":"j"}"#),
        ..RenderInput::default()
    }
}

fn render(source: &str, escape: Escape) -> Result<String, RenderError> {
    let template =
        Template::compile(source, &schemas(), escape).unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    template.render(&input())
}

fn check(source: &str, expected: &str) {
    assert_eq!(render(source, Escape::None).as_deref(), Ok(expected), "{source}");
}

/// `source` fails to compile with `code` at the offset that `^` marks.
fn check_error(source: &str, code: &str, marked: &str, suggestion: &str) {
    let errors = Template::compile(source, &schemas(), Escape::None).expect_err(source);
    let mark = format!("{}^", " ".repeat(errors[0].offset));
    assert_eq!((errors[0].code, mark.as_str()), (code, marked), "{source}\n{errors:?}");
    let given = errors[0].suggestion.as_deref().unwrap_or_default();
    assert!(given.contains(suggestion) && given.is_empty() == suggestion.is_empty(), "{source}\n{errors:?}");
}

#[test]
fn values_become_text() {
    for (source, expected) in [
        ("Total {{ event.total }} EUR", "Total 50 EUR"),
        ("{{ event.items[0].price }} {{ event.count }} {{ event.ok }}", "59.9 3 true"),
        ("{{ event.total / 4 }} {{ event.count * 2 }} {{ event.total + event.count }}", "12.5 6 53"),
        ("{{ event.total / 2 }}", "25"),
        ("{{ meta.id }} {{ meta.type }} {{ meta.time }}", "e1 cart_add 1970-01-01T00:00:01.500Z"),
        ("{{ event.tags }} {{ event.items[1] }}", r#"["a","b"] {"price":2,"sku":"y"}"#),
        ("{{ event['count'] }}", "3"),
    ] {
        check(source, expected);
    }
}

#[test]
fn what_is_missing_renders_empty() {
    for (source, expected) in [
        ("[{{ profile.nick }}]", "[]"),
        ("[{{ profile.address.city }}]", "[]"),
        ("[{{ event.cart.best.sku }}{{ event.at }}]", "[]"),
        ("[{{ event.cart.best.sku|upper }}]", "[]"),
        ("[{{ event.items[7].sku }}]", "[]"),
        ("{% for item in event.cart.best|items %}x{% endfor %}", ""),
        ("Hi {{ profile.nick|default('you') }}", "Hi you"),
        ("{% if profile.nick %}a{% else %}b{% endif %}", "b"),
        ("{{ profile.nick is defined }} {{ event.count is defined }}", "false true"),
        ("{{ event.tags|join(profile.nick) }}", "ab"),
        ("{% if profile.nick > 'a' or profile.nick|length > 0 or event.cart.best.price > 1 %}a{% endif %}", ""),
        ("{% if event.cart.best.price < 1 %}a{% endif %}", "a"),
        ("{{ profile.nick ~ '!' }}", "!"),
    ] {
        check(source, expected);
    }
}

#[test]
fn filters_of_what_is_missing_are_empty_or_zero() {
    for name in super::filters::FILTERS {
        let source = match name {
            "map" => "[{{ profile.nick|map('upper') }}]".to_owned(),
            "replace" => "[{{ profile.nick|replace('a', 'b') }}]".to_owned(),
            "select" | "reject" | "groupby" | "selectattr" | "rejectattr" => {
                format!("[{{{{ profile.nick|{name}('none') }}}}]")
            }
            _ => format!("[{{{{ profile.nick|{name} }}}}]"),
        };
        let text = render(&source, Escape::None);
        assert!(
            matches!(text.as_deref(), Ok("[]" | "[0]" | "[false]" | "[[]]" | "[{}]" | "[null]")),
            "{source}: {text:?}"
        );
    }
}

#[test]
fn loops_branches_and_filters() {
    for (source, expected) in [
        ("{% for item in event.items %}{{ loop.index }}:{{ item.sku }} {% endfor %}", "1:x 2:y "),
        ("{% for item in event.items if item.price > 10 %}{{ item.sku }}{% else %}none{% endfor %}", "x"),
        ("{% for key, value in event.items[0]|items %}{{ key }}={{ value }};{% endfor %}", "price=59.9;sku=x;"),
        ("{% for tag in event.tags|reverse %}{{ tag }}{{ ',' if not loop.last }}{% endfor %}", "b,a"),
        ("{% set sum = event.count + 1 %}{{ sum }}", "4"),
        ("{% with name = event.tags|first %}{{ name|upper }}{% endwith %}", "A"),
        (
            "{{ event.tags|join(', ') }} {{ event.tags|length }} {{ event.items|map(attribute='sku')|join('+') }}",
            "a, b 2 x+y",
        ),
        ("{{ event.tags|map('upper')|join }} {{ 'a-b'|replace('-', '+') }}", "AB a+b"),
        ("{{ event.items|sum(attribute='price')|round(1) }}", "61.9"),
        ("{{ (event.items|first).sku }} {{ (event.items|sort(attribute='price')|first).sku }}", "x y"),
        ("{% for i in range(3) %}{{ i }}{{ loop.cycle('a', 'b') }}{% endfor %}", "0a1b2a"),
        ("{% raw %}{{ x }}{% endraw %}{# no #}", "{{ x }}"),
        ("{{ 'a b'|urlencode }} {{ event.tags|tojson }}", "a%20b [\"a\", \"b\"]"),
        ("{% if event.count > 2 and 'a' in event.tags %}yes{% elif event.ok %}no{% endif %}", "yes"),
        ("{{ 'x' ~ event.count ~ 'y' }}", "x3y"),
    ] {
        check(source, expected);
    }
}

#[test]
fn text_is_escaped_for_its_place() {
    let source = "{{ profile.first_name }}|{{ profile.first_name|safe }}";
    let raw = "<Ann> & \"Bo\"\n'C'";
    assert_eq!(render(source, Escape::None), Ok(format!("{raw}|{raw}")));
    assert_eq!(render(source, Escape::Html), Ok(format!("&lt;Ann&gt; &amp; &quot;Bo&quot;\n&#39;C&#39;|{raw}")));
    assert_eq!(render("{{ profile.first_name|e }}", Escape::Html), render("{{ profile.first_name }}", Escape::Html));
    assert_eq!(render("{{ profile.first_name|e }}", Escape::None), render("{{ profile.first_name }}", Escape::Html));
    assert_eq!(render("{{ ['<', '>']|join('&') }}", Escape::Html).as_deref(), Ok("&lt;&amp;&gt;"));
    let json = r#"{"name": "{{ profile.first_name }} {{ profile.first_name|e }}", "n": {{ event.count }}, "tags": {{ event.tags|tojson }}}"#;
    let body = render(json, Escape::Json).expect("renders");
    let parsed: serde_json::Value = serde_json::from_str(&body).expect("valid JSON");
    assert_eq!(parsed["name"], format!("{raw} {raw}"));
    assert_eq!(parsed["tags"][1], "b");
}

#[test]
fn errors_of_the_source() {
    for (source, code, mark, suggestion) in [
        ("{{ profile.firstname }}", "unknown_field", "           ^", "`first_name`"),
        ("a {{ event.cart.bset.sku }}", "unknown_field", "                ^", "`best`"),
        ("{{ event['totl'] }}", "unknown_field", "         ^", "`total`"),
        ("{{ first_name }}", "unknown_field", "   ^", "`profile.first_name`"),
        ("{{ evnt.total }}", "unknown_field", "   ^", "`event`"),
        ("{{ zzz }}", "unknown_field", "   ^", "profile"),
        (
            "{% for item in event.items %}{{ item.skuu }}{% endfor %}",
            "unknown_field",
            "                                     ^",
            "`sku`",
        ),
        (
            "{% for item in event.items %}{% endfor %}{{ item.sku }}",
            "unknown_field",
            "                                            ^",
            "profile",
        ),
        ("{{ (event.items|first).prise }}", "unknown_field", "                       ^", "`price`"),
        ("{% set c = event.cart %}{{ c.bst }}", "unknown_field", "                             ^", "`best`"),
        ("{{ last.total }}", "root_not_available", "   ^", ""),
        ("{{ profile }}", "type_mismatch", "   ^", "profile.first_name"),
        ("{{ event.count.x }}", "type_mismatch", "               ^", ""),
        ("{% for x in event.count %}{% endfor %}", "type_mismatch", "            ^", ""),
        ("{{ event.tags|jion }}", "unknown_filter", "              ^", "`join`"),
        ("{{ event.tags|pprint }}", "unknown_filter", "              ^", ""),
        ("{{ event.count is odd_ }}", "unknown_test", "                  ^", "`odd`"),
        ("{{ upper(event.tags) }}", "unknown_function", "   ^", "value|upper"),
        ("{{ namespace(a=1) }}", "unknown_function", "   ^", ""),
        ("{{ debug() }}", "unknown_function", "   ^", ""),
        ("{{ event.tags.x() }}", "unknown_function", "             ^", ""),
        ("{% include 'x' %}", "template_syntax", "   ^", "stands alone"),
        ("{% import 'x' as y %}", "template_syntax", "   ^", "stands alone"),
        ("{% fro x in y %}", "template_syntax", "   ^", "`for`"),
        ("ab\n{{ event.count | }}", "template_syntax", "                    ^", ""),
        ("{% if event.ok %}", "template_syntax", "               ^", ""),
        ("{% set x %}a{% endset %}", "unsupported", "   ^", "{% set name = … %}"),
        ("{% filter upper %}a{% endfilter %}", "unsupported", "   ^", "value|filter"),
        ("{% autoescape false %}a{% endautoescape %}", "unsupported", "   ^", "safe"),
        ("{{ event.tags|map('replace', 'a', 'b') }}", "unsupported", "              ^", "loop"),
        ("{{ 'x' * 100 }}", "type_mismatch", "   ^", "|int"),
    ] {
        check_error(source, code, mark, suggestion);
    }
}

#[test]
fn reads_are_the_longest_paths() {
    let source = "{{ event.cart.best.sku }}{% for i in event.items %}{{ i.sku }}{{ profile.first_name }}{% endfor %}\
                  {{ meta['id'] }}{{ event.cart.best }}";
    let template = Template::compile(source, &schemas(), Escape::None).expect("valid");
    let reads: Vec<String> =
        template.reads().iter().map(|r| format!("{}.{}", r.root.word(), r.path.join("."))).collect();
    assert_eq!(reads, ["event.cart.best", "event.cart.best.sku", "event.items", "profile.first_name", "meta.id"]);
}

#[test]
fn bombs_end_in_errors() {
    let fuel = Err(RenderError::Fuel(limits::TEMPLATE_FUEL));
    let long = Err(RenderError::TooLong(limits::RENDERED_BYTES_MAX));
    let loops = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    assert_eq!(render(loops, Escape::None), fuel);
    let output = format!("{{% for i in range(20000) %}}{}{{% endfor %}}", "x".repeat(1_000));
    assert_eq!(render(&output, Escape::None), long);
    let joined = "{{ range(100000)|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }}";
    assert!(matches!(render(joined, Escape::None), Err(RenderError::Other(text)) if text.contains("`join`")));
    let replaced = format!("{{{{ '{}'|replace('', '{}') }}}}", "a".repeat(10_000), "b".repeat(10_000));
    assert!(matches!(render(&replaced, Escape::None), Err(RenderError::Other(text)) if text.contains("`replace`")));
}

#[test]
fn bombs_are_refused_at_publish() {
    let doubling = "{% set a = 'x' %}".to_owned() + &"{% set a = a ~ a %}".repeat(40);
    let branches = "{% set a = 'x' %}".to_owned()
        + &"{% if event.ok %}{% set a = a ~ a %}{% else %}{% set a = 'x' %}{% endif %}".repeat(40);
    let lists = "{% set a = ['x'] %}".to_owned() + &"{% set a = a + a %}".repeat(40);
    for source in [
        doubling,
        branches,
        lists,
        format!("{{{{ {}1 }}}}", "not ".repeat(5_000)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(5_000)),
        format!("{{{{ event{} }}}}", ".x".repeat(5_000)),
        format!("{{{{ event.ok{} }}}}", "|upper".repeat(5_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(300), "]".repeat(300)),
        format!("{{% if event.ok %}}{}{{% endif %}}", "{% elif event.ok %}".repeat(3_000)),
        format!("{}{}", "{% if event.ok %}".repeat(1_000), "{% endif %}".repeat(1_000)),
        format!("{}{}", "{% for i in event.tags %}".repeat(1_000), "{% endfor %}".repeat(1_000)),
        " ".repeat(limits::TEMPLATE_BYTES_MAX + 1),
    ] {
        let errors = Template::compile(&source, &schemas(), Escape::None).expect_err("a bomb");
        assert!(matches!(errors[0].code, "too_complex" | "template_syntax"), "{errors:?}");
    }
    let deep = format!("{}{}", "{% if event.ok %}".repeat(60), "{% endif %}".repeat(60));
    assert_eq!(render(&deep, Escape::None).as_deref(), Ok(""));
}

#[test]
fn a_template_is_compiled_once_and_shows_itself() {
    let template = Template::compile("{{ event.count }}", &schemas(), Escape::Html).expect("valid");
    let other = template.clone();
    assert_eq!((other.source(), other.escape()), ("{{ event.count }}", Escape::Html));
    assert!(format!("{other:?}").contains("event.count"));
    assert_eq!(other.render(&RenderInput::default()).as_deref(), Ok(""));
    assert_eq!(template.render(&input()), other.render(&input()));
}

proptest! {
    #[test]
    fn any_words_compile_or_are_refused(words in prop::collection::vec(
        prop::sample::select(vec![
            "{{", "}}", "{%", "%}", "{#", "#}", " for ", " in ", " if ", " endfor ", " endif ", " else ", " set ", " with ",
            " endwith ", "event", "profile", ".", "items", "count", "x", "loop", "(", ")", "[", "]", "|", "upper", "join", "'a'",
            "'", "1", "2.5", "~", "+", "*", "==", " is ", "defined", ",", "=", "ä", "\n", "-", " raw ", " endraw ", "{", "}",
        ]), 0..30),
        escape in prop::sample::select(vec![Escape::None, Escape::Html, Escape::Json]))
    {
        let source = words.concat();
        match Template::compile(&source, &schemas(), escape) {
            Ok(template) => {
                let _ = template.render(&input());
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(source.is_char_boundary(error.offset), "{}: {:?}", source, error);
                }
            }
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused(source in "[{}%#]{0,4}\\PC{0,30}[{}%#]{0,4}") {
        let _ = Template::compile(&source, &schemas(), Escape::Html).map(|template| template.render(&input()));
    }

    #[test]
    fn json_text_stays_in_its_literal(text in any::<String>()) {
        let template = Template::compile("\"{{ profile.first_name }}\"", &schemas(), Escape::Json).expect("valid");
        let mut profile = Map::new();
        profile.insert("first_name", Value::Str(SmolStr::new(&text)));
        let body = template.render(&RenderInput { profile, ..RenderInput::default() }).expect("renders");
        prop_assert_eq!(serde_json::from_str::<String>(&body).expect("a JSON text"), text);
    }
}
