//! Fragments: copies of nodes in journeys (spec §3.8b).

use super::*;

const FRAGMENT: &str = "kind: fragment
name: remind
start: ask
nodes:
  ask: { condition: [ { when: 60 / event.n > 1, then: say } ], otherwise: out }
  say: { message: hello, then: pause }
  pause: { event: message.opened, of: say, within: 1h, then: out, on_timeout: again }
  again: { wait: 1h, then: ask }
  out: { end: true }
---
";

/// The first node has the name of the node in the journey; the fragment's end is where that leads.
#[test]
fn a_journey_walks_a_copy() {
    let journeys = format!(
        "{FRAGMENT}{}",
        journey("timeout: 3h", &["a: { fragment: remind, then: b }", "b: { wait: 1h, then: done }"])
    );
    check(&journeys, "0 go {\"n\": 60}", "0 j#1: enter a /otherwise b~1h");
    check(
        &journeys,
        "0 go {\"n\": 2}\n1h tick\n2h tick\n3h tick",
        "0 j#1: enter a /branch0 a.say *hello /then a.pause~1h
         1h j#1: /timed_out a.again~2h
         2h j#1: /wait_ended a /branch0 a.say *hello /then a.pause
         3h j#1: /timed_out a.again =timeout",
    );
}

/// What fails in a copy goes where the journey says, unless the fragment says.
#[test]
fn errors_of_a_copy_go_where_the_journey_says() {
    let with = |on_error: &str| {
        let nodes = [
            &format!("a: {{ fragment: remind, then: b{on_error} }}"),
            "b: { wait: 1h, then: c }",
            "c: { wait: 1h, then: done }",
        ];
        format!("{FRAGMENT}{}", journey("", &nodes.map(|node| node as &str)))
    };
    check(&with(""), "0 go {\"n\": 0}", "0 j#1: enter a !expression");
    check(&with(", on_error: c"), "0 go {\"n\": 0}", "0 j#1: enter a /failed c~1h");
}

/// A changed fragment changes the journeys of the files; a published one is known to later files.
#[test]
fn copies_change_when_their_journey_is_published_again() {
    let with =
        |fragment: &str| format!("{fragment}{}", journey("timeout: 3h", &["a: { fragment: remind, then: done }"]));
    let rig = Rig::new(&with(FRAGMENT));
    let changed = FRAGMENT.replace("within: 1h", "within: 2h");
    let rig =
        rig.publish(&changed).run("0 go {\"n\": 2}").expect("0 j#1: enter a /branch0 a.say *hello /then a.pause~1h");
    let rig = rig.publish(&with("")).run("1d go {\"n\": 2}");
    assert_eq!(rig.log.last().map(String::as_str), Some("1d j.2#2: enter a /branch0 a.say *hello /then a.pause~1d2h"));
}
