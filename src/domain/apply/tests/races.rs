//! Nodes that wait for the first of several things, events from before their node, and feedback on messages.

use super::*;

/// Two events and a wait: the first to happen wins.
#[test]
fn the_first_of_several_things_counts() {
    let nodes = [
        "a: { first_of: [ { event: buy, when: last.n > 3, then: b }, { wait: 2h, then: c }, { event: quit, then: done } ] }",
        "b: { wait: 1h, then: done }",
        "c: { wait: 10m, then: done }",
    ];
    let journeys = journey("", &nodes);
    check(&journeys, "0 go\n1h buy {\"n\": 4}", "0 j#1: enter a~2h\n1h j#1: /branch0 b~2h");
    check(&journeys, "0 go\n1h buy {\"n\": 3}\n1h1m quit", "0 j#1: enter a~2h\n1h1m j#1: /branch2 done =completed");
    check(&journeys, "0 go\n2h buy {\"n\": 4}", "0 j#1: enter a~2h\n2h j#1: /branch1 c~2h10m");
}

/// Spec §3.0: the wait that ends first wins regardless of position; of equals the upper one.
#[test]
fn waits_race_each_other() {
    let race = |arms: &str| journey("", &[&format!("a: {{ first_of: [ {arms} ] }}"), "b: { wait: 1h, then: done }"]);
    let later_first = race("{ wait: 2h, then: done }, { wait: 1h, then: b }");
    check(&later_first, "0 go\n1h tick", "0 j#1: enter a~1h\n1h j#1: /branch1 b~2h");
    let equals = race("{ wait: 1h, then: done }, { wait: { time: '01:00' }, then: b }");
    check(&equals, "0 go\n1h tick", "0 j#1: enter a~1h\n1h j#1: /branch0 done =completed");
    let past = race("{ wait: 1h, then: done }, { wait: { until: meta.time }, then: b }");
    check(&past, "0 go", "0 j#1: enter a /branch1 b~1h");
    // Nothing was there to wait for, and the instance goes by its way for errors.
    let broken =
        "a: { first_of: [ { wait: 1h, then: done }, { wait: { until: event.at }, then: done } ], on_error: b }";
    let journeys = journey("", &[broken, "b: { wait: 1h, then: done }"]);
    check(&journeys, r#"0 go {"at": 7}"#, "0 j#1: enter a /failed b~1h");
}

/// The race is forgotten when it is over: a later one with a single wait goes by that.
#[test]
fn races_do_not_mix() {
    let nodes = [
        "a: { first_of: [ { wait: 3h, then: done }, { wait: 2h, then: done }, { wait: 1h, then: b } ] }",
        "b: { first_of: [ { wait: 1h, then: c }, { event: buy, then: done } ] }",
        "c: { wait: 1h, then: done }",
    ];
    check(
        &journey("", &nodes),
        "0 go\n1h tick\n2h tick",
        "0 j#1: enter a~1h\n1h j#1: /branch2 b~2h\n2h j#1: /branch0 c~3h",
    );
}

/// What came between entry and node counts for `since: entry`, once; what `last` reads then is that event.
#[test]
fn an_event_from_before_the_node_counts_since_entry() {
    let nodes = |since: &str| {
        journey(
            "",
            &[
                "a: { wait: 1h, then: b }",
                &format!(
                    "b: {{ event: buy, when: last.n > 1, since: {since}, within: 1h, then: c, on_timeout: done }}"
                ),
                "c: { condition: [ { when: last.n == 5, then: d } ], otherwise: done }",
                "d: { wait: 1h, then: b }",
            ],
        )
    };
    let script = "0 go\n10m buy {\"n\": 5}\n20m buy {\"n\": 1}\n1h tick\n2h tick";
    check(
        &nodes("entry"),
        script,
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b /event_received c /branch0 d~2h
         2h j#1: /wait_ended b~3h",
    );
    check(&nodes("here"), script, "0 j#1: enter a~1h\n1h j#1: /wait_ended b~2h\n2h j#1: /timed_out done =completed");
}

/// The latest event is the one that counts, and the entry event is none of them.
#[test]
fn the_latest_event_since_entry_is_the_last() {
    let nodes = [
        "a: { wait: 1h, then: b }",
        "b: { event: go, since: entry, then: c }",
        "c: { condition: [ { when: last.n == 2, then: d } ], otherwise: done }",
        "d: { wait: 1h, then: done }",
    ];
    let journeys = journey("", &nodes);
    let inside = "1m j: discards already_in_journey\n2m j: discards already_in_journey";
    check(
        &journeys,
        "0 go {\"n\": 2}\n1m go {\"n\": 1}\n2m go {\"n\": 2}\n1h tick",
        &format!("0 j#1: enter a~1h\n{inside}\n1h j#1: /wait_ended b /event_received c /branch0 d~2h"),
    );
    check(&journeys, "0 go {\"n\": 2}\n1h tick", "0 j#1: enter a~1h\n1h j#1: /wait_ended b");
}

#[test]
fn a_message_begins_a_new_time_for_since_last_message() {
    let nodes = [
        "a: { wait: 1h, then: b }",
        "b: { message: hello, then: c }",
        "c: { wait: 1h, then: d }",
        "d: { event: buy, since: last_message, within: 1h, then: done, on_timeout: e }",
        "e: { wait: 1h, then: done }",
    ];
    let journeys = journey("", &nodes);
    let before = "0 j#1: enter a~1h\n1h j#1: /wait_ended b *hello /then c~2h";
    check(&journeys, "0 go\n10m buy\n1h tick\n2h tick", &format!("{before}\n2h j#1: /wait_ended d~3h"));
    check(
        &journeys,
        "0 go\n1h tick\n90m buy\n2h tick",
        &format!("{before}\n2h j#1: /wait_ended d /event_received done =completed"),
    );
}

/// Without a message, since the last message is since entry.
#[test]
fn since_last_message_is_since_entry_before_the_first() {
    let nodes = ["a: { wait: 1h, then: d }", "d: { event: buy, since: last_message, then: done }"];
    check(
        &journey("", &nodes),
        "0 go\n10m buy\n1h tick",
        "0 j#1: enter a~1h\n1h j#1: /wait_ended d /event_received done =completed",
    );
}

/// Feedback counts if it names the latest message of the node it is about.
#[test]
fn feedback_counts_on_the_message_it_is_about() {
    let nodes = [
        "a: { message: hello, then: b }",
        "b: { message: mail, then: c }",
        "c: { event: message.opened, of: b, within: 2d, then: d, on_timeout: done }",
        "d: { event: message.clicked, of: a, when: last.url == 'u', since: entry, within: 1d, then: done }",
    ];
    let rig = Rig::new(&journey("", &nodes)).run("0 profile.update {\"email\": \"a@b\"}\n0 go");
    let ids: Vec<String> = rig.rows.iter().map(|row| row.id.to_string()).collect();
    let feedback = |kind: &str, id: &str| format!("message.{kind} {{\"delivery\": \"{id}\", \"url\": \"u\"}}");
    let script = [
        format!("1h {}", feedback("opened", &ids[0])),
        format!("2h {}", feedback("clicked", &ids[0])),
        format!("3h {}", feedback("opened", "d-0007-0-0")),
        "4h message.opened {}".to_owned(),
        format!("5h {}", feedback("opened", &ids[1])),
    ];
    rig.run(&script.join("\n")).expect(
        "0 j#1: enter a *hello /then b *mail /then c~2d
         5h j#1: /event_received d /event_received done =completed",
    );
}

/// A message that nobody got is no message to hear about.
#[test]
fn an_excluded_message_has_no_feedback() {
    let nodes = [
        "a: { message: mail, then: c }",
        "c: { event: message.opened, of: a, within: 2d, then: done, on_timeout: d }",
        "d: { wait: 1h, then: done }",
    ];
    check(
        &journey("", &nodes),
        "0 go\n1h message.opened {\"delivery\": \"d-0007-0-0\"}\n2d tick",
        "0 j#1: enter a *mail excluded /then c~2d\n2d j#1: /timed_out d~2d1h",
    );
}
