//! Messages: to whom, with which inputs, and what happens without room.

use super::*;
use crate::domain::effect::OutboxState;

const MAIL: &str = "m: { message: mail, then: w }";
const WAIT: &str = "w: { wait: 1h, then: done }";

#[test]
fn a_message_is_frozen_as_it_was_decided() {
    let journeys = journey(
        "",
        &["m: { message: hello, then: a }", "a: { event: buy, then: n }", "n: { message: hello, then: w }", WAIT],
    );
    let rig = check(
        &journeys,
        r#"
        0  profile.update {"tier": "gold", "points": 1, "email": "a@example.com"}
        0  go {"n": 1, "s": "first"}
        1h profile.update {"tier": null}
        2h buy {"s": "second", "n": 9}
        "#,
        "0 j#1: enter m *hello /then a
         2h j#1: /event_received n *hello /then w~3h",
    );
    let [first, second] = rig.rows.as_slice() else { panic!("{:?}", rig.rows) };
    assert_eq!(first.input.profile, properties(r#"{"tier": "gold"}"#), "what the template reads, no more");
    assert_eq!((&first.input.event, &first.input.last), (&properties(r#"{"n": 1}"#), &properties(r#"{"s": "first"}"#)));
    assert_eq!(first.input.meta.get("id"), Some(&Value::Str("e@0".into())));
    assert_eq!((first.channel, first.recipient.as_str(), first.state), (Channel::Log, "", OutboxState::Pending));
    assert_eq!((first.decided_at, first.first_attempt_at, first.id.partition), (START, None, PartitionId(7)));
    assert_eq!(second.input.profile, Map::new());
    assert_eq!(
        (&second.input.event, &second.input.last),
        (&properties(r#"{"n": 1}"#), &properties(r#"{"s": "second"}"#))
    );
    assert_eq!((first.id.instance, first.id.ordinal), (second.id.instance, 0));
    assert_eq!(second.id.ordinal, 1);
    let body = &rig.catalog.program(first.version).messages[usize::from(first.message)].body;
    assert_eq!(body.render(&first.input).expect("renders"), "hello gold 1 first e@0");
    assert_eq!(body.render(&second.input).expect("renders"), "hello  1 second e@0");
}

#[test]
fn without_an_address_the_profile_goes_on() {
    for email in ["null", r#""""#, r#""  ""#, "5", r#"["a@example.com"]"#, r#"{"work": "a@example.com"}"#, "true"] {
        let rig = check(
            &journey("", &[MAIL, WAIT]),
            &format!("0 profile.update {{\"email\": {email}}}\n1m go"),
            "1m j#1: enter m *mail excluded /then w~1h1m",
        );
        assert!(rig.rows.is_empty());
        assert_eq!(rig.profile.instances[0].sends, 0, "no delivery, no number");
    }
    check(&journey("", &[MAIL, WAIT]), "0 go", "0 j#1: enter m *mail excluded /then w~1h");
}

#[test]
fn an_address_is_the_profile_s_of_the_moment() {
    let rig = check(
        &journey("", &["a: { wait: 1h, then: m }", MAIL, WAIT]),
        r#"
        0  profile.update {"email": "old@example.com"}
        0  go
        1m profile.update {"email": " new@example.com "}
        1h tick
        "#,
        "0 j#1: enter a~1h
         1h j#1: /wait_ended m *mail /then w~2h",
    );
    assert_eq!(rig.rows[0].recipient, "new@example.com");
}

/// Without room an instance stays at its message node, counted there, and tries again each second.
#[test]
fn a_message_without_room_waits_at_its_node() {
    let rig = check(
        &journey("", &["m: { message: hello, then: w }", WAIT]),
        "
        0     room full
        0     go
        999ms tick
        1s    tick
        1500ms tick
        ",
        "0 j#1: enter m",
    );
    assert_eq!(rig.at(), ["m"]);
    let counts = rig.counts.iter().next().expect("one version").1;
    assert_eq!((counts.nodes[0].entered, counts.nodes[0].left, counts.active()), (1, 0, 1));
    assert_eq!(rig.profile.next_due(), START.plus(2_000));
    let rig = rig.run("1600ms room free\n1700ms tick\n2s tick").expect("2s j#1: *hello /then w~1h2s");
    assert_eq!(rig.rows[0].decided_at, START.plus(2_000));
    assert_eq!(rig.rows[0].id.ordinal, 0);
}

#[test]
fn a_parked_instance_can_exit_time_out_and_stop() {
    let journeys = journey(
        "timeout: 1m\nexit: [ { event: quit } ]",
        &["m: { message: hello, then: w }", "w: { wait: 30s, then: done }"],
    );
    let parked = "0 room full\n0 go\n";
    for (script, expected) in [
        ("30s quit", "30s j#1: =criteria"),
        ("59s tick\n1m tick", "1m j#1: =timeout"),
        ("30s stop j\n30s tick", "30s j#1: =stopped"),
        ("30s go", "30s j: discards already_in_journey"),
    ] {
        check(&journeys, &format!("{parked}{script}"), &format!("0 j#1: enter m\n{expected}"));
    }
}

/// A try at the very instant of the timeout goes first, like any timer of a node.
#[test]
fn the_last_try_is_at_the_timeout() {
    check(
        &journey("timeout: 2s", &["m: { message: hello, then: done }"]),
        "0 room full\n0 go\n1s tick\n1s room free\n2s tick",
        "0 j#1: enter m\n2s j#1: *hello /then done =completed",
    );
    check(
        &journey("timeout: 2s", &["m: { message: hello, then: done }"]),
        "0 room full\n0 go\n1s tick\n2s tick\n2s tick",
        "0 j#1: enter m\n2s j#1: =timeout",
    );
}

/// What would not be sent anyway needs no room.
#[test]
fn an_excluded_message_needs_no_room() {
    check(&journey("", &[MAIL, WAIT]), "0 room full\n0 go", "0 j#1: enter m *mail excluded /then w~1h");
}

/// Each visit of a message node sends anew, with an id of its own.
#[test]
fn a_cycle_sends_each_time() {
    let rig = check(
        &journey(
            "timeout: 3h",
            &["m: { message: hello, then: w }", "w: { event: buy, within: 1h, then: done, on_timeout: m }"],
        ),
        "0 go\n1h tick\n2h tick\n3h tick",
        "0 j#1: enter m *hello /then w~1h
         1h j#1: /timed_out m *hello /then w~2h
         2h j#1: /timed_out m *hello /then w
         3h j#1: /timed_out m *hello /then w =timeout",
    );
    let ordinals: Vec<u16> = rig.rows.iter().map(|row| row.id.ordinal).collect();
    assert_eq!(ordinals, [0, 1, 2, 3]);
}
