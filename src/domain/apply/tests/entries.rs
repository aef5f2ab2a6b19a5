//! Who enters, who does not, and why.

use super::*;
use crate::domain::limits;

#[test]
fn a_filter_lets_in_or_says_nothing() {
    check(
        &journey("entry: { event: go, when: event.n > 1 }", &["a: { wait: 1h, then: done }"]),
        r#"
        0  go {"n": 1}
        1m go {}
        2m go {"n": null}
        3m buy {"n": 5}
        4m go {"n": 2}
        "#,
        "4m j#1: enter a~1h4m",
    );
}

#[test]
fn a_filter_that_fails_is_counted() {
    let rig = check(
        &journey("entry: { event: go, when: 10 / event.n > 1 }", &["a: { wait: 1h, then: done }"]),
        r#"
        0  go {"n": 0}
        1m go {"n": "many"}
        2m go {"n": 4}
        3m go {"n": 0}
        "#,
        "0 j: discards entry_filter_error
         1m j: discards entry_filter_error
         2m j#1: enter a~1h2m
         3m j: discards entry_filter_error",
    );
    assert_eq!(rig.notes[0], "division by zero");
    assert!(rig.notes[1].contains("event.n"), "{:?}", rig.notes);
}

#[test]
fn a_filter_sees_profile_meta_and_time() {
    let filter = "profile.tier == 'gold' && meta.type == 'go' && meta.time == now && last.n == 1";
    let without_last = filter.replace(" && last.n == 1", "");
    check(
        &journey(&format!("entry: {{ event: go, when: \"{without_last}\" }}"), &["a: { wait: 1h, then: done }"]),
        r#"
        0  go
        1m profile.update {"tier": "gold"}
        2m go
        "#,
        "2m j#1: enter a~1h2m",
    );
}

#[test]
fn one_instance_at_a_time() {
    check(
        &journey("reentry: { after: 5m }", &["a: { wait: 1h, then: done }"]),
        "
        0      go
        59m    go
        1h     go
        1h59m  go
        ",
        "0 j#1: enter a~1h
         59m j: discards already_in_journey
         1h j#1: /wait_ended done =completed
         1h j#2: enter a~2h
         1h59m j: discards already_in_journey",
    );
}

#[test]
fn never_is_for_ever() {
    check(
        &journey("reentry: never", &["a: { wait: 1h, then: done }"]),
        "
        0    go
        2h   go
        400d go
        ",
        "0 j#1: enter a~1h
         2h j#1: /wait_ended done =completed
         2h j: discards reentrance_not_allowed
         400d j: discards reentrance_not_allowed",
    );
}

/// Elapsed ≥ `after` suffices, and is counted from the entry before, not from its end.
#[test]
fn reentry_counts_from_the_entry_before() {
    check(
        &journey("reentry: { after: 1h }", &["a: { wait: 50m, then: done }"]),
        "
        0         go
        59m59s999ms go
        1h        go
        1h50m     go
        2h        go
        ",
        "0 j#1: enter a~50m
         59m59s999ms j#1: /wait_ended done =completed
         59m59s999ms j: discards reentrance_not_allowed
         1h j#2: enter a~1h50m
         1h50m j#2: /wait_ended done =completed
         1h50m j: discards reentrance_not_allowed
         2h j#3: enter a~2h50m",
    );
}

#[test]
fn reentry_waits_for_the_end_however_long_ago_the_entry() {
    check(
        &journey("reentry: { after: 5m }", &["a: { event: buy, then: done }"]),
        "
        0  go
        9d go
        10d buy
        10d go
        ",
        "0 j#1: enter a
         9d j: discards already_in_journey
         10d j#1: /event_received done =completed
         10d j#2: enter a",
    );
}

#[test]
fn five_minutes_unless_given() {
    check(
        &journey("", &["done: { end: true }"]),
        "
        0 go
        4m59s999ms go
        5m go
        ",
        "0 j#1: enter done =completed
         4m59s999ms j: discards reentrance_not_allowed
         5m j#2: enter done =completed",
    );
}

