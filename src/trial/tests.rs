//! Tests of tests: each kind of expectation is met and missed, and what a test's machine decides is what replay decides.

use std::sync::Arc;

use super::judge::Mismatch;
use super::machine::Machine;
use super::record::Account;
use super::run::run;
use crate::domain::catalog::{Catalog, Rehearsal, SourceFile};
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::replay::run::{BadRows, Options, replay};
use crate::replay::source::Recording;
use crate::replay::timeline::Order;

const RESOURCES: &str = "
kind: event
name: cart_add
schema: { total: number, count: integer, ends: timestamp }
---
kind: event
name: purchase
schema: { total: number }
---
kind: attribute
name: first_name
type: string
---
kind: surface
name: mail
channel: email
smtp: { host: 127.0.0.1, port: 1025, from: shop@example.com }
---
kind: message
name: reminder
channel: email
surface: mail
subject: 'You left something, {{ profile.first_name }}'
body: 'Your cart holds {{ event.total }} EUR.'
---
kind: message
name: note
channel: log
body: '{{ last.total }} after {{ 12 % event.count }}'
---
kind: journey
name: cart
entry: { event: cart_add, when: event.total >= 20.0 }
exit: [ { event: purchase, when: last.total >= event.total } ]
timeout: 10d
start: give_time
nodes:
  give_time: { wait: 1h, then: remind }
  remind: { message: reminder, then: buys }
  buys: { event: purchase, within: 2d, then: tell, on_timeout: done }
  tell: { message: note, then: linger }
  linger: { wait: 9d, then: done }
  done: { end: true }
";

fn rehearsal(text: &str) -> (Rehearsal, Vec<SourceFile>) {
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    let files = vec![file("cart.yaml", RESOURCES), file("tests.yaml", text)];
    match Rehearsal::of(&files) {
        Ok(rehearsal) => (rehearsal, files),
        Err(findings) => panic!("{findings:#?}"),
    }
}

/// What is wrong with the one test of `text`.
fn mismatches(text: &str) -> Vec<(u32, Mismatch)> {
    let (rehearsal, files) = rehearsal(text);
    let outcome = run(&rehearsal.trials[0], &Arc::new(rehearsal.catalog)).expect("it runs");
    let line = |mismatch: &Mismatch| mismatch.place.find(&files).expect("it has a place").1;
    outcome.mismatches.into_iter().map(|mismatch| (line(&mismatch), mismatch)).collect()
}

/// A test of a cart of 80 EUR, bought by an order of 30 after two hours, whose expectation is `expected`: what is not met,
/// with lines from the first of `expected` on.
fn check(expected: &str, missed: &[(u32, &str)]) {
    let head = "kind: test
name: a small order
profile: crm:anna
given: { first_name: Anna, email: anna@example.com }
events:
  - { type: cart_add, properties: { total: 80, count: 5 } }
  - { at: 2h, type: purchase, properties: { total: 30 } }
expect:
";
    let found = mismatches(&format!("{head}{expected}"));
    let found: Vec<(u32, &str)> = found.iter().map(|(line, m)| (line - 8, m.message.as_str())).collect();
    assert_eq!(found, missed, "{expected}");
}

#[test]
fn what_happened_is_what_is_expected() {
    check(
        "  messages:
    - { message: reminder, at: 1h, to: anna@example.com, subject: 'You left something, Anna', node: remind }
    - { message: note, at: 2026-01-05T11:00:00Z, channel: log, body: 30 after 2, body_contains: [30, after], body_lacks: 80 }
  path: [give_time, remind, buys, tell, linger, done]
  end: completed
  end_at: 9d2h
  entries: 1
  discarded: []
  excluded: []
  document: { first_name: Anna }
",
        &[],
    );
    check("  { messages_include: [note], path_includes: [remind, linger] }", &[]);
    check("  [ { entry: 1, messages: [reminder, note] }, { entry: 2, messages: [], end: not_entered } ]", &[]);
}

#[test]
fn messages_are_compared_one_by_one() {
    check("  { messages: [reminder] }", &[(1, "messages to crm:anna are not those expected")]);
    check("  { messages: [note, reminder] }", &[(1, "messages to crm:anna are not those expected")]);
    check(
        "  messages:
    - message: reminder
      at: 2h
      to: bob@example.com
      subject: Hello
      subject_contains: Bob
      channel: log
      node: buys
    - message: note
      body: 31 after 2
      body_contains: [30, '31']
      body_lacks: after
",
        &[
            (3, "message `reminder` was sent at 1h, not at 2h"),
            (4, "message `reminder` went to anna@example.com, not to bob@example.com"),
            (7, "message `reminder` left by email, not by log"),
            (8, "message `reminder` came from node `remind`, not from `buys`"),
            (5, "the subject of message `reminder` is another"),
            (6, "the subject of message `reminder` does not contain \"Bob\""),
            (10, "the body of message `note` is another"),
            (11, "the body of message `note` does not contain \"31\""),
            (12, "the body of message `note` contains \"after\""),
        ],
    );
    check("  messages_include: [ note, reminder ]", &[(1, "message `reminder` to crm:anna is missing")]);
    check(
        "  messages_include: [ { message: reminder, at: 5h } ]",
        &[(1, "message `reminder` was sent at 1h, not at 5h")],
    );
    check("  excluded: [note]", &[(1, "messages kept from crm:anna are not those expected")]);
}

