//! Drafts and their tests, through files as users write them.

use super::*;
use crate::domain::journey::program::{NodeKind, Pause};

const FILES: &str = "
kind: event
name: purchase
schema: { amount: number }
---
kind: message
name: thanks
channel: log
body: hello
---
kind: journey
name: nurture
entry: { event: purchase }
start: pause
nodes:
  pause: { wait: 1h, then: thank }
  thank: { message: thanks, then: done }
  done: { end: true }
---
kind: journey
name: other
entry: { event: purchase }
start: thank
nodes:
  thank: { message: thanks, then: done }
  done: { end: true }
";

fn file(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { name: "f.yaml".to_owned(), text: text.to_owned() }]
}

fn published() -> Catalog {
    Catalog::default().apply(&file(FILES), Millis(1)).expect("publishes").0
}

fn kept(catalog: &Catalog, text: &str) -> (Catalog, ApplyReport) {
    let kept = catalog.apply_draft_within(&file(text), Millis(2), &Guardrails::DEFAULT);
    kept.unwrap_or_else(|findings| panic!("{findings:#?}"))
}

/// Draft files with another wait and another wording.
fn changed() -> String {
    FILES.replace("wait: 1h", "wait: 2h").replace("body: hello", "body: welcome")
}

fn live(catalog: &Catalog) -> Vec<(&str, u32)> {
    catalog.live.values().map(|id| catalog.program(*id)).map(|p| (p.name.as_str(), p.number)).collect()
}

#[test]
fn a_draft_changes_nothing_that_is_live() {
    let before = published();
    let (catalog, report) = kept(&before, &changed());
    let told: Vec<_> = report.resources.iter().map(|r| (r.name.as_str(), r.change)).collect();
    let drafted = [("purchase", Change::Unchanged), ("thanks", Change::Drafted), ("nurture", Change::Drafted)];
    assert!(drafted.iter().all(|one| told.contains(one)), "{told:?}");
    assert_eq!((live(&catalog), &catalog.entries), (live(&before), &before.entries));
    assert_eq!(catalog.latest_message("thanks"), before.latest_message("thanks"));
    // What is published stays, so applying it again changes nothing; nor does keeping the same draft again.
    assert_eq!(catalog.apply(&file(FILES), Millis(3)).expect("applies").0.version, catalog.version);
    assert_eq!(kept(&catalog, &changed()).0.version, catalog.version);
    assert!(kept(&before, FILES).0.drafts.is_empty(), "it says what is published");
    let bytes = catalog.to_record();
    assert_eq!(Catalog::from_record(&bytes).expect("reads").to_record(), bytes);
}

#[test]
fn what_is_published_must_not_differ_in_a_draft() {
    let text = changed().replace("amount: number", "amount: number, item: string");
    let findings = published().apply_draft_within(&file(&text), Millis(2), &Guardrails::DEFAULT).expect_err("refused");
    assert_eq!((findings[0].code, findings.len()), ("draft_changes_published", 1));
    assert_eq!((findings[0].line, findings[0].column), (3, 7), "where the event is declared");
    let limit = "---\nkind: capping\nname: few\nurl: 'https://api.example.com/*'\nmethods: [PUT]\nrating: { max_calls: 7, per: 1m }\n";
    let text = changed() + limit;
    let findings = published().apply_draft_within(&file(&text), Millis(2), &Guardrails::DEFAULT).expect_err("refused");
    assert_eq!((findings[0].code, findings.len()), ("draft_changes_published", 1), "{findings:?}");
    // What is new is published with it.
    let text = changed() + "---\nkind: event\nname: visit\nschema: {}\n";
    assert!(kept(&published(), &text).0.events.contains_key("visit"));
}

