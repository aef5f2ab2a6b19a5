//! A new version disposes of those in older ones: each choice, what goes over with them, and several versions in a row.

use super::*;

const HEAD: &str = "reentry: { after: 1h }\nexit: [ { event: quit } ]";

/// Two waits and a mail between them.
fn before(wait: &str) -> String {
    journey(
        HEAD,
        &[
            &format!("a: {{ wait: {wait}, then: hi }}"),
            "hi: { message: hello, then: b }",
            "b: { wait: 2h, then: done }",
        ],
    )
}

/// The same with another timeout, so that there is a new version, and a migration.
fn after(wait: &str, migration: &str) -> String {
    before(wait).replace(HEAD, &format!("{HEAD}\ntimeout: 10d\nmigration: {{ {migration} }}"))
}

#[test]
fn keep_is_the_default() {
    for migration in ["", "default: keep", "nodes: { a: keep }", "nodes: { b: exit }"] {
        Rig::new(&before("3h")).run("0 go").publish(&after("1h", migration)).run("1h tick\n3h tick").expect(
            "0 j#1: enter a~3h
             3h j#1: /wait_ended hi *hello /then b~5h",
        );
    }
}

/// The choice is about where a profile is when the version comes, not about where it gets to later.
#[test]
fn who_is_kept_stays_kept() {
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "nodes: { b: exit }"));
    rig.run("3h tick\n4h buy\n5h tick").expect(
        "0 j#1: enter a~3h
         3h j#1: /wait_ended hi *hello /then b~5h
         5h j#1: /wait_ended done =completed",
    );
    // Whoever is there leaves, also if their timer was due before.
    for input in ["4h tick", "4h buy", "4h profile.update {\"tier\":\"a\"}"] {
        let rig = Rig::new(&before("1h")).run("0 go\n1h tick").publish(&after("1h", "nodes: { b: exit }"));
        rig.run(input).expect(
            "0 j#1: enter a~1h
             1h j#1: /wait_ended hi *hello /then b~3h
             4h j#1: =withdrawn (cancels)",
        );
    }
}

#[test]
fn exit_goes_before_exit_criteria_and_entries() {
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "default: exit"));
    rig.run("30m quit\n59m go\n1h go").expect(
        "0 j#1: enter a~3h
         30m j#1: =withdrawn
         59m j.2: discards reentrance_not_allowed
         1h j.2#2: enter a~2h",
    );
}

#[test]
fn moved_ones_come_to_the_node_now() {
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "nodes: { a: { move: b } }"));
    rig.run("1h tick\n1h tick\n3h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over b~3h
         3h j.2#1: /wait_ended done =completed",
    );
    // To a node that acts, and to an end.
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "nodes: { a: { move: hi } }"));
    let rig = rig.run("1h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over hi *hello /then b~3h",
    );
    rig.publish(&after("1h", "default: { move: done }").replace("10d", "11d")).run("2h tick").expect(
        "2h j.2#1: =migrated
         2h j.3#1: over done =completed",
    );
}

/// What was due before the barrier and had not fired is not decided by the old version.
#[test]
fn the_old_version_decides_nothing_after_the_barrier() {
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "nodes: { a: { move: b } }"));
    rig.run("3h tick").expect(
        "0 j#1: enter a~3h
         3h j#1: =migrated
         3h j.2#1: over b~5h",
    );
    // The event meets the new version.
    let late = after("1h", "nodes: { a: { move: b } }").replace("event: quit", "event: buy");
    Rig::new(&before("3h")).run("0 go").publish(&late).run("1h quit\n2h buy").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over b~3h
         2h j.2#1: =criteria",
    );
}

#[test]
fn recomputed_waits_count_from_the_arrival() {
    let recompute = |wait: &str| after(wait, "nodes: { a: recompute }");
    // Later, sooner, and over.
    Rig::new(&before("3h")).run("0 go").publish(&recompute("5h")).run("1h tick\n4h tick\n5h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over a~5h
         5h j.2#1: /wait_ended hi *hello /then b~7h",
    );
    Rig::new(&before("3h")).run("0 go").publish(&recompute("2h")).run("1h tick\n2h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over a~2h
         2h j.2#1: /wait_ended hi *hello /then b~4h",
    );
    Rig::new(&before("3h")).run("0 go").publish(&recompute("30m")).run("1h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over a~30m /wait_ended hi *hello /then b~3h",
    );
}

