//! What naive implementations get wrong (spec §16), each by its number. Trap 15 stands with supplemental ids.

use super::*;

/// One instance per profile and journey, over all its versions; re-entry lands in the newest.
#[test]
fn trap_1_uniqueness_spans_versions() {
    let first = journey("", &["a: { wait: 1h, then: done }"]);
    let rig = Rig::new(&first).run("0 go").expect("0 j#1: enter a~1h");
    let rig = rig.publish(&first.replace("wait: 1h", "wait: 2h"));
    rig.run("30m go\n1h go").expect(
        "30m j.2: discards already_in_journey
         1h j#1: /wait_ended done =completed
         1h j.2#2: enter a~3h",
    );
}

/// The period of re-entrance counts from the entry, whatever event comes: also one that another rule recognises.
#[test]
fn trap_2_re_entrance_blocks_every_event_that_starts_the_journey() {
    let big = "kind: event\nname: big\nof: go\nwhen: event.n > 5\n---\n";
    let journeys =
        format!("{big}{}", journey("entry: { event: go }\nreentry: { after: 5m }", &["a: { wait: 1m, then: done }"]));
    check(
        &journeys,
        "0 go\n2m go {\"n\": 9}\n5m go",
        "0 j#1: enter a~1m
         2m j#1: /wait_ended done =completed
         2m j: discards reentrance_not_allowed
         5m j#2: enter a~6m",
    );
    // In a version with another entry event, and by a jump, too.
    let first = journey("reentry: { after: 5m }", &["a: { wait: 1m, then: done }"]);
    let jumps = named("o", "entry: { event: buy }", &["b: { jump: j, with: {}, then: done, on_error: done }"]);
    let by_quit = first.replace("event: go", "event: quit").replace("wait: 1m", "wait: 2m");
    let rig = Rig::new(&first).run("0 go\n1m tick").expect("0 j#1: enter a~1m\n1m j#1: /wait_ended done =completed");
    let rig = rig.publish(&format!("{by_quit}---\n{jumps}"));
    rig.run("2m quit\n3m buy\n5m quit").expect(
        "2m j.2: discards reentrance_not_allowed
         3m o#2: enter b
         3m j.2: discards reentrance_not_allowed
         3m o#2: /failed done =completed
         5m j.2#3: enter a~7m",
    );
    // For ever means for ever here (AJO forgets after 91 days).
    check(
        &journey("reentry: never", &["a: { wait: 1m, then: done }"]),
        "0 go\n1m tick\n365d go",
        "0 j#1: enter a~1m\n1m j#1: /wait_ended done =completed\n365d j: discards reentrance_not_allowed",
    );
}

/// A timeout without a path of its own is a wait: the instance goes on where the event would lead.
#[test]
fn trap_3_a_timeout_without_a_path_goes_on() {
    let nodes = ["a: { event: buy, within: 1h, then: b }", "b: { wait: 1h, then: done }"];
    check(&journey("", &nodes), "0 go\n1h tick", "0 j#1: enter a~1h\n1h j#1: /timed_out b~2h");
    check(&journey("", &nodes), "0 go\n30m buy", "0 j#1: enter a~1h\n30m j#1: /event_received b~1h30m");
}

/// The first true branch wins by its place; without one that is true, and without `otherwise`, the instance ends.
#[test]
fn trap_4_conditions_go_by_position_and_may_end_the_journey() {
    let nodes = [
        "a: { condition: [ { when: event.n > 1, then: b }, { when: event.n > 0, then: c } ] }",
        "b: { wait: 1h, then: done }",
        "c: { wait: 2h, then: done }",
    ];
    check(&journey("", &nodes), "0 go {\"n\": 5}", "0 j#1: enter a /branch0 b~1h");
    check(&journey("", &nodes), "0 go {\"n\": 1}", "0 j#1: enter a /branch1 c~2h");
    check(&journey("", &nodes), "0 go {\"n\": 0}", "0 j#1: enter a =completed");
}

/// An error ends the instance unless its node has a way for errors.
#[test]
fn trap_5_errors_stop_the_instance_unless_there_is_a_path() {
    let with = |on_error: &str| {
        let condition = format!("a: {{ condition: [ {{ when: 60 / event.n > 1, then: done }} ]{on_error} }}");
        journey("", &[&condition, "b: { wait: 1h, then: done }", "c: { wait: 1h, then: b }"])
    };
    let text = with(", otherwise: c, on_error: b");
    check(&text, "0 go {\"n\": 0}", "0 j#1: enter a /failed b~1h");
    let text = with(", otherwise: c");
    check(&text, "0 go {\"n\": 0}", "0 j#1: enter a !expression");
}

