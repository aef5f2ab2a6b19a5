//! Pauses: who is held, who leaves, and what becomes of it at the end.

use super::*;
use crate::domain::catalog::PauseOrder;
use crate::domain::limits;
use crate::domain::pause::{Overdue, PauseEnding, PauseMode};

/// A wait, a message, and an event that is waited for.
const ASKS: [&str; 4] = [
    "a: { wait: 1h, then: b }",
    "b: { message: hello, then: c }",
    "c: { event: buy, within: 1d, then: d, on_timeout: done }",
    "d: { message: hello, then: done }",
];

pub(super) fn overdue(word: &str) -> Overdue {
    Overdue::ALL.into_iter().find(|overdue| overdue.word() == word).unwrap_or_else(|| panic!("{word}"))
}

impl Rig {
    /// `NAME MODE FOR [stop] [OVERDUE]`.
    pub(super) fn pause(&mut self, now: Millis, rest: &str) {
        let mut words = rest.split(' ');
        let name = words.next().expect("a name");
        let mode = if words.next() == Some("hold") { PauseMode::Hold } else { PauseMode::Discard };
        let for_ms = duration::parse(words.next().expect("a duration")).expect("a duration");
        let mut order = PauseOrder {
            mode,
            at: now,
            for_ms,
            ending: PauseEnding::Resume,
            overdue: Overdue::Send,
            window_ms: 0,
            rate: 0,
        };
        for word in words {
            match word {
                "stop" => order.ending = PauseEnding::Stop,
                word => order.overdue = overdue(word),
            }
        }
        self.catalog = self.catalog.pause(name, order).expect("pauses");
    }
}

#[test]
fn a_hold_keeps_profiles_at_their_actions_until_it_ends() {
    let asks = journey("", &ASKS);
    check(
        &asks,
        "0 go\n10m pause j hold 2h\n1h tick\n2h tick\n2h10m tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         2h10m j#1: released *hello /then c~1d2h10m",
    );
    // A resume lets it go at the next look: the sweep's, or that of whatever comes.
    check(
        &asks,
        "0 go\n10m pause j hold 14d\n1h tick\n90m resume j send\n90m tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         1h30m j#1: released *hello /then c~1d1h30m",
    );
    // On the events' clock the same happens at the instant itself.
    let rig = Rig::new(&asks).firing(Firing::Due).run("0 go\n10m pause j hold 2h\n1h tick\n3h tick");
    rig.expect(
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         3h j#1: released *hello /then c~1d2h10m",
    );
}

#[test]
fn who_waits_through_a_pause_is_not_touched() {
    check(
        &journey("", &ASKS),
        "0 go\n1m pause j hold 10m\n20m tick\n1h tick",
        "0 j#1: enter a~1h\n1h j#1: /wait_ended b *hello /then c~1d1h",
    );
}

#[test]
fn what_the_next_node_awaits_is_kept() {
    let rig = check(
        &journey("", &ASKS),
        "0 go\n10m pause j hold 2h\n1h tick\n70m buy {\"s\": \"first\"}\n80m buy {\"s\": \"second\"}\n2h10m tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         1h10m j#1: kept for c
         2h10m j#1: released with 1 *hello /then c /event_received d *hello /then done =completed",
    );
    // The first that it would have taken.
    assert_eq!(rig.rows[1].input.last.get("s"), Some(&Value::Str("first".into())));
    // What comes before it is held waits for nothing, and neither does what the next node does not await.
    check(
        &journey("", &ASKS),
        "0 go\n10m pause j hold 2h\n20m buy\n1h tick\n70m quit\n2h10m tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         2h10m j#1: released *hello /then c~1d2h10m",
    );
    // Whoever waits to be told whether there is a place under a cap does not wait for anything that could come.
    let nodes = [
        "a: { wait: 1h, then: b }",
        "b: { message: hello, then: p }",
        "p: { profile_cap: 5, then: c, otherwise: done }",
        "c: { event: buy, within: 1d, then: done }",
    ];
    check(
        &journey("", &nodes),
        "0 go\n10m pause j hold 2h\n1h tick\n70m buy\n2h10m tick\n2h10m place",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         1h10m j#1: kept for c
         2h10m j#1: released with 1 *hello /then p
         2h10m j#1: /way(0) c /event_received done =completed",
    );
    // A wait comes between: live, it would not have been heard either.
    let nodes =
        ["a: { message: hello, then: b }", "b: { wait: 1h, then: c }", "c: { event: buy, within: 1h, then: done }"];
    check(
        &journey("", &nodes),
        "0 pause j discard 1m\n1m tick\n2m go\n62m tick",
        "2m j#1: enter a *hello /then b~1h2m\n1h2m j#1: /wait_ended c~2h2m",
    );
}

