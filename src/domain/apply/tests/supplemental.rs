//! Supplemental ids: one profile in one journey several times, and what expressions know of the instance.

use super::*;
use crate::domain::limits;

const LINES: &str = "entry: { event: go, supplemental_id: event.s }";

/// Each id is a run of its own; the same id is inside already, and none is no entry.
#[test]
fn each_supplemental_id_runs_for_itself() {
    check(
        &journey(LINES, &["a: { wait: 1h, then: done }"]),
        "0 go {\"s\": \"x\"}\n1m go {\"s\": \"y\"}\n2m go {\"s\": \"x\"}\n3m go\n4m go {\"s\": \"\"}\n1h tick\n1h1m tick",
        "0 j#1: enter a~1h
         1m j#2: enter a~1h1m
         2m j: discards already_in_journey
         3m j: discards no_supplemental_id
         4m j: discards no_supplemental_id
         1h j#1: /wait_ended done =completed
         1h1m j#2: /wait_ended done =completed",
    );
}

/// Spec §1.7: re-entrance is that of the pair of profile and id.
#[test]
fn re_entrance_goes_by_the_id() {
    let head = format!("{LINES}\nreentry: {{ after: 1h }}");
    check(
        &journey(&head, &["a: { wait: 1m, then: done }"]),
        "0 go {\"s\": \"x\"}\n30m go {\"s\": \"x\"}\n30m go {\"s\": \"y\"}\n1h go {\"s\": \"x\"}\n1h29m go {\"s\": \"y\"}",
        "0 j#1: enter a~1m
         30m j#1: /wait_ended done =completed
         30m j: discards reentrance_not_allowed
         30m j#2: enter a~31m
         1h j#2: /wait_ended done =completed
         1h j#3: enter a~1h1m
         1h29m j#3: /wait_ended done =completed
         1h29m j: discards reentrance_not_allowed",
    );
    // What re-entrance no longer hangs on is forgotten: ids of orders come once and never again.
    let ids: Vec<String> = (0..50).map(|n| format!("{n}h go {{\"s\": \"id{n}\"}}")).collect();
    let rig = Rig::new(&journey(&head, &["a: { wait: 1m, then: done }"])).run(&ids.join("\n"));
    assert_eq!(rig.profile.last_entries.len(), 1);
}

/// Spec §1.7: a list of objects lets the profile in once for each element.
#[test]
fn a_list_fans_out() {
    let orders = "kind: event\nname: order\nschema: { lines: [{ sku: string }] }\n---\n";
    let head = "entry: { event: order, supplemental_id: \"event.lines.map(l, l.sku)\" }";
    let lines = r#"{"lines": [{"sku": "x"}, {"sku": "y"}, {"sku": "x"}, {}]}"#;
    check(
        &format!("{orders}{}", journey(head, &["a: { wait: 1h, then: done }"])),
        &format!("0 order {lines}\n1m order {{\"lines\": []}}"),
        "0 j#1: enter a~1h
         0 j#2: enter a~1h
         1m j: discards no_supplemental_id",
    );
}

/// An event that names very many is no way to fill the record: it is refused whole.
#[test]
fn an_event_names_at_most_a_hundred_ids() {
    let orders = "kind: event\nname: order\nschema: { ids: [string] }\n---\n";
    let head = "entry: { event: order, supplemental_id: event.ids }";
    let journeys = format!("{orders}{}", journey(head, &["a: { wait: 1h, then: done }"]));
    let named = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!("\"id{n}\"")).collect();
        Rig::new(&journeys).run(&format!("0 order {{\"ids\": [{}]}}", ids.join(",")))
    };
    let (most, more) = (named(100), named(101));
    assert_eq!((most.profile.instances.len(), most.log.len()), (10, 100));
    assert_eq!(more.log, ["0 j: discards entry_filter_error"]);
    assert_eq!(more.notes, ["an event names at most 100 supplemental ids"]);
}

