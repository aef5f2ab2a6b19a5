//! Why a profile is, or is not, where it is in a journey: a story in order of time, made from the record alone.
//!
//! Entries are told one by one, oldest first; kept are the items of the story, the events of the run in progress and when
//! each field of the document changed last, so that memory is bounded whatever the history.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::catalog::{Catalog, Version, VersionStatus};
use crate::domain::event::PROFILE_UPDATE;
use crate::domain::ids::{InstanceId, JourneyId, Millis, SandboxId};
use crate::domain::journey::program::{NodeKind, Program, Reentry};
use crate::domain::profile::{HeldAt, Profile};
use crate::domain::step::{Path, StepKind};
use crate::domain::value::Map;
use crate::runtime::past::pauses::LetGo;
use crate::runtime::past::rules::{Rule, RuleDraft, Seen, Sight, rule, rule_text};
use crate::runtime::past::transition::{Cause, Transition, is_entrance, may_be, transitions};
use crate::runtime::projection::{HistoryEntry, HistoryEvent};
use crate::wire::value::map_from;

/// Items of a story: more than people read; older ones are left out.
pub(super) const ITEMS_MAX: usize = 500;

/// Why a profile is, or is not, where it is in a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Why {
    /// `namespace:value`.
    pub profile: String,
    /// The journey.
    pub journey: String,
    /// `inside`, `waits_to_enter` (a pause holds it at the entrance), `left` or `never_entered`.
    pub state: String,
    /// The state in a sentence.
    pub summary: String,
    /// When it may enter (again), ISO-8601; absent if it is inside, may at once, or never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_enter_from: Option<String>,
    /// What happened, oldest first.
    pub story: Vec<WhyItem>,
    /// Whether older items were left out.
    pub is_cut: bool,
}

/// One thing that happened, or did not, with its reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhyItem {
    /// Engine time, ISO-8601.
    pub time: String,
    /// `entered`, `migrated`, `ignored`, `discarded`, `waiting`, `went_on`, `message`, `called`, `exited`, `failed`, `held`,
    /// `released`, `kept`, `not_kept`.
    pub what: String,
    /// The reason as a word: those of step events, and for `ignored`: `not_published`, `not_recognised`,
    /// `filter_false`, `not_live`, `only_in_test`, `not_recorded`.
    pub reason: String,
    /// Number of the version that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Whether that version was in test; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_test: bool,
    /// Id of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The supplemental id that the run is under, or would have been; absent where the journey has none, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplemental_id: Option<String>,
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Id of the event that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Type of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// How long a wait lasts, or from when an entry is allowed, ISO-8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The rules that decided, with what they saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// All of it in a sentence.
    pub text: String,
}

/// An item in the making.
pub(super) struct Draft {
    pub(super) item: WhyItem,
    pub(super) rules: Vec<RuleDraft>,
    tick: u64,
}

/// The run that is being told.
pub(super) struct Run {
    pub(super) entered_at: Option<Millis>,
    pub(super) node: SmolStr,
    pub(super) entry: Option<Seen>,
    pub(super) last: Option<Map>,
}

/// A story in the making.
pub struct Story<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) profile: &'a Profile,
    pub(super) versions: Vec<&'a Version>,
    journey: JourneyId,
    items: VecDeque<Draft>,
    is_cut: bool,
    /// Runs in progress, by ordinal: more than one only with supplemental ids.
    pub(super) runs: BTreeMap<u32, Run>,
    /// Events of those whom a pause keeps at the entrance, by ordinal.
    pub(super) entrants: BTreeMap<u32, Seen>,
    /// The supplemental ids of the latest runs and of those kept at the entrance, by ordinal.
    pub(super) ids: BTreeMap<u32, SmolStr>,
    /// What was told last let go somebody whom a pause had kept at the entrance: its event, if history still has it.
    pub(super) let_go: Option<LetGo>,
    /// The event of the entry that is being told.
    pub(super) event: Option<HistoryEvent>,
    pub(super) previous_entry: Option<Millis>,
    /// One more with every step and every change.
    tick: u64,
    /// When each field of the document changed last.
    changed: BTreeMap<SmolStr, u64>,
}

impl std::fmt::Debug for Story<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Story({} items)", self.items.len())
    }
}