#[test]
fn ten_events_are_kept_and_of_each_further_one_it_is_told_that_it_is_not() {
    let ways: Vec<String> = (0..11).map(|n| format!("{{ when: \"profile.points == {n}\", then: n{n:02} }}")).collect();
    let mut nodes = vec![
        "a: { wait: 1h, then: b }".to_owned(),
        "b: { message: hello, then: c }".to_owned(),
        format!("c: {{ condition: [ {} ], otherwise: done }}", ways.join(", ")),
    ];
    nodes.extend((0..11).map(|n| format!("n{n:02}: {{ event: buy, when: \"last.n == {n}\", then: done }}")));
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let mut script = "0 go\n10m pause j hold 1d\n30m profile.update {\"points\": 4}\n1h tick\n".to_owned();
    // The eleventh comes twice; what is kept for its node already is no loss.
    for (minute, n) in (61..).zip((0..11).chain([10, 3])) {
        script.push_str(&format!("{minute}m buy {{\"n\": {n}}}\n"));
    }
    let rig = Rig::new(&journey("", &nodes)).run(&script);
    assert_eq!(rig.log[..2], ["0 j#1: enter a~1h", "1h j#1: /wait_ended b held"]);
    for (n, line) in rig.log[2..12].iter().enumerate() {
        assert_eq!(*line, format!("1h{}m j#1: kept for n{n:02}", n + 1));
    }
    assert_eq!(rig.log[12..], ["1h11m j#1: not kept, too_many", "1h12m j#1: not kept, too_many"]);
    assert_eq!(rig.profile.instances[0].kept_events().len(), limits::HELD_EVENTS_MAX);
    // What is kept is heard, and nothing is kept any more.
    let rig = rig.run("3d tick");
    let told = "3d j#1: released with 10 *hello /then c /branch4 n04 /event_received done =completed";
    assert_eq!(rig.log.last().map(String::as_str), Some(told));
    let kept: Vec<u64> = rig.counts.iter().map(|(_, counts)| counts.kept).collect();
    assert_eq!(kept, [0]);
}

/// Remembered by the node and kept by the pause: it is one event all the same.
#[test]
fn what_is_remembered_and_kept_is_heard_once() {
    let nodes =
        ["a: { message: hello, then: b }", "b: { event: buy, since: entry, within: 1d, then: a, on_timeout: done }"];
    check(
        &journey("", &nodes),
        "0 pause j hold 1h\n1h tick\n61m go\n62m pause j hold 1h\n63m buy\n64m buy\n122m tick",
        "1h1m j#1: enter a *hello /then b~1d1h1m
         1h3m j#1: /event_received a held
         1h4m j#1: kept for b
         2h2m j#1: released with 1 *hello /then b /event_received a *hello /then b~1d2h2m",
    );
}

