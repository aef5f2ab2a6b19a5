//! Publishing with a migration: what is wrong with one, what is told of it, and when it is carried out.

use crate::domain::catalog::{ApplyReport, Catalog, Change, SourceFile};
use crate::domain::finding::Finding;
use crate::domain::ids::{Millis, VersionId};

const FIRST: &str = "kind: event
name: go
schema: { n: integer, s: string }
---
kind: event
name: buy
schema: { n: integer }
---
kind: message
name: hello
channel: log
body: hello
---
kind: journey
name: j
entry: { event: go }
start: a
nodes:
  a: { wait: 1h, then: mid }
  mid: { message: hello, then: b }
  b: { event: buy, within: 1d, then: done }
  done: { end: true }
";

fn publish(catalog: &Catalog, text: &str) -> Result<(Catalog, ApplyReport), Vec<Finding>> {
    let file = SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() };
    catalog.apply(&[file], Millis(0))
}

fn published(catalog: &Catalog, text: &str) -> (Catalog, ApplyReport) {
    publish(catalog, text).unwrap_or_else(|found| panic!("{found:#?}"))
}

/// The first version with `from` replaced by `to`, and a migration in line 17.
fn second(from: &str, to: &str, migration: &str) -> String {
    assert!(FIRST.contains(from), "{from}");
    FIRST.replace(from, to).replace("start: a", &format!("migration: {{ {migration} }}\nstart: a"))
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}:{} {}", f.line, f.column, f.code)).collect()
}

/// What is found where the first version is published already.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (first, _) = published(&Catalog::default(), FIRST);
    let found = match publish(&first, text) {
        Ok((_, report)) => report.warnings,
        Err(found) => found,
    };
    assert_eq!(told(&found), expected, "{found:#?}\n{text}");
}

#[test]
fn choices_are_read_and_checked() {
    let check_choice = |migration: &str, expected: &[&str]| check(&second("1h", "2h", migration), expected);
    check_choice("default: keep", &[]);
    check_choice("default: { move: b }, nodes: { a: recompute, mid: exit, b: { move: a } }", &[]);
    check_choice("nodes: { a: stay }", &["17:26 unknown_value"]);
    check_choice("nodes: { a: recomput }", &["17:26 unknown_value"]);
    check_choice("nodes: { a: { mov: b } }", &["17:26 missing_key", "17:28 unknown_key"]);
    check_choice("nodes: { a: [] }", &["17:26 wrong_type"]);
    check_choice("nodes: [ a ]", &["17:21 wrong_type"]);
    check_choice("default: recompute", &["17:23 unknown_value"]);
    check_choice("defaults: keep", &["17:14 unknown_key"]);
    // Of the new version …
    check_choice("nodes: { a: { move: c } }", &["17:34 unknown_target"]);
    check_choice("default: { move: c }", &["17:31 unknown_target"]);
    // … and of those before.
    check_choice("nodes: { c: exit }", &["17:23 migration_unknown_node"]);
    check_choice("nodes: { mid: recompute }", &["17:28 recompute_no_wait"]);
    let gone = second(
        "a: { wait: 1h, then: mid }",
        "a: { condition: [ { when: event.n > 1, then: mid } ], otherwise: b }",
        "nodes: { a: recompute }",
    );
    check(&gone, &["17:26 recompute_no_wait"]);
    let became = second("mid: { message: hello, then: b }", "mid: { wait: 1h, then: b }", "nodes: { mid: recompute }");
    check(&became, &["10:7 unused_message", "17:28 recompute_no_wait"]);
}

/// Where nothing is published there is nobody to dispose of, and names of nodes can't be known.
#[test]
fn a_first_version_migrates_nobody() {
    let text = second("1h", "1h", "nodes: { old: exit, a: { move: b } }");
    let (catalog, report) = published(&Catalog::default(), &text);
    assert_eq!((told(&report.warnings).len(), catalog.versions[0].covers.len()), (0, 0));
    assert_eq!(told(&Catalog::check(&[SourceFile { name: "f".into(), text }])).len(), 0);
    let unknown = second("1h", "1h", "nodes: { a: { move: c } }");
    assert_eq!(told(&publish(&Catalog::default(), &unknown).expect_err("refused")), ["17:34 unknown_target"]);
}

#[test]
fn what_can_not_go_over_is_an_error_or_named() {
    let reads = |migration: &str| {
        second(
            "  a: { wait: 1h, then: mid }",
            "  a: { condition: [ { when: event.n > 1 && last.n > 2, then: mid } ], otherwise: b }",
            migration,
        )
    };
    check(&reads("nodes: { b: { move: b } }"), &["17:12 migration_lost_field"]);
    let (first, _) = published(&Catalog::default(), FIRST);
    let (_, report) = published(&first, &reads("nodes: { b: { move: b } }"));
    assert!(report.warnings[0].message.contains("`event.n`, `last.n`"), "{report:?}");
    // Nobody who is kept, or leaves, reads anything of the new version.
    check(&reads("nodes: { b: exit, a: keep }"), &[]);
    let ids =
        second("entry: { event: go }", "entry: { event: go, supplemental_id: event.s }", "nodes: { a: { move: b } }");
    check(&ids, &["17:12 migration_supplemental_id"]);
    check(&ids.replace("{ move: b }", "exit"), &[]);
    let feedback = "b: { event: message.opened, of: mid, within: 1d, then: done }";
    let awaits =
        second("b: { event: buy, within: 1d, then: done }", feedback, "nodes: { a: { move: b }, b: { move: a } }");
    check(&awaits, &["6:7 unused_event", "17:26 migration_needs_message"]);
    check(&awaits.replace("a: { move: b }, ", ""), &["6:7 unused_event"]);
}

