//! Resources as plain structs, and what publishing them means (`docs/journeys.md`, "Versions"). Checks nothing: what is
//! given has passed the real check.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::sim::observe::TESTS_FROM;
use crate::sim::oracle::cel::{Cel, parse};
use crate::sim::oracle::migrations::{Migration, covered, reads_description};
use crate::sim::oracle::reading::{count, journey, message};
use crate::sim::oracle::yaml::{Tree, documents};

/// Everything published at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    /// Types of event properties and of profile fields, by dotted path behind the root: `event.cart.size`.
    pub(super) types: BTreeMap<String, String>,
    /// Records of datasets, by their keys.
    pub(super) datasets: BTreeMap<String, BTreeMap<String, serde_json::Map<String, Json>>>,
    /// Event types that are recognised: among which others, and by what.
    pub(super) rules: BTreeMap<String, (String, Arc<Cel>)>,
    pub(super) rule_sets: BTreeMap<String, RuleSet>,
    pub(super) fragments: BTreeMap<String, Tree>,
    /// Messages and how often each was reworded.
    pub(super) messages: BTreeMap<String, (u32, Arc<Message>)>,
    /// What calls of actions say and hear.
    pub(super) callees: BTreeMap<String, Tree>,
    /// In the order of their first publishing.
    pub(super) journeys: Vec<Versions>,
    /// Journeys that are kept, by name, each with the number it walks under while it is in test.
    pub(super) drafts: BTreeMap<String, (Version, Option<u32>)>,
    /// All tests there ever were, with the names of their journeys.
    pub(super) tests: Vec<(String, Version)>,
    /// Who walks in tests.
    pub(super) flagged: Vec<String>,
}

/// How often and how many journeys at once.
#[derive(Clone, Debug)]
pub(super) struct RuleSet {
    /// So many in an `hour`, `day`, `week` or `month`.
    pub(super) entries: Option<(usize, String)>,
    pub(super) concurrent: Option<usize>,
}

/// A journey in all its versions, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) name: String,
    pub(super) versions: Vec<Version>,
    /// In their order.
    pub(super) pauses: Vec<crate::sim::observe::Terms>,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) status: Status,
    pub(super) journey: Arc<Journey>,
    /// Rewordings of the messages it sends.
    pub(super) wordings: BTreeMap<String, u32>,
    /// What calls of the actions that it calls say and hear.
    pub(super) calls: BTreeMap<String, Tree>,
    pub(super) messages: BTreeMap<String, Arc<Message>>,
    /// Entry events of the journeys it jumps to, as they were when it was published.
    pub(super) entrances: BTreeMap<String, String>,
    /// What it was published with, and the numbers of the versions that this counts for.
    pub(super) migration: Option<Migration>,
    pub(super) covers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Live,
    Closed,
    Stopped,
}

#[derive(Debug, PartialEq)]
pub(super) struct Message {
    pub(super) channel: String,
    pub(super) surface: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) body: String,
    /// `text`, `html` or `json`.
    pub(super) format: String,
    /// What subject and body read, as paths: `event.cart.id`.
    pub(super) reads: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Journey {
    pub(super) entry: Filter,
    pub(super) supplemental_id: Option<SupplementalId>,
    pub(super) exits: Vec<Filter>,
    /// What ends an instance where it would send.
    pub(super) exits_when: Vec<Cel>,
    pub(super) rule_set: Option<String>,
    pub(super) priority: usize,
    /// `None` = never again.
    pub(super) reentry_ms: Option<i64>,
    pub(super) timeout_ms: i64,
    /// The longest that a call takes.
    pub(super) call_timeout_ms: i64,
    pub(super) timezone: String,
    /// Waits and conditions go by the profile's zone where it has one.
    pub(super) is_local_to_profile: bool,
    pub(super) starts_at_ms: Option<i64>,
    pub(super) ends_at_ms: Option<i64>,
    pub(super) start: String,
    pub(super) nodes: BTreeMap<String, Node>,
    /// Where an error at a node leads.
    pub(super) on_error: BTreeMap<String, String>,
    /// What it says of itself, if something reads it.
    pub(super) description: Option<String>,
}

/// What a profile enters under.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SupplementalId {
    One(Cel),
    /// The `id` of each of the event's `items`.
    Items,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub(super) event: String,
    pub(super) when: Option<Cel>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Wait {
        wait: Wait,
        then: String,
    },
    Condition {
        branches: Vec<(Test, String)>,
        otherwise: Option<String>,
    },
    /// Sums of shares, in hundredths of a percent.
    Experiment {
        ways: Vec<(u32, String)>,
    },
    Targeting {
        rules: Vec<(Cel, String)>,
        fallback: Option<String>,
    },
    /// So many take the first way.
    ProfileCap {
        max: u64,
        then: String,
        otherwise: String,
    },
    /// Hundredths of a percent each.
    Split {
        shares: Vec<(u32, String)>,
    },
    /// Events and waits, of which the first counts.
    FirstOf {
        arms: Vec<(Arm, String)>,
    },
    Event {
        awaited: Awaited,
        within_ms: Option<i64>,
        then: String,
        on_timeout: Option<String>,
    },
    Message {
        message: String,
        then: String,
    },
    /// Dotted paths and values.
    Update {
        fields: Vec<(String, Cel)>,
        then: String,
    },
    /// A custom action, and its parameters.
    Action {
        action: String,
        with: Vec<(String, Cel)>,
        then: String,
    },
    /// Records of a dataset by their keys.
    Lookup {
        dataset: String,
        keys: Cel,
        fields: Vec<String>,
        then: String,
    },
    /// Another journey, and properties of its entry event.
    Jump {
        journey: String,
        with: Vec<(String, Cel)>,
        then: String,
    },
    End,
}