#[test]
fn a_run_keeps_no_more_than_it_may_remember() {
    let big = |n: usize| format!("{n}m buy {{\"s\": \"{}\"}}\n", "x".repeat(700_000));
    let nodes = [
        "a: { wait: 1h, then: b }",
        "b: { message: hello, then: k }",
        "k: { condition: [ { when: \"profile.points == 1\", then: c } ], otherwise: d }",
        "c: { event: buy, when: \"last.s != 'y'\", then: done }",
        "d: { event: buy, when: \"last.s != 'z'\", then: done }",
    ];
    let rig = Rig::new(&journey("", &nodes)).run(&format!("0 go\n10m pause j hold 1d\n1h tick\n{}", big(70)));
    assert_eq!(rig.log[2..], ["1h10m j#1: kept for c not kept, too_large"]);
}

#[test]
fn exits_and_lifetimes_count_while_held() {
    check(
        &journey("exit: [ { event: quit } ]", &ASKS),
        "0 go\n10m pause j hold 2h\n1h tick\n70m quit\n3h tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         1h10m j#1: released =criteria",
    );
    // By what the profile is when it is let go.
    check(
        &journey("exit: [ { when: profile.points > 1 } ]", &ASKS),
        "0 go\n10m pause j hold 2h\n1h tick\n70m profile.update {\"points\": 2}\n2h10m tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         2h10m j#1: released =criteria",
    );
}

#[test]
fn entrants_are_kept_and_enter_at_the_end() {
    let text = journey("exit: [ { event: quit } ]", &ASKS);
    check(
        &text,
        "0 pause j hold 2h\n10m go {\"n\": 1}\n20m go {\"n\": 2}\n2h tick\n3h tick",
        "10m j#1: held
         20m j: discards already_in_journey
         2h j#1: released
         2h j#2: enter a~3h
         3h j#2: /wait_ended b *hello /then c~1d3h",
    );
    // Who met an exit criterion meanwhile does not enter.
    check(
        &text,
        "0 pause j hold 2h\n10m go\n20m quit\n2h tick",
        "10m j#1: held\n20m j#1: released\n20m j: discards paused",
    );
    // Who enters is asked again, by what is live then.
    let rig = Rig::new(&journey("entry: { event: go, when: profile.points > 0 }", &ASKS))
        .run("0 profile.update {\"points\": 1}\n0 pause j hold 2h\n10m go {\"n\": 1}\n20m profile.update {\"points\": 0}\n2h tick");
    rig.expect("10m j#1: held\n2h j#1: released\n2h j: discards paused");
    let rig = Rig::new(&text).run("0 pause j hold 2h\n10m go {\"n\": 7}");
    let rig = rig.publish(&text.replace("wait: 1h", "wait: 2h")).run("2h tick");
    let rig = rig.expect("10m j#1: held\n2h j#1: released\n2h j.2#2: enter a~4h");
    assert_eq!(rig.profile.instances[0].context.event.get("n"), Some(&Value::Int(7)));
    // Nobody enters what was closed meanwhile.
    check(
        &text,
        "0 pause j hold 2h\n10m go\n1h close j\n2h tick",
        "10m j#1: held\n2h j#1: released\n2h j: discards paused",
    );
}

#[test]
fn what_cannot_be_kept_is_lost_with_a_reason() {
    check(
        &journey("", &ASKS),
        "0 go\n1m keep full\n10m pause j hold 2h\n1h tick\n70m go",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b =forced
         1h10m j: discards paused",
    );
}

#[test]
fn discard_is_what_ajo_does() {
    check(
        &journey("", &ASKS),
        "0 go\n10m pause j discard 2h\n20m go\n1h tick\n2h10m go",
        "0 j#1: enter a~1h
         20m j: discards paused
         1h j#1: /wait_ended b =forced
         2h10m j#2: enter a~3h10m",
    );
    // Who is still held by the pause before leaves when it would be let go, and hears nothing meanwhile.
    let mut rig = Rig::new(&journey("", &ASKS)).run("0 go\n10m pause j hold 14d\n1h tick");
    let order = ResumeOrder { overdue: None, rate: Some(1), held: 3_600 };
    rig.catalog = rig.catalog.resume("j", instant("2h"), order).expect("is paused");
    rig.run("2h pause j discard 1d\n2h tick\n2h buy\n3h tick").expect(
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         3h j#1: released =forced",
    );
}