/// Where the timer does not tell when the profile came, that was noted.
#[test]
fn every_kind_of_wait_can_be_recomputed() {
    let form = |head: &str, node: &str| {
        let text = journey(head, &[node, "b: { wait: 2h, then: done }"]);
        text.replace("then: done, and", "then: done")
    };
    let forms = [
        "a: { wait: 3h, then: b }",
        "a: { wait: { until: \"timestamp('2026-01-01T09:00:00Z')\" }, then: b }",
        "a: { wait: { time: \"09:00\" }, then: b }",
        "a: { event: buy, then: b }",
        "a: { event: buy, within: 6h, then: b }",
        "a: { first_of: [ { event: buy, then: b }, { wait: 8h, then: b }, { wait: 7h, then: b } ] }",
        "a: { wait: 10d, then: b }",
    ];
    for old in forms {
        for (new, due) in [
            ("a: { wait: 5h, then: b }", "5h"),
            ("a: { event: buy, within: 4h, then: b }", "4h"),
            ("a: { first_of: [ { event: buy, then: b }, { wait: 5h, then: b }, { wait: 4h, then: b } ] }", "4h"),
            ("a: { wait: { time: \"10:00\" }, then: b }", "10h"),
        ] {
            let head =
                if old.contains("10d") { "reentry: { after: 1h }\ntimeout: 10d" } else { "reentry: { after: 1h }" };
            let first = form(head, old);
            let first =
                if old.contains("10d") { first.replace("start:", "end_date: 2026-01-09\nstart:") } else { first };
            let second = form("reentry: { after: 1h }\npriority: 1\nmigration: { nodes: { a: recompute } }", new);
            let rig = Rig::new(&first).run("0 go").publish(&second).run("1h tick");
            let instance = &rig.profile.instances[0];
            assert_eq!((instance.version.0, told(instance.due)), (1, due.to_owned()), "{old} to {new}");
        }
    }
}

#[test]
fn several_versions_compose_by_place() {
    let second = after("3h", "nodes: { a: { move: hi } }");
    let third = |migration: &str| after("3h", migration).replace("10d", "20d");
    let both = |migration: &str| Rig::new(&before("3h")).run("0 go").publish(&second).publish(&third(migration));
    // The mail of the second version is not sent where the third takes everyone away from it.
    both("nodes: { hi: { move: b } }").run("1h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.3#1: over b~3h",
    );
    both("nodes: { hi: exit }").run("1h tick").expect("0 j#1: enter a~3h\n1h j#1: =withdrawn");
    // It is where the third keeps it; what comes behind is nothing that the third was asked about.
    both("nodes: { b: exit }").run("1h tick\n2h buy\n3h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over hi *hello /then b~3h
         3h j.2#1: /wait_ended done =completed",
    );
    // Between them is the same as eagerly.
    let rig = Rig::new(&before("3h")).run("0 go").publish(&second).run("1h tick");
    rig.publish(&third("nodes: { b: { move: a } }")).run("2h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over hi *hello /then b~3h
         2h j.2#1: =migrated
         2h j.3#1: over a~5h",
    );
    // A recomputed wait is recomputed again, from the first arrival.
    let waits = |wait: &str, timeout: &str| after(wait, "nodes: { a: recompute }").replace("10d", timeout);
    Rig::new(&before("3h"))
        .run("0 go")
        .publish(&waits("4h", "10d"))
        .publish(&waits("5h", "20d"))
        .run("1h tick")
        .expect(
            "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.3#1: over a~5h",
        );
    // Kept by the second, moved by the third.
    let kept = after("3h", "nodes: { b: exit }");
    let rig =
        Rig::new(&before("3h")).run("0 go").publish(&kept).run("1h buy").publish(&third("nodes: { a: { move: b } }"));
    rig.run("2h tick").expect("0 j#1: enter a~3h\n2h j#1: =migrated\n2h j.3#1: over b~4h");
}

#[test]
fn a_stop_comes_after_what_was_published_before_it() {
    // Stopped after the barrier: they are in the new version by then.
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "nodes: { a: { move: b } }"));
    rig.run("1h stop j 1\n1h tick").expect("0 j#1: enter a~3h\n1h j#1: =migrated\n1h j.2#1: over b~3h");
    // All stopped: nothing is done at the node.
    let rig = Rig::new(&before("3h")).run("0 go").publish(&after("1h", "nodes: { a: { move: hi } }"));
    rig.run("1h stop j\n1h tick").expect("0 j#1: enter a~3h\n1h j#1: =migrated\n1h j.2#1: over hi =stopped");
    // Stopped before: the new version has nothing to say about them.
    let rig = Rig::new(&before("3h")).run("0 go\n1h stop j").publish(&after("1h", "nodes: { a: { move: b } }"));
    rig.run("1h tick").expect("0 j#1: enter a~3h\n1h j#1: =stopped");
}