#[test]
fn a_test_is_a_version_of_its_own_until_it_ends() {
    let (catalog, _) = kept(&published(), &changed());
    let catalog = catalog.start_test("nurture", 5_000, Millis(3)).expect("starts");
    let test = catalog.drafts["nurture"].test.expect("in test");
    let program = catalog.program(test.version);
    assert!(matches!(program.nodes[0].kind, NodeKind::Wait { pause: Pause::For(5_000), .. }));
    assert_eq!((program.number, catalog.next_number("nurture")), (2, 2));
    assert_eq!(catalog.in_test["purchase"], [test.version]);
    assert_eq!(live(&catalog), [("nurture", 1), ("other", 1)]);
    assert!(matches!(catalog.start_test("nurture", 5_000, Millis(3)), Err(CatalogError::InTest { .. })));
    let edited = changed().replace("wait: 2h", "wait: 3h");
    let refused = catalog.apply_draft_within(&file(&edited), Millis(4), &Guardrails::DEFAULT).expect_err("in test");
    assert_eq!((refused[0].code, refused[0].line, refused.len()), ("in_test", 12, 1), "{refused:?}");
    let read = Catalog::from_record(&catalog.to_record()).expect("reads");
    assert_eq!(format!("{:?}", read.versions), format!("{:?}", catalog.versions));
    assert_eq!(read.in_test, catalog.in_test);

    let ended = catalog.stop_test("nurture").expect("stops");
    assert_eq!((ended.get(test.version).status, ended.in_test.len()), (VersionStatus::Stopped, 0));
    assert!(matches!(ended.stop_test("nurture"), Err(CatalogError::NotInTest { .. })));
    assert!(ended.drafts.contains_key("nurture"), "the draft stays");
    for wait_ms in [999, 3_600_001] {
        assert!(matches!(ended.start_test("nurture", wait_ms, Millis(5)), Err(CatalogError::TestWait { .. })));
    }
    assert!(matches!(ended.start_test("nobody", 5_000, Millis(5)), Err(CatalogError::NoDraft { .. })));
}

#[test]
fn a_draft_is_published_as_it_was_kept() {
    let (catalog, _) = kept(&published(), &changed());
    let catalog = catalog.start_test("nurture", 5_000, Millis(3)).expect("starts");
    let test = catalog.drafts["nurture"].test.expect("in test").version;
    let catalog = catalog.publish_draft("nurture", Millis(4)).expect("publishes");
    assert_eq!(live(&catalog), [("nurture", 2), ("other", 1)]);
    assert_eq!(catalog.get(test).status, VersionStatus::Stopped);
    let program = catalog.program(catalog.live["nurture"]);
    assert!(
        matches!(program.nodes[0].kind, NodeKind::Wait { pause: Pause::For(7_200_000), .. }) && !program.is_in_test
    );
    assert!(!catalog.drafts.contains_key("nurture") && catalog.drafts.contains_key("other"));
    // `other` sends the message too: its draft is what applying the files makes of it.
    let applied = catalog.apply(&file(&changed()), Millis(5)).expect("applies").0;
    assert_eq!((live(&applied), applied.drafts.len()), (vec![("nurture", 2), ("other", 2)], 0));
}

#[test]
fn applying_what_is_in_test_ends_the_test() {
    let (catalog, _) = kept(&published(), &changed());
    let catalog = catalog.start_test("nurture", 5_000, Millis(3)).expect("starts");
    let test = catalog.drafts["nurture"].test.expect("in test").version;
    let other = catalog.apply(&file(FILES), Millis(4)).expect("applies").0;
    assert_eq!((other.version, other.in_test.len()), (catalog.version, 1), "these files say nothing new");
    let applied = catalog.apply(&file(&changed()), Millis(5)).expect("applies").0;
    assert_eq!((live(&applied), applied.drafts.len()), (vec![("nurture", 2), ("other", 2)], 0));
    assert_eq!((applied.get(test).status, applied.in_test.len()), (VersionStatus::Stopped, 0));
    assert!(matches!(applied.publish_draft("nurture", Millis(6)), Err(CatalogError::NoDraft { .. })), "it is live");
}