#[test]
fn overdue_messages_are_dropped_as_chosen() {
    check(
        &journey("", &ASKS),
        "0 go\n10m pause j hold 14d\n1h tick\n2h resume j drop\n2h tick",
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         2h j#1: released *hello dropped /then c~1d2h",
    );
}

/// The clock of the journey stood still: what came due keeps its distance from the others, spans end later, dates do not.
#[test]
fn overdue_messages_are_shifted_as_chosen() {
    let waits = [
        "a: { wait: 1h, then: b }",
        "b: { message: hello, then: c }",
        "c: { wait: 1h, then: d }",
        "d: { message: hello, then: done }",
    ];
    let pauses = "10m pause j hold 14d\n1h tick\n2h10m resume j shift\n2h10m tick\n3h tick\n4h tick\n5h tick";
    check(
        &journey("", &waits),
        &format!("0 go\n{pauses}"),
        "0 j#1: enter a~1h
         1h j#1: /wait_ended b held
         3h j#1: released *hello /then c~4h
         4h j#1: /wait_ended d *hello /then done =completed",
    );
    // Still waiting when it is resumed: as much is left as when it was paused.
    check(
        &journey("", &["a: { wait: 3h, then: b }", "b: { message: hello, then: done }"]),
        "0 go\n10m pause j hold 14d\n2h10m resume j shift\n3h tick\n4h buy\n5h tick\n6h tick",
        "0 j#1: enter a~3h\n5h j#1: /wait_ended b *hello /then done =completed",
    );
    let until = "a: { wait: { until: \"timestamp('2026-01-01T03:00:00Z')\" }, then: b }";
    check(
        &journey("", &[until, "b: { message: hello, then: done }"]),
        "0 go\n10m pause j hold 14d\n2h10m resume j shift\n3h tick",
        "0 j#1: enter a~3h\n3h j#1: /wait_ended b *hello /then done =completed",
    );
    // Lifetimes never stand still.
    check(
        &journey("timeout: 4h", &["a: { wait: 3h, then: b }", "b: { message: hello, then: done }"]),
        "0 go\n10m pause j hold 14d\n2h10m resume j shift\n3h tick\n4h tick",
        "0 j#1: enter a~3h\n4h j#1: =timeout",
    );
    // Twice paused, twice shifted, each once.
    check(
        &journey("", &["a: { wait: 3h, then: b }", "b: { message: hello, then: done }"]),
        "0 go\n10m pause j hold 10m shift\n30m tick\n40m pause j hold 10m shift\n1h buy\n2h buy\n3h19m tick\n3h20m tick",
        "0 j#1: enter a~3h\n3h20m j#1: /wait_ended b *hello /then done =completed",
    );
    // So is what has no timer that would tell, for a version that computes the wait anew.
    let waits = |node: &str, head: &str| journey(head, &[node, "b: { wait: 2h, then: done }"]);
    let rig =
        Rig::new(&waits("a: { event: buy, then: b }", "")).run("0 go\n10m pause j hold 14d\n2h10m resume j shift");
    let timed = waits("a: { event: buy, within: 5h, then: b }", "migration: { nodes: { a: recompute } }");
    rig.publish(&timed).run("3h tick").expect("0 j#1: enter a\n3h j#1: =migrated\n3h j.2#1: over a~7h");
}