impl Node {
    /// Whether it could go on by `on_error`: a fragment's nodes that take it over from where they are used need not.
    pub(super) fn may_fail(&self) -> bool {
        !matches!(
            self,
            Self::Message { .. } | Self::Split { .. } | Self::Experiment { .. } | Self::ProfileCap { .. } | Self::End
        )
    }
}

/// How long a wait takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wait {
    For(i64),
    Until(Cel),
    /// Until the clock shows this time, in milliseconds of the day, on one of these days (Monday is 0).
    Clock {
        time_ms: i64,
        days: Vec<i64>,
    },
}

/// An event that a node waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Awaited {
    pub(super) filter: Filter,
    /// `entry`, `last_message` or `here`.
    pub(super) since: String,
    /// The node whose message it is about.
    pub(super) of: Option<String>,
}

/// What may happen first.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Arm {
    Event(Awaited),
    Wait(Wait),
}

impl Node {
    /// Events that it waits for, each with its number among its ways.
    pub(super) fn awaited(&self) -> Vec<(usize, &Awaited)> {
        match self {
            Self::Event { awaited, .. } => vec![(0, awaited)],
            Self::FirstOf { arms } => {
                let events = arms.iter().enumerate().map(|(number, (arm, _))| (number, arm));
                events
                    .filter_map(|(number, arm)| match arm {
                        Arm::Event(awaited) => Some((number, awaited)),
                        Arm::Wait(_) => None,
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What a branch of a condition asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    When(Cel),
    /// From a time of day to another, on days.
    Time {
        days: Vec<i64>,
        from_ms: i64,
        to_ms: i64,
    },
    /// From a text to another, each an instant, a local time or a day.
    Date {
        from: Option<String>,
        to: Option<String>,
    },
}

impl Published {
    /// What is published once `text` was, too.
    pub(super) fn publish(&self, text: &str) -> Result<Self, String> {
        let mut next = self.clone();
        let mut journeys: BTreeMap<String, (Arc<Journey>, Option<Migration>)> = BTreeMap::new();
        let documents = documents(text)?;
        for fragment in documents.iter().filter(|document| document.word("kind") == Some("fragment")) {
            next.fragments.insert(fragment.must("name")?.to_owned(), fragment.clone());
        }
        for document in documents {
            let name = document.must("name")?.to_owned();
            match document.must("kind")? {
                "event" => {
                    next.declare(&format!("event.{name}"), document.get("schema"));
                    next.rules.remove(&name);
                    if let Some(of) = document.word("of") {
                        next.rules.insert(name, (of.to_owned(), Arc::new(parse(document.must("when")?)?)));
                    }
                }
                "attribute" => next.declare(&format!("profile.{name}"), document.get("type")),
                "message" => next.reword(name, message(&document)?),
                "journey" => {
                    let migration = document.get("migration").map(Migration::read).transpose()?;
                    journeys.insert(name, (Arc::new(journey(&document, &next.fragments)?), migration));
                }
                "rule_set" => {
                    let entries = match document.get("entries") {
                        Some(cap) => Some((count(cap.must("max")?)?, cap.must("per")?.to_owned())),
                        None => None,
                    };
                    let concurrent = document.word("concurrent").map(count).transpose()?;
                    next.rule_sets.insert(name, RuleSet { entries, concurrent });
                }
                "action" => {
                    next.declare_action(&format!("action.{name}"), &document);
                    next.change_callee(name, &document);
                }
                "data_source" => {
                    next.declare_action(&format!("source.{name}"), &document);
                    next.change_callee(format!("source:{name}"), &document);
                }
                "dataset" => next.declare_dataset(name, &document)?,
                "surface" | "capping" | "throttling" | "fragment" => {}
                other => return Err(format!("unknown kind `{other}`")),
            }
        }
        let given = journeys.clone();
        // Those that are in no file may send a message that was reworded.
        let live = |versions: &Versions| {
            let version = versions.live()?;
            Some((versions.name.clone(), (Arc::clone(&version.journey), version.migration.clone())))
        };
        let others: Vec<_> =
            self.journeys.iter().filter_map(live).filter(|(name, _)| !given.contains_key(name)).collect();
        let mut entrances: BTreeMap<String, String> = BTreeMap::new();
        for known in &self.journeys {
            let latest = known.versions.last();
            entrances.extend(latest.map(|version| (known.name.clone(), version.journey.entry.event.clone())));
        }
        entrances.extend(given.iter().map(|(name, (journey, _))| (name.clone(), journey.entry.event.clone())));
        for (name, (journey, migration)) in journeys.into_iter().chain(others) {
            next.publish_journey(&name, journey, migration, &entrances)?;
        }
        next.forget_published_drafts();
        Ok(next)
    }

    pub(super) fn reword(&mut self, name: String, message: Message) {
        let wording = match self.messages.get(&name) {
            Some((_, before)) if **before == message => return,
            Some((wording, _)) => wording + 1,
            None => 0,
        };
        self.messages.insert(name, (wording, Arc::new(message)));
    }

    fn publish_journey(
        &mut self,
        name: &str,
        mut journey: Arc<Journey>,
        migration: Option<Migration>,
        all: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let mut entrances = BTreeMap::new();
        for node in journey.nodes.values() {
            if let Node::Jump { journey, .. } = node {
                let event = all.get(journey).ok_or_else(|| format!("unknown journey `{journey}`"))?;
                entrances.insert(journey.clone(), event.clone());
            }
        }
        let mut wordings = BTreeMap::new();
        let mut messages = BTreeMap::new();
        let mut calls = BTreeMap::new();
        for node in journey.nodes.values() {
            if let Node::Action { action, .. } = node {
                let said = self.callees.get(action).ok_or_else(|| format!("unknown action `{action}`"))?;
                calls.insert(action.clone(), said.clone());
            }
            if let Node::Message { message, .. } = node {
                let (wording, found) =
                    self.messages.get(message).ok_or_else(|| format!("unknown message `{message}`"))?;
                wordings.insert(message.clone(), *wording);
                messages.insert(message.clone(), Arc::clone(found));
            }
        }
        if !reads_description(&journey, &messages) {
            Arc::make_mut(&mut journey).description = None;
        }
        let versions = self.versions_of(name);
        let covers = covered(versions, &journey, migration.as_ref());
        if let Some(latest) = versions.last() {
            // What was closed or stopped opens again only by a change of the journey itself.
            let same_references = latest.wordings == wordings && latest.entrances == entrances && latest.calls == calls;
            let same_messages = same_references || latest.status != Status::Live;
            if latest.journey == journey && same_messages {
                return Ok(());
            }
        }
        for version in versions.iter_mut().filter(|version| version.status == Status::Live) {
            version.status = Status::Closed;
        }
        let number = versions.len() as u32 + 1;
        versions.push(Version {
            number,
            status: Status::Live,
            journey,
            wordings,
            calls,
            messages,
            entrances,
            migration,
            covers,
        });
        Ok(())
    }

    /// Versions of a journey, which may be new.
    pub(super) fn versions_of(&mut self, name: &str) -> &mut Vec<Version> {
        let place = self.journeys.iter().position(|known| known.name == name).unwrap_or_else(|| {
            self.journeys.push(Versions { name: name.to_owned(), versions: Vec::new(), pauses: Vec::new() });
            self.journeys.len() - 1
        });
        &mut self.journeys[place].versions
    }

    /// What is published once all versions of `name` were stopped, or its live one closed.
    pub(super) fn close(&self, name: &str, status: Status) -> Result<Self, String> {
        let mut next = self.clone();
        let journey = next.journeys.iter_mut().find(|journey| journey.name == name);
        let journey = journey.ok_or_else(|| format!("there is no journey `{name}`"))?;
        for version in &mut journey.versions {
            if status == Status::Stopped || version.status == Status::Live {
                version.status = status;
            }
        }
        Ok(next)
    }

    pub(super) fn version(&self, journey: &str, number: u32) -> Option<&Version> {
        if number >= TESTS_FROM {
            let test = self.tests.iter().find(|(name, version)| name == journey && version.number == number);
            return test.map(|(_, version)| version);
        }
        let versions = &self.journeys.iter().find(|known| known.name == journey)?.versions;
        versions.iter().find(|version| version.number == number)
    }

    /// Whether a version that is not stopped names events of type `kind` anywhere.
    pub(super) fn listens(&self, kind: &str) -> bool {
        let recognised = self.rules.iter().filter(|(_, (of, _))| of == kind).map(|(name, _)| name.as_str());
        let kinds: Vec<&str> = recognised.chain([kind]).collect();
        let all = self.journeys.iter().flat_map(|journey| &journey.versions);
        let all = all.chain(self.tests.iter().map(|(_, version)| version));
        let running = all.filter(|version| version.status != Status::Stopped);
        running.into_iter().any(|version| kinds.iter().any(|kind| version.journey.names(kind)))
    }
}

impl Versions {
    pub(super) fn live(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.status == Status::Live)
    }
}

impl Journey {
    fn names(&self, kind: &str) -> bool {
        let awaited = self.nodes.values().flat_map(Node::awaited).map(|(_, awaited)| &awaited.filter);
        std::iter::once(&self.entry).chain(&self.exits).chain(awaited).any(|filter| filter.event == kind)
    }
}