/// What is remembered of ids is bounded, and never what a run in progress hangs on.
#[test]
fn the_oldest_id_that_nothing_runs_under_is_forgotten_first() {
    let head = format!(
        "{LINES}\nreentry: never\nexit: [ {{ event: quit, when: last.n > 0 && journey.supplemental_id != 'id0' }} ]"
    );
    let script: Vec<String> =
        (0..1_002).map(|n| format!("{n}m go {{\"s\": \"id{n}\"}}\n{n}m quit {{\"n\": 1}}")).collect();
    let rig = Rig::new(&journey(&head, &["a: { wait: 90d, then: done }"])).run(&script.join("\n"));
    let known: Vec<&str> = rig.profile.last_entries.iter().filter_map(|e| e.supplemental_id.as_deref()).collect();
    assert_eq!((known.len(), known[0], known[1]), (1_000, "id0", "id3"));
}

/// Spec §14: at most ten at once.
#[test]
fn supplemental_instances_are_at_most_ten() {
    let ids: Vec<String> =
        (0..=limits::SUPPLEMENTAL_INSTANCES_MAX).map(|n| format!("0 go {{\"s\": \"id{n}\"}}")).collect();
    let rig = Rig::new(&journey(LINES, &["a: { wait: 1h, then: done }"])).run(&ids.join("\n"));
    assert_eq!((rig.profile.instances.len(), limits::SUPPLEMENTAL_INSTANCES_MAX), (10, 10));
    assert_eq!(rig.log.last().map(String::as_str), Some("0 j: discards too_many_instances"));
}

/// Spec §16.15: an exit criterion ends all instances of the profile; a node hears the event of its own id by its filter.
#[test]
fn trap_15_exit_criteria_end_all_supplemental_instances() {
    let head = format!("{LINES}\nexit: [ {{ event: quit }} ]");
    let nodes = ["a: { event: buy, when: last.s == journey.supplemental_id, then: b }", "b: { wait: 1h, then: done }"];
    check(
        &journey(&head, &nodes),
        "0 go {\"s\": \"x\"}\n0 go {\"s\": \"y\"}\n1m buy {\"s\": \"y\"}\n2m quit",
        "0 j#1: enter a
         0 j#2: enter a
         1m j#2: /event_received b~1h1m
         2m j#1: =criteria
         2m j#2: =criteria",
    );
}