#[test]
fn overdue_messages_are_merged_as_chosen() {
    let head = |name: &str, wait: &str, message: &str| {
        let wait = format!("a: {{ wait: {wait}, then: b }}");
        let message = format!("b: {{ message: {message}, then: c }}");
        named(name, "", &[&wait, &message, "c: { wait: 1d, then: done }"])
    };
    let journeys = [head("x", "1h", "hello"), head("y", "2h", "hello"), head("z", "3h", "mail")].join("---\n");
    let rig = Rig::new(&journeys).run(
        "0 profile.update {\"email\": \"a@b.c\"}\n0 go\n0 pause x hold 14d\n0 pause y hold 14d\n0 pause z hold 14d\n\
         1h tick\n2h tick\n3h tick\n4h resume x merge\n",
    );
    // Alone it is the latest: the others are not resumed.
    rig.run("4h tick\n5h resume y merge\n5h resume z merge\n5h tick").expect(
        "0 x#1: enter a~1h
         0 y#2: enter a~2h
         0 z#3: enter a~3h
         1h x#1: /wait_ended b held
         2h y#2: /wait_ended b held
         3h z#3: /wait_ended b held
         4h x#1: released *hello /then c~1d4h
         5h y#2: released *hello /then c~1d5h
         5h z#3: released *mail /then c~1d5h",
    );
    let rig = Rig::new(&journeys).run(
        "0 profile.update {\"email\": \"a@b.c\"}\n0 go\n0 pause x hold 14d\n0 pause y hold 14d\n0 pause z hold 14d\n\
         1h tick\n2h tick\n3h tick\n4h resume x merge\n4h resume y merge\n4h resume z merge\n4h tick",
    );
    let told = rig.log.iter().filter(|line| line.starts_with("4h")).cloned().collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            "4h x#1: released",
            "4h y#2: released",
            "4h x#1: *hello merged /then c~1d4h",
            "4h y#2: *hello /then c~1d4h",
            "4h z#3: released *mail /then c~1d4h"
        ]
    );
}

#[test]
fn a_pause_may_end_with_a_stop() {
    check(
        &format!("{}---\n{}", journey("", &ASKS), named("k", "", &["a: { wait: 5h, then: done }"])),
        "0 go\n10m pause j hold 2h stop\n10m pause k hold 2h stop\n20m buy\n1h tick\n2h10m tick\n3h go",
        "0 j#1: enter a~1h
         0 k#2: enter a~5h
         1h j#1: /wait_ended b held
         2h10m j#1: released =stopped
         2h10m k#2: =stopped",
    );
    let text = journey("", &ASKS);
    check(&text, "0 pause j hold 2h stop\n1h go\n2h tick", "1h j#1: held\n2h j#1: released\n2h j: discards paused");
}

#[test]
fn jumps_into_a_paused_journey_wait_or_fail() {
    let journeys = format!(
        "{}---\n{}",
        named("o", "entry: { event: buy }", &["a: { jump: t, then: b }", "b: { wait: 1d, then: done }"]),
        named("t", "", &["x: { wait: 1h, then: done }"]),
    );
    check(
        &journeys,
        "0 pause t hold 1h\n0 buy\n1h tick",
        "0 o#1: enter a
         0 t#2: held
         0 o#1: /then b~1d
         1h t#2: released
         1h t#3: enter x~2h",
    );
    check(&journeys, "0 pause t discard 1h\n0 buy", "0 o#1: enter a\n0 t: discards paused\n0 o#1: !jump");
}

#[test]
fn calls_are_held_too_and_made_whatever_is_chosen() {
    let ask = "kind: action\nname: ask\nurl: \"https://api.example.com/ask\"\nresponse: { level: string }\n---\n";
    let text = format!("{ask}{}", journey("", &["a: { action: ask, then: b }", "b: { wait: 1h, then: done }"]));
    check(
        &text,
        "0 go\n0 answer 200 {}\n1h tick\n2h pause j hold 1h\n2h30m tick",
        "0 j#1: enter a\n0 j#1: <http_200> /then b~1h\n1h j#1: /wait_ended done =completed",
    );
    let waits = ["w: { wait: 1h, then: a }", "a: { action: ask, then: b }", "b: { wait: 1h, then: done }"];
    let rig = check(
        &format!("{ask}{}", journey("", &waits)),
        "0 go\n10m pause j hold 14d\n1h tick\n2h resume j drop\n2h tick",
        "0 j#1: enter w~1h\n1h j#1: /wait_ended a held\n2h j#1: released",
    );
    assert_eq!(rig.rows.len(), 1, "it is called");
}