/// A jump transfers nobody: the profile is in both. Who is inside the other is passed over; a refusal by re-entrance fails.
#[test]
fn trap_13_a_jump_goes_on_in_both() {
    let journeys = |reentry: &str| {
        format!(
            "{}---\n{}",
            named("o", "entry: { event: buy }", &["a: { jump: t, then: b }", "b: { wait: 1h, then: done }"]),
            named("t", reentry, &["x: { wait: 1m, then: done }"]),
        )
    };
    let both = "0 o#1: enter a\n0 t#2: enter x~1m\n0 o#1: /then b~1h";
    check(&journeys(""), "0 buy", both);
    check(
        &journeys("reentry: never"),
        "0 go\n0 buy\n2h buy",
        "0 t#1: enter x~1m
         0 o#2: enter a
         0 t: discards already_in_journey
         0 o#2: /then b~1h
         2h t#1: /wait_ended done =completed
         2h o#2: /wait_ended done =completed
         2h o#3: enter a
         2h t: discards reentrance_not_allowed
         2h o#3: !jump",
    );
}

/// A split is a draw per profile, the same at every entry.
#[test]
fn trap_18_a_split_is_drawn_once_per_profile() {
    let nodes = [
        "a: { split: [ { percent: 50, then: b }, { percent: 50, then: c } ] }",
        "b: { wait: 1m, then: done }",
        "c: { wait: 1m, then: done }",
    ];
    let rig = Rig::new(&journey("", &nodes)).run("0 go\n1h go\n2h go\n3h go");
    let ways: Vec<&String> = rig.log.iter().filter(|line| line.contains("enter")).collect();
    assert_eq!(ways.len(), 4);
    assert!(ways.iter().all(|line| line.contains("/branch0")) || ways.iter().all(|line| line.contains("/branch1")));
}

/// In test mode a split takes its top way, whatever it would draw, and every wait lasts as long as the test says, where feedback
/// may come 40 s at least. Only test profiles enter, and before what is live; the draft is published as it is written.
#[test]
fn trap_18_test_mode_takes_the_top_way_of_a_split() {
    let draft = |top: &str, other: &str| {
        journey(
            "",
            &[
                &format!("a: {{ split: [ {{ percent: 1, then: {top} }}, {{ percent: 99, then: {other} }} ] }}"),
                "b: { wait: 3d, then: m }",
                "c: { wait: { until: event.at }, then: m }",
                "m: { message: hello, then: d }",
                "d: { event: buy, within: 7d, then: done, on_timeout: f }",
                "f: { event: message.opened, of: m, within: 2d, then: done, on_timeout: done }",
            ],
        )
    };
    for (top, other) in [("b", "c"), ("c", "b")] {
        let live = journey("", &["x: { wait: 1h, then: done }"]);
        let rig = Rig::new(&live).draft(&draft(top, other), 10_000).run("0 go\n1h tick");
        let rig = rig.expect("0 j#1: enter x~1h\n1h j#1: /wait_ended done =completed").flag();
        let rig = rig.run("2h go\n2h10s tick\n2h20s tick\n2h59s tick\n2h1m tick");
        rig.expect(&format!(
            "2h j.2#2: enter a /branch0 {top}~2h10s
             2h j: discards already_in_journey
             2h10s j.2#2: /wait_ended m *hello /then d~2h20s
             2h20s j.2#2: /timed_out f~2h1m
             2h1m j.2#2: /timed_out done =completed"
        ));
    }
}

/// Feedback that races waits is waited for 40 s at least in a test, however many waits there are and whatever they are; a
/// race without feedback is not.
#[test]
fn trap_18_test_mode_waits_for_feedback_also_beside_other_things() {
    let nodes = [
        "m: { message: hello, then: a }",
        "a: { first_of: [ { event: buy, then: done }, { event: message.opened, of: m, then: done }, { wait: { time: '09:00' }, then: done }, { wait: 1d, then: b } ] }",
        "b: { first_of: [ { event: buy, then: done }, { wait: 1d, then: done } ] }",
    ];
    let in_test = |wait_ms: i64| {
        let nodes = nodes.map(|node| node.replace("{ wait: { time: '09:00' }, then: done }, ", ""));
        Rig::new("").draft(&journey("", &nodes.each_ref().map(String::as_str)), wait_ms).flag()
    };
    in_test(10_000).run("0 go\n10s tick\n39s999ms tick\n40s tick\n50s tick").expect(
        "0 j#1: enter m *hello /then a~40s
         40s j#1: /branch2 b~50s
         50s j#1: /branch1 done =completed",
    );
    in_test(60_000).run("0 go\n1m tick").expect("0 j#1: enter m *hello /then a~1m\n1m j#1: /branch2 b~2m");
    // A time of day is cut to the same length.
    let rig = Rig::new("").draft(&journey("", &nodes), 10_000).flag();
    rig.run("0 go\n40s tick").expect("0 j#1: enter m *hello /then a~40s\n40s j#1: /branch2 done =completed");
}

