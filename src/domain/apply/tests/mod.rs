//! What journeys do to one profile, told as scripts: what happens when, and which steps follow.
//!
//! A script has one input a line: a time since the start, then `tick`, an event type with optional JSON properties,
//! `profile.update {…}`, `room full`, `room free`, `keep full`, `pause NAME MODE FOR [stop] [OVERDUE]`, `resume NAME OVERDUE`, `stop NAME [VERSION]`, `close NAME` or `answer STATUS {…}`. What is expected has one line
//! for each walk: `TIME JOURNEY#ENTRY: steps`, where `enter`, a node's name (`~` when its own timer is due), `/path`,
//! `=exit`, `!failure`, `*message outcome`, `<status>`, `held` and `released` are steps. Every input of every script also has to keep the [`laws`].

mod acts;
mod calendar;
mod calls;
mod documents;
mod entries;
mod exits;
mod fragments;
mod laws;
mod lookups;
mod messages;
mod migrations;
mod nodes;
mod pauses;
mod races;
mod random;
mod reference;
mod rule_sets;
mod rules;
mod supplemental;
mod time;
mod traps;
mod versions;

use std::cell::Cell;

use smol_str::SmolStr;

use crate::domain::apply::{self, Calls, EventInput, Firing, Outcome, Room, World};
use crate::domain::catalog::{Catalog, ResumeOrder, SourceFile};
use crate::domain::effect::{CallAnswer, CallStatus, Claim, Effect, OutboxRow, Place};
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{HashKey, Millis, PartitionId, SandboxId};
use crate::domain::journey::duration;
use crate::domain::journey::program::Channel;
use crate::domain::profile::Profile;
use crate::domain::step::{Entrance, MessageOutcome, Path, Step, StepKind};
use crate::domain::value::{Map, Value};
use crate::runtime::partition::counts::Counts;

/// Declarations that every script may use.
const PRELUDE: &str = r#"
kind: event
name: go
schema: { n: integer, s: string, at: timestamp, cart: { id: string, size: integer }, big: string }
---
kind: event
name: buy
schema: { n: integer, s: string, big: string }
---
kind: event
name: quit
schema: { n: integer }
---
kind: attribute
name: tier
type: string
---
kind: attribute
name: points
type: integer
---
kind: attribute
name: consents.email
type: boolean
---
kind: surface
name: shop
channel: email
smtp: { host: 127.0.0.1, port: 1025, from: "shop@example.com" }
---
kind: message
name: hello
channel: log
body: "hello {{ profile.tier }} {{ event.n }} {{ last.s }} {{ meta.id }}"
---
kind: message
name: mail
channel: email
surface: shop
subject: "{{ profile.consents.email }}"
body: "plain"
"#;

/// A journey called `j`, entered by `go` unless `head` says otherwise, which starts at the first of `nodes`.
/// `done` is an end.
fn journey(head: &str, nodes: &[&str]) -> String {
    named("j", head, nodes)
}

fn named(name: &str, head: &str, nodes: &[&str]) -> String {
    let start = nodes[0].split(':').next().expect("a node has a name");
    let entry = if head.lines().any(|line| line.starts_with("entry:")) { "" } else { "entry: { event: go }\n" };
    let mut text = format!("kind: journey\nname: {name}\n{entry}{head}\nstart: {start}\nnodes:\n");
    for node in nodes {
        text.push_str(&format!("  {node}\n"));
    }
    if nodes.iter().any(|node| node.contains(" done")) {
        text.push_str("  done: { end: true }\n");
    }
    text
}

fn properties(json: &str) -> Map {
    match Value::from_json(&serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))) {
        Value::Map(map) => map,
        other => panic!("not a map: {other:?}"),
    }
}

/// 2026-01-01: scripts tell time from here.
const START: Millis = Millis(1_767_225_600_000);

fn instant(text: &str) -> Millis {
    let plain = text.strip_prefix('-');
    let ms = if text == "0" { 0 } else { duration::parse(plain.unwrap_or(text)).expect("a duration") };
    START.plus(if plain.is_some() { -ms } else { ms })
}

fn told(at: Millis) -> String {
    match at.0 - START.0 {
        0 => "0".to_owned(),
        ms if ms < 0 => format!("-{}", duration::print(-ms)),
        ms => duration::print(ms),
    }
}

/// One profile and what happened to it.
struct Rig {
    catalog: Catalog,
    profile: Profile,
    firing: Firing,
    calls: Calls,
    room: Cell<bool>,
    keeps: Cell<bool>,
    counts: Counts,
    rows: Vec<OutboxRow>,
    claims: Vec<Claim>,
    notes: Vec<String>,
    log: Vec<String>,
    refused: usize,
}

impl Rig {
    fn new(journeys: &str) -> Self {
        Self::of(Catalog::default()).publish(journeys)
    }

