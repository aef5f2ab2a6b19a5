//! Who may enter: filters, supplemental ids, re-entrance, caps.

use serde_json::Value as Json;

use crate::sim::oracle::clock;
use crate::sim::oracle::eval::{Scope, holds, stored};
use crate::sim::oracle::judge::Judge;
use crate::sim::oracle::resources::{Filter, Journey, SupplementalId};
use crate::sim::workload::ScriptEvent;

impl Judge<'_> {
    /// Lets the profile into every journey that the event enters.
    pub(super) fn enter_all(&mut self, event: &ScriptEvent) -> Result<(), String> {
        let published = self.published;
        let live = published.journeys.iter().filter_map(|journey| Some((journey, journey.live()?)));
        let mut open: Vec<_> = live.filter(|(_, version)| version.journey.entry.event == event.kind).collect();
        open.sort_by_key(|(_, version)| std::cmp::Reverse(version.journey.priority));
        for (journey, version) in open {
            let (name, number) = (journey.name.as_str(), version.number);
            let Ok(ids) = self.entry_ids(&version.journey, event) else {
                self.expect(name, number, "", 0, "entry_filter_error", None)?;
                continue;
            };
            if ids.as_ref().is_some_and(Vec::is_empty) {
                self.expect(name, number, "", 0, "no_supplemental_id", None)?;
            }
            for id in ids.into_iter().flatten() {
                match self.refusal(&journey.name, &version.journey, &id) {
                    Some(reason) => self.expect(name, number, "", 0, reason, None)?,
                    None => self.enter(name, version, event, id)?,
                }
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
            action: &self.nothing,
            about: None,
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
        let inside = self.person.runs.iter().filter(|run| run.program.rule_set.as_ref() == Some(name)).count();
        let is_full = rules.concurrent.is_some_and(|max| inside >= max);
        let is_spent = rules.entries.as_ref().is_some_and(|(max, per)| {
            let since_ms = clock::period_ms(self.now_ms, per);
            self.person.caps.get(name).is_some_and(|(known_ms, count)| *known_ms >= since_ms && count >= max)
        });
        let took = self.entered.iter().any(|(other, priority)| other == name && *priority > program.priority);
        (is_full || is_spent).then_some(if took { "lower_priority" } else { "cap_reached" })
    }
}