fn covers(catalog: &Catalog) -> Vec<Vec<u32>> {
    catalog.versions.iter().map(|version| version.covers.iter().map(|id| id.0).collect()).collect()
}

#[test]
fn a_migration_is_carried_out_once() {
    let (first, _) = published(&Catalog::default(), FIRST);
    let text = second("1h", "2h", "nodes: { a: exit }");
    let (next, _) = published(&first, &text);
    assert_eq!(covers(&next), [vec![], vec![0]]);
    assert!(next.get(VersionId(0)).is_unsettled() && !next.get(VersionId(1)).is_unsettled());
    // The same files again.
    let (again, report) = published(&next, &text);
    assert_eq!((again.version, again.versions.len(), told(&report.warnings)), (next.version, 2, vec![]));
    assert!(report.resources.iter().all(|resource| resource.change == Change::Unchanged), "{report:?}");
    assert_eq!(again.newly_unsettled(&next), []);
    // Another migration of the same journey, or none.
    let (other, report) = published(&next, &text.replace("a: exit", "b: exit"));
    assert_eq!(
        (other.version, told(&report.warnings)),
        (next.version, vec!["17:12 migration_not_carried_out".to_owned()])
    );
    assert_eq!(published(&next, &second("1h", "2h", "").replace("migration: {  }\n", "")).0.version, next.version);
    // A message was reworded: there is a new version, but it was not for this that somebody wrote the migration.
    let (reworded, report) = published(&next, &text.replace("body: hello", "body: hi"));
    assert_eq!((covers(&reworded), told(&report.warnings)), (vec![vec![], vec![0], vec![]], vec![]));
    assert_eq!(reworded.newly_unsettled(&next), []);
    let alone = "kind: message\nname: hello\nchannel: log\nbody: hey\n";
    assert_eq!(covers(&published(&next, alone).0), [vec![], vec![0], vec![]]);
    // The journey was changed and the migration was not.
    let (third, report) = published(&next, &text.replace("2h", "3h"));
    assert_eq!(told(&report.warnings), ["17:12 migration_repeated"]);
    assert_eq!(covers(&third), [vec![], vec![0], vec![0, 1]]);
    assert_eq!(third.newly_unsettled(&next), [VersionId(0), VersionId(1)]);
    let read = Catalog::from_record(&third.to_record()).expect("reads");
    assert_eq!(format!("{:?}", read.versions), format!("{:?}", third.versions));
}

/// Versions that are stopped are over: what is published later has nothing to say about them.
#[test]
fn stopped_versions_are_not_covered() {
    let (first, _) = published(&Catalog::default(), FIRST);
    let stopped = first.stop("j", None, Millis(9)).expect("stops");
    let (next, report) = published(&stopped, &second("1h", "2h", "nodes: { a: exit }"));
    assert_eq!(covers(&next), [Vec::<u32>::new(), Vec::new()]);
    assert_eq!(report.resources.iter().find_map(|resource| resource.migration.as_ref()), None);
    // Stopped afterwards: they had gone before.
    let (next, _) = published(&first, &second("1h", "2h", "nodes: { a: exit }"));
    let stopped = next.stop("j", Some(1), Millis(9)).expect("stops");
    assert_eq!((covers(&stopped), stopped.get(VersionId(0)).onward().len()), (vec![vec![], vec![0]], 1));
}

fn rows(report: &ApplyReport) -> Vec<String> {
    let migration = report.resources.iter().find_map(|resource| resource.migration.as_ref()).expect("a migration");
    let row = |node: &crate::domain::catalog::MigrationNode| {
        let change = node.change.map_or(String::new(), |change| format!(" {change:?}"));
        let to = node.to.as_ref().map_or(String::new(), |to| format!(" {to}"));
        format!("{}{change}: {}{to} by {}", node.node, node.choice, node.chosen_by)
    };
    [format!("{:?}", migration.from)].into_iter().chain(migration.nodes.iter().map(row)).collect()
}

#[test]
fn what_becomes_of_whom_is_told() {
    let (first, _) = published(&Catalog::default(), FIRST);
    let changed =
        FIRST.replace("1h", "2h").replace("mid: { message", "mail: { message").replace("then: mid", "then: mail");
    let (_, report) = published(&first, &changed);
    assert_eq!(rows(&report), ["[1]", "a Changed: keep by nobody", "mid Removed: keep by nobody"]);
    let with = |migration: &str| changed.replace("start: a", &format!("migration: {{ {migration} }}\nstart: a"));
    let (next, report) = published(&first, &with("default: { move: b }, nodes: { mid: exit, b: keep }"));
    assert_eq!(rows(&report), ["[1]", "a Changed: move b by default", "b: keep by node", "mid Removed: exit by node"]);
    let (_, mut report) = published(&next, &with("nodes: { a: recompute }").replace("2h", "3h"));
    assert_eq!(rows(&report), ["[1, 2]", "a Changed: recompute by node", "mid Removed: keep by nobody"]);
    // Where profiles are and nobody has chosen, people are warned.
    report.warn_of_waiting();
    assert_eq!(told(&report.warnings), [""; 0]);
    for node in
        report.resources.iter_mut().filter_map(|resource| resource.migration.as_mut()).flat_map(|m| &mut m.nodes)
    {
        node.waiting = Some(3);
    }
    report.warn_of_waiting();
    assert_eq!(told(&report.warnings), ["15:7 nothing_chosen"]);
    assert!(report.warnings[0].message.contains("3 waiting at `mid`"), "{report:?}");
    // A journey that is changed only by what it refers to says nothing of anybody.
    let (_, report) = published(&first, &FIRST.replace("body: hello", "body: hi"));
    assert_eq!(report.resources.iter().find_map(|resource| resource.migration.as_ref()), None);
}