/// The time of an instance counts from its entry, in every version.
#[test]
fn who_is_over_in_the_new_version_leaves_without_acting() {
    let short = after("1h", "default: { move: hi }").replace("10d", "2h").replace("wait: 2h", "wait: 1h");
    Rig::new(&before("3h")).run("0 go").publish(&short).run("2h30m tick").expect(
        "0 j#1: enter a~3h
         2h30m j#1: =migrated
         2h30m j.2#1: over hi =timeout",
    );
    Rig::new(&before("3h")).run("0 go").publish(&short).run("1h tick\n2h tick").expect(
        "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over hi *hello /then b
         2h j.2#1: /wait_ended done =completed",
    );
    let ended = after("1h", "nodes: { a: recompute }").replace("start:", "end_date: 2026-01-01T01:00:00Z\nstart:");
    Rig::new(&before("3h")).run("0 go").publish(&ended).run("2h tick").expect(
        "0 j#1: enter a~3h
         2h j#1: =migrated
         2h j.2#1: over a =ended",
    );
}

/// Messages keep their numbers, and what the new version reads goes over.
#[test]
fn memory_goes_over_where_it_is_read() {
    let first = journey(
        "reentry: { after: 1h }",
        &[
            "a: { event: buy, within: 5h, then: hi }",
            "hi: { message: hello, then: b }",
            "b: { event: message.opened, of: hi, within: 5h, then: c }",
            "c: { event: quit, since: entry, within: 5h, then: done }",
        ],
    );
    let second = first
        .replace("reentry", "migration: { nodes: { b: recompute, c: { move: c } } }\nreentry")
        .replace("then: c }", "then: d }")
        + "  d: { message: hello, then: e }\n  e: { condition: [ { when: \"event.cart.size > 1 || last.n > 1\", then: c } ], otherwise: c }\n";
    let rig = Rig::new(&first).run("0 go {\"n\":7,\"cart\":{\"size\":3}}\n1h buy {\"n\":4,\"s\":\"x\"}\n2h quit");
    let rig = rig.publish(&second).run("3h tick").expect(
        "0 j#1: enter a~5h
         1h j#1: /event_received hi *hello /then b~6h
         3h j#1: =migrated
         3h j.2#1: over b~6h",
    );
    assert_eq!(rig.profile.instances[0].sends, 1);
    let delivery = rig.rows[0].id;
    // The feedback on the message of the old version, and the event that came early, both count.
    let rig = rig
        .run(&format!("4h message.opened {{\"delivery\":\"{delivery}\"}}"))
        .expect("4h j.2#1: /event_received d *hello /then e /otherwise c /event_received done =completed");
    let [one, two] = &rig.rows[..] else { panic!("two messages") };
    assert_eq!((one.id.instance, one.id.ordinal, two.id.ordinal), (two.id.instance, 0, 1));
    assert_eq!(one.input.event.get("n"), two.input.event.get("n"), "both versions read it");
    // `event.cart` was not kept by the old version, so it is null.
    assert_eq!(two.input.last.get("s"), None, "the feedback was the latest event");
}

#[test]
fn visits_and_answers_go_over_by_name() {
    let first = journey(
        "reentry: { after: 1h }",
        &["a: { wait: 1h, then: b }", "b: { event: buy, within: 1h, then: done, on_timeout: a }"],
    );
    let second = first
        .replace("reentry", "migration: { default: { move: b } }\nreentry")
        .replace("nodes:", "nodes:\n  z: { wait: 1m, then: a }")
        .replace("start: a", "start: z");
    let rig = Rig::new(&first).run("0 go\n1h tick\n2h tick\n3h tick").publish(&second).run("3h1m tick");
    let program = rig.catalog.program(rig.profile.instances[0].version);
    let visits = &rig.profile.instances[0].context.visits;
    let named: Vec<_> = visits.iter().map(|(node, count)| (program.node(*node).name.as_str(), *count)).collect();
    assert_eq!(named, [("a", 2), ("b", 3)]);
}

/// Each counts for itself, and keeps its supplemental id.
#[test]
fn several_instances_go_one_by_one() {
    let first = journey(
        "entry: { event: go, supplemental_id: event.s }\nreentry: { after: 1h }",
        &["a: { wait: 3h, then: b }", "b: { wait: 1h, then: done }"],
    );
    let second = first.replace("reentry", "priority: 1\nmigration: { nodes: { a: { move: b } } }\nreentry");
    let rig = Rig::new(&first).run("0 go {\"s\":\"x\"}\n1h go {\"s\":\"y\"}\n3h tick").publish(&second);
    rig.run("3h30m go {\"s\":\"y\"}").expect(
        "0 j#1: enter a~3h
         1h j#2: enter a~4h
         3h j#1: /wait_ended b~4h
         3h30m j#2: =migrated
         3h30m j.2#2: over b~4h30m
         3h30m j.2: discards already_in_journey",
    );
}

