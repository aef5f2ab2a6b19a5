//! Custom actions: the instance stays until the answer comes, and goes on by what it says.

use super::*;
use crate::domain::apply::Answers;
use crate::domain::ids::DeliveryId;
use crate::domain::profile::LastCall;

const ACTION: &str = r#"kind: action
name: loyalty
url: "https://api.example.com/members"
parameters: { member: string, points: integer }
path: "/{member}/points"
body: { points: with.points }
response: { level: string, points: integer, unread: string }
error_response: { code: string }
---
"#;
const ASK: &str = "ask: { action: loyalty, with: { member: profile.tier, points: event.n }, then: w, on_error: sorry }";
const BARE: &str = "ask: { action: loyalty, with: { member: \"'m'\", points: event.n }, then: w }";
const SORRY: &str = "sorry: { message: hello, then: w }";
const WAIT: &str = "w: { wait: 1h, then: done }";

fn calling(head: &str, nodes: &[&str]) -> String {
    format!("{ACTION}{}", journey(head, nodes))
}

#[test]
fn an_instance_stays_until_the_answer_comes() {
    let rig = check(
        &calling("timeout: 2d", &[ASK, SORRY, WAIT]),
        r#"
        0  profile.update {"tier": "gold"}
        0  go {"n": 3}
        5m tick
        1h answer 200 {"level": "gold"}
        "#,
        "0 j#1: enter ask
         1h j#1: <http_200> /then w~2h",
    );
    let [row] = rig.rows.as_slice() else { panic!("{:?}", rig.rows) };
    assert_eq!((row.channel, row.id.ordinal, row.decided_at), (Channel::Call, 0, START));
    assert_eq!(row.input.action, properties(r#"{"member": "gold", "points": 3}"#));
    assert!(rig.profile.instances[0].context.extra.is_none(), "what nobody reads is not remembered");
}

/// A dry run answers no call that could not have been made.
#[test]
fn what_cannot_be_asked_is_not_answered() {
    let mut answers = Answers::default();
    answers.declare("loyalty", CallAnswer::empty(CallStatus::Http(200)));
    for (tier, then) in [("null", "<internal_error> /failed sorry *hello /then"), ("\"gold\"", "<http_200> /then")] {
        let mut rig = Rig::new(&calling("", &[ASK, SORRY, WAIT]));
        rig.calls = Calls::Answered(std::sync::Arc::new(answers.clone()));
        let rig = rig.run(&format!("0 profile.update {{\"tier\": {tier}}}\n0 go {{\"n\": 3}}"));
        assert_eq!(rig.log, [format!("0 j#1: enter ask {then} w~1h")]);
    }
}

#[test]
fn trap_5_one_way_serves_errors_timeouts_and_capping() {
    for status in ["500", "302", "404", "timed_out", "capped"] {
        let shown = if status.len() == 3 { format!("http_{status}") } else { status.to_owned() };
        check(
            &calling("", &[ASK, SORRY, WAIT]),
            &format!("0 go\n1m answer {status}"),
            &format!("0 j#1: enter ask\n1m j#1: <{shown}> /failed sorry *hello /then w~1h1m"),
        );
        check(
            &calling("", &[BARE, WAIT]),
            &format!("0 go\n1m answer {status}"),
            &format!("0 j#1: enter ask\n1m j#1: <{shown}> !{shown}"),
        );
    }
}

#[test]
fn what_is_read_of_answers_is_remembered() {
    let choose = "c: { condition: [ \
        { when: \"action.loyalty.level == 'gold' && action.loyalty.status == 'http_200'\", then: gold }, \
        { when: \"action.loyalty.error_response.code == 'E1'\", then: sorry } ], otherwise: done }";
    let nodes = [
        "ask: { action: loyalty, with: { member: \"'m'\", points: null }, then: c, on_error: c }",
        choose,
        "gold: { message: told, then: w }",
        SORRY,
        WAIT,
    ];
    let told = "kind: message\nname: told\nchannel: log\nbody: \"{{ action.loyalty.points }}\"\n---\n";
    let journeys = format!("{told}{}", calling("", &nodes));
    let rig = check(
        &journeys,
        r#"
        0  go
        1m answer 200 {"level": "gold", "points": 7, "unread": "x"}
        "#,
        "0 j#1: enter ask
         1m j#1: <http_200> /then c /branch0 gold *told /then w~1h1m",
    );
    let called = rig.profile.instances[0].context.called();
    assert_eq!(*called, properties(r#"{"loyalty": {"level": "gold", "points": 7, "status": "http_200"}}"#));
    let row = rig.rows.last().expect("a message");
    assert_eq!(row.input.action, properties(r#"{"loyalty": {"points": 7}}"#));
    let body = &rig.catalog.program(row.version).messages[usize::from(row.message)].body;
    assert_eq!(body.render(&row.input).expect("renders"), "7");
    check(
        &journeys,
        r#"
        0  go
        1m answer 422 {"code": "E1"}
        "#,
        "0 j#1: enter ask
         1m j#1: <http_422> /failed c /branch1 sorry *hello /then w~1h1m",
    );
}

#[test]
fn exits_do_not_wait_for_answers() {
    let rig = check(
        &calling("exit: [ { event: quit } ]", &[BARE, WAIT]),
        "0  go\n1m quit\n2m answer 200",
        "0 j#1: enter ask
         1m j#1: =criteria (cancels)",
    );
    assert!(rig.profile.instances.is_empty());
    // The answer of an earlier entry is not that of a later one.
    check(
        &calling("exit: [ { event: quit } ]\ntimeout: 1h", &[BARE, WAIT]),
        "0  go\n1m quit\n10m go\n1h10m answer 200",
        "0 j#1: enter ask
         1m j#1: =criteria (cancels)
         10m j#2: enter ask
         1h10m j#2: =timeout",
    );
}

#[test]
fn criteria_by_attribute_count_before_a_call() {
    let rig = check(
        &calling("exit: [ { when: \"profile.tier == 'gold'\" } ]", &["a: { wait: 1h, then: ask }", BARE, WAIT]),
        r#"
        0  go
        1m profile.update {"tier": "gold"}
        1h tick
        "#,
        "0 j#1: enter a~1h
         1h j#1: /wait_ended ask =criteria",
    );
    assert!(rig.rows.is_empty());
}

#[test]
fn without_room_the_instance_parks_at_the_node() {
    let rig = check(
        &calling("timeout: 1h", &[BARE, WAIT]),
        "0 room none\n0 go\n1s tick\n1s room free\n2s tick\n3s answer 200\n",
        "0 j#1: enter ask
         3s j#1: <http_200> /then w",
    );
    assert_eq!(rig.rows.len(), 1);
    assert_eq!(rig.rows[0].decided_at, START.plus(2_000));
}

#[test]
fn every_call_has_a_key_of_its_own() {
    let nodes = [
        "ask: { action: loyalty, with: { member: \"'m'\", points: null }, then: w }",
        "w: { wait: 1h, then: ask2 }",
        "ask2: { action: loyalty, with: { member: \"'m'\", points: 2 }, then: done }",
    ];
    let mut rig = Rig::new(&calling("", &nodes)).run("0 go\n1m answer 200\n2h tick");
    let ids: Vec<DeliveryId> = rig.rows.iter().map(|row| row.id).collect();
    assert_eq!((ids.len(), ids[0].instance), (2, ids[1].instance));
    assert_eq!((ids[0].ordinal, ids[1].ordinal), (0, 1));
    // The first call's answer comes again, and is of nobody's.
    rig.rows.pop();
    rig.log.clear();
    let rig = rig.run("3h answer 200");
    assert!(rig.log.is_empty(), "{:?}", rig.log);
    assert_eq!(rig.at(), ["ask2"]);
}

#[test]
fn an_expression_that_fails_calls_nobody() {
    let ask = "ask: { action: loyalty, with: { member: \"'m'\", points: 1 / event.n }, then: w, on_error: sorry }";
    let rig = check(
        &calling("", &[ask, SORRY, WAIT]),
        r#"0 go {"n": 0}"#,
        "0 j#1: enter ask /failed sorry *hello /then w~1h",
    );
    assert!(rig.rows.iter().all(|row| row.channel != Channel::Call));
}

#[test]
fn where_answers_are_assumed_every_call_is_answered_at_once() {
    let mut rig = Rig::new(&calling("", &[BARE, WAIT]));
    rig.calls = Calls::Assumed;
    let rig = rig.run("0 go").expect("0 j#1: enter ask <http_200> /then w~1h");
    assert!(rig.rows.is_empty());
}

/// Time has come to the tick of a cap, and whoever waits there is not told yet: an answer that comes meanwhile is heard,
/// and the tick waits.
#[test]
fn on_the_events_clock_an_answer_does_not_fire_what_waits_to_be_told() {
    let capped = named("k", "", &["p: { profile_cap: 5, then: w, otherwise: done }", WAIT]);
    let journeys = format!("{}---\n{capped}", calling("", &[BARE, WAIT]));
    let rig = Rig::new(&journeys).firing(Firing::Due).run("0 go\n1ms answer 200\n1ms place");
    rig.expect(
        "0 j#1: enter ask
         0 k#2: enter p~1ms
         1ms j#1: <http_200> /then w~1h1ms
         1ms k#2: /way(0) w~1h1ms",
    );
}

/// A node that asks a data source, and one that calls the action; a condition on the way for errors of each.
fn failing(read: &str) -> String {
    let source = "kind: data_source\nname: weather\nurl: \"https://api.example.com\"\n---\n";
    let nodes = [
        "look: { data: weather, then: ask, on_error: ask }",
        "ask: { action: loyalty, with: { member: \"'m'\", points: 1 }, then: c, on_error: c }",
        &format!("c: {{ condition: [ {{ when: \"{read}\", then: w }} ], otherwise: done }}"),
        WAIT,
    ];
    format!("{source}{}", calling("description: Asks and calls.", &nodes))
}

/// Spec §5.5: what is known of errors and calls.
#[test]
fn expressions_know_how_calls_went() {
    let holds = |script: &str, read: &str| Rig::new(&failing(read)).run(script).at() == ["w"];
    let script = "0 go\n2s answer timed_out\n5m answer 500";
    for read in [
        "journey.error == 'action' && journey.error_code == 'http_500'",
        "journey.error_node == 'ask' && journey.error_node_kind == 'action'",
        "journey.action_error_code == 'http_500' && journey.source_error_code == 'timed_out'",
        "journey.source_ms == 2000 && journey.action_ms == 298000",
        "journey.description == 'Asks and calls.'",
    ] {
        assert!(holds(script, read), "{read}");
    }
    // What went well says how long it took, and leaves the error of the one before.
    let script = "0 go\n1s answer capped\n3s answer 200";
    assert!(holds(script, "journey.error_code == 'capped' && journey.error_node == 'look'"));
    assert!(holds(script, "journey.source_error_code == 'capped' && !has(journey.action_error_code)"));
    assert!(holds(script, "journey.action_ms == 2000 && journey.error_node_kind == 'action'"));
    assert!(!holds("0 go\n1s answer 200\n2s answer 200", "has(journey.error_code) || has(journey.source_error_code)"));
}

/// Of what nobody reads, and of what went well, nothing is remembered.
#[test]
fn errors_take_room_only_where_they_are_read() {
    let remembered = |script: &str, read: &str| {
        let rig = Rig::new(&failing(read)).run(script);
        assert_eq!(rig.at(), ["w"], "{read}");
        rig.profile.instances[0].context.extra.as_deref().cloned()
    };
    assert_eq!(remembered("0 go\n1s answer 500\n2s answer 500", "event.n == null"), None);
    assert_eq!(remembered("0 go\n1s answer 200\n2s answer 200", "journey.error_code == null"), None);
    assert_eq!(remembered("0 go\n1s answer 200\n2s answer 200", "journey.action_error_code == null"), None);
    let extra =
        remembered("0 go\n1s answer 500\n2s answer 404", "journey.action_error_code != null").expect("an error");
    assert_eq!((extra.action.error, extra.action.took_ms), (Some(CallStatus::Http(404)), None));
    assert_eq!((extra.source, extra.error), (LastCall::default(), None));
}

/// The answer of a provider is no decision: how a call failed is told, and not hashed.
#[test]
fn the_chain_does_not_hang_on_how_a_call_failed() {
    let journeys = calling("", &[BARE, WAIT]);
    let chain = |answer: &str| Rig::new(&journeys).run(&format!("0 go\n1m answer {answer}")).profile.chain;
    assert_eq!(chain("500"), chain("timed_out"));
    assert_ne!(chain("500"), chain("200"));
}

#[test]
fn failures_at_calls_are_counted_by_how_they_ended() {
    let mut rig = Rig::new(&calling("", &[BARE, WAIT]));
    for (number, status) in ["500", "timed_out", "capped", "500"].into_iter().enumerate() {
        rig = rig.run(&format!("{n}h go\n{n}h1m answer {status}", n = number + 1));
    }
    let counts = rig.counts.iter().next().expect("one version").1;
    let failures: Vec<String> =
        counts.failures().filter(|(_, n)| *n > 0).map(|(failure, n)| format!("{failure} {n}")).collect();
    assert_eq!(failures, ["http_500 2", "timed_out 1", "capped 1"]);
    assert_eq!((counts.errors(), counts.active()), (4, 0));
}

/// What a newer version does not read of calls it does not take over.
#[test]
fn how_calls_went_goes_along_to_newer_versions() {
    let asks = "ask: { action: loyalty, with: { member: \"'m'\", points: 1 }, then: w, on_error: w }";
    let then = |read: &str| format!("c: {{ condition: [ {{ when: \"{read}\", then: w2 }} ], otherwise: done }}");
    let version = |read: &str, head: &str| {
        calling(head, &[asks, "w: { wait: 1h, then: c }", &then(read), "w2: { wait: 1h, then: done }"])
    };
    let knows = "journey.action_error_code == 'capped' && journey.action_ms == 60000 && journey.error_code == 'capped'";
    let moves = "migration: { default: { move: w } }";
    let rig = Rig::new(&version(knows, "")).run("0 go\n1m answer capped");
    let rig = rig.publish(&version(&format!("{knows} && event.n == null"), moves)).run("30m tick\n2h tick");
    assert_eq!(rig.at(), ["w2"]);
    let rig = Rig::new(&version(knows, "")).run("0 go\n1m answer capped");
    let rig = rig.publish(&version("event.n == null", moves)).run("30m tick");
    assert_eq!(rig.profile.instances[0].context.extra, None);
}
