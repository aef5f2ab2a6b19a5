//! Who may enter: filters, supplemental ids, re-entrance, caps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::sim::oracle::clock;
use crate::sim::oracle::eval::{Scope, holds, stored};
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::person::{Run, Timer};
use crate::sim::oracle::resources::{Filter, Journey, Status, SupplementalId, Version};
use crate::sim::workload::ScriptEvent;

impl Judge<'_> {
    /// Lets the profile into every journey that the event enters as one of its types: those of higher priority first.
    pub(super) fn enter_all(&mut self, event: &ScriptEvent) -> Result<(), String> {
        self.enter_tests(event)?;
        let published = self.published;
        let live = published.journeys.iter().filter_map(|journey| Some((journey, journey.live()?)));
        let mut open: Vec<_> = live.filter(|(_, version)| self.kinds.contains(&version.journey.entry.event)).collect();
        open.sort_by_key(|(_, version)| std::cmp::Reverse(version.journey.priority));
        for (journey, version) in open {
            self.enter_one(&journey.name, version, event)?;
        }
        Ok(())
    }

    /// Lets a test profile into tests, before what is live.
    fn enter_tests(&mut self, event: &ScriptEvent) -> Result<(), String> {
        let published = self.published;
        if !published.flagged.contains(&self.observed.profile) {
            return Ok(());
        }
        for kind in self.kinds.clone() {
            let tests = published.tests.iter().filter(|(_, version)| version.status == Status::Live);
            for (name, version) in tests.filter(|(_, version)| version.journey.entry.event == kind) {
                self.enter_one(name, version, event)?;
            }
        }
        Ok(())
    }

    /// Lets the profile into a version, or not.
    fn enter_one(&mut self, name: &str, version: &Version, event: &ScriptEvent) -> Result<(), String> {
        let number = version.number;
        if self.published.is_stopped(name, number, self.now_ms) {
            return Ok(());
        }
        let event = &ScriptEvent { kind: version.journey.entry.event.clone(), ..event.clone() };
        let Ok(ids) = self.entry_ids(&version.journey, event) else {
            return self.expect(name, number, "", 0, "entry_filter_error", None);
        };
        if ids.as_ref().is_some_and(Vec::is_empty) {
            self.expect(name, number, "", 0, "no_supplemental_id", None)?;
        }
        for id in ids.into_iter().flatten() {
            let pause = self.pause_now(name, number);
            let lost = pause.as_ref().filter(|pause| !pause.holds).map(|_| "paused");
            match lost.or_else(|| self.refusal(name, &version.journey, &id)) {
                None if pause.is_some() => self.keep_entrant(name, version, event, id)?,
                Some(reason) => self.expect(name, number, "", 0, reason, None)?,
                None => self.enter(name, version, event, id)?,
            }
        }
        Ok(())
    }

    /// What a profile would enter under; none if the filter is false.
    pub(super) fn entry_ids(
        &self,
        program: &Journey,
        event: &ScriptEvent,
    ) -> Result<Option<Vec<Option<String>>>, String> {
        if !self.entry_holds(&program.entry, event)? {
            return Ok(None);
        }
        let texts = match &program.supplemental_id {
            None => return Ok(Some(vec![None])),
            Some(SupplementalId::One(id)) => vec![stored(id, &self.entry_scope(event))?],
            Some(SupplementalId::Items) => match event.properties.get("items") {
                None | Some(Json::Null) => Vec::new(),
                Some(Json::Array(items)) => {
                    let id = |item: &Json| match item {
                        Json::Null => Ok(Json::Null),
                        Json::Object(item) => Ok(item.get("id").cloned().unwrap_or(Json::Null)),
                        other => Err(format!("{other} is no item")),
                    };
                    items.iter().map(id).collect::<Result<_, _>>()?
                }
                Some(other) => return Err(format!("{other} is no list")),
            },
        };
        let mut ids: Vec<Option<String>> = Vec::new();
        for text in texts {
            match text {
                Json::Null => {}
                Json::String(id) if id.is_empty() || ids.contains(&Some(id.clone())) => {}
                Json::String(id) => ids.push(Some(id)),
                other => return Err(format!("{other} is no id")),
            }
        }
        Ok(Some(ids))
    }

    pub(super) fn entry_holds(&self, entry: &Filter, event: &ScriptEvent) -> Result<bool, String> {
        entry.when.as_ref().map_or(Ok(true), |when| holds(when, &self.entry_scope(event)))
    }

    pub(super) fn entry_scope<'s>(&'s self, event: &'s ScriptEvent) -> Scope<'s> {
        Scope {
            event: &event.properties,
            last: &event.properties,
            profile: &self.person.document,
            meta_id: &event.id,
            meta_type: &event.kind,
            meta_time_ms: event.time_ms.unwrap_or(self.now_ms),
            now_ms: self.now_ms,
            types: &self.published.types,
            bound: None,
            action: &self.nothing,
            about: None,
        }
    }

    /// A run that begins now.
    pub(super) fn run_of(
        &self,
        name: &str,
        version: &Version,
        event: &ScriptEvent,
        supplemental_id: Option<String>,
    ) -> Run {
        Run {
            journey: name.to_owned(),
            version: version.number,
            program: version.journey.clone(),
            entry: self.person.entries,
            node: version.journey.start.clone(),
            entered_at_ms: self.now_ms,
            came_ms: self.now_ms,
            settled: 0,
            due_ms: 0,
            timer: Timer::Timeout,
            event: event.properties.clone(),
            last: event.properties.clone(),
            meta_id: event.id.clone(),
            meta_type: event.kind.clone(),
            meta_time_ms: event.time_ms.unwrap_or(self.now_ms),
            visits: BTreeMap::new(),
            heard: BTreeMap::new(),
            sent: BTreeMap::new(),
            way: 0,
            supplemental_id,
            previous_node: None,
            error: None,
            called_at_ms: 0,
            asked: Default::default(),
            calling: None,
            answers: Map::new(),
            held: None,
            kept: Vec::new(),
            shifted: 0,
        }
    }

    pub(super) fn refusal(&self, journey: &str, program: &Journey, id: &Option<String>) -> Option<&'static str> {
        /// Journeys a profile may be in at once, and supplemental ids of one (`docs/journeys.md`).
        const RUNS_MAX: usize = 200;
        const IDS_MAX: usize = 10;
        let begun = program.starts_at_ms.is_none_or(|starts_at_ms| starts_at_ms <= self.now_ms);
        if !begun || program.ends_at_ms.is_some_and(|ends_at_ms| ends_at_ms <= self.now_ms) {
            return Some("outside_dates");
        }
        let here = self.person.runs.iter().filter(|run| run.journey == journey);
        if here.clone().any(|run| run.supplemental_id == *id) {
            return Some("already_in_journey");
        }
        if let Some(before_ms) = self.person.entered_at_ms.get(&(journey.to_owned(), id.clone()))
            && program.reentry_ms.is_none_or(|after_ms| self.now_ms - before_ms < after_ms)
        {
            return Some("reentrance_not_allowed");
        }
        let is_crowded = id.is_some() && here.count() >= IDS_MAX;
        if is_crowded || self.person.runs.len() >= RUNS_MAX {
            return Some("too_many_instances");
        }
        let name = program.rule_set.as_ref()?;
        let rules = self.published.rule_sets.get(name)?;
        let of_set =
            |run: &&Run| run.program.rule_set.as_ref() == Some(name) && !run.held.is_some_and(|held| held.is_entrant);
        let inside: BTreeSet<&str> = self.person.runs.iter().filter(of_set).map(|run| run.journey.as_str()).collect();
        let is_full = rules.concurrent.is_some_and(|max| inside.len() >= max && !inside.contains(journey));
        let is_spent = rules.entries.as_ref().is_some_and(|(max, per)| {
            let since_ms = clock::period_ms(self.now_ms, per);
            self.person.caps.get(name).is_some_and(|(known_ms, count)| *known_ms >= since_ms && count >= max)
        });
        let took = self.entered.iter().any(|(other, priority)| other == name && *priority > program.priority);
        (is_full || is_spent).then_some(if took { "lower_priority" } else { "cap_reached" })
    }
}