/// On the events' clock too; and an answer to a call of the old version is heard by nobody.
#[test]
fn calls_of_the_old_version_are_forgotten() {
    let action = "kind: action\nname: ask\nurl: \"https://x.example/a\"\nresponse: { level: string }\n---\n";
    let first = action.to_owned()
        + &journey("reentry: { after: 1h }", &["a: { action: ask, then: b }", "b: { wait: 1h, then: done }"]);
    let second = first.replace("reentry", "priority: 1\nmigration: { nodes: { a: { move: b } } }\nreentry");
    Rig::new(&first).run("0 go").publish(&second).run("1h answer 200 {\"level\":\"x\"}").expect(
        "0 j#1: enter a
         1h j#1: =migrated
         1h j.2#1: over b~2h",
    );
    Rig::new(&before("3h"))
        .firing(Firing::Due)
        .run("0 go")
        .publish(&after("30m", "nodes: { a: recompute }"))
        .run("1h tick")
        .expect(
            "0 j#1: enter a~3h
         1h j#1: =migrated
         1h j.2#1: over a~30m /wait_ended hi *hello /then b~2h30m",
        );
}

mod laws_hold {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::catalog::VersionStatus;
    use crate::domain::journey::laws;
    use crate::domain::step::ExitReason;

    /// A journey to publish, seeds of choices for its nodes, and inputs before it is published: minutes and what.
    fn act() -> impl Strategy<Value = (String, Vec<usize>, Vec<(i64, String)>)> {
        let what = prop_oneof![
            6 => (0..4i64).prop_map(|n| format!("go {{\"n\": {n}}}")),
            4 => Just("tick".to_owned()),
            1 => Just("stop j 1".to_owned()),
        ];
        let minutes = prop_oneof![Just(0), 0..90i64, Just(60), 1_440..20_000i64];
        (laws::journey(), prop::collection::vec(0..60usize, 10), prop::collection::vec((minutes, what), 0..6))
    }

    /// What `seeds` choose for the nodes of every version in `before`, with `after` as the new one; only what is valid.
    fn chosen(before: &Catalog, after: &Catalog, seeds: &[usize]) -> String {
        let new = &after.versions.last().expect("one is published").program;
        let mut choices: Vec<String> = Vec::new();
        for node in before.versions.iter().flat_map(|version| &version.program.nodes) {
            let seed = seeds[choices.len() % seeds.len()] + choices.len();
            let same = new.nodes.iter().find(|other| other.name == node.name);
            let choice = match seed % 6 {
                0 => "keep".to_owned(),
                1 => "exit".to_owned(),
                2 | 3 => format!("{{ move: {} }}", new.nodes[seed / 6 % new.nodes.len()].name),
                _ if node.kind.pauses() && same.is_some_and(|same| same.kind.pauses()) => "recompute".to_owned(),
                _ => continue,
            };
            if !choices.iter().any(|known| known.starts_with(&format!("{}:", node.name))) {
                choices.push(format!("{}: {choice}", node.name));
            }
        }
        format!("migration: {{ nodes: {{ {} }} }}\nstart: n0", choices.join(", "))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Every input is held against the laws: each version adds up, nobody is twice in the journey, positions are sound. Over
        /// all versions, those who came from outside are those who are inside or have left for good.
        #[test]
        fn nobody_is_lost_or_doubled(acts in prop::collection::vec(act(), 2..7), firing in prop_oneof![
            Just(Firing::Engine), Just(Firing::Due),
        ]) {
            let mut rig: Option<Rig> = None;
            let mut now = START;
            for (text, seeds, inputs) in acts {
                let before = rig.as_ref().map(|rig| rig.catalog.clone()).unwrap_or_default();
                let publish = |text: String| before.apply(&[SourceFile { name: "f.yaml".to_owned(), text }], now);
                let Ok((plain, _)) = publish(text.clone()) else { continue };
                let migration = chosen(&before, &plain, &seeds);
                let (catalog, _) = publish(text.replace("start: n0", &migration)).unwrap_or_else(|found| panic!("{found:#?}"));
                match &mut rig {
                    Some(rig) => rig.catalog = catalog,
                    None => rig = Some(Rig::of(catalog).firing(firing)),
                }
                for (minutes, what) in inputs {
                    now = now.plus(minutes * 60_000);
                    rig.as_mut().expect("just made").line(now, &what);
                }
            }
            let Some(mut rig) = rig else { return Ok(()) };
            for _ in 0..4 {
                now = now.plus(crate::domain::limits::TIMEOUT_MS_MAX);
                rig.line(now, "tick");
            }
            prop_assert!(rig.profile.instances.is_empty());
            let (mut entered, mut migrated) = (0, 0);
            for (_, counts) in rig.counts.iter() {
                prop_assert_eq!(counts.active(), 0);
                entered += counts.entered;
                migrated += counts.exited[usize::from(ExitReason::Migrated.code())];
            }
            prop_assert_eq!(entered - migrated, u64::from(rig.profile.entries));
            prop_assert!(rig.catalog.versions.iter().filter(|v| v.status == VersionStatus::Live).count() <= 1);
        }
    }
}
