//! Timers: which fires when, and before what.

use super::*;

const WAIT: &str = "a: { wait: 1h, then: b }";
const AWAIT: &str = "b: { event: buy, within: 1h, then: done, on_timeout: done }";

/// A timer due at the event's very instant fires first, one due a millisecond later does not.
#[test]
fn due_timers_fire_before_the_event() {
    let journeys = journey("", &[WAIT, AWAIT]);
    check(
        &journeys,
        "0 go\n1h buy",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b~2h
         1h j#1: /event_received done =completed"
            .replace("b~2h\n         1h j#1:", "b~2h")
            .as_str(),
    );
    check(&journeys, "0 go\n59m59s999ms buy", "0 j#1: enter a~1h");
    check(
        &journeys,
        "0 go\n1h tick\n1h59m59s999ms buy",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b~2h
         1h59m59s999ms j#1: /event_received done =completed",
    );
    // At its own timeout an awaited event comes too late.
    check(
        &journeys,
        "0 go\n1h tick\n2h buy",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b~2h
         2h j#1: /timed_out done =completed",
    );
}

#[test]
fn a_tick_before_its_time_does_nothing() {
    check(
        &journey("", &["a: { wait: 1h, then: done }"]),
        "0 go\n59m59s999ms tick\n1h tick\n1h tick",
        "0 j#1: enter a~1h\n1h j#1: /wait_ended done =completed",
    );
}

#[test]
fn the_timeout_ends_an_instance_wherever_it_is() {
    let timeout = "timeout: 1h";
    let journeys = [
        named("a", timeout, &["x: { wait: { until: event.at }, then: done }"]),
        named("b", timeout, &["x: { event: buy, then: done }"]),
        named("c", timeout, &["x: { wait: 40m, then: y }", "y: { wait: 40m, then: done }"]),
        named("d", timeout, &["x: { message: hello, then: done }"]),
    ];
    check(
        &journeys.join("---\n"),
        r#"
        0   room full
        0   go {"at": "2026-01-02T00:00:00Z"}
        40m tick
        59m59s999ms tick
        1h  tick
        "#,
        "0 a#1: enter x
         0 b#2: enter x
         0 c#3: enter x~40m
         0 d#4: enter x
         40m c#3: /wait_ended y
         1h a#1: =timeout
         1h b#2: =timeout
         1h c#3: =timeout
         1h d#4: =timeout",
    );
}

/// A node's timer at the very instant of the timeout goes first; what it leads to at once still happens.
#[test]
fn a_node_timer_goes_before_the_timeout_of_the_same_instant() {
    check(
        &journey("timeout: 1h", &["a: { wait: 1h, then: m }", "m: { message: hello, then: done }"]),
        "0 go\n1h tick",
        "0 j#1: enter a\n1h j#1: /wait_ended m *hello /then done =completed",
    );
    check(
        &journey(
            "timeout: 1h",
            &["a: { wait: 1h, then: m }", "m: { message: hello, then: b }", "b: { wait: 1ms, then: done }"],
        ),
        "0 go\n1h tick",
        "0 j#1: enter a\n1h j#1: /wait_ended m *hello /then b =timeout",
    );
}

#[test]
fn equal_timers_fire_in_the_order_of_entry() {
    let journeys = [
        named("z", "entry: { event: go }", &["x: { wait: 2h, then: done }"]),
        named("a", "entry: { event: buy }\ntimeout: 1h", &["x: { event: quit, then: done }"]),
        named("m", "entry: { event: quit }", &["x: { wait: 30m, then: done }"]),
    ];
    check(
        &journeys.join("---\n"),
        "
        0   go
        1h  buy
        90m quit
        2h  tick
        ",
        "0 z#1: enter x~2h
         1h a#2: enter x
         1h30m a#2: /event_received done =completed
         1h30m m#3: enter x~2h
         2h z#1: /wait_ended done =completed
         2h m#3: /wait_ended done =completed",
    );
    check(
        &journeys.join("---\n"),
        "
        0   go
        1h  buy
        3h  tick
        ",
        "0 z#1: enter x~2h
         1h a#2: enter x
         3h z#1: /wait_ended done =completed
         3h a#2: =timeout",
    );
}