#[test]
fn paths_ends_and_entries_are_compared() {
    check("  path: [give_time, done]", &[(1, "crm:anna took another path")]);
    check("  path_includes: [tell, remind]", &[(1, "crm:anna did not come to `remind` there")]);
    check("  end: criteria", &[(1, "crm:anna ended as completed; expected is `criteria`")]);
    check("  end: running", &[(1, "crm:anna ended as completed; expected is `running`")]);
    check("  end_at: 9d", &[(1, "crm:anna ended at 9d2h, not at 9d")]);
    check("  entries: 2", &[(1, "crm:anna entered once, not 2 times")]);
    check("  discarded: [already_in_journey]", &[(1, "entries of crm:anna were not refused as expected")]);
    check(
        "  { entry: 2, path: [give_time], end: completed, messages: [note] }",
        &[
            (1, "crm:anna, entry 2, did not enter"),
            (1, "crm:anna, entry 2, did not enter; expected is `completed`"),
            (1, "messages to crm:anna are not those expected"),
        ],
    );
    check("  document: { first_name: Bob }", &[(1, "field `first_name` of crm:anna is \"Anna\", not \"Bob\"")]);
}

#[test]
fn differences_and_what_happened_are_told() {
    let found = mismatches(
        "kind: test
name: x
profile: crm:anna
given: { first_name: Anna, email: anna@example.com }
events:
  - { type: cart_add, properties: { total: 80, count: 5 } }
  - { at: 2h, type: purchase, properties: { total: 80 } }
expect:
  messages: [reminder, note]
  path: [give_time, buys]
",
    );
    let [(10, path), (9, messages)] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(
        path.detail,
        "  expected    actual\n  give_time   give_time\n≠ -           remind\n  buys        buys\n"
    );
    let sent = "1h reminder to anna@example.com \"You left something, Anna\"";
    let width = sent.len();
    assert_eq!(
        messages.detail,
        format!("  {:width$}   actual\n  {sent}   {sent}\n≠ {:width$}   -\n", "expected", "note")
    );
    assert_eq!(
        path.timeline,
        "what happened to crm:anna:
0s  event profile.update {\"first_name\":\"Anna\",\"email\":\"anna@example.com\"}
0s  event cart_add {\"total\":80,\"count\":5}
0s  entered cart/give_time
0s  arrived cart/give_time
1h  left cart/give_time: wait_ended
1h  arrived cart/remind
1h  message reminder to anna@example.com \"You left something, Anna\"
1h  left cart/remind: then
1h  arrived cart/buys
2h  event purchase {\"total\":80}
2h  exited cart/buys: criteria
"
    );
}

#[test]
fn without_an_address_a_message_is_excluded() {
    let text = |expected: &str| {
        format!(
            "kind: test\nname: x\nevents:\n  - {{ type: cart_add, properties: {{ total: 80, count: 5 }} }}\n\
             until: 2h\nexpect: {expected}\n"
        )
    };
    assert!(mismatches(&text("{ messages: [], excluded: [reminder], end: running }")).is_empty());
    let found = mismatches(&text("{ end: completed, end_at: 1h }"));
    let messages: Vec<&str> = found.iter().map(|(_, mismatch)| mismatch.message.as_str()).collect();
    assert_eq!(messages, ["test:1 is still inside; expected is `completed`", "test:1 did not end, not at 1h"]);
}

#[test]
fn what_production_would_refuse_or_fail_fails_a_test() {
    let found = mismatches(
        "kind: test
name: a template that fails
events:
  - { type: cart_add, properties: { total: 80, count: 0 } }
  - { at: 2h, type: purchase, properties: { total: 1 } }
  - { at: 30d, type: purchase, properties: { total: 1 } }
until: 20d
expect: { end: completed }
",
    );
    let [(6, late), (2, template)] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(late.message, "this event comes after the test's `until`");
    assert!(template.message.starts_with("message `note` can't be rendered: "), "{}", template.message);
}

#[test]
fn an_event_with_a_known_id_counts_once() {
    let text = "kind: test
name: repeats
events:
  - { id: order-1, type: cart_add, properties: { total: 80, count: 1 } }
  - { id: order-1, at: 10m, type: cart_add, properties: { total: 80, count: 1 } }
  - { id: order-2, at: 20m, type: cart_add, properties: { total: 80, count: 1 } }
expect: { entries: 1, discarded: [already_in_journey] }
";
    assert!(mismatches(text).is_empty());
}

/// The same events give the same decisions here and in replay: the same shard decides.
#[test]
fn replay_decides_the_same() {
    let text = "kind: test
name: three carts
profiles: { 'crm:1': , 'crm:2': , 'crm:3': { email: a@example.com } }
events:
  - { profile: 'crm:1', type: cart_add, properties: { total: 80, count: 1 } }
  - { profile: 'crm:2', at: 30m, type: cart_add, properties: { total: 25.5, count: 1 } }
  - { profile: 'crm:3', at: 31m, type: cart_add, properties: { total: 30, count: 2 } }
  - { profile: 'crm:1', at: 3h, type: purchase, properties: { total: 10 } }
  - { profile: 'crm:2', at: 3h, type: purchase, properties: { total: 25.5 } }
  - { profile: 'crm:2', at: 4h, type: cart_add, properties: { total: 25.5, count: 1 } }
expect: { profile: 'crm:1', entries: 1 }
";
    let (Rehearsal { catalog, trials, .. }, files) = rehearsal(text);
    let catalog: Arc<Catalog> = Arc::new(catalog);
    let (mut machine, mut account) = (Machine::start(&catalog).expect("starts"), Account::default());
    let mut recorded = String::new();
    for input in &trials[0].inputs {
        let properties = crate::domain::value::Value::Map(input.properties.clone()).to_json();
        let mut bytes = Vec::new();
        crate::wire::value::put_map(&mut bytes, &input.properties);
        let event = Event {
            id: input.id.clone(),
            kind: input.kind.clone(),
            profile: input.profile.clone(),
            time: Some(input.at),
            properties: bytes.into(),
        };
        machine.submit(event, input.at, &mut account).expect("taken");
        recorded.push_str(&format!(
            "{}\n",
            serde_json::json!({"id": input.id, "type": input.kind, "profile": input.profile,
                "time": input.at.to_iso(), "properties": properties})
        ));
    }
    machine.advance(Millis::NEVER, &mut account).expect("time passes");
    let hash = machine.ask(|partition| partition.hash_sum, &mut account).expect("answers");
    let options = Options { shards: 2, mapping: None, order: Order::AsRead, until: None, bad_rows: BadRows::Stop };
    let directory = tempfile::tempdir().expect("a directory");
    let recording = Recording::new("recorded", Box::new(std::io::Cursor::new(recorded)), None);
    let resources = files.into_iter().map(|file| (file.name, file.text)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let replayed = runtime
        .expect("a runtime")
        .block_on(replay(directory.path(), resources, recording, &options, |_| {}))
        .expect("replays");
    assert_eq!(format!("{hash:032x}"), replayed.report.hash);
    assert_eq!(replayed.report.journeys["cart"].entered, 4);
}

/// Parsed again by somebody else's parser, a document says what was put in.
#[test]
fn junit_is_well_formed_whatever_texts_hold() {
    use super::junit::{Case, Suite, Verdict, document};
    let nasty = "a <b> & \"c\" 'd'\n\te\u{1}\u{1b}[31m\r ]]> é 🎉 \u{fffe}";
    let kept = "a <b> & \"c\" 'd'\n\te\u{fffd}\u{fffd}[31m\r ]]> é 🎉 \u{fffd}";
    let case = |verdict| Case {
        name: nasty.to_owned(),
        class: nasty.to_owned(),
        line: 7,
        took: std::time::Duration::from_millis(1500),
        verdict,
    };
    let cases = vec![
        case(Verdict::Passed),
        case(Verdict::Failed(nasty.to_owned(), nasty.to_owned())),
        case(Verdict::Broken(nasty.to_owned())),
    ];
    let text = document(&[Suite { name: nasty.to_owned(), cases }, Suite { name: "none".to_owned(), cases: vec![] }]);
    let parsed = roxmltree::Document::parse(&text).expect("well-formed");
    let root = parsed.root_element();
    let counts = |node: roxmltree::Node<'_, '_>| {
        ["tests", "failures", "errors", "time"].map(|name| node.attribute(name).expect("a count").to_owned())
    };
    assert_eq!(counts(root), ["3", "1", "1", "4.500000"]);
    let suites: Vec<_> = root.children().filter(|node| node.has_tag_name("testsuite")).collect();
    assert_eq!(counts(suites[0]), ["3", "1", "1", "4.500000"]);
    assert_eq!((counts(suites[1])[0].as_str(), suites[0].attribute("name")), ("0", Some(kept)));
    let cases: Vec<_> = suites[0].children().filter(|node| node.has_tag_name("testcase")).collect();
    for case in &cases {
        assert_eq!((case.attribute("name"), case.attribute("classname")), (Some(kept), Some(kept)));
        assert_eq!((case.attribute("line"), case.attribute("time")), (Some("7"), Some("1.500000")));
    }
    let child =
        |case: roxmltree::Node<'_, '_>, tag: &str| case.children().find(|node| node.has_tag_name(tag)).map(|n| n.id());
    assert!(cases[0].children().next().is_none());
    let failure = parsed.get_node(child(cases[1], "failure").expect("a failure")).expect("a node");
    assert_eq!((failure.attribute("message"), failure.text()), (Some(kept), Some(kept)));
    let error = parsed.get_node(child(cases[2], "error").expect("an error")).expect("a node");
    assert_eq!(error.attribute("message"), Some(kept));
}

const CALLS: &str = "
kind: event
name: bought
schema: { total: number, sku: string }
---
kind: action
name: crm
url: 'https://crm.example.com/api'
method: PUT
parameters: { sku: string, total: number }
path: '/{sku}'
query: { q: '{total}' }
headers: { X-Sku: '{sku}' }
body: { total: with.total, of: [with.sku] }
---
kind: journey
name: tell
entry: { event: bought }
reentry: { after: 5m }
start: first
nodes:
  first: { action: crm, with: { sku: event.sku, total: event.total }, then: second, on_error: done }
  second: { action: crm, with: { sku: event.sku, total: null }, then: done }
  done: { end: true }
";

/// Calls of a test: what is expected of them, and what is missed.
fn check_calls(answers: &str, expected: &str, missed: &[&str]) {
    check_calls_of(CALLS, answers, expected, missed);
}

fn check_calls_of(resources: &str, answers: &str, expected: &str, missed: &[&str]) {
    let trial = format!(
        "kind: test\nname: t\nactions: {{ crm: {answers} }}\nevents: [ {{ type: bought, properties: {{ total: 80, sku: a/b }} }} ]\nexpect: {{ {expected} }}\n"
    );
    let files: Vec<SourceFile> = [("calls.yaml", resources), ("tests.yaml", &trial)]
        .map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() })
        .into();
    let rehearsal = Rehearsal::of(&files).unwrap_or_else(|findings| panic!("{findings:#?}"));
    let outcome = run(&rehearsal.trials[0], &Arc::new(rehearsal.catalog)).expect("it runs");
    let found: Vec<&str> = outcome.mismatches.iter().map(|mismatch| mismatch.message.as_str()).collect();
    assert_eq!(found, missed, "{expected}");
}

/// As on a server: what can't be asked has no answer, whatever the test says of answers.
#[test]
fn a_call_that_cannot_be_made_is_not_answered() {
    let unmade =
        CALLS.replace("first: { action: crm, with: { sku: event.sku", "first: { action: crm, with: { sku: null");
    check_calls_of(&unmade, "{ status: 200 }", "path: [first, done], end: completed", &[]);
}

#[test]
fn calls_are_expected_by_what_they_say() {
    let good = "{ status: 200 }";
    check_calls(good, "calls: [crm, crm], path: [first, second, done]", &[]);
    check_calls(
        good,
        "calls: [ { action: crm, at: 0s, node: first, method: PUT, path: /a%2Fb, query: { q: '80.0' }, headers: { x-sku: a/b }, body: { total: 80, of: [a/b] } }, { action: crm, node: second, body: { total: null } } ]",
        &[],
    );
    check_calls(good, "calls: [crm]", &["calls for test:1 are not those expected"]);
    check_calls(good, "calls_include: [ { action: crm, node: second } ]", &[]);
    check_calls(good, "calls_include: [crm, crm, crm]", &["a call of `crm` for test:1 is missing"]);
    check_calls(
        good,
        "calls: [ { action: crm, at: 1h, node: second, method: GET, path: /x, query: { z: '1' }, headers: { X-Sku: b }, body: { total: 1 } }, crm ]",
        &[
            "the call of `crm` was made at 0s, not at 1h",
            "the call of `crm` came from node `first`, not from `second`",
            "the call of `crm` was a PUT, not a GET",
            "the path of the call of `crm` is another",
            "query parameter `z` of the call of `crm` is not there, not \"1\"",
            "header `X-Sku` of the call of `crm` is \"a/b\", not \"b\"",
            "`body.total` of the call of `crm` is 80.0, not 1",
        ],
    );
    // One call after the other: how each ends is the test's to say.
    for status in ["timed_out", "capped", "internal_error", "404"] {
        check_calls(&format!("{{ status: {status} }}"), "calls: [crm], path: [first, done], end: completed", &[]);
        check_calls(&format!("[ {{ status: 204 }}, {{ status: {status} }} ]"), "calls: [crm, crm], end: failed", &[]);
    }
}
