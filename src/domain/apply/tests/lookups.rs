//! Datasets that are looked up in, and data sources: what is found or said is read by its own root.

use super::*;
use crate::domain::finding::Finding;
use crate::domain::limits;

const DATASET: &str = r#"kind: event
name: list
schema: { keys: [string], n: integer, s: string }
---
kind: dataset
name: products
key: sku
schema: { sku: string, price: number, left: boolean, note: string }
records: [ { sku: a, price: 3, left: true }, { sku: b, price: 12.5 } ]
---
"#;
const LOOK: &str = "look: { lookup: products, keys: event.keys, fields: [price], then: c, on_error: sorry }";
const CHOOSE: &str = "c: { condition: [ { when: \"lookup.look.entities.exists(e, e.price > 10.0)\", then: dear }, \
    { when: \"size(lookup.look.entities) > 0\", then: w } ], otherwise: done }";
const DEAR: &str = "dear: { message: told, then: w }";
const SORRY: &str = "sorry: { message: hello, then: w }";
const WAIT: &str = "w: { wait: 1h, then: done }";
const TOLD: &str = "kind: message\nname: told\nchannel: log\nbody: \"{% for e in lookup.look.entities %}{{ e.price }};{% endfor %}\"\n---\n";

fn looking(nodes: &[&str]) -> String {
    format!("{DATASET}{TOLD}{}", journey("entry: { event: list }", nodes))
}

fn keys(keys: &[&str]) -> String {
    format!("0 list {}", serde_json::json!({ "keys": keys }))
}

#[test]
fn what_is_found_is_read_by_later_nodes_and_messages() {
    let journeys = looking(&[LOOK, CHOOSE, DEAR, SORRY, WAIT]);
    let rig = check(&journeys, &keys(&["b", "none", "a"]), "0 j#1: enter look /then c /branch0 dear *told /then w~1h");
    let row = rig.rows.last().expect("a message");
    let body = &rig.catalog.program(row.version).messages[usize::from(row.message)].body;
    assert_eq!(body.render(&row.input).expect("renders"), "12.5;3;", "in the order of the keys");
    check(&journeys, &keys(&["a"]), "0 j#1: enter look /then c /branch1 w~1h");
    check(&journeys, &keys(&["none", ""]), "0 j#1: enter look /then c /otherwise done =completed");
    check(&journeys, "0 list", "0 j#1: enter look /then c /otherwise done =completed");
    let rig = check(
        &looking(&[&LOOK.replace("then: c", "then: w"), SORRY, WAIT]),
        &keys(&["a"]),
        "0 j#1: enter look /then w~1h",
    );
    assert!(rig.profile.instances[0].context.extra.is_none(), "what nobody reads is not remembered");
}

/// Spec §3.8b: 10 nodes, 20 fields, 500 keys, 10 KB.
#[test]
fn lookups_keep_their_limits() {
    let journeys = looking(&[LOOK, CHOOSE, DEAR, SORRY, WAIT]);
    let many = vec!["none"; limits::LOOKUP_KEYS_MAX];
    check(&journeys, &keys(&many), "0 j#1: enter look /then c /otherwise done =completed");
    let failed = "0 j#1: enter look /failed sorry *hello /then w~1h";
    check(&journeys, &keys(&[many.as_slice(), &["a"]].concat()), failed);
    let long = format!("{{ sku: c, note: {} }}", "x".repeat(5_000));
    let heavy = journeys.replace("{ sku: b, price: 12.5 }", &long).replace("fields: [price]", "fields: [note, price]");
    check(&heavy, &keys(&["c", "c"]), "0 j#1: enter look /then c /branch1 w~1h");
    check(&heavy, &keys(&["c", "c", "c"]), failed);
    let refused = |text: &str| -> Vec<&'static str> {
        let file = SourceFile { name: "f.yaml".to_owned(), text: format!("{PRELUDE}---\n{text}") };
        let findings = Catalog::check(&[file]).into_iter();
        findings.filter(|found| found.code.contains("lookup")).map(|Finding { code, .. }| code).collect()
    };
    let fields = |count: usize| journeys.replace("[price]", &format!("[{}]", vec!["price"; count].join(", ")));
    let (nodes_max, fields_max) = (limits::LOOKUPS_MAX, limits::LOOKUP_FIELDS_MAX);
    assert_eq!((nodes_max, fields_max, limits::LOOKUP_KEYS_MAX, limits::LOOKUP_BYTES_MAX), (10, 20, 500, 10_240));
    assert_eq!((refused(&fields(fields_max)).len(), refused(&fields(fields_max + 1))), (0, vec!["bad_lookup"]));
    let chain = |count: usize| {
        let nodes: Vec<String> = (0..count)
            .map(|n| format!("n{n}: {{ lookup: products, keys: event.keys, fields: [price], then: n{} }}", n + 1))
            .collect();
        let mut nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let last = format!("n{count}: {{ wait: 1h, then: done }}");
        nodes.push(&last);
        looking(&nodes)
    };
    assert_eq!((refused(&chain(nodes_max)).len(), refused(&chain(nodes_max + 1))), (0, vec!["too_many_lookups"]));
}

