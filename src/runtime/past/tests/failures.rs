//! Failures, with the expression that failed.

use super::*;

const SUMS: &str = r#"
kind: event
name: add
schema: { total: number, parts: integer }
---
kind: event
name: buy
schema: { parts: integer }
---
kind: attribute
name: share
type: number
---
kind: journey
name: sums
entry: { event: add }
start: sort
nodes:
  sort: { condition: [ { when: event.total > 100.0, then: done }, { when: event.total / double(event.parts) > 1.0, then: note } ], otherwise: note }
  note: { update_profile: { share: event.total }, then: listen }
  listen: { event: buy, when: 10 / last.parts > 1, within: 1h, then: done, on_timeout: again }
  again: { update_profile: { share: double(10 / event.parts) }, then: done, on_error: done }
  done: { end: true }
---
kind: journey
name: leaves
entry: { event: add }
exit: [ { event: buy, when: 8 / last.parts == 4 } ]
start: hold
nodes:
  hold: { wait: 1h, then: done }
  done: { end: true }
"#;

/// Of two branches the one that failed; of an exit criterion and a filter those that the event met; at a node with a way for
/// errors the value that could not be worked out.
#[test]
fn the_expression_that_failed_is_told() {
    let mut life = Life::new(SUMS);
    life.at(0, Some("add"), r#"{"total": 30, "parts": 0}"#);
    let why = life.why("sums", 1);
    let divides = "`event.total / double(event.parts) > 1.0` (event.parts = 0, event.total = 30)";
    assert_eq!(texts(&why)[1], format!("the run failed at `sort`: expression: division by zero; {divides}"));
    assert_eq!(why.story[1].rules.len(), 1);

    life.at(1, Some("buy"), r#"{"parts": 0}"#);
    let exit = "the run failed at `hold`: expression: division by zero; `8 / last.parts == 4` (last.parts = 0)";
    assert_eq!(texts(&life.why("leaves", 2)).last().copied(), Some(exit));

    life.at(10, Some("add"), r#"{"total": 30, "parts": 1}"#);
    life.at(11, Some("buy"), r#"{"parts": 0}"#);
    let filter = "the run failed at `listen`: expression: division by zero; `10 / last.parts > 1` (last.parts = 0)";
    assert_eq!(texts(&life.why("sums", 12)).last().copied(), Some(filter));

    life.at(20, Some("add"), r#"{"total": 101, "parts": 1}"#);
    assert!(texts(&life.why("sums", 21)).last().is_some_and(|text| text.starts_with("left the journey")));
}

#[test]
fn what_failed_before_a_way_for_errors_is_told() {
    let share = SUMS.replace("event.total / double(event.parts) > 1.0", "event.total > 1.0");
    let mut life = Life::new(&share);
    life.at(0, Some("add"), r#"{"total": 30, "parts": 0}"#);
    life.at(70, None, "");
    let why = life.why("sums", 71);
    let told = "`again` failed: division by zero: on to `done`; `double(10 / event.parts)` (event.parts = 0)";
    assert!(texts(&why).contains(&told), "{:?}", texts(&why));
}