#[test]
fn a_draft_with_another_reentrance_than_what_was_published_since_is_outdated() {
    let (catalog, _) = kept(&Catalog::default(), FILES);
    assert!(catalog.versions.is_empty() && catalog.journeys.is_empty());
    let text = FILES.replace("name: nurture\n", "name: nurture\nreentry: never\n");
    let catalog = catalog.apply(&file(&text), Millis(3)).expect("publishes").0;
    assert!(matches!(catalog.publish_draft("nurture", Millis(4)), Err(CatalogError::DraftOutdated { .. })));
}

#[test]
fn a_hundred_test_profiles_are_enough() {
    let names: Vec<SmolStr> = (0..=limits::TEST_PROFILES_MAX).map(|n| SmolStr::from(format!("crm:{n}"))).collect();
    let catalog = Catalog::default().flag(&names[1..], &[]).expect("a hundred");
    assert!(matches!(catalog.flag(&names[..1], &[]), Err(CatalogError::TooManyTestProfiles { count: 101, .. })));
    // `guardrails.test_profiles_max` may allow fewer; those that are flagged stay, and go one by one.
    let flagged = |catalog: &Catalog, add: &[SmolStr], limit| catalog.flag_within(add, &[], limit);
    let two = flagged(&Catalog::default(), &names[..2], 2).expect("two");
    let refused = flagged(&two, &names[2..3], 2).expect_err("a third");
    assert!(
        refused.to_string().contains("the limit is 2") && refused.to_string().contains("test_profiles_max"),
        "{refused}"
    );
    assert_eq!(two.flag_within(&[], &names[..1], 1).expect("one less").test_profiles.len(), 1);
    assert_eq!(catalog.flag(&names[..1], &names[1..2]).expect("one for another").test_profiles.len(), 100);
    assert!(matches!(catalog.flag(&["nobody".into()], &[]), Err(CatalogError::TestProfile { .. })));
    assert_eq!(catalog.flag(&names[1..2], &[]).expect("known").version, catalog.version);
    let read = Catalog::from_record(&catalog.to_record()).expect("reads");
    assert_eq!(read.test_profiles, catalog.test_profiles);
}

/// Spec §4.7.
#[test]
fn waits_of_a_test_take_ten_seconds_and_reactions_forty() {
    let (wait_ms, reaction_ms) = (limits::TEST_WAIT_MS, limits::TEST_REACTION_MS);
    assert_eq!((wait_ms, reaction_ms), (10_000, 40_000));
    let reacts = "thank: { message: thanks, then: opened }\n  opened: { event: message.opened, of: thank, within: 9d, then: bought }\n  \
                  bought: { event: purchase, within: 9d, then: done }";
    let text = FILES.replacen("thank: { message: thanks, then: done }", reacts, 1);
    let (catalog, _) = kept(&published(), &text);
    let catalog = catalog.start_test("nurture", wait_ms, Millis(3)).expect("starts");
    let program = catalog.program(catalog.drafts["nurture"].test.expect("in test").version);
    let spans: Vec<i64> = program
        .nodes
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Wait { pause: Pause::For(span_ms), .. } => Some(*span_ms),
            NodeKind::Event { within_ms, .. } => *within_ms,
            _ => None,
        })
        .collect();
    assert_eq!(spans, [wait_ms, reaction_ms, wait_ms]);
    let draft = catalog.stop_test("nurture").expect("stops");
    for (least_or_most, beyond) in [
        (limits::TEST_WAIT_MS_MIN, limits::TEST_WAIT_MS_MIN - 1),
        (limits::TEST_WAIT_MS_MAX, limits::TEST_WAIT_MS_MAX + 1),
    ] {
        assert!(draft.start_test("nurture", least_or_most, Millis(4)).is_ok());
        assert!(matches!(draft.start_test("nurture", beyond, Millis(4)), Err(CatalogError::TestWait { .. })));
    }
}
