//! Pauses as they are told: of several reasons the one that is true.

use super::*;
use crate::domain::catalog::PauseOrder;
use crate::domain::pause::{Overdue, PauseEnding, PauseMode};
use crate::runtime::past::why::WhyItem;

/// From this minute on, for so many.
fn pause(life: &mut Life, mode: PauseMode, minute: i64, minutes: i64) {
    let (ending, overdue) = (PauseEnding::Resume, Overdue::Send);
    let (at, for_ms) = (Millis(minute * 60_000), minutes * 60_000);
    let order = PauseOrder { mode, at, for_ms, ending, overdue, window_ms: 0, rate: 0 };
    life.catalog = life.catalog.pause("cart", order).expect("is live");
}

/// Whoever a pause kept at the entrance enters at its end: the event that brought it there is why.
#[test]
fn what_a_pause_kept_is_told_with_its_event() {
    let mut life = Life::new(RESOURCES);
    pause(&mut life, PauseMode::Hold, 0, 60);
    life.at(10, Some("add"), r#"{"total": 60}"#);
    assert_eq!(life.why("cart", 11).state, "waits_to_enter");
    let before = life.profile.clone();
    life.at(60, None, "");
    let why = life.why("cart", 61);
    assert_eq!(
        texts(&why)[..3],
        [
            "event e1 `add` is kept to enter later: the journey is paused, until 1970-01-01T01:00:00.000Z",
            "is no longer kept at the entrance",
            "event e1 `add`, which a pause had kept, let it in, version 1; `event.total >= 50` (event.total = 60) was true",
        ]
    );
    let entered = &why.story[2];
    assert_eq!((entered.event_id.as_deref(), entered.event_type.as_deref()), (Some("e1"), Some("add")));
    assert!(why.story[3].text.starts_with("waits at `hold` until"), "{:?}", texts(&why));

    (life.profile, life.catalog) = (before, life.catalog.close("cart", None).expect("closes"));
    life.entries.truncate(1);
    life.at(60, None, "");
    let why = life.why("cart", 61);
    assert_eq!(
        texts(&why)[2],
        "event e1 `add`, which a pause had kept, discarded: it did not enter: the journey takes no such entries any more"
    );
}

/// The last thing that is told of `cart`.
#[track_caller]
fn told_last(life: &Life, wanted: &str) {
    let why = life.why("cart", 10_000);
    let texts = texts(&why);
    let last = texts.last().expect("something is told");
    assert!(last.contains(wanted), "{wanted}: {texts:#?}");
}

/// Each is told under its supplemental id, from the entrance on.
#[test]
fn whom_a_pause_keeps_is_told_under_its_id() {
    let trips = r#"
kind: event
name: book
schema: { ids: [string] }
---
kind: journey
name: cart
entry: { event: book, supplemental_id: event.ids }
start: done
nodes:
  done: { end: true }
"#;
    let mut life = Life::new(trips);
    pause(&mut life, PauseMode::Hold, 0, 60);
    life.at(10, Some("book"), r#"{"ids": ["a", "a", "b"]}"#);
    life.at(20, Some("book"), r#"{"ids": ["c", "b"]}"#);
    life.at(60, None, "");
    let why = life.why("cart", 61);
    let told = |item: &WhyItem| format!("{} {}", item.what, item.supplemental_id.as_deref().unwrap_or("-"));
    let all: Vec<String> = why.story.iter().map(told).collect();
    assert_eq!(all[..4], ["held a", "held b", "held c", "discarded b"], "{:#?}", texts(&why));
    for id in ["a", "b", "c"] {
        let of: Vec<&String> = all[4..].iter().filter(|line| line.ends_with(id)).collect();
        assert_eq!(of, [&format!("released {id}"), &format!("entered {id}"), &format!("exited {id}")], "{all:?}");
    }
}

#[test]
fn who_is_turned_away_at_once_is_told_by_which_pause() {
    let mut life = Life::new(RESOURCES);
    pause(&mut life, PauseMode::Discard, 0, 60);
    life.at(10, Some("add"), r#"{"total": 60}"#);
    told_last(&life, "event e1 `add` discarded: the journey is paused in the mode `discard`, which keeps nobody");
    let mut life = Life { keeps: false, ..Life::new(RESOURCES) };
    pause(&mut life, PauseMode::Hold, 0, 60);
    life.at(10, Some("add"), r#"{"total": 60}"#);
    told_last(&life, "event e1 `add` discarded: the journey is paused, and keeps as many entrants as it may already");
}

#[test]
fn who_was_kept_and_does_not_enter_is_told_why() {
    let kept = |when: &str| {
        let mut life = Life::new(&RESOURCES.replace("event.total >= 50", when));
        pause(&mut life, PauseMode::Hold, 0, 60);
        life.at(10, Some("profile.update"), r#"{"tier": "gold"}"#);
        life.at(11, Some("add"), r#"{"total": 60}"#);
        life
    };
    let mut life = kept("profile.tier == 'gold'");
    life.at(20, Some("profile.update"), r#"{"tier": "iron"}"#);
    life.at(60, None, "");
    told_last(
        &life,
        "it did not enter: the entry filter of version 1 was asked again; `profile.tier == 'gold'` (profile.tier = \"iron\") was false",
    );

    let mut life = kept("event.total >= 50");
    life.at(20, Some("buy"), r#"{"total": 70}"#);
    told_last(&life, "it did not enter: event e3 `buy` met an exit criterion while it waited");

    // The timer of the pause's end is of the same record as an event that met no criterion.
    let mut life = kept("profile.tier == 'gold'");
    life.at(20, Some("profile.update"), r#"{"tier": "iron"}"#);
    life.at(60, Some("buy"), r#"{"total": 7}"#);
    told_last(&life, "it did not enter: the entry filter of version 1 was asked again");

    let mut life = kept("event.total >= 50");
    life.catalog = life.catalog.stop("cart", Some(1), Millis(30 * 60_000)).expect("stops");
    life.at(40, None, "");
    told_last(&life, "it did not enter: version 1 was stopped");

    let mut life = kept("event.total >= 50");
    pause(&mut life, PauseMode::Discard, 60, 60);
    life.at(60, None, "");
    told_last(&life, "it did not enter: the journey was paused again, in the mode `discard`");
}

/// What the event did to another run of the profile, before, makes the pause no fuller.
#[test]
fn who_was_kept_and_leaves_by_an_exit_is_told_so_beside_other_runs() {
    let other = "kind: journey\nname: aside\nentry: { event: add }\nstart: w\nnodes:\n  w: { event: buy, within: 90d, then: d }\n  d: { end: true }\n---\n";
    let (events, journeys) = RESOURCES.split_at(RESOURCES.find("kind: journey").expect("there are journeys"));
    let mut life = Life::new(&format!("{events}{other}{journeys}"));
    pause(&mut life, PauseMode::Hold, 0, 60);
    life.at(11, Some("add"), r#"{"total": 60}"#);
    life.at(20, Some("buy"), r#"{"total": 70}"#);
    told_last(&life, "it did not enter: event e2 `buy` met an exit criterion while it waited");
}

#[test]
fn who_leaves_at_an_action_is_told_by_which_pause() {
    for (mode, keeps, wanted) in [
        (PauseMode::Discard, true, "the journey was paused in the mode `discard`, which keeps nobody"),
        (PauseMode::Hold, false, "the journey was paused, and held as many profiles as it may already"),
    ] {
        let mut life = Life { keeps, ..Life::new(RESOURCES) };
        life.at(0, Some("profile.update"), r#"{"tier": "gold"}"#);
        life.at(1, Some("add"), r#"{"total": 60}"#);
        pause(&mut life, mode, 5, 60);
        life.at(11, None, "");
        told_last(&life, &format!("left the journey at `tell`: {wanted}"));
    }
}

#[test]
fn kept_events_are_told_and_those_that_find_no_room() {
    let ways: Vec<String> = (0..11).map(|n| format!("{{ when: \"event.total == {n}\", then: n{n} }}")).collect();
    let awaits: String =
        (0..11).map(|n| format!("  n{n}: {{ event: buy, when: \"last.total == {n}\", then: done }}\n")).collect();
    let resources = format!(
        "{}kind: journey\nname: cart\nentry: {{ event: add }}\nstart: hold\nnodes:\n  hold: {{ wait: 1m, then: tell }}\n  \
         tell: {{ message: reminder, then: which }}\n  which: {{ condition: [ {} ], otherwise: done }}\n{awaits}  \
         done: {{ end: true }}\n",
        RESOURCES.split("kind: journey").next().expect("what comes before journeys"),
        ways.join(", ")
    );
    let mut life = Life::new(&resources);
    life.at(0, Some("add"), r#"{"total": 4}"#);
    pause(&mut life, PauseMode::Hold, 0, 600);
    life.at(1, None, "");
    for n in 0..11 {
        life.at(2 + n, Some("buy"), &format!("{{\"total\": {n}}}"));
    }
    let why = life.why("cart", 100);
    let told: Vec<&WhyItem> = why.story.iter().filter(|item| item.what.ends_with("kept")).collect();
    assert_eq!(told.len(), 11);
    let first = told[0];
    assert_eq!(first.text, "event e3 `buy` came while a pause held it at `tell`, and is kept for `n0`");
    let ids = (first.event_id.as_deref(), first.event_type.as_deref(), first.reason.as_str());
    assert_eq!(ids, (Some("e3"), Some("buy"), "paused"));
    assert_eq!(first.time, Millis(2 * 60_000).to_iso());
    let last = told[10];
    assert_eq!(last.what, "not_kept");
    assert!(last.text.ends_with("is not kept: 10 events are kept already, as many as may be"), "{}", last.text);
    let events = life.step_events();
    let lost = events.iter().find(|event| event.step == "not_kept").expect("is recorded");
    assert_eq!(
        (lost.status.as_str(), lost.reason.as_deref(), lost.event_id.as_deref()),
        ("discarded", Some("paused"), Some("e13"))
    );
    // It goes on with what was kept, as if it had come then.
    life.at(700, None, "");
    assert!(life.profile.instances.is_empty(), "`n4` had heard its event");
}