/// In test mode a cap lets everybody pass and claims no place, and an experiment gives its first treatment, whatever it
/// would draw and hold out.
#[test]
fn trap_18_test_mode_ignores_caps_and_takes_the_top_treatment() {
    let experiment = |first: &str, second: &str| {
        journey(
            "",
            &[
                "a: { profile_cap: 1, then: b, otherwise: done }",
                &format!(
                    "b: {{ optimize: {{ experiment: [ {{ treatment: x, weight: 1, then: {first} }}, {{ treatment: y, weight: 10000, then: {second} }} ], holdout: {{ percent: 50, then: done }} }} }}"
                ),
                "c: { wait: 3d, then: done }",
                "d: { wait: 5d, then: done }",
            ],
        )
    };
    for (first, second) in [("c", "d"), ("d", "c")] {
        let rig = Rig::new("").draft(&experiment(first, second), 10_000).flag();
        let rig = rig.run("0 go\n10s tick\n1h go").expect(&format!(
            "0 j#1: enter a /way(0) b /way(0) {first}~10s
             10s j#1: /wait_ended done =completed
             1h j#2: enter a /way(0) b /way(0) {first}~1h10s"
        ));
        assert!(rig.claims.is_empty(), "no place is claimed in a test");
    }
}

/// Local times go by the journey's zone, or the profile's, which falls back to the journey's. So do custom waits until a text
/// without an offset, in which an offset is not needed but understood (AJO: "the profile may get stuck"); and `journey.timezone` is that
/// zone.
#[test]
fn trap_20_local_waits_fall_back_to_the_journeys_zone() {
    let head = "timezone: Europe/Paris\nlocal_time: profile";
    let in_nepal = "0 profile.update {\"timezone\": \"Asia/Kathmandu\"}\n";
    let nowhere = "0 profile.update {\"timezone\": \"nowhere\"}\n";
    let check = |head: &str, wait: &str, before: &str, local: &str, due: &str| {
        let nodes = [format!("a: {{ wait: {wait}, then: b }}"), "b: { wait: 1h, then: done }".to_owned()];
        let journeys = journey(head, &nodes.each_ref().map(String::as_str));
        check(&journeys, &format!("{before}0 go {{\"s\": \"{local}\"}}"), &format!("0 j#1: enter a{due}"));
    };
    for wait in [
        "{ time: '09:00' }",
        "{ until: event.s }",
        "{ until: \"'2026-01-01T09:00'\" }",
        "{ until: \"timestamp(event.s, journey.timezone)\" }",
        "{ until: \"timestamp('2026-01-01T09:00', journey.timezone)\" }",
    ] {
        let check = |head: &str, before: &str, due: &str| check(head, wait, before, "2026-01-01T09:00", due);
        check(head, "", "~8h");
        check(head, in_nepal, "~3h15m");
        check(head, nowhere, "~8h");
        check("timezone: Europe/Paris", in_nepal, "~8h");
        check("local_time: profile", in_nepal, "~3h15m");
        check("local_time: profile", nowhere, "~9h");
        check("", in_nepal, "~9h");
    }
    for (local, due) in [
        // With an offset it is that instant, wherever the profile is; a date alone is its midnight there.
        ("2026-01-01T09:00:00Z", "~9h"),
        ("2026-01-01T09:00:00+02:00", "~7h"),
        ("2026-01-02", "~23h"),
        // Clocks are set forward from 02:00 to 03:00 on March 29, the 88th day: 02:30 is 03:30.
        ("2026-03-29T02:30", "~87d1h30m"),
        ("2026-03-29T03:30", "~87d1h30m"),
        ("2026-03-29T01:59:59", "~87d59m59s"),
        // What is past holds nobody up, and what can't be read fails.
        ("2026-01-01T01:00", " /wait_ended b~1h"),
        ("soon", " !expression"),
        ("", " !expression"),
    ] {
        check(head, "{ until: event.s }", "", local, due);
        check(head, "{ until: \"timestamp(event.s, journey.timezone)\" }", "", local, due);
    }
    let error_way = journey(
        head,
        &[
            "a: { wait: { until: event.s }, then: b, on_error: c }",
            "b: { wait: 1h, then: done }",
            "c: { wait: 2h, then: done }",
        ],
    );
    super::check(&error_way, "0 go {\"s\": \"soon\"}", "0 j#1: enter a /failed c~2h");
    super::check(&error_way, "0 go {\"s\": null}", "0 j#1: enter a /wait_ended b~1h");
    // Clocks are set back from 03:00 to 02:00 on October 25, the 298th day: 02:30 comes twice, and the first time counts.
    let october = journey(head, &["a: { wait: { until: event.s }, then: done }"]);
    super::check(&october, "297d go {\"s\": \"2026-10-25T02:30\"}", "297d j#1: enter a~297d30m");
}

/// Pausing stops only nodes that act: waits, conditions, updates and exits go on, and lifetimes keep ticking.
#[test]
fn trap_14_a_pause_stops_only_actions() {
    let nodes = [
        "a: { wait: 1h, then: b }",
        "b: { condition: [ { when: event.n > 0, then: c } ], otherwise: done }",
        "c: { update_profile: { points: event.n }, then: d }",
        "d: { wait: 1h, then: e }",
        "e: { message: hello, then: done }",
    ];
    let rig = check(
        &journey("timeout: 1d", &nodes),
        "0 go {\"n\": 3}\n1m pause j hold 14d\n1h tick\n2h tick\n1d tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b /branch0 c /then d~2h
         2h j#1: /wait_ended e held
         1d j#1: released =timeout",
    );
    assert_eq!(rig.profile.document.get("points"), Some(&Value::Int(3)));
}
