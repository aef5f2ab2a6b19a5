//! Jumps as they are told, in both journeys.

use super::*;

/// One that jumps to another, whose entry filter reads what nothing in it does.
const JUMPING: &str = r#"
kind: event
name: go
schema: { a: string, b: integer }
---
kind: event
name: came
schema: { a: string, b: integer }
---
kind: journey
name: there
entry: { event: came, when: "event.a != 'no' && event.b < 10" }
reentry: { after: 1h }
start: stay
nodes:
  stay: { wait: 2h, then: sort }
  sort: { condition: [ { when: 'event.b > 1', then: done } ], otherwise: done }
  done: { end: true }
---
kind: journey
name: here
entry: { event: go }
reentry: { after: 5m }
start: on
nodes:
  on: { jump: there, with: { a: event.a, b: event.b }, then: done, on_error: done }
  done: { end: true }
"#;

/// The profile goes `here` and may go on `there`.
fn jumped(life: &mut Life, minute: i64, properties: &str) -> String {
    life.at(minute, Some("go"), properties);
    let why = life.why("here", minute + 1);
    texts(&why).iter().rfind(|text| text.contains("the jump")).expect("it jumps").to_string()
}

#[test]
fn where_a_jump_starts_it_is_told_what_came_of_it() {
    let mut life = Life::new(JUMPING);
    assert_eq!(
        jumped(&mut life, 0, r#"{"a": "no", "b": 5}"#),
        "passed the jump to `there` at `on`, whose entry filter was false: on to `done`"
    );
    assert_eq!(
        jumped(&mut life, 10, r#"{"a": "yes", "b": 5}"#),
        "passed the jump to `there` at `on`, which it entered: on to `done`"
    );
    assert_eq!(
        jumped(&mut life, 20, r#"{"a": "yes", "b": 5}"#),
        "passed the jump to `there` at `on`, which discarded it as `already_in_journey`: on to `done`"
    );
    // The run remembers `b`, which its condition reads, and not `a`, which only the filter did.
    let why = life.why("there", 30);
    let entered = texts(&why).into_iter().find(|text| text.contains("let it in")).expect("it entered");
    assert!(entered.ends_with("`event.a != 'no' && event.b < 10` (event.b = 5) was true"), "{entered}");
}
