//! Caps on entries and on journeys at once, and which journey goes first (spec §7.4, §7.5).

use super::*;

const SETS: &str = "kind: rule_set\nname: daily\nentries: { max: 2, per: day }\n---\nkind: rule_set\nname: single\nconcurrent: 1\n---\n";

#[test]
fn a_rule_set_counts_entries_in_a_calendar_period() {
    let journeys = format!("{SETS}{}", journey("rule_set: daily", &["a: { wait: 1m, then: done }"]));
    let ended = |at: &str, n: u32| format!("{at} j#{n}: /wait_ended done =completed");
    check(
        &journeys,
        "1h go\n2h go\n3h go\n23h59m go\n1d go",
        &[
            "1h j#1: enter a~1h1m".to_owned(),
            ended("2h", 1),
            "2h j#2: enter a~2h1m".to_owned(),
            ended("3h", 2),
            "3h j: discards cap_reached\n23h59m j: discards cap_reached\n1d j#3: enter a~1d1m".to_owned(),
        ]
        .join("\n"),
    );
}

/// All journeys that carry it count together, and those that don't are free.
#[test]
fn a_rule_set_bounds_journeys_at_once() {
    let journeys = format!(
        "{SETS}{}---\n{}---\n{}",
        named("one", "rule_set: single", &["a: { wait: 2h, then: done }"]),
        named("two", "rule_set: single\nentry: { event: buy }", &["a: { wait: 1h, then: done }"]),
        named("free", "entry: { event: buy }", &["a: { wait: 1h, then: done }"]),
    );
    check(
        &journeys,
        "0 go\n1h buy\n2h buy",
        "0 one#1: enter a~2h
         1h free#2: enter a~2h
         1h two: discards cap_reached
         2h one#1: /wait_ended done =completed
         2h free#2: /wait_ended done =completed
         2h free#3: enter a~3h
         2h two#4: enter a~3h",
    );
}

/// Journeys count, not how often a profile is in one of them.
#[test]
fn a_rule_set_counts_a_journey_once_whatever_its_supplemental_ids() {
    let ids = "rule_set: single\nentry: { event: go, supplemental_id: event.s }";
    let journeys = format!(
        "{SETS}{}---\n{}",
        named("booked", ids, &["a: { wait: 1h, then: done }"]),
        named("other", "rule_set: single\nentry: { event: buy }", &["a: { wait: 1h, then: done }"]),
    );
    check(
        &journeys,
        "0 go {\"s\": \"x\"}\n1m go {\"s\": \"y\"}\n2m buy\n1h buy\n1h1m buy",
        "0 booked#1: enter a~1h
         1m booked#2: enter a~1h1m
         2m other: discards cap_reached
         1h booked#1: /wait_ended done =completed
         1h other: discards cap_reached
         1h1m booked#2: /wait_ended done =completed
         1h1m other#3: enter a~2h1m",
    );
}

/// One event that could enter several takes the most important; who loses its place to it is told so.
#[test]
fn priority_decides_who_enters() {
    let journeys = format!(
        "{SETS}{}---\n{}---\n{}",
        named("low", "rule_set: single\npriority: 10", &["a: { wait: 1h, then: done }"]),
        named("unset", "rule_set: single", &["a: { wait: 1h, then: done }"]),
        named("high", "rule_set: single\npriority: 90", &["a: { wait: 1h, then: done }"]),
    );
    check(
        &journeys,
        "0 go\n5m go",
        "0 high#1: enter a~1h
         0 unset: discards lower_priority
         0 low: discards lower_priority
         5m high: discards already_in_journey
         5m unset: discards cap_reached
         5m low: discards cap_reached",
    );
}

/// Whichever of its types a journey names: priorities count among all that the event could let into.
#[test]
fn priority_counts_across_recognised_types() {
    let big = "kind: event\nname: big\nof: go\nwhen: event.n > 5\n---\n";
    let journeys = format!(
        "{big}{SETS}{}---\n{}",
        named("as_sent", "rule_set: single\npriority: 10", &["a: { wait: 1h, then: done }"]),
        named("as_big", "entry: { event: big }\nrule_set: single\npriority: 90", &["a: { wait: 1h, then: done }"]),
    );
    check(&journeys, "0 go {\"n\": 9}", "0 as_big#1: enter a~1h\n0 as_sent: discards lower_priority");
    check(&journeys, "0 go {\"n\": 1}", "0 as_sent#1: enter a~1h");
}

/// What re-entrance refuses takes no place.
#[test]
fn a_refusal_counts_as_no_entry() {
    let journeys =
        format!("{SETS}{}", journey("rule_set: daily\nreentry: { after: 1h }", &["a: { wait: 1m, then: done }"]));
    let rig = Rig::new(&journeys).run("0 go\n10m go\n20m go\n1h go");
    assert_eq!(rig.profile.instances.len(), 1);
    assert_eq!(rig.profile.caps[0].entries, 2);
}

/// A refusal says which cap was full, what the profile had of it, and who went first.
#[test]
fn the_record_says_which_cap_was_full() {
    let both = "kind: rule_set\nname: both\nentries: { max: 2, per: day }\nconcurrent: 1\n---\n";
    let in_both = |name: &str, more: &str| {
        named(name, &format!("rule_set: both\nreentry: {{ after: 5m }}\n{more}"), &["a: { wait: 2h, then: done }"])
    };
    let journeys = format!("{both}{}---\n{}", in_both("one", "priority: 80"), in_both("two", ""));
    let rig = check(
        &journeys,
        "0 go\n3h go\n3h5m go\n6h go",
        "0 one#1: enter a~2h
         0 two: discards lower_priority
         3h one#1: /wait_ended done =completed
         3h one#2: enter a~5h
         3h two: discards lower_priority
         3h5m one: discards already_in_journey
         3h5m two: discards cap_reached
         6h one#2: /wait_ended done =completed
         6h one: discards cap_reached
         6h two: discards cap_reached",
    );
    let since = START.to_iso();
    assert_eq!(
        rig.notes,
        [
            "1 of 1 journeys at once: `one`; `one` has priority 80, this one 50".to_owned(),
            format!("2 of 2 entries since {since}; 1 of 1 journeys at once: `one`; `one` has priority 80, this one 50"),
            format!("2 of 2 entries since {since}; 1 of 1 journeys at once: `one`"),
            format!("2 of 2 entries since {since}"),
            format!("2 of 2 entries since {since}"),
        ]
    );
}
