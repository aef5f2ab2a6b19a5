//! Exit criteria, and what one event does in which order.

use super::*;
use crate::domain::effect::Effect;
use crate::domain::limits;

const AWAIT: &str = "a: { event: buy, within: 1d, then: b, on_timeout: done }";

#[test]
fn an_exit_takes_an_instance_at_any_node() {
    let journeys = [
        named("a_at_wait", "exit: [ { event: quit } ]", &["a: { wait: 1h, then: done }"]),
        named("b_at_until", "exit: [ { event: quit } ]", &["a: { wait: { until: event.at }, then: done }"]),
        named("c_at_event", "exit: [ { event: quit } ]", &["a: { event: buy, then: done }"]),
        named("d_at_message", "exit: [ { event: quit } ]", &["a: { message: hello, then: done }"]),
    ];
    check(
        &journeys.join("---\n"),
        r#"
        0  room full
        0  go {"at": "2027-01-01T00:00:00Z"}
        1s quit
        "#,
        "0 a_at_wait#1: enter a~1h
         0 b_at_until#2: enter a
         0 c_at_event#3: enter a
         0 d_at_message#4: enter a
         1s a_at_wait#1: =criteria
         1s b_at_until#2: =criteria
         1s c_at_event#3: =criteria
         1s d_at_message#4: =criteria",
    );
}

/// In an exit's filter `last` is the event that comes, `event` the one that entered; the first true one suffices.
#[test]
fn an_exit_compares_two_events() {
    check(
        &journey(
            "exit: [ { event: buy, when: last.n > event.n }, { event: buy, when: last.s == 'out' } ]",
            &["a: { event: buy, when: last.s == 'on', then: b }", "b: { wait: 1h, then: done }"],
        ),
        r#"
        0  go {"n": 5}
        1m buy {"n": 5}
        2m buy {}
        3m buy {"n": 5, "s": "on"}
        4m buy {"n": 1, "s": "out"}
        10m go {"n": 5}
        11m buy {"n": 6, "s": "on"}
        "#,
        "0 j#1: enter a
         3m j#1: /event_received b~1h3m
         4m j#1: =criteria
         10m j#2: enter a
         11m j#2: =criteria",
    );
}

/// Exit, then the node that awaits, then entry: one event, in one journey and over two.
#[test]
fn exit_comes_before_awaiting_before_entry() {
    let journeys = [
        named("leaves", "exit: [ { event: buy, when: last.n == 1 } ]", &[AWAIT, "b: { wait: 1h, then: done }"]),
        named("hears", "", &[AWAIT, "b: { wait: 1h, then: done }"]),
        named("starts", "entry: { event: buy }", &["a: { wait: 2h, then: done }"]),
    ];
    check(
        &journeys.join("---\n"),
        r#"
        0  go
        1m buy {"n": 1}
        "#,
        "0 hears#1: enter a~1d
         0 leaves#2: enter a~1d
         1m hears#1: /event_received b~1h1m
         1m leaves#2: =criteria
         1m starts#3: enter a~2h1m",
    );
}

#[test]
fn an_event_that_ends_an_instance_may_begin_the_next() {
    check(
        &journey(
            "entry: { event: go }\nexit: [ { event: go } ]\nreentry: { after: 5m }",
            &["a: { wait: 1h, then: done }"],
        ),
        "
        0  go
        4m go
        5m go
        10m go
        ",
        "0 j#1: enter a~1h
         4m j#1: =criteria
         4m j: discards reentrance_not_allowed
         5m j#2: enter a~1h5m
         10m j#2: =criteria
         10m j#3: enter a~1h10m",
    );
    check(
        &journey("entry: { event: go }", &["a: { event: go, then: done }"]),
        "
        0 go
        1h go
        ",
        "0 j#1: enter a
         1h j#1: /event_received done =completed
         1h j#2: enter a",
    );
}

