//! Rule sets' refusals as they are told.

use super::*;

#[test]
fn the_cap_that_was_full_is_told() {
    let journeys = r#"
kind: event
name: go
schema: {}
---
kind: rule_set
name: calm
entries: { max: 1, per: day }
concurrent: 2
---
kind: journey
name: first
entry: { event: go }
rule_set: calm
priority: 60
start: done
nodes:
  done: { end: true }
---
kind: journey
name: second
entry: { event: go }
rule_set: calm
start: done
nodes:
  done: { end: true }
"#;
    let mut life = Life::new(journeys);
    life.at(0, Some("go"), "{}");
    life.at(10, Some("go"), "{}");
    let why = life.why("second", 20);
    let day = "1 of 1 entries since 1970-01-01T00:00:00.000Z";
    assert_eq!(
        texts(&why),
        [
            format!(
                "event e1 `go` discarded: a journey of higher priority took the last place of rule set `calm` ({day}; `first` has priority 60, this one 50)"
            ),
            format!("event e2 `go` discarded: rule set `calm` lets it into no further journey ({day})"),
        ]
    );
}