    fn of(catalog: Catalog) -> Self {
        let key = HashKey::FIXED.profile_key(SandboxId::DEFAULT, "crm", "1");
        Self {
            catalog,
            profile: Profile::new(key, SmolStr::new("crm:1")),
            firing: Firing::Engine,
            calls: Calls::Made,
            room: Cell::new(true),
            keeps: Cell::new(true),
            counts: Counts::default(),
            rows: Vec::new(),
            claims: Vec::new(),
            notes: Vec::new(),
            log: Vec::new(),
            refused: 0,
        }
    }

    fn firing(mut self, firing: Firing) -> Self {
        self.firing = firing;
        self
    }

    fn publish(mut self, journeys: &str) -> Self {
        let file = SourceFile { name: "f.yaml".to_owned(), text: format!("{PRELUDE}---\n{journeys}") };
        match self.catalog.apply_within(&[file], START, &Guardrails::WIDEST) {
            Ok((catalog, _)) => self.catalog = catalog,
            Err(findings) => panic!("{findings:#?}\n{journeys}"),
        }
        self
    }

    /// Keeps `journeys` as drafts, and starts the test of `j`.
    fn draft(mut self, journeys: &str, wait_ms: i64) -> Self {
        let file = SourceFile { name: "f.yaml".to_owned(), text: format!("{PRELUDE}---\n{journeys}") };
        let kept = self.catalog.apply_draft_within(&[file], START, &Guardrails::WIDEST);
        let (catalog, _) = kept.unwrap_or_else(|findings| panic!("{findings:#?}\n{journeys}"));
        self.catalog = catalog.start_test("j", wait_ms, START).expect("starts");
        self
    }

    /// Makes the profile a test profile.
    fn flag(mut self) -> Self {
        self.catalog = self.catalog.flag(&[self.profile.identity.clone()], &[]).expect("flags");
        self
    }

    fn run(mut self, script: &str) -> Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (time, what) = line.split_once(char::is_whitespace).unwrap_or_else(|| panic!("{line}"));
            self.line(instant(time), what.trim());
        }
        self
    }

    fn line(&mut self, now: Millis, what: &str) {
        let (word, rest) = what.split_once(char::is_whitespace).unwrap_or((what, ""));
        match word {
            "room" => self.room.set(rest == "free"),
            "keep" => self.keeps.set(rest == "free"),
            "pause" => self.pause(now, rest),
            "resume" => {
                let (name, overdue) = rest.split_once(' ').expect("a name and a choice");
                let order = ResumeOrder { overdue: Some(pauses::overdue(overdue)), ..ResumeOrder::default() };
                self.catalog = self.catalog.resume(name, now, order).expect("resumes");
            }
            "close" => self.catalog = self.catalog.close(rest, None).expect("closes"),
            "stop" => {
                let (name, version) = rest.split_once(' ').map_or((rest, None), |(n, v)| (n, v.parse().ok()));
                self.catalog = self.catalog.stop(name, version, now).expect("stops");
            }
            "answer" => self.answer(now, rest),
            "place" => self.place(now),
            "tick" => self.input(now, |profile, world, out| apply::apply_timers(profile, now, world, out)),
            "profile.update" => self.update(now, &properties(rest)),
            kind => self.event(now, kind, &properties(if rest.is_empty() { "{}" } else { rest })),
        }
    }

    /// `STATUS {fields}` for the call that was decided last.
    fn answer(&mut self, now: Millis, rest: &str) {
        let (status, fields) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let status = match status.parse() {
            Ok(code) => CallStatus::Http(code),
            Err(_) if status == "timed_out" => CallStatus::TimedOut,
            Err(_) => CallStatus::Capped,
        };
        let answer = CallAnswer { fields: properties(fields), ..CallAnswer::empty(status) };
        let row = self.rows.iter().rfind(|row| row.channel == Channel::Call).expect("a call was decided").clone();
        self.input(now, |profile, world, out| apply::apply_answer(profile, &row, &answer, now, world, out));
    }

    /// There is a place for what was claimed last.
    fn place(&mut self, now: Millis) {
        let claim = *self.claims.last().expect("a place was claimed");
        self.input(now, |profile, world, out| {
            assert!(apply::apply_place(profile, &claim, Place::Free, now, world, out), "it waits for it");
        });
    }

    fn update(&mut self, now: Millis, patch: &Map) {
        let before = self.profile.clone();
        let mut refused = false;
        self.input(now, |profile, world, out| {
            refused = apply::apply_update(profile, patch, now, world, out).is_err();
        });
        if refused {
            self.refused += 1;
            assert_eq!(self.profile.document, before.document, "what is refused changes nothing");
        }
    }

    fn event(&mut self, now: Millis, kind: &str, properties: &Map) {
        let id = format!("e@{}", told(now));
        let event = EventInput { id: &id, kind, time: now, properties, also: &[] };
        self.input(now, |profile, world, out| apply::apply_event(profile, event, now, world, out));
    }

    /// Applies one input twice, to see that it gives the same, and holds it against the laws.
    fn input(&mut self, now: Millis, mut apply: impl FnMut(&mut Profile, World<'_>, &mut Outcome)) {
        let room = |room: Room<'_>| match room {
            Room::Outbox(_) => self.room.get(),
            Room::Hold | Room::Entrant => self.keeps.get(),
        };
        let world = World {
            catalog: &self.catalog,
            sandbox: SandboxId::DEFAULT,
            partition: PartitionId(7),
            calls: &self.calls,
            firing: self.firing,
            room: &room,
            spent: World::NONE_SPENT,
        };
        let before = self.profile.clone();
        let mut out = Outcome::default();
        apply(&mut self.profile, world, &mut out);
        let (mut again, mut out_again) = (before.clone(), Outcome::default());
        apply(&mut again, world, &mut out_again);
        assert_eq!((&again, &out_again.steps), (&self.profile, &out.steps), "the same input gives the same");
        assert_eq!((&out_again.effects, &out_again.notes), (&out.effects, &out.notes), "the same input gives the same");

        for step in &out.steps {
            self.counts.count(step);
        }
        laws::hold(&before, &self.profile, &out, &self.catalog, &self.counts, now);
        self.profile.changes = crate::domain::profile::Changes::default();
        self.tell(&before, now, &out);
        for effect in out.effects {
            match effect {
                Effect::Send(row) => self.rows.push(*row),
                Effect::Claim(claim) => self.claims.push(claim),
                _ => {}
            }
        }
        self.notes.extend(out.notes.into_iter().map(|(_, text)| text));
    }

    /// One line for each walk of an instance, as the module says.
    fn tell(&mut self, before: &Profile, now: Millis, out: &Outcome) {
        let mut line = String::new();
        let mut walker = None;
        for step in &out.steps {
            let program = self.catalog.program(step.version);
            let begins = walker != Some(step.ordinal)
                || matches!(step.kind, StepKind::Discarded(_) | StepKind::Entered(Entrance::Migrated));
            if begins {
                self.log.extend((!line.is_empty()).then(|| std::mem::take(&mut line)));
                let version = if program.number == 1 { String::new() } else { format!(".{}", program.number) };
                line = format!("{} {}{version}", told(now), program.name);
                line.push_str(&if step.ordinal == 0 { ":".to_owned() } else { format!("#{}:", step.ordinal) });
                walker = Some(step.ordinal);
            }
            let entered = before.instances.iter().find(|i| i.ordinal == step.ordinal).map_or(now, |i| i.entered_at);
            line.push(' ');
            line.push_str(&shown(step, program.over_at(entered), &self.catalog));
        }
        self.log.extend((!line.is_empty()).then_some(line));
        for effect in &out.effects {
            if matches!(effect, Effect::CancelUnattempted(_)) {
                self.log.last_mut().expect("an exit is a step").push_str(" (cancels)");
            }
        }
    }

    /// Compares all that happened since the last comparison.
    #[track_caller]
    fn expect(mut self, expected: &str) -> Self {
        let lines: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let log = std::mem::take(&mut self.log);
        assert_eq!(log, lines, "\nhappened:\n{}\n", log.join("\n"));
        self
    }

    /// Node names of the running instances, in the order of entry.
    fn at(&self) -> Vec<&str> {
        let name = |i: &crate::domain::profile::Instance| &self.catalog.program(i.version).node(i.node).name;
        self.profile.instances.iter().map(|i| name(i).as_str()).collect()
    }
}