/// The event that lets a profile in neither takes it out nor reaches the first node.
#[test]
fn an_entry_event_is_not_heard_inside() {
    check(
        &journey("exit: [ { event: go } ]", &["a: { event: go, within: 1h, then: done }"]),
        "0 go",
        "0 j#1: enter a~1h",
    );
}

#[test]
fn an_exit_that_fails_is_an_error_of_the_node() {
    let rig = check(
        &journey("exit: [ { event: quit, when: 1 / last.n > 0 } ]", &["a: { wait: 1h, then: done }"]),
        r#"
        0 go
        1m quit
        2m quit {"n": 0}
        "#,
        "0 j#1: enter a~1h
         2m j#1: !expression",
    );
    assert_eq!(rig.notes, ["division by zero"]);
}

/// Who leaves early takes back what no channel has tried; who runs its course does not, nor does one that fails.
#[test]
fn early_exits_take_messages_back() {
    let nodes = ["m: { message: hello, then: a }", "a: { event: buy, when: 1 / last.n > 0, within: 1h, then: done }"];
    let sends = journey("exit: [ { event: quit } ]", &nodes);
    let begun = "0 j#1: enter m *hello /then a~1h\n";
    for (script, expected) in [
        ("1m quit", "1m j#1: =criteria (cancels)"),
        ("1m stop j\n1m tick", "1m j#1: =stopped (cancels)"),
        ("1h tick", "1h j#1: /timed_out done =completed"),
        ("1m buy {\"n\": 1}", "1m j#1: /event_received done =completed"),
        ("1m buy {\"n\": 0}", "1m j#1: !expression"),
    ] {
        check(&sends, &format!("0 go\n{script}"), &format!("{begun}{expected}"));
    }
    // Nothing was sent: nothing to take back.
    check(
        &journey("exit: [ { event: quit } ]", &["a: { wait: 1h, then: done }"]),
        "0 go\n1m quit",
        "0 j#1: enter a~1h\n1m j#1: =criteria",
    );
    // On a virtual clock channels try at once.
    Rig::new(&sends).firing(Firing::Due).run("0 go\n1m quit").expect(&format!("{begun}1m j#1: =criteria"));
}

#[test]
fn a_taken_back_delivery_is_the_instance_s_own() {
    let journeys = [
        named("a", "exit: [ { event: quit } ]", &["m: { message: hello, then: w }", "w: { wait: 1h, then: done }"]),
        named("b", "", &["m: { message: hello, then: w }", "w: { wait: 1h, then: done }"]),
    ];
    let mut rig = Rig::new(&journeys.join("---\n")).run("0 go");
    let instances: Vec<_> = rig.rows.iter().map(|row| row.id.instance).collect();
    assert_ne!(instances[0], instances[1]);
    let mut out = Outcome::default();
    let world = World {
        catalog: &rig.catalog,
        sandbox: SandboxId::DEFAULT,
        partition: PartitionId(7),
        calls: &crate::domain::apply::Calls::Made,
        firing: Firing::Engine,
        room: &|_| true,
        spent: World::NONE_SPENT,
    };
    let event = EventInput { id: "e", kind: "quit", time: START, properties: &Map::new(), also: &[] };
    apply::apply_event(&mut rig.profile, event, START, world, &mut out);
    assert_eq!(out.effects, [Effect::CancelUnattempted(instances[0])]);
}

/// Steps of one instance are no reason to fail another.
#[test]
fn the_step_limit_is_for_each_instance() {
    let steps = 40;
    let chain: Vec<String> = (0..steps)
        .map(|n| {
            let then = if n + 1 == steps { "done".to_owned() } else { format!("n{}", n + 1) };
            format!("n{n}: {{ message: hello, then: {then} }}")
        })
        .collect();
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    let journeys = ["a", "b", "c"].map(|name| named(name, "", &chain));
    let rig = Rig::new(&journeys.join("---\n")).run("0 go");
    assert!(steps * 3 * 3 > limits::STEPS_PER_INPUT_MAX);
    assert_eq!(rig.log.len(), 3);
    assert!(rig.log.iter().all(|line| line.ends_with("done =completed")), "{:?}", rig.log);
}