impl<'a> Story<'a> {
    /// Nothing told yet. `profile` as it is now.
    pub fn new(catalog: &'a Catalog, journey: JourneyId, profile: &'a Profile) -> Self {
        let mut versions: Vec<&Version> = catalog.versions_of(journey).collect();
        if versions.is_empty() {
            // It was only ever in test.
            versions = catalog.tests_of(journey).collect();
        }
        Self {
            catalog,
            profile,
            versions,
            journey,
            items: VecDeque::new(),
            is_cut: false,
            runs: BTreeMap::new(),
            entrants: BTreeMap::new(),
            ids: BTreeMap::new(),
            let_go: None,
            event: None,
            previous_entry: None,
            tick: 0,
            changed: BTreeMap::new(),
        }
    }

    /// Tells the next entry of the profile.
    pub fn tell(&mut self, entry: &HistoryEntry) {
        let told = transitions(entry, self.catalog);
        let mut is_decided = false;
        self.event.clone_from(&entry.event);
        for (index, transition) in told.iter().enumerate() {
            self.tick += 1;
            if transition.program.journey == self.journey {
                is_decided |= matches!(transition.cause, Cause::Event(_)) && is_entrance(transition.step);
                let under = self.under(transition, entry);
                self.tell_step(entry.at, transition, &told[index + 1..], under.as_ref());
            }
            self.note_update(transition);
        }
        let Some(event) = &entry.event else { return };
        self.tick += 1;
        if event.kind == PROFILE_UPDATE {
            let patch = map_from(&event.properties).unwrap_or_default();
            for (name, _) in patch.0 {
                self.changed.insert(name, self.tick);
            }
        } else if !is_decided {
            self.tell_ignored(entry.at, event);
        }
    }

    /// The whole story. `now` is the engine's time.
    pub fn finish(mut self, now: Millis) -> Why {
        let program = &self.versions.last().expect("a journey has a version").program;
        let live = self.versions.iter().rev().find(|version| version.status == VersionStatus::Live);
        let running: Vec<_> = self.profile.instances.iter().filter(|i| i.journey == self.journey).collect();
        let kept = self.profile.last_entries.iter().filter(|entry| entry.journey == self.journey);
        let last_entry = kept.map(|entry| entry.at).max().or(self.previous_entry);
        let latest = self.items.back().map(|draft| draft.item.what.clone());
        let may_enter = self.may_enter(live.map(|version| version.program.as_ref()), last_entry, now);
        let items: Vec<WhyItem> =
            std::mem::take(&mut self.items).into_iter().map(|draft| finished(draft, &self.changed)).collect();
        let (profile, journey) = (&self.profile.identity, &program.name);
        let (state, summary, may_enter_from) = if let Some(instance) = running.last() {
            let program = self.catalog.program(instance.version);
            let node = &program.node(instance.node).name;
            let (since, due) = (instance.entered_at, instance.due);
            let others = match running.len() - 1 {
                0 => String::new(),
                count => format!("; {count} more of its runs go on under other supplemental ids"),
            };
            let number = format!("{}{}", program.number, if program.is_in_test { " (in test)" } else { "" });
            let (state, text) = match instance.held().map(|held| (held.at, held.since)) {
                None => (
                    "inside",
                    format!(
                        "is in `{journey}` since {since}, version {number}, at `{node}`; its next timer fires at {due}"
                    ),
                ),
                Some((HeldAt::Node, held)) => (
                    "inside",
                    format!(
                        "is in `{journey}` since {since}, version {number}, held at `{node}` by a pause since {held}, until {due}"
                    ),
                ),
                Some((HeldAt::Entrance, held)) => (
                    "waits_to_enter",
                    format!("waits to enter `{journey}` since {held}, until the pause ends, at {due}"),
                ),
            };
            (state, format!("{profile} {text}{others}"), None)
        } else if let Some(at) = last_entry {
            let text =
                format!("{profile} is not in `{journey}`: it entered last at {at} and has left; {}", may_enter.0);
            ("left", text, may_enter.1)
        } else {
            let why = match latest.as_deref() {
                None => format!("no event `{}` of it is in the history that is kept", program.entry.event),
                Some(_) => items.last().map(|item| item.text.clone()).unwrap_or_default(),
            };
            ("never_entered", format!("{profile} has never entered `{journey}`: {why}; {}", may_enter.0), may_enter.1)
        };
        Why {
            profile: profile.to_string(),
            journey: journey.to_string(),
            state: state.to_owned(),
            summary,
            may_enter_from: may_enter_from.map(Millis::to_iso),
            story: items,
            is_cut: self.is_cut,
        }
    }

