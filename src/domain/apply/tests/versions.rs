//! A journey over its versions: who stays where, who may enter what.

use super::*;

fn waiting(time: &str) -> String {
    journey("reentry: { after: 1h }\nexit: [ { event: quit } ]", &[&format!("a: {{ wait: {time}, then: done }}")])
}

#[test]
fn an_instance_stays_on_its_version() {
    Rig::new(&waiting("2h")).run("0 go").publish(&waiting("30m")).run("1h go\n2h go\n2h30m tick").expect(
        "0 j#1: enter a~2h
             1h j.2: discards already_in_journey
             2h j#1: /wait_ended done =completed
             2h j.2#2: enter a~2h30m
             2h30m j.2#2: /wait_ended done =completed",
    );
}

/// The period of re-entrance is the journey's, not the version's.
#[test]
fn the_entry_before_may_be_in_another_version() {
    Rig::new(&waiting("10m")).run("0 go\n10m tick").publish(&waiting("20m")).run("59m go\n1h go").expect(
        "0 j#1: enter a~10m
             10m j#1: /wait_ended done =completed
             59m j.2: discards reentrance_not_allowed
             1h j.2#2: enter a~1h20m",
    );
    let once = |time: &str| waiting(time).replace("reentry: { after: 1h }", "reentry: never");
    Rig::new(&once("10m")).run("0 go\n10m tick").publish(&once("20m")).run("50d go").expect(
        "0 j#1: enter a~10m
             10m j#1: /wait_ended done =completed
             50d j.2: discards reentrance_not_allowed",
    );
}

/// The exits of the version it is in, not of the latest.
#[test]
fn an_instance_keeps_the_exits_of_its_version() {
    let without = waiting("2h").replace("exit: [ { event: quit } ]", "");
    Rig::new(&waiting("2h"))
        .run("0 go")
        .publish(&without)
        .run("1h quit")
        .expect("0 j#1: enter a~2h\n1h j#1: =criteria");
    Rig::new(&without).run("0 go").publish(&waiting("2h")).run("1h quit").expect("0 j#1: enter a~2h");
}

#[test]
fn a_closed_version_takes_none_and_finishes() {
    check(
        &waiting("2h"),
        "
        0  go
        0  close j
        1h go
        2h tick
        3h go
        ",
        "0 j#1: enter a~2h
         2h j#1: /wait_ended done =completed",
    );
}

#[test]
fn a_stopped_version_lets_everyone_go() {
    check(
        &waiting("2h"),
        "
        0  go
        1h stop j
        1h tick
        2h go
        ",
        "0 j#1: enter a~2h
         1h j#1: =stopped",
    );
    // Overdue or not: whoever is in a stopped version leaves as stopped.
    check(&waiting("2h"), "0 go\n3h stop j\n3h tick", "0 j#1: enter a~2h\n3h j#1: =stopped");
    // Also where the event that comes would take it out anyway.
    check(&waiting("2h"), "0 go\n1h stop j\n1h quit", "0 j#1: enter a~2h\n1h j#1: =stopped");
}

#[test]
fn stopping_one_version_leaves_the_other() {
    Rig::new(&waiting("2h")).run("0 go").publish(&waiting("3h")).run("1h stop j 2\n1h go\n2h tick\n2h go").expect(
        "0 j#1: enter a~2h
             2h j#1: /wait_ended done =completed",
    );
    Rig::new(&waiting("2h")).run("0 go").publish(&waiting("3h")).run("1h stop j 1\n1h go").expect(
        "0 j#1: enter a~2h
             1h j#1: =stopped
             1h j.2#2: enter a~4h",
    );
}

#[test]
fn stopping_touches_only_its_own_journey() {
    let journeys = [named("a", "", &["x: { wait: 1h, then: done }"]), named("b", "", &["x: { wait: 1h, then: done }"])];
    check(
        &journeys.join("---\n"),
        "0 go\n1m stop a\n1m tick\n1h tick",
        "0 a#1: enter x~1h
         0 b#2: enter x~1h
         1m a#1: =stopped
         1h b#2: /wait_ended done =completed",
    );
}
