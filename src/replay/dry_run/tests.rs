//! Dry runs from recorded events to figures: what is counted, what is known of documents, what calls are answered.

use std::path::Path;

use serde_json::json;

use super::account::Account;
use super::past::Past;
use super::run::{Beside, Options, dry_run};
use super::view::{DryRun, NULL_ANSWERS};
use crate::domain::catalog::{Rehearsal, SourceFile};
use crate::domain::ids::Millis;
use crate::replay::run::ReplayError;
use crate::runtime::engine::recorded::{RecordedEvent, RecordedProfile};
use crate::runtime::past::event::StepEvent;

const FILES: &str = r#"
kind: event
name: cart_add
schema: { total: number }
---
kind: event
name: purchase
schema: {}
---
kind: attribute
name: tier
type: string
---
kind: attribute
name: email
type: string
---
kind: surface
name: mail
channel: email
smtp: { host: 127.0.0.1, port: 1, from: "a@example.com" }
---
kind: message
name: reminder
channel: email
surface: mail
subject: "Your cart"
body: "It waits."
---
kind: message
name: note
channel: log
body: "vip"
---
kind: action
name: score
url: https://crm.example.com/score
response: { points: integer }
---
kind: journey
name: cart
entry: { event: cart_add, when: "event.total >= 50" }
reentry: { after: 1d }
exit: [ { event: purchase } ]
start: hold
nodes:
  hold: { wait: 1d, then: is_vip }
  is_vip: { condition: [ { when: "profile.tier == 'vip'", then: scored } ], otherwise: remind }
  scored: { action: score, then: rich, on_error: done }
  rich: { condition: [ { when: "action.score.points > 5", then: tell } ], otherwise: done }
  tell: { message: note, then: done }
  remind: { message: reminder, then: late }
  late: { wait: 3d, then: done }
  done: { end: true }
"#;

fn files() -> Vec<(String, String)> {
    vec![("f.yaml".to_owned(), FILES.to_owned())]
}

fn event(at: &str, id: &str, kind: &str, who: &str, properties: serde_json::Value) -> RecordedEvent {
    RecordedEvent {
        at: format!("2026-03-{at}:00Z"),
        id: id.to_owned(),
        kind: kind.to_owned(),
        profile: (!who.is_empty()).then(|| who.to_owned()),
        key: who.is_empty().then(|| format!("{:032x}", 7)),
        time: None,
        properties,
    }
}

/// Four customers: one buys in time, one is reminded, one is a vip from the second day on, one is known by key only.
fn past() -> Past {
    let mut past = Past::default();
    let profile = |who: &str, document| RecordedProfile { profile: who.to_owned(), document };
    past.take_profile(profile("crm:1", json!({"email": "1@x"}))).expect("reads");
    past.take_profile(profile("crm:2", json!({"email": "2@x"}))).expect("reads");
    past.take_profile(profile("crm:3", json!({"email": "3@x", "tier": "vip"}))).expect("reads");
    // Partition by partition, as a server tells them: not in order of time.
    for recorded in [
        event("02T10:00", "e", "cart_add", "crm:1", json!({"total": 60})),
        event("02T12:00", "e", "purchase", "crm:1", json!({})),
        event("02T09:00", "e", "cart_add", "crm:2", json!({"total": 70.5})),
        event("02T09:30", "e", "cart_add", "crm:2", json!({"total": 80})),
        event("01T00:00", "f", "message.opened", "crm:2", json!({"delivery": "d-0001"})),
        event("02T08:00", "a", "cart_add", "crm:3", json!({"total": 99})),
        event("03T07:00", "b", "profile.update", "crm:3", json!({"tier": "vip"})),
        event("02T08:30", "c", "cart_add", "", json!({"total": 99})),
        event("04T00:00", "d", "cart_add", "crm:1", json!({"total": 10})),
    ] {
        past.take_recorded(recorded).expect("reads");
    }
    past
}

fn run(past: Past, beside: &Beside, change: impl FnOnce(&mut Options)) -> Result<DryRun, ReplayError> {
    let mut options = Options { journey: "cart".to_owned(), from: None, until: None, samples: 2, shards: 2 };
    change(&mut options);
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts");
    runtime.block_on(dry_run(Path::new(directory.path()), files(), past, beside, &options, |_| {}))
}

