//! Rule sets: how often and into how many of their journeys at once a profile may come (spec §7.4).

use std::fmt;

use smallvec::SmallVec;

use crate::domain::apply::walk::Walk;
use crate::domain::ids::{JourneyId, Millis};
use crate::domain::journey::program::Program;
use crate::domain::profile::{CapCount, Instance};
use crate::domain::step::DiscardReason;

/// As many journeys are named to people at most.
const JOURNEYS_NAMED: usize = 5;

impl<'w> Walk<'_, 'w> {
    /// Whether the rule set of a journey lets a profile in (spec §7.4).
    #[inline]
    pub(super) fn cap_refusal(&self, program: &Program) -> Option<DiscardReason> {
        let name = program.rule_set.as_ref()?;
        let rules = self.world.catalog.rule_sets.get(name)?;
        let is_full = rules.concurrent.is_some_and(|max| self.is_full(program, name, max));
        let is_spent = rules.entries.is_some_and(|cap| self.entries_since(name, cap.per.start(self.now)) >= cap.max);
        if !is_full && !is_spent {
            return None;
        }
        let went_first = self.went_first(program, name).is_some();
        Some(if went_first { DiscardReason::LowerPriority } else { DiscardReason::CapReached })
    }

    fn is_full(&self, program: &Program, rule_set: &str, max: u32) -> bool {
        let inside = self.inside(rule_set);
        inside.len() >= max as usize && !inside.contains(&program.journey)
    }

    /// Journeys of a rule set that the profile is in. They count, however often it is in one of them by supplemental ids.
    fn inside(&self, rule_set: &str) -> SmallVec<[JourneyId; 8]> {
        let of_set = |i: &&Instance| self.program(i.version).rule_set.as_deref() == Some(rule_set) && !i.is_entrant();
        let mut inside: SmallVec<[JourneyId; 8]> =
            self.profile.instances.iter().filter(of_set).map(|i| i.journey).collect();
        inside.sort_unstable();
        inside.dedup();
        inside
    }

    fn entries_since(&self, rule_set: &str, since: Millis) -> u32 {
        let known = self.profile.caps.iter().find(|known| known.rule_set == rule_set && known.since >= since);
        known.map_or(0, |known| known.entries)
    }

    /// The journey of a higher priority and the same rule set that the same input let the profile into.
    fn went_first(&self, program: &Program, rule_set: &str) -> Option<&'w Program> {
        let of_set = |entered: &&&Program| entered.rule_set.as_deref() == Some(rule_set);
        self.entered.iter().filter(of_set).find(|entered| entered.priority > program.priority).copied()
    }

    /// Refuses an entry, and notes which cap of a rule set was full.
    pub(super) fn refuse(&mut self, program: &Program, reason: DiscardReason) {
        let caps =
            matches!(reason, DiscardReason::CapReached | DiscardReason::LowerPriority).then(|| self.caps_met(program));
        self.discard(program.version, reason, caps.as_ref().map(|caps| caps as &dyn fmt::Display));
    }

    /// Which caps of the rule set are full, by what the profile has of them.
    #[cold]
    fn caps_met(&self, program: &Program) -> String {
        let Some(name) = &program.rule_set else { return String::new() };
        let Some(rules) = self.world.catalog.rule_sets.get(name) else { return String::new() };
        let mut met = Vec::new();
        if let Some(cap) = rules.entries {
            let since = cap.per.start(self.now);
            let count = self.entries_since(name, since);
            if count >= cap.max {
                met.push(format!("{count} of {} entries since {since}", cap.max));
            }
        }
        if let Some(max) = rules.concurrent.filter(|max| self.is_full(program, name, *max)) {
            let inside = self.inside(name);
            let mut names: Vec<String> = Vec::new();
            for instance in &self.profile.instances {
                let name = format!("`{}`", self.program(instance.version).name);
                if inside.contains(&instance.journey) && !names.contains(&name) {
                    names.push(name);
                }
            }
            let more = if names.len() > JOURNEYS_NAMED { ", …" } else { "" };
            names.truncate(JOURNEYS_NAMED);
            met.push(format!("{} of {max} journeys at once: {}{more}", inside.len(), names.join(", ")));
        }
        let first = self.went_first(program, name);
        let first = first
            .map(|first| format!("; `{}` has priority {}, this one {}", first.name, first.priority, program.priority));
        met.join("; ") + &first.unwrap_or_default()
    }

    /// Counts an entry by the rule set of the journey.
    #[inline]
    pub(super) fn count_entry(&mut self, program: &Program) {
        let Some(name) = &program.rule_set else { return };
        let Some(cap) = self.world.catalog.rule_sets.get(name).and_then(|rules| rules.entries) else { return };
        let since = cap.per.start(self.now);
        let caps = &mut self.profile.caps;
        match caps.iter_mut().find(|known| known.rule_set == *name) {
            Some(known) if known.since >= since => known.entries = known.entries.saturating_add(1),
            Some(known) => (known.since, known.entries) = (since, 1),
            None => caps.push(CapCount { rule_set: name.clone(), since, entries: 1 }),
        }
    }
}
