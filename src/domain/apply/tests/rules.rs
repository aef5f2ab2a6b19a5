//! Events that rules recognise: one event may be of several types at once (spec §1.2).

use super::*;

const RULES: &str = "kind: event\nname: big\nof: go\nwhen: event.n > 5\n---\nkind: event\nname: huge\nof: go\nwhen: \"event.n > 10 && profile.tier != 'vip'\"\n---\n";

/// Each match is an event of its own: it lets into the journeys that it enters.
#[test]
fn one_event_matches_several() {
    let journeys = format!(
        "{RULES}{}---\n{}---\n{}",
        named("any", "", &["a: { wait: 1h, then: done }"]),
        named(
            "b",
            "entry: { event: big }",
            &["a: { condition: [ { when: meta.type == 'big', then: w } ] }", "w: { wait: 1h, then: done }"]
        ),
        named("h", "entry: { event: huge }", &["a: { wait: 1h, then: done }"])
    );
    check(&journeys, "0 go {\"n\": 5}", "0 any#1: enter a~1h");
    check(&journeys, "0 go {\"n\": 6}", "0 any#1: enter a~1h\n0 b#2: enter a /branch0 w~1h");
    // A comparison with what is absent is false, and a rule that fails recognises nothing.
    check(&journeys, "0 go {\"n\": 11}", "0 any#1: enter a~1h\n0 b#2: enter a /branch0 w~1h");
    check(&journeys, "0 go {\"n\": \"x\"}", "0 any#1: enter a~1h");
    check(
        &journeys,
        "0 profile.update {\"tier\": \"gold\"}\n0 go {\"n\": 11}",
        "0 any#1: enter a~1h\n0 b#2: enter a /branch0 w~1h\n0 h#3: enter a~1h",
    );
}

/// Nodes and exit criteria hear them, and `last` is the event that was sent.
#[test]
fn nodes_and_exits_hear_what_is_recognised() {
    let head = "entry: { event: buy }\nexit: [ { event: huge } ]";
    let nodes = [
        "a: { event: big, then: b }",
        "b: { condition: [ { when: last.n == 7, then: c } ] }",
        "c: { wait: 1h, then: done }",
    ];
    check(
        &format!("{RULES}{}", journey(head, &nodes)),
        "0 profile.update {\"tier\": \"gold\"}\n0 buy\n1m go {\"n\": 2}\n2m go {\"n\": 7}\n3m go {\"n\": 12}",
        "0 j#1: enter a\n2m j#1: /event_received b /branch0 c~1h2m\n3m j#1: =criteria",
    );
}

/// A rule is no part of a version: a changed one counts from then on, for those inside too.
#[test]
fn a_changed_rule_counts_at_once() {
    let journeys = format!("{RULES}{}", journey("entry: { event: buy }", &["a: { event: big, then: done }"]));
    let rig = Rig::new(&journeys).run("0 buy\n1m go {\"n\": 3}").expect("0 j#1: enter a");
    let rig = rig.publish(&journeys.replace("event.n > 5", "event.n > 2"));
    rig.run("2m go {\"n\": 3}").expect("2m j#1: /event_received done =completed");
}