/// Late timers fire in the order they were due, whoever entered first.
#[test]
fn the_earlier_timer_fires_first() {
    let journeys = [
        named("a", "", &["x: { wait: 3h, then: done }"]),
        named("b", "", &["x: { wait: 2h, then: done }"]),
        named("c", "", &["x: { wait: 1h, then: y }", "y: { wait: 90m, then: done }"]),
    ];
    let entered = "0 a#1: enter x~3h
         0 b#2: enter x~2h
         0 c#3: enter x~1h\n";
    check(
        &journeys.join("---\n"),
        "0 go\n10h tick",
        &format!(
            "{entered}10h c#3: /wait_ended y~11h30m
             10h b#2: /wait_ended done =completed
             10h a#1: /wait_ended done =completed"
        ),
    );
    // On a virtual clock time passes through every instant: the second wait of c ends before the one wait of a.
    Rig::new(&journeys.join("---\n")).firing(Firing::Due).run("0 go\n10h tick").expect(&format!(
        "{entered}10h c#3: /wait_ended y~2h30m
         10h b#2: /wait_ended done =completed
         10h c#3: /wait_ended done =completed
         10h a#1: /wait_ended done =completed"
    ));
}

/// After an outage waits do not collapse into one another on the wall clock; on a virtual one they are what they were.
#[test]
fn a_chain_of_waits_after_a_gap() {
    let journeys =
        journey("", &["a: { wait: 1h, then: b }", "b: { wait: 1h, then: c }", "c: { wait: 1h, then: done }"]);
    check(&journeys, "0 go\n5h tick", "0 j#1: enter a~1h\n5h j#1: /wait_ended b~6h");
    Rig::new(&journeys)
        .firing(Firing::Due)
        .run("0 go\n2h30m tick")
        .expect("0 j#1: enter a~1h\n2h30m j#1: /wait_ended b~2h /wait_ended c~3h");
}

/// An overdue instance whose timeout has passed too: its node's timer was first, then the timeout.
#[test]
fn a_gap_over_wait_and_timeout() {
    let journeys = journey("timeout: 2h", &["a: { wait: 1h, then: b }", "b: { wait: 30m, then: done }"]);
    check(&journeys, "0 go\n5h tick", "0 j#1: enter a~1h\n5h j#1: /wait_ended b =timeout");
    Rig::new(&journeys)
        .firing(Firing::Due)
        .run("0 go\n5h tick")
        .expect("0 j#1: enter a~1h\n5h j#1: /wait_ended b~1h30m /wait_ended done =completed");
}

/// Every move makes the timer before it stale.
#[test]
fn a_generation_for_every_move() {
    let mut rig = Rig::new(&journey(
        "",
        &["a: { event: buy, within: 1d, then: b }", "b: { event: buy, within: 1d, then: done }"],
    ));
    let mut seen = Vec::new();
    for line in ["0 go", "0 buy"] {
        rig = rig.run(line);
        seen.push((rig.profile.instances[0].generation, rig.profile.instances[0].due));
    }
    assert_ne!(seen[0].0, seen[1].0);
    assert_eq!(seen[0].1, seen[1].1, "the same instant, so only the generation tells them apart");
}

/// A profile's due timers fire before its document changes, so a condition behind a wait sees it as it was.
#[test]
fn timers_fire_before_an_update() {
    check(
        &journey("", &["a: { wait: 1h, then: b }", "b: { condition: [ { when: profile.points > 1, then: done } ] }"]),
        r#"
        0  go
        1h profile.update {"points": 9}
        "#,
        "0 j#1: enter a~1h\n1h j#1: /wait_ended b =completed",
    );
}

/// The end of an instance and the next entry in one event: the timer first.
#[test]
fn a_timer_makes_way_for_an_entry() {
    check(
        &journey("timeout: 1h\nreentry: { after: 1h }", &["a: { event: buy, then: done }"]),
        "0 go\n1h go",
        "0 j#1: enter a\n1h j#1: =timeout\n1h j#2: enter a",
    );
}
