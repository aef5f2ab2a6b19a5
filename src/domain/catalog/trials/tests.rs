//! What `check` says of tests of journeys.

use super::*;

const RESOURCES: &str = "
kind: event
name: cart_add
schema: { total: number, items: [string], cart: { size: integer }, ends: timestamp, gift: boolean }
---
kind: attribute
name: consents.email
type: boolean
---
kind: message
name: reminder
channel: log
body: hello
---
kind: message
name: unsent
channel: log
body: hello
---
kind: journey
name: cart
entry: { event: cart_add }
start: remind
nodes:
  remind: { message: reminder, then: done }
  done: { end: true }
";

fn files(texts: &[&str]) -> Vec<SourceFile> {
    let name = |index: usize| format!("f{index}.yaml");
    texts.iter().enumerate().map(|(i, text)| SourceFile { name: name(i), text: (*text).to_owned() }).collect()
}

/// Findings of a test: line, code, suggestion.
fn findings(test: &str) -> Vec<(u32, &'static str, String)> {
    let found = Catalog::check(&files(&[RESOURCES, test]));
    let of_test = found.into_iter().filter(|finding| finding.file == "f1.yaml");
    of_test.map(|finding| (finding.line, finding.code, finding.suggestion.unwrap_or_default())).collect()
}

/// A test whose events and expectation are given: codes of its findings, with what their suggestions contain.
fn check(events: &str, expect: &str, due: &[(&str, &str)]) {
    let test = format!("kind: test\nname: a test, of a kind!\nevents: [ {events} ]\nexpect: {expect}\n");
    let found = findings(&test);
    assert_eq!(found.len(), due.len(), "{test}{found:#?}");
    for ((_, code, suggestion), (due_code, due_suggestion)) in found.iter().zip(due) {
        assert_eq!(code, due_code, "{test}");
        assert!(suggestion.contains(due_suggestion), "{suggestion:?} for {test}");
    }
}

#[test]
fn names_must_exist() {
    let entered = "{ type: cart_add }";
    check(entered, "{ messages: [reminder], path: [remind, done] }", &[]);
    check("{ type: cart_ad }", "{ entries: 1 }", &[("unknown_event", "did you mean `cart_add`?")]);
    check("{ type: message.sent }", "{ entries: 1 }", &[("unknown_event", "")]);
    check(entered, "{ path: [remnd] }", &[("unknown_node", "did you mean `remind`?")]);
    check(entered, "{ path_includes: [zzz] }", &[("unknown_node", "its nodes are remind, done")]);
    check(entered, "{ messages: [reminde] }", &[("unknown_message", "did you mean `reminder`?")]);
    check(entered, "{ excluded: [unsent] }", &[("never_sent", "")]);
    check(entered, "{ messages: [ { message: reminder, node: dne } ] }", &[("unknown_node", "`done`")]);
    check(entered, "{ journey: crt, end: completed }", &[("unknown_journey", "did you mean `cart`?")]);
    check(entered, "{ profile: 'crm:2', entries: 1 }", &[("unknown_profile", "profiles:")]);
    check(entered, "{ end: complete }", &[("unknown_value", "did you mean `completed`?")]);
    check(entered, "{ end: 'discarded:already_in_journey' }", &[("unknown_value", "discarded: [already_in_journey]")]);
    check(entered, "{ discarded: [already] }", &[("unknown_value", "`already_in_journey`")]);
    check(entered, "{ messages: [ { message: reminder, to: a@b.c } ] }", &[("unexpected_address", "")]);
    check(entered, "{ messages: [ { message: reminder, subject: x } ] }", &[("unexpected_subject", "")]);
    check(entered, "{ pth: [remind] , entries: 1 }", &[("unknown_key", "did you mean `path`?")]);
    check(entered, "{ profile: 'test:1' }", &[("missing_key", "`path`")]);
    check(entered, "[]", &[("missing_key", "`path`")]);
    check(entered, "{ entry: 0, entries: x }", &[("wrong_type", ""), ("wrong_type", "")]);
}

#[test]
fn values_must_fit_their_declarations() {
    let event = |properties: &str| format!("{{ type: cart_add, properties: {{ {properties} }} }}");
    let fits = "total: 5, items: [12, x], cart: { size: 3 }, ends: 2d, gift: true";
    check(&event(fits), "{ entries: 1 }", &[]);
    check(&event("totl: 5"), "{ entries: 1 }", &[("unknown_field", "did you mean `total`?")]);
    check(&event("cart: { sze: 5 }"), "{ entries: 1 }", &[("unknown_field", "did you mean `size`?")]);
    for wrong in ["total: x", "total: '5'", "items: 5", "cart: { size: 5.5 }", "ends: soon", "gift: 1", "total: inf"] {
        check(&event(wrong), "{ entries: 1 }", &[("wrong_type", "sent as it is")]);
    }
    let update = "{ type: profile.update, properties: { email: a@b.c, consents: { email: true } } }";
    check(update, "{ document: { consents: { email: true } } }", &[]);
    check("{ type: profile.update, properties: { consent: 1 } }", "{ entries: 0 }", &[("unknown_field", "consents")]);
    check("{ type: cart_add }", "{ document: { x: 1 } }", &[("unknown_field", "")]);
}

