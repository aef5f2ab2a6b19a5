//! Updates of the profile, jumps, and exits before anything is sent.

use super::*;
use crate::domain::limits;

#[test]
fn the_next_node_sees_an_update() {
    let nodes = [
        "a: { update_profile: { points: profile.points + event.n, tier: null, consents.email: 'true' }, then: b }",
        "b: { condition: [ { when: profile.points == 7 && profile.tier == null && profile.consents.email, then: c } ] }",
        "c: { wait: 1h, then: done }",
    ];
    let rig = check(
        &journey("", &nodes),
        r#"
        0 profile.update {"points": 4, "tier": "gold", "consents": {"sms": true}}
        0 go {"n": 3}
        "#,
        "0 j#1: enter a /then b /branch0 c~1h",
    );
    assert_eq!(rig.profile.document, properties(r#"{"points": 7, "consents": {"sms": true, "email": true}}"#));
}

/// All values are read before the first is set.
#[test]
fn fields_may_change_places() {
    let nodes = ["a: { update_profile: { tier: profile.name, name: profile.tier }, then: done }"];
    let attribute = "kind: attribute\nname: name\ntype: string\n---\n";
    let rig = check(
        &format!("{attribute}{}", journey("", &nodes)),
        "0 profile.update {\"tier\": \"x\", \"name\": \"y\"}\n0 go",
        "0 j#1: enter a /then done =completed",
    );
    assert_eq!(rig.profile.document, properties(r#"{"tier": "y", "name": "x"}"#));
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let nodes = |on_error: &str| {
        let update = "a: { update_profile: { tier: \"'x'\", points: 1 / event.n }, then: done";
        journey("", &[&format!("{update}{on_error} }}"), "b: { wait: 1h, then: done }"])
    };
    let rig = check(&nodes(", on_error: b"), "0 go {\"n\": 0}", "0 j#1: enter a /failed b~1h");
    assert_eq!(rig.profile.document, properties("{}"));
    check(&nodes(", on_error: b"), "0 go {\"n\": 1}", "0 j#1: enter a /then done =completed");
}

fn two(jump: &str, target: &str) -> String {
    let from =
        named("j", "entry: { event: go }", &[jump, "w: { wait: 1h, then: done }", "e: { wait: 2h, then: done }"]);
    format!("{from}---\n{target}")
}

const JUMP: &str = "a: { jump: k, with: { n: event.n + 1, s: \"'hi'\" }, then: w, on_error: e }";

/// Spec §3.5: the profile goes on here, and is there too.
#[test]
fn a_jump_enters_the_other_journey_and_goes_on() {
    let target = named(
        "k",
        "entry: { event: buy, when: event.n > 1 }",
        &[
            "x: { condition: [ { when: event.n == 5 && event.s == 'hi' && meta.id == 'jump:j:1:a', then: y } ] }",
            "y: { event: quit, then: done }",
        ],
    );
    let rig = check(
        &two(JUMP, &target),
        "0 go {\"n\": 4}\n1h quit",
        "0 j#1: enter a
         0 k#2: enter x /branch0 y
         0 j#1: /then w~1h
         1h j#1: /wait_ended done =completed
         1h k#2: /event_received done =completed",
    );
    assert_eq!(rig.profile.instances.len(), 0);
    // What the other journey's filter does not want is no failure.
    check(&two(JUMP, &target), "0 go {\"n\": 0}", "0 j#1: enter a /then w~1h");
}

/// Spec §16.13: who is inside already is passed over silently; where re-entrance forbids it, the jump has failed.
#[test]
fn jump_does_not_transfer_and_fails_only_where_reentrance_forbids_it() {
    let target = named("k", "entry: { event: buy }\nreentry: { after: 1d }", &["x: { event: quit, then: done }"]);
    check(
        &two(JUMP, &target),
        "0 buy\n1m go\n2m quit\n2h go",
        "0 k#1: enter x
         1m j#2: enter a
         1m k: discards already_in_journey
         1m j#2: /then w~1h1m
         2m k#1: /event_received done =completed
         2h j#2: /wait_ended done =completed
         2h j#3: enter a
         2h k: discards reentrance_not_allowed
         2h j#3: /failed e~4h",
    );
}

#[test]
fn a_jump_to_a_journey_that_takes_no_entries_fails() {
    let target = named("k", "entry: { event: buy }", &["x: { event: quit, then: done }"]);
    let journeys = two(JUMP, &target);
    for order in ["close k", "stop k"] {
        check(&journeys, &format!("0 {order}\n0 go"), "0 j#1: enter a /failed e~2h");
    }
    let ended = target.replace("start:", "end_date: 2026-01-02\nstart:");
    check(&two(JUMP, &ended), "2d go", "2d j#1: enter a\n2d k: discards outside_dates\n2d j#1: /failed e~2d2h");
    let without = two(&JUMP.replace(", on_error: e", ""), &target).replace("  e: { wait: 2h, then: done }\n", "");
    let rig = check(&without, "0 close k\n0 go", "0 j#1: enter a !jump");
    assert_eq!(rig.notes, ["journey `k` takes no such entries"]);
}

/// What jumps back is refused when it is published; instances of older versions that still do come to rest: a profile is in
/// each journey once.
#[test]
fn jumps_in_a_circle_come_to_rest() {
    let circle = |last: &str| {
        [
            named("a", "entry: { event: go }", &["x: { jump: b, then: done }"]),
            named("b", "entry: { event: buy }", &["w: { wait: 1h, then: x }", "x: { jump: c, then: done }"]),
            named("c", "entry: { event: quit }", &[last]),
        ]
        .join("---\n")
    };
    let open = circle("x: { wait: 1m, then: done }");
    let closed =
        circle("x: { jump: a, then: done }").replace("x: { jump: b, then: done }", "x: { wait: 1m, then: done }");
    let rig = Rig::new(&open).run("0 go").expect("0 a#1: enter x\n0 b#2: enter w~1h\n0 a#1: /then done =completed");
    rig.publish(&closed).run("1h tick\n1h1m tick").expect(
        "1h b#2: /wait_ended x
         1h c.2#3: enter x
         1h a.2#4: enter x~1h1m
         1h c.2#3: /then done =completed
         1h b#2: /then done =completed
         1h1m a.2#4: /wait_ended done =completed",
    );
}

/// Spec §16.15: what the profile is counts where something would be sent, not before.
#[test]
fn trap_15_criteria_by_what_the_profile_is_count_at_messages_only() {
    let head = "exit: [ { event: quit }, { when: profile.tier == 'gone' }, { when: 1 / event.n == 7 } ]";
    let nodes = ["a: { wait: 1h, then: m }", "m: { message: hello, then: b }", "b: { wait: 1h, then: done }"];
    let journeys = journey(head, &nodes);
    check(
        &journeys,
        "0 go {\"n\": 2}\n1h tick\n1h profile.update {\"tier\": \"gone\"}\n2h tick",
        "0 j#1: enter a~1h\n1h j#1: /wait_ended m *hello /then b~2h\n2h j#1: /wait_ended done =completed",
    );
    check(
        &journeys,
        "0 go {\"n\": 2}\n1m profile.update {\"tier\": \"gone\"}\n1h tick",
        "0 j#1: enter a~1h\n1h j#1: /wait_ended m =criteria",
    );
    check(&journeys, "0 go {\"n\": 0}\n1h tick", "0 j#1: enter a~1h\n1h j#1: /wait_ended m !expression");
    // One that found no room looks again.
    check(
        &journeys,
        "0 room full\n0 go {\"n\": 2}\n1h tick\n1h profile.update {\"tier\": \"gone\"}\n1h1s tick",
        "0 j#1: enter a~1h\n1h j#1: /wait_ended m\n1h1s j#1: =criteria",
    );
}

/// As many as a profile may be in at once, one inside the other: that is as deep as jumps go, it fits a thread's stack, and
/// the one beyond is refused.
#[test]
fn a_long_chain_of_jumps_ends_where_a_profile_is_in_no_more() {
    let count = limits::INSTANCES_PER_PROFILE_MAX + 1;
    let link = |n: usize| {
        let (event, next) = (["go", "buy"][usize::from(n > 0)], n + 1);
        let head = format!("entry: {{ event: {event}, when: event.n == {n} }}");
        let nodes = format!("a: {{ jump: j{next}, with: {{ n: {next} }}, then: w, on_error: w }}");
        named(&format!("j{n}"), &head, &[&nodes, "w: { event: quit, then: done }"])
    };
    let mut journeys: Vec<String> = (0..count).map(link).collect();
    journeys.push(named(
        &format!("j{count}"),
        "entry: { event: buy, when: event.n == -1 }",
        &["w: { event: quit, then: done }"],
    ));
    let rig = Rig::new(&journeys.join("---\n")).run("0 go {\"n\": 0}");
    assert_eq!(rig.profile.instances.len(), limits::INSTANCES_PER_PROFILE_MAX);
    assert_eq!(rig.log.iter().filter(|line| line.contains("too_many_instances")).count(), 1, "{:?}", rig.log.last());
}
