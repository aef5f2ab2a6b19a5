//! What is given to the linter: each journey that compiled, the set as a whole, and what is of no use at the time of the publish.

use std::sync::Arc;

use super::{Candidate, Merged};
use crate::domain::catalog::rules::Rule;
use crate::domain::expression::Schemas;
use crate::domain::ids::Millis;
use crate::domain::journey::definition::JourneyDefinition;
use crate::domain::journey::findings::Findings;
use crate::domain::journey::lint;

impl Merged<'_> {
    /// Warnings and hints about one journey.
    pub(super) fn lint(&self, candidate: &Candidate, findings: &mut Findings<'_>) {
        let source = &candidate.source;
        let messages = source.messages.iter().map(|id| Arc::clone(&self.next.messages[id.0 as usize])).collect();
        let subject = lint::Subject {
            definition: &source.definition,
            entry: match self.events.get(&source.definition.entry.event.value) {
                Some(event) if event.rule.is_none() => lint::EntryEvent::Sent,
                _ => lint::EntryEvent::Recognised,
            },
            vocabulary: &source.vocabulary,
            profile: &self.profile,
            messages,
        };
        lint::lint(&subject, findings);
    }

    /// Warnings about rules by which events are recognised.
    pub(super) fn lint_rules(&self, findings: &mut Findings<'_>) {
        for event in self.files.events.values().filter(|event| !event.broken) {
            let Some(rule) = &event.rule else { continue };
            let Some(base) = self.events.get(&rule.of.value).filter(|base| !base.broken) else { continue };
            let (event_fields, profile) = (Some(base.schema.clone()), Some(self.profile.clone()));
            let schemas = Schemas { event: event_fields, profile, ..Schemas::default() };
            lint::lint_rule(&event.name.value, &rule.when, &schemas, findings);
        }
    }

    /// Hints at what nothing refers to, where all that may refer to it is known and there is a journey at all.
    pub(super) fn lint_unused(&self, candidates: &[Option<Candidate>], findings: &mut Findings<'_>) {
        let mut used = lint::Used::default();
        for candidate in candidates {
            let Some(candidate) = candidate else { return };
            used.add(&candidate.source.definition, &candidate.compiled.reads);
        }
        if candidates.is_empty() || self.files.partial {
            return;
        }
        for event in self.events.values() {
            let Some(rule) = &event.rule else { continue };
            let Some(base) = self.events.get(&rule.of.value) else { continue };
            if let Ok(compiled) = Rule::compile(&event.name.value, rule, base, &self.profile) {
                used.add_rule(&event.name.value, &rule.of.value, compiled.when.reads());
            }
        }
        for message in self.messages.values() {
            used.add_message(&self.next.messages[message.0 as usize]);
        }
        lint::lint_unused(self.files, &used, findings);
        self.lint_rule_sets(findings);
    }

    /// `already_ended`: a journey of the files takes no entries for its end date.
    pub(super) fn warn_of_ended(&self, now: Millis, findings: &mut Findings<'_>) {
        for journey in self.files.journeys.values().filter(|journey| !journey.broken) {
            let Some(ends_at) = journey.ends_at.as_ref().filter(|ends_at| ends_at.value <= now) else { continue };
            let name = &journey.name.value;
            let message = format!("journey `{name}` has ended, at {}: nobody enters", ends_at.value.to_iso());
            findings.warning(
                ends_at.place,
                "already_ended",
                message,
                "set a later `end_date`, or remove it".to_owned(),
            );
        }
    }

    /// Warnings about caps: what profiles are in may be of versions that are closed, so all count that ever carried a set.
    fn lint_rule_sets(&self, findings: &mut Findings<'_>) {
        for (name, rules) in self.files.rule_sets.iter().filter(|(_, rules)| !rules.broken) {
            let published = self.catalog.versions.iter().map(|version| &version.source.definition);
            let carries =
                |journey: &&JourneyDefinition| journey.rule_set.as_ref().is_some_and(|set| set.value == *name);
            let carriers: Vec<&JourneyDefinition> =
                self.files.journeys.values().chain(published).filter(carries).collect();
            lint::lint_rule_set(rules, &carriers, findings);
        }
    }
}