#[test]
fn times_are_durations_or_instants() {
    let at = |at: &str| format!("{{ at: {at}, type: cart_add }}");
    check(&format!("{}, {}", at("1d2h"), at("2026-01-05T09:00:00Z")), "{ entries: 1 }", &[]);
    check(&at("5"), "{ entries: 1 }", &[("bad_time", "`1h`")]);
    check(&at("2026-01-05T08:59:59Z"), "{ entries: 1 }", &[("before_start", "`start`")]);
    let whole = "kind: test\nname: x\nstart: tomorrow\nevents: []\nuntil: never\nexpect: { entries: 0 }\n";
    let codes: Vec<_> = findings(whole).into_iter().map(|(line, code, _)| (line, code)).collect();
    assert_eq!(codes, [(3, "bad_time"), (5, "bad_time")]);
}

#[test]
fn several_profiles_are_named() {
    let test = "kind: test\nname: x\nprofiles: { 'crm:1': , 'crm:2': }\nevents: [ { type: cart_add } ]\n";
    let codes = |rest: &str| {
        findings(&format!("{test}{rest}")).into_iter().map(|(line, code, _)| (line, code)).collect::<Vec<_>>()
    };
    assert_eq!(codes("expect: { entries: 1, profile: 'crm:1' }\n"), []);
    assert_eq!(codes("expect: { entries: 1 }\n"), [(5, "missing_key")]);
    assert_eq!(codes("profile: 'crm:3'\nexpect: { entries: 1, profile: 'crm:1' }\n"), [(5, "duplicate_key")]);
    assert_eq!(codes("expect: { entries: 1, profile: 'crm1' }\n"), [(5, "bad_profile")]);
}

#[test]
fn events_are_put_in_order_behind_the_documents() {
    let test = "kind: test
name: x
profiles: { 'crm:1': { email: a@b.c }, 'crm:2': }
events:
  - { profile: 'crm:2', at: 2h, type: cart_add, properties: { ends: -1d } }
  - { profile: 'crm:1', at: 1h, type: cart_add }
  - { type: cart_add, id: last }
expect: [ { profile: 'crm:1', entries: 1 }, { profile: 'crm:2', entries: 1 } ]
";
    let rehearsal = Rehearsal::of(&files(&[RESOURCES, test])).expect("no findings");
    let trial = &rehearsal.trials[0];
    let order: Vec<(&str, &str, i64)> = trial
        .inputs
        .iter()
        .map(|input| (input.id.as_str(), input.profile.as_str(), (input.at.0 - trial.start.0) / 3_600_000))
        .collect();
    assert_eq!(order, [("given", "crm:1", 0), ("event-2", "crm:1", 1), ("last", "crm:1", 1), ("event-1", "crm:2", 2)]);
    let ends = trial.inputs[3].properties.get("ends").map(crate::domain::value::Value::to_text);
    assert_eq!(ends.as_deref(), Some("2026-01-04T09:00:00.000Z"));
}

#[test]
fn names_of_tests_are_their_journeys() {
    let test = |journey: &str| format!("kind: test\nname: x\n{journey}events: []\nexpect: {{ entries: 0 }}\n");
    let two = format!("{}---\n{}", test(""), test("journey: cart\n"));
    assert_eq!(findings(&two), []);
    let twice = format!("{}---\n{}", test(""), test(""));
    assert_eq!(findings(&twice), [(7, "duplicate_resource", "rename one of them".to_owned())]);
}

/// Publishing looks at the shape of tests and at nothing else of them.
#[test]
fn tests_are_no_part_of_what_is_published() {
    let outdated = "kind: test\nname: x\nevents: [ { type: gone } ]\nexpect: { path: [gone] }\n";
    let (with, report) = Catalog::default().apply(&files(&[RESOURCES, outdated]), Millis(0)).expect("applies");
    let (without, _) = Catalog::default().apply(&files(&[RESOURCES]), Millis(0)).expect("applies");
    assert_eq!(with.to_record(), without.to_record());
    assert!(report.resources.iter().all(|resource| resource.name != "x"));
    let shapeless = "kind: test\nname: x\nevent: []\nexpect: { entries: 0 }\n";
    let refused = Catalog::default().apply(&files(&[RESOURCES, shapeless]), Millis(0)).expect_err("a typo");
    assert_eq!(
        refused.iter().map(|finding| finding.code).collect::<Vec<_>>(),
        ["unused_attribute", "unused_message", "missing_key", "unknown_key"]
    );
}
