//! The past as it is told: entries made by the real decisions, and what step events and stories say of them.

mod calls;
mod failures;
mod jumps;
mod pauses;
mod rule_sets;
mod tested;

use bytes::Bytes;

use super::event::{StepEvent, step_events};
use super::why::{Story, Why};
use crate::domain::apply::{
    Answers, Calls, EventInput, Firing, Outcome, Room, World, apply_event, apply_timers, apply_update,
};
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::ids::{Millis, PartitionId, ProfileKey, Pseq, SandboxId};
use crate::domain::profile::Profile;
use crate::domain::step::{Failure, StepKind};
use crate::domain::value::Value;
use crate::runtime::projection::{HistoryEntry, HistoryEvent};
use crate::wire::value::{map_from, put_map};

const RESOURCES: &str = r#"
kind: event
name: add
schema: { total: number }
---
kind: event
name: buy
schema: { total: number }
---
kind: attribute
name: tier
type: string
---
kind: attribute
name: email
type: string
---
kind: message
name: reminder
channel: log
body: "{{ event.total }}"
---
kind: journey
name: cart
entry: { event: add, when: "event.total >= 50" }
reentry: { after: 1h }
exit: [ { event: buy, when: "last.total >= event.total" } ]
start: hold
nodes:
  hold: { wait: 10m, then: sort }
  sort: { condition: [ { when: 'profile.tier == "gold"', then: tell } ], otherwise: on }
  on: { jump: other, then: listen }
  tell: { message: reminder, then: listen }
  listen: { event: buy, within: 1d, then: done, on_timeout: done }
  done: { end: true }
---
kind: journey
name: other
entry: { event: buy }
start: mark
nodes:
  mark: { update_profile: { tier: '"gold"' }, then: done }
  done: { end: true }
"#;

/// A profile that lives, and its history.
struct Life {
    catalog: Catalog,
    profile: Profile,
    entries: Vec<HistoryEntry>,
    calls: Calls,
    /// Whether a pause may hold, and keep, anybody more.
    keeps: bool,
}

impl Life {
    fn new(resources: &str) -> Self {
        let files = [SourceFile { name: "a.yaml".to_owned(), text: resources.to_owned() }];
        let (catalog, _) = Catalog::default().apply(&files, Millis(0)).expect("they are valid");
        let profile = Profile::new(ProfileKey(7), "crm:1".into());
        Self { catalog, profile, entries: Vec::new(), calls: Calls::Made, keeps: true }
    }

    fn record(&mut self, at: Millis, event: Option<HistoryEvent>, out: Outcome) {
        let notes = out.notes.into_iter().map(|(index, text)| (index, text.into())).collect();
        let (partition, pseq) = (PartitionId(3), Pseq(self.entries.len() as u64 + 1));
        let key = self.profile.key;
        self.entries.push(HistoryEntry { partition, pseq, key, at, event, steps: out.steps, notes });
    }

    /// At this minute: an event of this type, an update of the profile, or, without a type, timers.
    fn at(&mut self, minute: i64, kind: Option<&str>, properties: &str) {
        let now = Millis(minute * 60_000);
        let keeps = self.keeps;
        let room = |room: Room<'_>| keeps || matches!(room, Room::Outbox(_));
        let catalog = self.catalog.clone();
        let sandbox = SandboxId::DEFAULT;
        let world = World {
            catalog: &catalog,
            sandbox,
            partition: PartitionId(3),
            firing: Firing::Engine,
            calls: &self.calls.clone(),
            room: &room,
            spent: World::NONE_SPENT,
        };
        let mut out = Outcome::default();
        let Some(kind) = kind else {
            apply_timers(&mut self.profile, now, world, &mut out);
            return self.record(now, None, out);
        };
        let mut bytes = Vec::new();
        let Value::Map(map) = Value::from_json(&serde_json::from_str(properties).expect("JSON")) else {
            panic!("properties are a map");
        };
        put_map(&mut bytes, &map);
        let id = format!("e{}", self.entries.len() + 1);
        if kind == "profile.update" {
            apply_update(&mut self.profile, &map, now, world, &mut out).expect("it fits");
        } else {
            let properties = map_from(&bytes).expect("a map");
            let input = EventInput { id: &id, kind, time: now, properties: &properties, also: &[] };
            apply_event(&mut self.profile, input, now, world, &mut out);
        }
        let event = HistoryEvent { id: id.into(), kind: kind.into(), time: None, properties: Bytes::from(bytes) };
        self.record(now, Some(event), out);
    }

    fn step_events(&self) -> Vec<StepEvent> {
        self.entries.iter().flat_map(|entry| step_events(entry, Some("crm:1"), &self.catalog, |_| true)).collect()
    }

