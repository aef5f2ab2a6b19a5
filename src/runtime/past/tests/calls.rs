//! Calls that failed, as they are told.

use super::*;

#[test]
fn calls_that_fail_are_told_with_their_status() {
    let nodes = "\
kind: action
name: loyalty
url: https://api.example.com
---
kind: data_source
name: weather
url: https://api.example.com
---
kind: journey
name: calls
entry: { event: add }
start: look
nodes:
  look: { data: weather, then: ask }
  ask: { action: loyalty, then: done, on_error: done }
  done: { end: true }
";
    let resources = RESOURCES.split("kind: journey").next().expect("what comes before journeys").to_owned() + nodes;
    let mut life = Life::new(&resources);
    let mut answers = Answers::default();
    answers.declare("loyalty", CallAnswer::empty(CallStatus::Http(503)));
    life.calls = Calls::Answered(std::sync::Arc::new(answers));
    life.at(0, Some("add"), r#"{"total": 60}"#);
    let why = life.why("calls", 1);
    let wanted = [
        "the data source asked at `look` answered http_200",
        "the action called at `ask` ended in http_503",
        "the call of `ask` had failed: on to `done`",
    ];
    for wanted in wanted {
        assert!(texts(&why).contains(&wanted), "{wanted}: {:?}", texts(&why));
    }
}

/// How a call failed is the reason of the failure, and its status as `stepStatus` is (spec §4.2, §13.2).
#[test]
fn failures_at_calls_say_how_they_ended() {
    let nodes = "\
kind: action
name: loyalty
url: https://api.example.com
---
kind: journey
name: calls
entry: { event: add }
start: ask
nodes:
  ask: { action: loyalty, then: done }
  done: { end: true }
";
    let resources = RESOURCES.split("kind: journey").next().expect("what comes before journeys").to_owned() + nodes;
    for (status, reason, word) in [
        (CallStatus::Http(500), "http_500", "error"),
        (CallStatus::TimedOut, "timed_out", "timed_out"),
        (CallStatus::Capped, "capped", "capped"),
        (CallStatus::InternalError, "internal_error", "error"),
    ] {
        let mut life = Life::new(&resources);
        let mut answers = Answers::default();
        answers.declare("loyalty", CallAnswer::empty(status));
        life.calls = Calls::Answered(std::sync::Arc::new(answers));
        life.at(0, Some("add"), r#"{"total": 60}"#);
        let events = step_events(&life.entries[0], Some("crm:1"), &life.catalog, |_| true);
        for step in ["called", "failed"] {
            let event = events.iter().find(|event| event.step == step).expect("it was called, and failed");
            assert_eq!((event.reason.as_deref(), event.status.as_str()), (Some(reason), word), "{step}");
        }
        let failed = format!("the run failed at `ask`: {reason}");
        assert!(texts(&life.why("calls", 1)).contains(&failed.as_str()), "{:?}", texts(&life.why("calls", 1)));
        let items = crate::runtime::report::timeline(&life.entries, &life.catalog);
        assert!(items.iter().any(|item| (item.what.as_str(), item.reason.as_str()) == ("failed", reason)));
    }
}

/// Records from before the status was kept with a failure.
#[test]
fn failures_of_old_records_are_told_as_calls() {
    let failed = StepKind::from_code(6, 6).expect("it was recorded");
    assert_eq!(failed, StepKind::Failed(Failure::Action(None)));
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("add"), r#"{"total": 60}"#);
    let last = life.entries[0].steps.last_mut().expect("it waits");
    last.kind = failed;
    let events = step_events(&life.entries[0], Some("crm:1"), &life.catalog, |step| step.kind == failed);
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        (event.step.as_str(), event.reason.as_deref(), event.status.as_str()),
        ("failed", Some("action"), "error")
    );
}
