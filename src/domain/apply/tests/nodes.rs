//! What each node does.

use super::*;
use crate::domain::limits;

#[test]
fn the_first_true_branch_wins() {
    let branches =
        "a: { condition: [ { when: event.n > 5, then: b }, { when: event.n > 1, then: c } ], otherwise: done }";
    let journeys = journey("", &[branches, "b: { wait: 1h, then: done }", "c: { wait: 2h, then: done }"]);
    for (event, expected) in [
        (r#"{"n": 9}"#, "a /branch0 b~1h"),
        (r#"{"n": 2}"#, "a /branch1 c~2h"),
        (r#"{"n": 1}"#, "a /otherwise done =completed"),
        // A comparison with null is false.
        ("{}", "a /otherwise done =completed"),
        (r#"{"n": null}"#, "a /otherwise done =completed"),
    ] {
        check(&journeys, &format!("0 go {event}"), &format!("0 j#1: enter {expected}"));
    }
}

#[test]
fn no_branch_and_no_otherwise_is_an_end() {
    check(
        &journey("", &["a: { condition: [ { when: event.n > 5, then: b } ] }", "b: { wait: 1h, then: done }"]),
        "0 go",
        "0 j#1: enter a =completed",
    );
}

#[test]
fn an_error_in_a_condition_is_the_nodes() {
    let rig = check(
        &journey(
            "",
            &[
                "w: { wait: 1h, then: a }",
                "a: { condition: [ { when: 1 / event.n > 5, then: done }, { when: 'true', then: done } ] }",
            ],
        ),
        r#"
        0  go {"n": 0}
        1h tick
        2h go {"n": 1}
        3h tick
        "#,
        "0 j#1: enter w~1h
         1h j#1: /wait_ended a !expression
         2h j#2: enter w~3h
         3h j#2: /wait_ended a /branch1 done =completed",
    );
    assert_eq!(rig.notes, ["division by zero"]);
    let counts = rig.counts.iter().next().expect("one version").1;
    assert_eq!((counts.entered, counts.errors(), counts.active()), (2, 1, 0));
    assert_eq!((counts.nodes[1].entered, counts.nodes[1].errors, counts.nodes[1].left), (2, 1, 1));
}

/// A value of another type than declared is an error wherever it is read, also after the instance's memory was cut
/// down to what is read.
#[test]
fn a_wrong_type_is_an_error_at_once_and_later() {
    let read = "{ condition: [ { when: event.cart.id == 'c', then: done } ], otherwise: done }";
    let journeys = journey("", &["w: { wait: 1h, then: a }", &format!("a: {read}")]);
    for cart in ["5", r#"{"id": 5}"#] {
        check(
            &journeys,
            &format!("0 go {{\"cart\": {cart}}}\n1h tick"),
            "0 j#1: enter w~1h
             1h j#1: /wait_ended a !expression",
        );
    }
    let filtered = journey("entry: { event: go, when: event.cart.id == 'c' }", &["done: { end: true }"]);
    check(&filtered, r#"0 go {"cart": 5}"#, "0 j: discards entry_filter_error");
}

#[test]
fn a_condition_sees_the_profile_of_the_moment() {
    check(
        &journey(
            "",
            &[
                "w: { wait: 1h, then: a }",
                "a: { condition: [ { when: \"profile.tier == 'gold' && profile.consents.email\", then: done } ] }",
            ],
        ),
        r#"
        0  go
        1m profile.update {"tier": "gold", "consents": {"email": true}}
        1h tick
        2h go
        2h profile.update {"consents": {"email": null}}
        3h tick
        "#,
        "0 j#1: enter w~1h
         1h j#1: /wait_ended a /branch0 done =completed
         2h j#2: enter w~3h
         3h j#2: /wait_ended a =completed",
    );
}

#[test]
fn a_wait_until_waits_unless_the_instant_has_passed() {
    let journeys = journey("", &["a: { wait: { until: event.at }, then: done }"]);
    for (at, expected) in [
        ("\"2026-01-01T01:00:00Z\"", "a~1h"),
        ("\"2026-01-01T00:00:00.001Z\"", "a~1ms"),
        ("\"2026-01-01T00:00:00Z\"", "a /wait_ended done =completed"),
        ("\"2025-01-01T00:00:00Z\"", "a /wait_ended done =completed"),
        ("null", "a /wait_ended done =completed"),
        ("\"soon\"", "a !expression"),
    ] {
        check(&journeys, &format!("0 go {{\"at\": {at}}}"), &format!("0 j#1: enter {expected}"));
    }
    check(&journeys, "0 go", "0 j#1: enter a /wait_ended done =completed");
}

#[test]
fn an_event_node_hears_only_while_the_instance_is_there() {
    check(
        &journey("", &["w: { wait: 1h, then: a }", "a: { event: buy, then: done }"]),
        "
        0    go
        30m  buy
        1h   tick
        2h   buy
        3h   buy
        ",
        "0 j#1: enter w~1h
         1h j#1: /wait_ended a
         2h j#1: /event_received done =completed",
    );
}

#[test]
fn a_false_filter_keeps_waiting_and_an_error_fails() {
    let journeys =
        journey("", &["a: { event: buy, when: 6 / last.n == event.n, within: 1d, then: done, on_timeout: done }"]);
    check(
        &journeys,
        r#"
        0  go {"n": 2}
        1h buy {"n": 1}
        2h buy {}
        3h buy {"n": 3}
        4h go {"n": 2}
        5h buy {"n": 0}
        "#,
        "0 j#1: enter a~1d
         3h j#1: /event_received done =completed
         4h j#2: enter a~1d4h
         5h j#2: !expression",
    );
}

#[test]
fn an_event_that_does_not_come() {
    let with = "a: { event: buy, within: 2d, then: b, on_timeout: c }";
    let without = "a: { event: buy, within: 2d, then: b }";
    let nodes = ["b: { wait: 1h, then: done }", "c: { wait: 2h, then: done }"];
    check(&journey("", &[with, nodes[0], nodes[1]]), "0 go\n2d tick", "0 j#1: enter a~2d\n2d j#1: /timed_out c~2d2h");
    check(&journey("", &[without, nodes[0]]), "0 go\n2d tick", "0 j#1: enter a~2d\n2d j#1: /timed_out b~2d1h");
    check(
        &journey("timeout: 3d", &["a: { event: buy, then: done }"]),
        "0 go\n2d tick\n3d tick",
        "0 j#1: enter a\n3d j#1: =timeout",
    );
}

/// One event moves an instance once: the next node waits for the next one.
#[test]
fn an_event_is_heard_once() {
    check(
        &journey("", &["a: { event: buy, then: b }", "b: { event: buy, then: done }"]),
        "
        0 go
        1h buy
        2h buy
        ",
        "0 j#1: enter a
         1h j#1: /event_received b
         2h j#1: /event_received done =completed",
    );
}

/// `last` is the entry event, then each one received; `event` stays.
#[test]
fn last_is_the_latest_received() {
    let journeys = journey(
        "",
        &[
            "x: { condition: [ { when: last.n == 1, then: a } ] }",
            "a: { event: buy, when: last.s == 'yes', then: w }",
            "w: { wait: 1h, then: b }",
            "b: { condition: [ { when: last.n == 7 && event.n == 1, then: done } ], otherwise: w }",
        ],
    );
    let rig = check(
        &journeys,
        r#"
        0  go {"n": 1, "s": "no", "big": "b"}
        1m buy {"n": 5, "s": "no", "big": "b"}
        2m buy {"n": 7, "s": "yes", "big": "b"}
        "#,
        "0 j#1: enter x /branch0 a
         2m j#1: /event_received w~1h2m",
    );
    let context = &rig.profile.instances[0].context;
    assert_eq!(context.event, properties(r#"{"n": 1}"#));
    assert_eq!(context.last, Some(properties(r#"{"n": 7}"#)), "of later events only what nodes read as `last`");
    rig.run("2h tick").expect("2h j#1: /wait_ended b /branch0 done =completed");
}

#[test]
fn a_received_event_too_large_to_remember_fails_the_instance() {
    let text = "x".repeat(limits::INSTANCE_BYTES_MAX + 1);
    let journeys =
        journey("", &["a: { event: buy, then: b }", "b: { condition: [ { when: last.big == '', then: done } ] }"]);
    check(&journeys, &format!("0 go\n1h buy {{\"big\": \"{text}\"}}"), "0 j#1: enter a\n1h j#1: !instance_too_large");
}

#[test]
fn branches_merge() {
    check(
        &journey(
            "reentry: { after: 1h }",
            &[
                "a: { condition: [ { when: event.n == 1, then: b } ], otherwise: c }",
                "b: { wait: 1h, then: m }",
                "c: { event: buy, within: 2h, then: m }",
                "m: { message: hello, then: done }",
            ],
        ),
        r#"
        0  go {"n": 1}
        1h tick
        1h go {"n": 2}
        3h tick
        3h go {"n": 2}
        4h buy
        "#,
        "0 j#1: enter a /branch0 b~1h
         1h j#1: /wait_ended m *hello /then done =completed
         1h j#2: enter a /otherwise c~3h
         3h j#2: /timed_out m *hello /then done =completed
         3h j#3: enter a /otherwise c~5h
         4h j#3: /event_received m *hello /then done =completed",
    );
}

#[test]
fn a_cycle_ends_at_the_thousandth_visit() {
    let cycle = journey(
        "",
        &["a: { wait: 1m, then: b }", "b: { condition: [ { when: event.n == 1, then: done } ], otherwise: a }"],
    );
    let mut rig = Rig::new(&cycle).run("0 go");
    let last = u32::from(limits::NODE_VISITS_MAX);
    for minute in 1..last {
        rig.line(START.plus(i64::from(minute) * 60_000), "tick");
    }
    assert_eq!(rig.at(), ["a"]);
    rig.log.clear();
    let rig = rig.run(&format!("{last}m tick")).expect("16h40m j#1: /wait_ended b /otherwise a !visit_limit");
    let counts = rig.counts.iter().next().expect("one version").1;
    assert_eq!(counts.nodes[0].entered, u64::from(last) + 1);
    // The next instance counts anew.
    let rig = rig.run("20h go");
    assert_eq!(rig.profile.instances[0].context.visits.as_slice(), [(crate::domain::ids::NodeNo(0), 1)]);
}

/// A cycle of waits that have all passed would never stop by itself.
#[test]
fn one_input_makes_so_many_steps_and_no_more() {
    let cycle = journey(
        "",
        &[
            "a: { wait: { until: meta.time }, then: m }",
            "m: { message: hello, then: b }",
            "b: { condition: [ { when: event.n == 1, then: done } ], otherwise: a }",
        ],
    );
    let mut rig = Rig::new(&cycle).run("0 go");
    assert!(rig.log[0].ends_with("!step_limit"), "{}", rig.log[0]);
    let steps: u64 = rig.counts.iter().flat_map(|(_, v)| &v.nodes).map(|n| n.entered + n.left + n.errors).sum();
    let sent = rig.rows.len() as u64;
    assert!((190..=limits::STEPS_PER_INPUT_MAX as u64).contains(&(1 + steps + sent)), "{steps} and {sent} sent");
    assert_eq!(rig.profile.instances.len(), 0);
    rig.log.clear();
    rig.run("1h tick").expect("");
}

/// The longest way without a cycle: 50 nodes that all do something.
#[test]
fn fifty_nodes_at_once_are_within_the_step_limit() {
    let nodes: Vec<String> = (0..limits::NODES_MAX)
        .map(|n| {
            let then = if n + 1 == limits::NODES_MAX { "done".to_owned() } else { format!("n{}", n + 1) };
            format!("n{n}: {{ message: hello, then: {then} }}")
        })
        .collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let rig = Rig::new(&journey("", &nodes)).run("0 go");
    assert!(rig.log[0].ends_with("=completed"), "{}", rig.log[0]);
    assert_eq!(rig.rows.len(), limits::NODES_MAX);
    let ordinals: Vec<u16> = rig.rows.iter().map(|row| row.id.ordinal).collect();
    assert_eq!(ordinals, (0..limits::NODES_MAX as u16).collect::<Vec<_>>(), "every delivery has its own id");
}

/// Which treatment somebody gets hangs on who it is, and on nothing that may differ at the next entry.
#[test]
fn treatments_stay_and_rules_decide_in_order() {
    let ways = |rig: &Rig| -> Vec<(u16, u64)> {
        let counts = rig.counts.iter().next().expect("one version").1;
        counts.ways.iter().map(|((_, way), count)| (*way, *count)).collect()
    };
    let treatments = "o: { optimize: { experiment: [ { treatment: a, weight: 3, then: w }, { treatment: b, then: done } ], holdout: { then: done } } }";
    let rig = Rig::new(&journey("reentry: { after: 5m }", &[treatments, "w: { wait: 1m, then: done }"]));
    let rig = rig.run("0 go\n1h tick\n2h go\n3h tick\n4h go");
    assert_eq!(ways(&rig).iter().map(|(_, count)| count).collect::<Vec<_>>(), [&3]);

    let rules = "o: { optimize: { targeting: [ { rule: big, when: event.n > 9, then: done }, { rule: any, when: event.n > 3, then: done } ] } }";
    let rig = Rig::new(&journey("reentry: { after: 5m }", &[rules]));
    let rig = rig.run("0 go {\"n\": 10}\n1h go {\"n\": 4}\n2h go {\"n\": 1}\n3h go {\"n\": \"x\"}");
    assert_eq!(ways(&rig), [(0, 1), (1, 1)], "the others end: no rule holds, a rule fails");
    let counts = rig.counts.iter().next().expect("one version").1;
    assert_eq!((counts.entered, counts.errors(), counts.active()), (4, 1, 0));
}

/// Who comes to a cap waits, also where somebody else's place was the last; who knows better goes on.
#[test]
fn a_cap_claims_a_place_and_waits() {
    let rig = Rig::new(&journey(
        "timeout: 2h",
        &["c: { profile_cap: 2, then: w, otherwise: done }", "w: { wait: 1m, then: done }"],
    ));
    let rig = rig.run("0 go\n3h tick");
    let counts = rig.counts.iter().next().expect("one version").1;
    assert_eq!((counts.nodes[0].entered, counts.nodes[0].left, counts.nodes[0].exited), (1, 0, 1), "nobody tells it");
}
