//! Tests of drafts as they are told, and arrivals in timelines.

use super::*;
use crate::domain::guardrails::Guardrails;
use crate::runtime::report::timeline_items;

/// A draft in test, of which nothing is live.
const DRAFT: &str = r#"
kind: journey
name: tried
entry: { event: add }
start: fork
nodes:
  fork: { split: [ { percent: 1, then: which }, { percent: 99, then: done } ] }
  which:
    optimize:
      experiment:
        - { treatment: short, then: gate }
        - { treatment: long, weight: 99, then: done }
  gate: { profile_cap: 1, then: done, otherwise: done }
  done: { end: true }
"#;

fn in_test() -> Life {
    let mut life = Life::new(RESOURCES);
    let file = SourceFile { name: "d.yaml".to_owned(), text: DRAFT.to_owned() };
    let kept = life.catalog.apply_draft_within(&[file], Millis(0), &Guardrails::DEFAULT).expect("is valid").0;
    life.catalog = kept.start_test("tried", 10_000, Millis(0)).expect("starts");
    life
}

#[test]
fn a_test_takes_top_ways_and_knows_no_caps() {
    let mut life = in_test();
    life.catalog = life.catalog.flag(&["crm:1".into()], &[]).expect("is flagged");
    life.at(1, Some("add"), r#"{"total": 10}"#);
    let why = life.why("tried", 2);
    assert_eq!(
        texts(&why)[1..4],
        [
            "a test takes the top way of `fork`: on to `which`",
            "a test takes the top way of `which`, `short`: on to `gate`",
            "caps do not count in a test: there was a place at `gate`: on to `done`",
        ]
    );
}

#[test]
fn where_only_a_test_is_there_no_filter_is_blamed() {
    let mut life = in_test();
    life.at(1, Some("add"), r#"{"total": 10}"#);
    let told = |life: &Life| {
        let why = life.why("tried", 2);
        let last = why.story.last().expect("is told").clone();
        (last.reason, last.text)
    };
    let (reason, text) = told(&life);
    assert_eq!(reason, "only_in_test");
    assert_eq!(
        text,
        "event e1 `add` did not let it in: nothing of it is live; version 1 is in test, and only test profiles enter that"
    );
    life.catalog = life.catalog.stop_test("tried").expect("stops");
    assert_eq!(
        told(&life).1,
        "event e1 `add` did not let it in: nothing of it is live, and the test of version 1 has ended"
    );
}

/// The journey's end says nothing of a node that nobody waits at.
#[test]
fn arrivals_are_due_where_the_node_waits() {
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("profile.update"), r#"{"tier": "gold"}"#);
    life.at(0, Some("add"), r#"{"total": 60}"#);
    life.at(10, None, "");
    let entries = life.entries.iter();
    let items = entries.flat_map(|entry| timeline_items(entry, &life.catalog, None).into_iter().rev());
    let arrived: Vec<(String, String)> =
        items.filter(|item| item.what == "arrived").map(|item| (item.node.expect("a node"), item.reason)).collect();
    let due = |minute: i64| format!("due {}", Millis(minute * 60_000).to_iso());
    let wanted = [("hold", due(10)), ("sort", String::new()), ("tell", String::new()), ("listen", due(10 + 1_440))];
    assert_eq!(arrived, wanted.map(|(node, reason)| (node.to_owned(), reason)));
}