fn codes(run: &DryRun) -> Vec<&str> {
    run.unknown.iter().map(|unknown| unknown.code).collect()
}

#[test]
fn real_waits_on_the_recorded_clock_and_what_is_not_known() {
    let run = run(past(), &Beside::default(), |_| {}).expect("runs");
    assert_eq!((run.from.as_str(), run.until.as_str()), ("2026-03-01T00:00:00.000Z", "2026-03-04T00:00:00.000Z"));
    assert_eq!((run.events, run.profiles, run.draft.entered), (9, 4, 4));
    assert_eq!(run.draft.exited.get("criteria"), Some(&1));
    // The second event of crm:2 finds it inside; an id that stands twice is no repeat.
    assert_eq!(run.draft.discarded.get("already_in_journey"), Some(&1));
    // crm:3 is a vip when its wait ends, because the update came before; its call is answered with nothing.
    assert_eq!(run.draft.calls["score"]["http_200"], 1);
    let day = &run.draft.days["2026-03-03"];
    assert_eq!(
        (day.messages.get("email"), day.excluded),
        (Some(&1), 1),
        "crm:2; the one without a name has no address"
    );
    // Both wait until the sixth, and the run ends on the fourth.
    assert_eq!((run.report.active, run.report.nodes["late"].in_node), (2, 2));
    assert_eq!(run.report.entered, run.draft.entered);
    assert!(run.live.is_none() && run.samples.len() == 2);
    let kinds: Vec<&str> = run.samples[0].timeline.iter().map(|item| item.what.as_str()).collect();
    assert_eq!(kinds[..3], ["event", "entered", "arrived"]);
    let messages = run.samples.iter().flat_map(|sample| &sample.timeline).filter(|item| item.what == "message");
    let outcomes: std::collections::BTreeSet<&str> = messages.map(|item| item.reason.as_str()).collect();
    assert!(outcomes.contains("requested") && !outcomes.contains("sent"), "{outcomes:?}");
    let expected = [
        NULL_ANSWERS,
        "before_the_start",
        "unnamed_profiles",
        "earlier_values",
        "todays_values",
        "reactions",
        "calls",
        "delivery",
        "inside_at_the_end",
        "no_live_version",
    ];
    assert_eq!(codes(&run), expected);
}

#[test]
fn documents_before_the_first_event_are_what_no_event_set() {
    // Without the day between, crm:3 is not known to be a vip when its wait ends.
    let early = |options: &mut Options| options.until = Millis::parse_iso("2026-03-03T06:00:00Z");
    let before = run(past(), &Beside::default(), early).expect("runs");
    assert_eq!((before.draft.calls.len(), before.draft.entered), (0, 4));
    // Where history is whole, what no event set was written by a journey: nobody has an address.
    let mut whole = past();
    whole.is_whole = true;
    let run = run(whole, &Beside::default(), |_| {}).expect("runs");
    assert_eq!(run.draft.days["2026-03-03"].excluded, 2);
    assert!(codes(&run).contains(&"written_by_journeys") && !codes(&run).contains(&"before_the_start"));
}

#[test]
fn from_leaves_out_events_before_it_and_keeps_their_documents() {
    let late = |options: &mut Options| {
        options.from = Millis::parse_iso("2026-03-02T08:15:00Z");
        options.until = Millis::parse_iso("2026-03-09");
    };
    let run = run(past(), &Beside::default(), late).expect("runs");
    assert_eq!((run.draft.entered, run.draft.calls.len()), (3, 0), "crm:3 came too early");
    // Time runs on to the end that was asked for.
    assert_eq!((run.report.active, run.draft.exited.get("completed")), (0, Some(&2)));
}