    /// Whether the profile may enter now, in words, and from when if that is later.
    fn may_enter(&self, live: Option<&Program>, last_entry: Option<Millis>, now: Millis) -> (String, Option<Millis>) {
        let Some(program) = live else {
            return ("the journey takes no entries: no version of it is live".to_owned(), None);
        };
        if let Some(pause) = self.catalog.pause_at(program, now) {
            return (format!("the journey is paused until {}", pause.ends_at), Some(pause.ends_at));
        }
        let event = &program.entry.event;
        if let Some(ends_at) = program.ends_at.filter(|ends_at| *ends_at <= now) {
            return (format!("the journey takes no entries since {ends_at}"), None);
        }
        let allowed = match (last_entry, program.reentry) {
            (None, _) => Millis::MIN,
            // Each supplemental id counts for itself.
            _ if program.supplemental_id.is_some() => Millis::MIN,
            (Some(at), Reentry::After(period_ms)) => at.plus(period_ms),
            (Some(_), Reentry::Never) => return ("nobody enters it twice".to_owned(), None),
        };
        let from = allowed.max(program.starts_at.unwrap_or(Millis::MIN));
        if from > now {
            return (format!("an event `{event}` may let it in from {from}"), Some(from));
        }
        let filter = program.entry.when.as_ref().map_or(String::new(), |when| format!(" with `{}`", when.source()));
        (format!("an event `{event}`{filter} may let it in"), None)
    }

    /// Remembers what an update node changed, of whichever journey.
    fn note_update(&mut self, told: &Transition<'_>) {
        if told.step.kind != StepKind::Left(Path::Then) {
            return;
        }
        if let NodeKind::UpdateProfile { fields, .. } = &told.program.node(told.step.node).kind {
            for name in fields.iter().filter_map(|(path, _)| path.first()) {
                self.changed.insert(name.clone(), self.tick);
            }
        }
    }

    /// An event that could have let the profile in, and left no step: the record has no discard because a filter that is
    /// false is none.
    fn tell_ignored(&mut self, at: Millis, event: &HistoryEvent) {
        let version = self.versions.iter().rev().find(|version| version.published_at <= at).copied();
        let awaited = version.or(self.versions.first().copied());
        let wanted = |version: &&Version| may_be(event, &version.program.entry.event, self.catalog);
        let Some(known) = awaited.filter(wanted) else { return };
        let program = &known.program;
        let mut item = WhyItem {
            what: "ignored".to_owned(),
            version: Some(program.number),
            event_id: Some(event.id.to_string()),
            event_type: Some(event.kind.to_string()),
            ..WhyItem::default()
        };
        let lead = format!("event {} `{}` did not let it in", event.id, event.kind);
        let Some(version) = version else {
            item.reason = "not_published".to_owned();
            item.text = format!("{lead}: version 1 was published at {} only", known.published_at);
            return self.push(at, item, Vec::new());
        };
        let seen = seen(event, at);
        let sight = Sight { entry: Some(&seen), last: Some(&seen.properties), document: &self.profile.document, at };
        let is_other = program.entry.event != event.kind;
        if let Some(rule) = is_other.then(|| self.unrecognised(&program.entry.event, event, sight)).flatten() {
            item.reason = "not_recognised".to_owned();
            item.text = format!("{lead}: it is no `{}`", program.entry.event);
            return self.push(at, item, vec![rule]);
        }
        let filter = program.entry.when.as_ref().map(|when| rule(when, None, sight));
        let (reason, detail) = self.unwanted(version, filter.as_ref().map(|filter| filter.rule.held), at);
        item.reason = reason.to_owned();
        item.text = format!("{lead}: {detail}");
        self.push(at, item, filter.into_iter().collect());
    }