#[test]
fn records_are_replaced_and_types_that_changed_are_errors() {
    let journeys = looking(&[LOOK, CHOOSE, DEAR, SORRY, WAIT]);
    let mut rig = Rig::new(&journeys);
    rig.catalog = rig.catalog.with_records("products", vec![properties(r#"{"sku": "z", "price": 99}"#)]).expect("fits");
    let given = "records: [ { sku: a, price: 3, left: true }, { sku: b, price: 12.5 } ]\n";
    let loaded = journeys.replace(given, "");
    let before = rig.catalog.version;
    rig = rig.publish(&loaded);
    assert_eq!(rig.catalog.version, before, "a file without records changes none");
    let rig = rig.run(&keys(&["z"]));
    assert_eq!(rig.log.join("\n"), "0 j#1: enter look /then c /branch0 dear *told /then w~1h");
    // Declared with another type: the record does not fit, and with new ones the old version no longer reads it.
    let texts = "kind: dataset\nname: products\nkey: sku\nschema: { sku: string, price: string }\n";
    let publish = |text: String| {
        let file = SourceFile { name: "f.yaml".to_owned(), text };
        rig.catalog.apply_within(&[file], START, &Guardrails::WIDEST).map(|_| ()).map_err(|found| found[0].code)
    };
    assert_eq!(publish(texts.to_owned()), Err("records_do_not_fit"));
}

#[test]
fn what_a_source_said_is_read_by_its_own_root() {
    let source = r#"kind: data_source
name: sky
url: "https://sky.example.com/now"
parameters: { city: string }
query: { city: "{city}" }
response: { level: string }
---
kind: action
name: sky
url: "https://api.example.com/sky"
response: { level: string }
---
"#;
    let nodes = [
        "ask: { data: sky, with: { city: profile.tier }, then: call, on_error: done }",
        "call: { action: sky, then: c }",
        "c: { condition: [ { when: \"source.sky.level == 'rain' && action.sky.level == 'high' && source.sky.status == 'http_200'\", then: w } ], otherwise: done }",
        WAIT,
    ];
    let journeys = format!("{source}{}", journey("", &nodes));
    let rig = check(
        &journeys,
        r#"
        0  profile.update {"tier": "Oslo"}
        0  go
        1m answer 200 {"level": "rain"}
        2m answer 200 {"level": "high"}
        "#,
        "0 j#1: enter ask
         1m j#1: <http_200> /then call
         2m j#1: <http_200> /then c /branch0 w~1h2m",
    );
    assert_eq!(rig.rows[0].input.action, properties(r#"{"city": "Oslo"}"#));
    check(&journeys, "0 go\n1m answer capped", "0 j#1: enter ask\n1m j#1: <capped> /failed done =completed");
    // Nobody asks it, so nobody reads it.
    let file = SourceFile {
        name: "f.yaml".to_owned(),
        text: format!(
            "{PRELUDE}---\n{source}{}",
            journey("", &["c: { condition: [ { when: source.sky.level == 'a', then: w } ], otherwise: done }", WAIT])
        ),
    };
    let codes: Vec<_> = Catalog::check(&[file]).into_iter().map(|found| found.code).collect();
    assert!(codes.contains(&"root_not_available"), "{codes:?}");
}