fn shown(step: &Step, timeout_at: Millis, catalog: &Catalog) -> String {
    let program = catalog.program(step.version);
    match step.kind {
        StepKind::Entered(Entrance::Migrated) => "over".to_owned(),
        StepKind::Entered(_) => "enter".to_owned(),
        StepKind::Arrived => {
            let name = &program.node(step.node).name;
            if step.due == timeout_at { name.to_string() } else { format!("{name}~{}", told(step.due)) }
        }
        StepKind::Left(Path::Branch(index)) => format!("/branch{index}"),
        StepKind::Left(path) => format!("/{}", word(&path)),
        StepKind::Exited(reason) => format!("={}", word(&reason)),
        StepKind::Failed(failure) => format!("!{failure}"),
        StepKind::Discarded(reason) => format!("discards {}", word(&reason)),
        StepKind::Called(status) => format!("<{status}>"),
        StepKind::Held(kept) => with_kept("held", kept),
        StepKind::Released(kept) => with_kept("released", kept),
        StepKind::Kept(node) => format!("kept for {}", program.node(node).name),
        StepKind::NotKept(why) => format!("not kept, {}", word(&why)),
        StepKind::Message { message, outcome } => {
            let name = &program.messages[usize::from(message)].name;
            if outcome == MessageOutcome::Requested {
                format!("*{name}")
            } else {
                format!("*{name} {}", word(&outcome))
            }
        }
    }
}

fn with_kept(word: &str, kept: u16) -> String {
    if kept == 0 { word.to_owned() } else { format!("{word} with {kept}") }
}

/// `EventReceived` as `event_received`.
fn word(variant: &impl std::fmt::Debug) -> String {
    let mut text = String::new();
    for c in format!("{variant:?}").chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// Runs `script` over `journeys` on the wall clock.
#[track_caller]
fn check(journeys: &str, script: &str, expected: &str) -> Rig {
    Rig::new(journeys).run(script).expect(expected)
}