    fn why(&self, journey: &str, now: i64) -> Why {
        let journey = self.catalog.journey_id(journey).expect("it is there");
        let mut story = Story::new(&self.catalog, journey, &self.profile);
        for entry in &self.entries {
            story.tell(entry);
        }
        story.finish(Millis(now * 60_000))
    }
}

/// Step, node, status, reason, event and node before, one line each.
fn lines(events: &[StepEvent]) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let line = |e: &StepEvent| {
        let before = match (&e.previous_node, &e.previous_path) {
            (Some(node), Some(path)) => format!(" after {node}/{path}"),
            _ => String::new(),
        };
        let node = text(&e.node);
        format!("{} {} {node} {} {} by {}{before}", e.journey, e.step, e.status, text(&e.reason), text(&e.event_id))
    };
    events.iter().map(line).collect()
}

/// Timers that were due fire in the record of the event that woke the profile: they are not its doing.
#[test]
fn timers_and_events_of_one_record_are_told_apart() {
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("add"), r#"{"total": 60}"#);
    life.at(20, Some("buy"), r#"{"total": 10}"#);
    assert_eq!(
        lines(&life.step_events()),
        [
            "cart entered hold done - by e1",
            "cart arrived hold waiting - by e1",
            "cart left hold done wait_ended by -",
            "cart arrived sort done - by - after hold/wait_ended",
            "cart left sort done otherwise by -",
            "cart arrived on done - by - after sort/otherwise",
            "other entered mark done - by jump:cart:1:on",
            "other arrived mark done - by -",
            "other left mark done then by -",
            "other arrived done done - by - after mark/then",
            "other exited done ended completed by -",
            "cart left on done then by -",
            "cart arrived listen waiting - by - after on/then",
            "cart left listen done event_received by e2",
            "cart arrived done done - by e2 after listen/event_received",
            "cart exited done ended completed by e2",
            "other discarded - discarded reentrance_not_allowed by e2",
        ]
    );
}

#[test]
fn step_events_have_their_fields() {
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("profile.update"), r#"{"tier": "gold"}"#);
    life.at(0, Some("add"), r#"{"total": 60}"#);
    life.at(10, None, "");
    life.at(11, Some("buy"), r#"{"total": 60}"#);
    life.at(70, Some("add"), r#"{"total": 70}"#);
    let events = life.step_events();
    let ids: std::collections::BTreeSet<&String> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len(), "ids are unique");
    let entries: Vec<_> = events.iter().filter(|e| e.entrance && e.journey == "cart").collect();
    assert_eq!((entries[0].reentrance, entries[1].reentrance), (false, true));
    assert_ne!(entries[0].instance, entries[1].instance);
    let waiting = events.iter().find(|e| e.status == "waiting").expect("it waits");
    assert_eq!(waiting.due.as_deref(), Some("1970-01-01T00:10:00.000Z"));
    assert_eq!(waiting.node_kind.as_deref(), Some("wait"));
    let message = events.iter().find(|e| e.step == "message").expect("one was sent");
    assert_eq!((message.message.as_deref(), message.channel.as_deref()), (Some("reminder"), Some("log")));
    let exited = events.iter().find(|e| e.ended).expect("it left");
    assert_eq!((exited.reason.as_deref(), exited.event_type.as_deref()), (Some("criteria"), Some("buy")));
}

fn texts(why: &Why) -> Vec<&str> {
    why.story.iter().map(|item| item.text.as_str()).collect()
}

#[test]
fn a_story_names_rules_values_and_times() {
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("add"), r#"{"total": 20}"#);
    life.at(1, Some("add"), r#"{"total": 60}"#);
    life.at(2, Some("add"), r#"{"total": 90}"#);
    life.at(3, Some("profile.update"), r#"{"tier": "gold"}"#);
    life.at(11, None, "");
    life.at(12, Some("buy"), r#"{"total": 60}"#);
    life.at(30, Some("add"), r#"{"total": 70}"#);
    life.at(31, Some("profile.update"), r#"{"tier": "silver"}"#);
    let why = life.why("cart", 32);
    assert_eq!(
        texts(&why),
        [
            "event e1 `add` did not let it in: the entry filter of version 1; `event.total >= 50` (event.total = 20) was false",
            "event e2 `add` let it in, version 1; `event.total >= 50` (event.total = 60) was true",
            "waits at `hold` until 1970-01-01T00:11:00.000Z",
            "event e3 `add` discarded: it is in the journey already, since 1970-01-01T00:01:00.000Z, at `hold`",
            "the wait at `hold` ended: on to `sort`",
            "branch 1 of `sort` held: on to `tell`; `profile.tier == \"gold\"` (profile.tier = \"silver\" now, changed since) was true",
            "message `reminder` was decided and goes out by log",
            "waits at `listen` for an event `buy`, until 1970-01-02T00:11:00.000Z",
            "left the journey at `listen`: event e6 `buy` met the exit criterion; \
             `event buy when last.total >= event.total` (event.total = 60, last.total = 60) was true",
            "event e7 `add` discarded: re-entrance is allowed again from 1970-01-01T01:01:00.000Z \
             (1h after the entry at 1970-01-01T00:01:00.000Z)",
        ]
    );
    assert_eq!((why.state.as_str(), why.may_enter_from.as_deref()), ("left", Some("1970-01-01T01:01:00.000Z")));
    assert!(why.summary.ends_with("an event `add` may let it in from 1970-01-01T01:01:00.000Z"), "{}", why.summary);
    let discarded = why.story.last().expect("an item");
    assert_eq!(discarded.until.as_deref(), Some("1970-01-01T01:01:00.000Z"));
    assert_eq!(discarded.event_id.as_deref(), Some("e7"));
}

#[test]
fn who_never_entered_is_told_why() {
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("profile.update"), r#"{"tier": "gold"}"#);
    let why = life.why("cart", 1);
    assert_eq!(why.state, "never_entered");
    assert_eq!(
        why.summary,
        "crm:1 has never entered `cart`: no event `add` of it is in the history that is kept; \
         an event `add` with `event.total >= 50` may let it in"
    );
    life.at(2, Some("add"), r#"{"total": 1}"#);
    let why = life.why("cart", 3);
    assert_eq!((why.state.as_str(), why.story[0].reason.as_str()), ("never_entered", "filter_false"));
    life.catalog = life.catalog.stop("cart", None, Millis::MIN).expect("it is there");
    life.at(4, Some("add"), r#"{"total": 99}"#);
    let why = life.why("cart", 5);
    assert_eq!(why.story[1].reason, "not_live");
    assert!(why.summary.ends_with("the journey takes no entries: no version of it is live"), "{}", why.summary);
}

/// Where history begins in the middle of a run, the instance itself still knows what it kept of its entry event.
#[test]
fn a_forgotten_beginning_is_read_from_the_instance() {
    let mut life = Life::new(RESOURCES);
    life.at(0, Some("add"), r#"{"total": 60}"#);
    life.entries.clear();
    life.at(1, Some("add"), r#"{"total": 99}"#);
    let why = life.why("cart", 2);
    assert_eq!(why.state, "inside");
    assert!(texts(&why)[0].contains("it is in the journey already"), "{:?}", texts(&why));
    assert!(why.summary.contains("at `hold`; its next timer fires at 1970-01-01T00:10:00.000Z"), "{}", why.summary);
}

#[test]
fn long_stories_are_cut_at_their_beginning() {
    let mut life = Life::new(RESOURCES);
    for n in 0..600 {
        life.at(n, Some("add"), r#"{"total": 1}"#);
    }
    let why = life.why("cart", 700);
    assert!(why.is_cut);
    assert_eq!((why.story.len(), why.story[0].event_id.as_deref()), (500, Some("e101")));
}

/// An event from before its node takes the instance through at once: it did not wait, and the record's event is not why.
#[test]
fn races_and_events_from_before_are_told_apart() {
    let races = RESOURCES.split("kind: journey").next().expect("what comes before journeys").to_owned()
        + r#"kind: journey
name: races
entry: { event: add }
start: hold
nodes:
  hold: { wait: 10m, then: early }
  early: { event: buy, since: entry, then: race }
  race:
    first_of:
      - { event: buy, when: last.total > 5.0, then: again }
      - { wait: 1h, then: done }
  again:
    first_of:
      - { event: buy, then: done }
      - { wait: 1h, then: done }
  done: { end: true }
"#;
    let mut life = Life::new(&races);
    life.at(0, Some("add"), r#"{"total": 60}"#);
    life.at(5, Some("buy"), r#"{"total": 1}"#);
    life.at(10, None, "");
    life.at(20, Some("buy"), r#"{"total": 9}"#);
    life.at(80, None, "");
    assert_eq!(
        lines(&life.step_events())[2..],
        [
            "races left hold done wait_ended by -",
            "races arrived early done - by - after hold/wait_ended",
            "races left early done event_received by -",
            "races arrived race waiting - by - after early/event_received",
            "races left race done branch 1 by e4",
            "races arrived again waiting - by e4 after race/branch 1",
            "races left again done branch 2 by -",
            "races arrived done done - by - after again/branch 2",
            "races exited done ended completed by -",
        ]
    );
    let why = life.why("races", 90);
    assert_eq!(
        texts(&why)[2..],
        [
            "the wait at `hold` ended: on to `early`",
            "what `early` awaits had come before: on to `race`",
            "waits at `race` for an event `buy` with `last.total > 5.0`, until 1970-01-01T01:10:00.000Z",
            "event e4 `buy` came first at `race`: on to `again`",
            "waits at `again` for an event `buy`, until 1970-01-01T01:20:00.000Z",
            "the wait of way 2 of `again` ended first: on to `done`",
            "left the journey at `done`: completed",
        ]
    );
}

#[test]
fn runs_under_supplemental_ids_are_kept_apart() {
    let bookings = r#"
kind: event
name: book
schema: { total: number, ids: [string] }
---
kind: event
name: big
of: book
when: event.total >= 50.0
---
kind: journey
name: trips
entry: { event: book, when: 'event.total > 1.0', supplemental_id: event.ids }
start: hold
nodes:
  hold: { wait: 10m, then: sort }
  sort: { condition: [ { when: event.total > 20.0, then: done } ], otherwise: done }
  done: { end: true }
---
kind: journey
name: large
entry: { event: big }
start: done
nodes:
  done: { end: true }
"#;
    let mut life = Life::new(bookings);
    life.at(0, Some("book"), r#"{"total": 30, "ids": ["a"]}"#);
    life.at(1, Some("book"), r#"{"total": 10, "ids": ["a", "b"]}"#);
    life.at(2, Some("book"), r#"{"total": 10, "ids": []}"#);
    life.at(30, None, "");
    let why = life.why("trips", 40);
    assert_eq!(
        texts(&why),
        [
            "event e1 `book` let it in, version 1; `event.total > 1.0` (event.total = 30) was true",
            "waits at `hold` until 1970-01-01T00:10:00.000Z",
            "event e2 `book` discarded: it is in the journey already, since 1970-01-01T00:00:00.000Z, at `hold`",
            "event e2 `book` let it in, version 1; `event.total > 1.0` (event.total = 10) was true",
            "waits at `hold` until 1970-01-01T00:11:00.000Z",
            "event e3 `book` discarded: the journey is entered under a supplemental id, and `event.ids` named none",
            "the wait at `hold` ended: on to `sort`",
            "branch 1 of `sort` held: on to `done`; `event.total > 20.0` (event.total = 30) was true",
            "left the journey at `done`: completed",
            "the wait at `hold` ended: on to `sort`",
            "no branch of `sort` held: on to `done`; `event.total > 20.0` (event.total = 10) was false",
            "left the journey at `done`: completed",
        ]
    );
    // Two were inside: the one that the event met is named.
    life.at(31, Some("book"), r#"{"total": 10, "ids": ["c", "d"]}"#);
    life.at(32, Some("book"), r#"{"total": 10, "ids": ["d"]}"#);
    assert!(texts(&life.why("trips", 33))[16].ends_with("since 1970-01-01T00:31:00.000Z, at `hold`"));
    // Runs that are over are told apart too: the event names them, in order.
    let under: Vec<&str> = why.story.iter().map(|item| item.supplemental_id.as_deref().unwrap_or("-")).collect();
    assert_eq!(under, ["a", "a", "a", "b", "b", "-", "a", "a", "a", "b", "b", "b"]);
    let large = life.why("large", 40);
    assert_eq!(large.story[0].reason, "not_recognised");
    assert_eq!(
        large.story[0].text,
        "event e1 `book` did not let it in: it is no `big`; `event.total >= 50.0` (event.total = 30) was false"
    );
}

/// Hours and dates are told with what the clock that counts showed.
#[test]
fn hours_and_dates_are_told_with_the_clock_that_counts() {
    let timed = r#"
kind: event
name: go
schema: {}
---
kind: attribute
name: timezone
type: string
---
kind: journey
name: timed
timezone: Europe/Berlin
local_time: profile
entry: { event: go }
start: sort
nodes:
  sort:
    condition:
      - { time: { days: [mon, tue], from: "09:00", to: "17:30" }, then: done }
      - { time: { from: "22:00", to: "06:00" }, then: done }
      - { date: { from: 2026-01-01, to: 2026-02-01T12:00:00 }, then: done }
      - { date: { to: 1971-01-01 }, then: done }
  done: { end: true }
"#;
    let mut life = Life::new(timed);
    life.at(12 * 60, Some("go"), "{}");
    let why = life.why("timed", 13 * 60);
    assert_eq!(
        texts(&why)[1],
        "branch 4 of `sort` held: on to `done`; `date to 1971-01-01` (local time = \"thu 1970-01-01T13:00:00+01:00\") was true"
    );
    life.at(13 * 60, Some("profile.update"), r#"{"timezone": "Asia/Tokyo"}"#);
    life.at(14 * 60, Some("go"), "{}");
    let why = life.why("timed", 15 * 60);
    let shown = texts(&why).join("\n");
    assert!(shown.contains("(local time = \"thu 1970-01-01T21:00:00+09:00\" now, changed since)"), "{shown}");
}