/// A discarded event is no entry: the period does not begin again.
#[test]
fn a_discard_moves_no_period() {
    check(
        &journey("reentry: { after: 10m }", &["done: { end: true }"]),
        "
        0 go
        9m go
        10m go
        ",
        "0 j#1: enter done =completed
         9m j: discards reentrance_not_allowed
         10m j#2: enter done =completed",
    );
}

#[test]
fn one_event_enters_every_journey_it_may() {
    let journeys = [
        named("a", "", &["x: { wait: 1h, then: done }"]),
        named("b", "entry: { event: buy }", &["x: { wait: 1h, then: done }"]),
        named("c", "entry: { event: go, when: event.n == 1 }", &["x: { wait: 2h, then: done }"]),
    ];
    check(
        &journeys.join("---\n"),
        r#"
        0  go {"n": 1}
        1m buy
        "#,
        "0 a#1: enter x~1h
         0 c#2: enter x~2h
         1m b#3: enter x~1h1m",
    );
}

#[test]
fn a_profile_holds_so_many_instances_and_no_more() {
    let count = limits::INSTANCES_PER_PROFILE_MAX + 1;
    let exit = |n| format!("exit: [ {{ event: quit, when: last.n == {n} }} ]");
    let many: Vec<String> =
        (0..count).map(|n| named(&format!("j{n:03}"), &exit(n), &["a: { wait: 1d, then: done }"])).collect();
    let rig = Rig::new(&many.join("---\n")).run("0 go");
    assert_eq!(rig.log.len(), count);
    assert_eq!(rig.log[count - 1], "0 j200: discards too_many_instances");
    assert_eq!(rig.profile.instances.len(), limits::INSTANCES_PER_PROFILE_MAX);
    // One leaves: the first that may come in takes its place.
    let rig = rig.run(r#"1h quit {"n": 7}"#);
    assert_eq!(rig.profile.instances.len(), limits::INSTANCES_PER_PROFILE_MAX - 1);
    let rig = rig.run("1h go");
    assert!(rig.log.contains(&"1h j007#201: enter a~1d1h".to_owned()));
    assert_eq!(rig.log.last().map(String::as_str), Some("1h j200: discards too_many_instances"));
}

/// An instance keeps of its event what its journey reads, whole where it reads the whole.
#[test]
fn an_instance_keeps_what_is_read() {
    let read = journey(
        "entry: { event: go, when: event.s != 'x' }\nexit: [ { event: quit, when: last.n == event.n } ]",
        &["a: { wait: 1h, then: b }", "b: { condition: [ { when: event.cart.id == 'c', then: done } ] }"],
    );
    let rig =
        check(&read, r#"0 go {"n": 1, "s": "y", "cart": {"id": "c", "size": 3}, "more": 2}"#, "0 j#1: enter a~1h");
    let context = &rig.profile.instances[0].context;
    assert_eq!(context.event, properties(r#"{"cart": {"id": "c"}, "n": 1}"#));
    assert_eq!(context.last, None);
    assert_eq!((context.event_id.as_str(), context.event_type.as_str(), context.event_time), ("e@0", "go", START));
}

#[test]
fn an_event_too_large_to_remember_fails_the_instance() {
    let text = "x".repeat(limits::INSTANCE_BYTES_MAX + 1);
    let reading =
        journey("", &["a: { wait: 1h, then: b }", "b: { condition: [ { when: event.big == '', then: done } ] }"]);
    check(&reading, &format!(r#"0 go {{"big": "{text}"}}"#), "0 j#1: enter a !instance_too_large");
    // What is not read is not kept, and so may be of any size.
    let blind = journey("", &["a: { wait: 1h, then: done }"]);
    check(&blind, &format!(r#"0 go {{"big": "{text}"}}"#), "0 j#1: enter a~1h");
}