    /// Why a version did not take an event that is of the type it awaits: as a word and in words. `filter` is what its entry
    /// filter comes to, if it has one.
    fn unwanted(&self, version: &Version, filter: Option<Option<bool>>, at: Millis) -> (&'static str, String) {
        let number = version.program.number;
        let is_flagged = self.catalog.test_profiles.contains(&self.profile.identity);
        match version.status {
            _ if version.test.is_some() && version.status == VersionStatus::Stopped => {
                return ("not_live", format!("nothing of it is live, and the test of version {number} has ended"));
            }
            _ if version.test.is_some() && !is_flagged => {
                let text =
                    format!("nothing of it is live; version {number} is in test, and only test profiles enter that");
                return ("only_in_test", text);
            }
            _ => {}
        }
        // One that a newer version has closed was live until that came.
        let is_replaced = self.versions.iter().any(|other| other.published_at > at);
        let is_over = match version.status {
            VersionStatus::Live => false,
            VersionStatus::Closed => !is_replaced,
            VersionStatus::Stopped => true,
        };
        match filter {
            Some(Some(false)) => ("filter_false", format!("the entry filter of version {number}")),
            _ if is_over => ("not_live", format!("version {number} takes no entries any more")),
            Some(_) => ("not_recorded", format!("the filter of version {number} was false then, as far as is known")),
            None if version.test.is_some() => {
                ("not_recorded", "it was no test profile then, as far as is known".to_owned())
            }
            None => ("not_recorded", format!("why version {number} did not take it is not recorded")),
        }
    }

    /// The rule by which the event would have been of type `kind`, unless it holds.
    fn unrecognised(&self, kind: &str, event: &HistoryEvent, sight: Sight<'_>) -> Option<RuleDraft> {
        let known = self.catalog.rules.get(&event.kind)?.iter().find(|known| known.name == kind)?;
        let draft = rule(&known.when, None, sight);
        (draft.rule.held != Some(true)).then_some(draft)
    }

    /// Adds an item; the oldest goes where there are too many.
    pub(super) fn push(&mut self, at: Millis, item: WhyItem, rules: Vec<RuleDraft>) {
        if self.items.len() == ITEMS_MAX {
            self.items.pop_front();
            self.is_cut = true;
        }
        let item = WhyItem { time: at.to_iso(), ..item };
        self.items.push_back(Draft { item, rules, tick: self.tick });
    }

    /// The run of this ordinal: one being told, or one whose beginning history has forgotten.
    pub(super) fn run_of(&mut self, ordinal: u32) -> &mut Run {
        let profile = self.profile;
        self.runs.entry(ordinal).or_insert_with(|| {
            let running = profile.instances.iter().find(|instance| instance.ordinal == ordinal);
            let entry = running.map(|instance| Seen {
                id: instance.context.event_id.clone(),
                kind: instance.context.event_type.clone(),
                time: instance.context.event_time,
                properties: instance.context.event.clone(),
                is_partial: true,
            });
            let last = running.map(|i| i.context.last.clone().unwrap_or_else(|| i.context.event.clone()));
            Run { entered_at: running.map(|instance| instance.entered_at), node: SmolStr::default(), entry, last }
        })
    }

    /// What rules of a run can see.
    pub(super) fn sight(&self, ordinal: u32, at: Millis) -> Sight<'_> {
        let run = self.runs.get(&ordinal);
        Sight {
            entry: run.and_then(|run| run.entry.as_ref()),
            last: run.and_then(|run| run.last.as_ref()),
            document: &self.profile.document,
            at,
        }
    }

    /// Id of the run of this ordinal.
    pub(super) fn instance(&self, ordinal: u32) -> Option<String> {
        let id = InstanceId::new(SandboxId::DEFAULT, &self.profile.identity, self.journey, ordinal);
        (ordinal != 0).then(|| id.to_string())
    }
}

/// An event of history as rules see it.
pub(super) fn seen(event: &HistoryEvent, at: Millis) -> Seen {
    Seen {
        id: event.id.clone(),
        kind: event.kind.clone(),
        time: event.time.unwrap_or(at),
        properties: map_from(&event.properties).unwrap_or_default(),
        is_partial: false,
    }
}

/// The item with its rules, and these in its sentence.
fn finished(draft: Draft, changed: &BTreeMap<SmolStr, u64>) -> WhyItem {
    let Draft { mut item, rules, tick } = draft;
    for rule in rules {
        let rule = rule.finish(tick, changed);
        let outcome = match rule.held {
            Some(true) => " was true",
            Some(false) => " was false",
            None => "",
        };
        item.text.push_str(&format!("; {}{outcome}", rule_text(&rule)));
        item.rules.push(rule);
    }
    item
}