/// A criterion by what the profile is counts where one of them acts, and ends those for which it holds: all of them, unless
/// it asks for what only one has. An error of another's is none of the one that acts.
#[test]
fn trap_15_criteria_by_attribute_end_all_supplemental_instances() {
    let nodes = ["a: { wait: 1h, then: m }", "m: { message: hello, then: b }", "b: { wait: 9d, then: done }"];
    let script = "0 go {\"s\": \"x\", \"n\": 1}\n1m go {\"s\": \"y\", \"n\": 0}\n2m go {\"s\": \"z\", \"n\": 1}
        1h tick\n1h30s profile.update {\"tier\": \"gone\"}\n1h1m tick\n1h2m tick";
    let begun = "0 j#1: enter a~1h
         1m j#2: enter a~1h1m
         2m j#3: enter a~1h2m
         1h j#1: /wait_ended m *hello /then b~9d1h";
    check(
        &journey(&format!("{LINES}\nexit: [ {{ when: profile.tier == 'gone' }} ]"), &nodes),
        script,
        &format!(
            "{begun}
         1h1m j#2: /wait_ended m =criteria
         1h1m j#1: =criteria
         1h1m j#3: =criteria (cancels)"
        ),
    );
    check(
        &journey(&format!("{LINES}\nexit: [ {{ when: profile.tier == 'gone' && event.s != 'x' }} ]"), &nodes),
        script,
        &format!("{begun}\n1h1m j#2: /wait_ended m =criteria\n1h1m j#3: =criteria"),
    );
    let once = "profile.tier == 'gone' && journey.supplemental_id == 'y' || 1 / event.n == 7 && profile.tier == 'gone'";
    check(
        &journey(&format!("{LINES}\nexit: [ {{ when: \"{once}\" }} ]"), &nodes),
        script,
        &format!("{begun}\n1h1m j#2: /wait_ended m =criteria\n1h2m j#3: /wait_ended m *hello /then b~9d1h2m"),
    );
}

/// Where a jump leads to an exit of the instance that jumps, that goes no further; and it finds itself again where others left.
#[test]
fn a_jump_may_take_others_out() {
    let quits = "exit: [ { when: profile.tier == 'gone' } ]";
    let send = ["m: { message: hello, then: done }"];
    let inner = named("t", &format!("{LINES}\n{quits}"), &["a: { wait: 9d, then: m }", send[0]]);
    let by_id = named("t", &format!("{LINES}\n{quits}"), &send);
    let outer = named(
        "o",
        "entry: { event: buy }",
        &["b: { jump: t, with: { s: \"'z'\" }, then: c }", "c: { wait: 1h, then: done }"],
    );
    let rig = Rig::new(&inner).run("0 go {\"s\": \"x\"}\n1m profile.update {\"tier\": \"gone\"}");
    let rig = rig.expect("0 t#1: enter a~9d").publish(&format!("{by_id}---\n{outer}"));
    rig.run("2m buy\n1h2m tick").expect(
        "2m o#2: enter b
         2m t.2#3: enter m =criteria
         2m t#1: =criteria
         2m o#2: /then c~1h2m
         1h2m o#2: /wait_ended done =completed",
    );
    // The old version jumps to `u`, which jumps back: into the new one, which ends both.
    let to_u = named(
        "t",
        &format!("{LINES}\n{quits}"),
        &["a: { wait: 1h, then: j }", "j: { jump: u, with: {}, then: k }", "k: { wait: 1h, then: done }"],
    );
    let back = named(
        "u",
        "entry: { event: quit }",
        &["b: { jump: t, with: { s: \"'z'\" }, then: c }", "c: { wait: 2h, then: done }"],
    );
    let noop = named("u", "entry: { event: quit }", &["c: { wait: 2h, then: done }"]);
    let rig =
        Rig::new(&format!("{to_u}---\n{noop}")).run("0 go {\"s\": \"x\"}\n1m profile.update {\"tier\": \"gone\"}");
    let rig = rig.expect("0 t#1: enter a~1h").publish(&format!("{by_id}---\n{back}"));
    rig.run("1h tick").expect(
        "1h t#1: /wait_ended j
         1h u.2#2: enter b
         1h t.2#3: enter m =criteria
         1h t#1: =criteria
         1h u.2#2: /then c~3h",
    );
}

/// A jump into a journey that asks for an id fails without one.
#[test]
fn a_jump_gives_the_id() {
    let target = named("t", LINES, &["a: { wait: 1h, then: done }"]);
    let origin = |with: &str| {
        let jump = format!("b: {{ jump: t, with: {{ {with} }}, then: done }}");
        format!("{target}---\n{}", named("o", "entry: { event: buy }", &[&jump]))
    };
    check(
        &origin("s: event.s"),
        "0 buy {\"s\": \"x\"}\n10m buy {\"s\": \"y\"}",
        "0 o#1: enter b\n0 t#2: enter a~1h\n0 o#1: /then done =completed
         10m o#3: enter b\n10m t#4: enter a~1h10m\n10m o#3: /then done =completed",
    );
    check(&origin("n: 1"), "0 buy {\"s\": \"x\"}", "0 o#1: enter b\n0 t: discards no_supplemental_id\n0 o#1: !jump");
}

/// Spec §5.5: what the journey is, where the instance came from and how it failed.
#[test]
fn expressions_know_the_instance() {
    let holds = |when: &str| {
        let nodes = [
            "z: { condition: [ { when: 60 / event.n > 1, then: a } ], otherwise: a, on_error: a }".to_owned(),
            format!("a: {{ condition: [ {{ when: \"{when}\", then: b }} ], otherwise: done }}"),
            "b: { wait: 1h, then: done }".to_owned(),
        ];
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let rig = Rig::new(&journey(LINES, &nodes)).run("1h go {\"s\": \"x\", \"n\": 0}");
        rig.at() == ["b"]
    };
    for when in [
        "journey.name == 'j' && journey.version == 1",
        "journey.profile == 'crm:1' && journey.namespace == 'crm' && journey.key == '1'",
        "journey.supplemental_id == 'x'",
        "journey.entered_at == now",
        "journey.node == 'a' && journey.previous_node == 'z'",
        "journey.error == 'expression' && journey.error_node == 'z'",
        "has(journey.error) && journey.instance.size() == 32",
    ] {
        assert!(holds(when), "{when}");
    }
    assert!(!holds("journey.previous_node == 'a' || journey.version == 2"));
}
