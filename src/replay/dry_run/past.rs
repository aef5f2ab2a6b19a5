//! Recorded events and profiles, ready to be run again: in the order in which they were handled, and what documents held
//! before the first of them.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::domain::event::{Event, PROFILE_UPDATE, is_feedback};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};
use crate::runtime::engine::recorded::{RecordedEvent, RecordedProfile};
use crate::wire::value::{map_from, put_map};

/// The namespace of profiles whose name no server knows; the value is their key.
const UNNAMED: &str = "unnamed";

/// What happened, and to whom.
#[derive(Clone, Debug, Default)]
pub struct Past {
    events: Vec<(Millis, Event)>,
    profiles: BTreeMap<SmolStr, Map>,
    /// Whether events go back to the first there ever was.
    pub is_whole: bool,
}

/// Why something recorded can't be run again.
#[derive(Debug, thiserror::Error)]
#[error("{what} {id:?}: {why}")]
pub struct PastError {
    what: &'static str,
    id: String,
    why: String,
}

/// A past cut to what a run is fed with.
#[derive(Debug, Default)]
pub struct Feed {
    /// Events with their engine times, in order; documents come first.
    pub events: Vec<(Millis, Event)>,
    /// Everybody in it.
    pub identities: BTreeSet<SmolStr>,
    /// When the run begins and ends.
    pub span: Option<(Millis, Millis)>,
    /// What the cut left out, and what is not known.
    pub gaps: Gaps,
}

/// What is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Events within the span.
    pub events: u64,
    /// Profiles known by key only.
    pub unnamed: u64,
    /// Events about deliveries of the live version: nobody reacted to what was not sent.
    pub feedback: u64,
    /// Profiles with fields that recorded events set, and whose value before is not known.
    pub unknown_before: u64,
    /// Profiles with fields that no recorded event set: journeys wrote them, or history begins later.
    pub unexplained: u64,
}

impl Past {
    /// Takes an event as a server tells it.
    ///
    /// # Errors
    /// It is none.
    pub fn take_recorded(&mut self, recorded: RecordedEvent) -> Result<(), PastError> {
        let RecordedEvent { at, id, kind, profile, key, time, properties } = recorded;
        let wrong = |why: &str| PastError { what: "event", id: id.clone(), why: why.to_owned() };
        let no_instant = || wrong("its time is no instant");
        let at = Millis::parse_iso(&at).ok_or_else(no_instant)?;
        let time = time.map(|time| Millis::parse_iso(&time).ok_or_else(no_instant)).transpose()?;
        let profile = match (profile, key) {
            (Some(profile), _) => SmolStr::from(profile),
            (None, Some(key)) => SmolStr::from(format!("{UNNAMED}:{key}")),
            (None, None) => return Err(wrong("it names no profile")),
        };
        let Value::Map(map) = Value::from_json(&properties) else { return Err(wrong("its properties are no object")) };
        let mut bytes = Vec::new();
        put_map(&mut bytes, &map);
        let event = Event { id: id.as_str().into(), kind: kind.into(), profile, time, properties: bytes.into() };
        event.validate().map_err(|error| wrong(&error.message))?;
        self.events.push((at, event));
        Ok(())
    }

    /// Takes an event of a recording, handled when it happened.
    pub fn take_event(&mut self, at: Millis, event: Event) {
        self.events.push((at, event));
    }

    /// Takes a profile as it is now.
    ///
    /// # Errors
    /// Its document is no object.
    pub fn take_profile(&mut self, recorded: RecordedProfile) -> Result<(), PastError> {
        let RecordedProfile { profile, document } = recorded;
        let Value::Map(document) = Value::from_json(&document) else {
            let why = "its document is no object".to_owned();
            return Err(PastError { what: "profile", id: profile, why });
        };
        self.profiles.insert(profile.into(), document);
        Ok(())
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events in order from `from` to `until`, both included, and before them the documents of their profiles. Of events
    /// before `from` only those count that change documents.
    pub fn cut(mut self, from: Option<Millis>, until: Option<Millis>) -> Feed {
        // Stable: those of one profile come in order already.
        self.events.sort_by_key(|(at, _)| *at);
        let Some(first) = self.events.first().map(|(at, _)| *at) else { return Feed::default() };
        let last = self.events.last().map_or(first, |(at, _)| *at);
        let (begin, end) = (from.unwrap_or(first), until.unwrap_or(last));
        let mut feed = Feed { span: Some((begin, end)), ..Feed::default() };
        for (identity, document) in self.documents_before(&mut feed.gaps) {
            feed.events.push((first.min(begin), document_event(&identity, &document)));
            feed.identities.insert(identity);
        }
        for (at, event) in self.events {
            let is_within = (begin..=end).contains(&at);
            if !is_within && (at > end || event.kind != PROFILE_UPDATE) {
                continue;
            }
            feed.gaps.events += u64::from(is_within);
            if is_feedback(&event.kind) {
                feed.gaps.feedback += u64::from(is_within);
                continue;
            }
            feed.identities.insert(event.profile.clone());
            feed.events.push((at, event));
        }
        let unnamed = |identity: &&SmolStr| identity.split_once(':').is_some_and(|(name, _)| name == UNNAMED);
        feed.gaps.unnamed = feed.identities.iter().filter(unnamed).count() as u64;
        feed
    }

    /// What documents held before the first event, as far as it follows from what they hold now. What an event set was
    /// something else before: nothing, if events go back to the first. What no event set was there already, unless events
    /// go back to the first: then a journey wrote it.
    fn documents_before(&mut self, gaps: &mut Gaps) -> Vec<(SmolStr, Map)> {
        let mut profiles = std::mem::take(&mut self.profiles);
        let mut touched: BTreeSet<SmolStr> = BTreeSet::new();
        for (_, event) in self.events.iter().filter(|(_, event)| event.kind == PROFILE_UPDATE) {
            let Some(document) = profiles.get_mut(&event.profile) else { continue };
            if let Ok(patch) = map_from(&event.properties) {
                without(document, &patch);
                touched.insert(event.profile.clone());
            }
        }
        gaps.unexplained = profiles.values().filter(|document| !document.is_empty()).count() as u64;
        if self.is_whole {
            return Vec::new();
        }
        gaps.unknown_before = touched.len() as u64;
        profiles.into_iter().filter(|(_, document)| !document.is_empty()).collect()
    }
}

/// Takes out of `document` what `patch` sets or deletes.
fn without(document: &mut Map, patch: &Map) {
    for (name, value) in &patch.0 {
        if let (Value::Map(patch), Some((_, Value::Map(inner)))) =
            (value, document.0.iter_mut().find(|(known, _)| known == name))
        {
            without(inner, patch);
            if !inner.is_empty() {
                continue;
            }
        }
        document.remove(name);
    }
}

fn document_event(identity: &SmolStr, document: &Map) -> Event {
    let mut bytes = Vec::new();
    put_map(&mut bytes, document);
    Event {
        id: SmolStr::new_static("document"),
        kind: SmolStr::new_static(PROFILE_UPDATE),
        profile: identity.clone(),
        time: None,
        properties: bytes.into(),
    }
}