#[test]
fn calls_are_answered_by_what_was_declared_or_else_recorded() {
    let text = "score: { body: { points: 9 } }".to_owned();
    let sources = [SourceFile { name: "f.yaml".to_owned(), text: FILES.to_owned() }];
    let file = |text: &str| SourceFile { name: "r.yaml".to_owned(), text: text.to_owned() };
    let responses = Rehearsal::responses(&sources, file(&text)).expect("reads");
    let declared = run(past(), &Beside { responses, ..Beside::default() }, |_| {}).expect("runs");
    assert_eq!(declared.draft.messages.get("note"), Some(&1));

    let wrong = Rehearsal::responses(&sources, file("scoer: { status: 200 }")).expect_err("no such action");
    assert!(wrong[0].file == "r.yaml" && wrong[0].line == 1 && wrong[0].message.contains("scoer"), "{wrong:?}");

    let failed = StepEvent { reason: Some("http_503".to_owned()), ..called("crm:9", "2026-03-01T00:00:00Z", None) };
    let recorded = run(past(), &beside(&[failed]), |_| {}).expect("runs");
    assert_eq!(recorded.draft.calls["score"], [("http_503".to_owned(), 1)].into());
    assert!(recorded.report.errors == 0 && !recorded.draft.messages.contains_key("note"), "it left by on_error");
}

#[test]
fn what_the_live_version_went_through_alone_is_said() {
    let mut live = Account::default();
    (live.migrated, live.held) = (2, 3);
    let run = run(past(), &Beside { live: Some(live), ..Beside::default() }, |_| {}).expect("runs");
    let counts = |code: &str| run.unknown.iter().find(|unknown| unknown.code == code).and_then(|unknown| unknown.count);
    assert_eq!((counts("live_migrated"), counts("live_paused")), (Some(2), Some(3)));
}

/// The end of a call, as a server tells it.
fn called(who: &str, at: &str, answer: Option<serde_json::Value>) -> StepEvent {
    StepEvent {
        step: "called".to_owned(),
        time: at.to_owned(),
        profile: Some(who.to_owned()),
        node: Some("scored".to_owned()),
        action: Some("score".to_owned()),
        reason: Some("http_200".to_owned()),
        answer,
        ..StepEvent::default()
    }
}

fn beside(steps: &[StepEvent]) -> Beside {
    let mut beside = Beside::default();
    steps.iter().for_each(|step| beside.answers.take(step));
    beside
}

#[test]
fn calls_are_answered_as_the_profiles_own_were() {
    // Whatever lot crm:3 would draw among the others: its own answer is that it has nine points.
    let mut steps: Vec<StepEvent> =
        (0..50).map(|n| called(&format!("crm:1{n}"), "2026-03-03T08:00:00Z", Some(json!({"points": 1})))).collect();
    let others = run(past(), &beside(&steps), |_| {}).expect("runs");
    assert!(!others.draft.messages.contains_key("note") && !codes(&others).contains(&NULL_ANSWERS));
    steps.push(called("crm:3", "2026-03-03T08:00:01Z", Some(json!({"points": 9}))));
    let own = run(past(), &beside(&steps), |_| {}).expect("runs");
    assert_eq!(own.draft.messages.get("note"), Some(&1));
    let told = own.unknown.iter().find(|unknown| unknown.code == "calls").expect("is said");
    assert!(told.message.contains("51 recorded ones, of which 51"), "{}", told.message);
}

/// What was recorded before fields were, and fields that no answer ever had.
#[test]
fn a_branch_that_an_unknown_answer_decides_is_said_first() {
    let without = called("crm:3", "2026-03-03T08:00:01Z", None);
    let of_others = called("crm:3", "2026-03-03T08:00:01Z", Some(json!({"level": "gold"})));
    for beside in [beside(&[]), beside(&[without]), beside(&[of_others])] {
        let run = run(past(), &beside, |_| {}).expect("runs");
        let first = &run.unknown[0];
        assert_eq!((first.code, first.count), (NULL_ANSWERS, Some(1)));
        assert!(first.message.starts_with("1 times `rich` was decided by `action.score.points`"), "{}", first.message);
    }
}

#[test]
fn the_same_for_any_number_of_shards() {
    let hash = |shards| run(past(), &Beside::default(), |options| options.shards = shards).expect("runs").hash;
    assert_eq!(hash(1), hash(3));
}

#[test]
fn a_journey_that_is_not_there_is_named() {
    let wrong = run(past(), &Beside::default(), |options| options.journey = "crat".to_owned()).expect_err("no such");
    assert!(wrong.to_string().contains("`crat`") && wrong.to_string().contains("cart"), "{wrong}");
}
