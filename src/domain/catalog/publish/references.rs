//! What a journey refers to: events, attributes, messages, other journeys.

use std::sync::Arc;

use smol_str::SmolStr;

use super::Merged;
use crate::domain::catalog::rules::Rule;
use crate::domain::event::{FEEDBACK_PROPERTIES, is_feedback};
use crate::domain::expression::{Fields, SOURCE_PREFIX, Type};
use crate::domain::guardrails::tighter_by;
use crate::domain::ids::MessageId;
use crate::domain::journey::action::titled;
use crate::domain::journey::compile::{self, Entrance, Vocabulary};
use crate::domain::journey::definition::{EventDefinition, JourneyDefinition, MessageDefinition};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::limits;
use crate::domain::suggest::did_you_mean;

impl Merged<'_> {
    pub(super) fn vocabulary(&self, definition: &JourneyDefinition, findings: &mut Findings<'_>) -> Vocabulary {
        let mut vocabulary = Vocabulary {
            profile: self.profile.clone(),
            blurred_profile: self.profile_blurred,
            description: definition.description.clone(),
            ..Vocabulary::default()
        };
        for event in definition.event_types() {
            if is_feedback(&event.value) {
                let fields = FEEDBACK_PROPERTIES.iter().map(|name| (SmolStr::new_static(name), Type::String));
                vocabulary.events.insert(event.value.clone(), fields.collect());
                continue;
            }
            let declared = self.events.get(&event.value);
            if declared.is_none_or(|declared| declared.broken) {
                vocabulary.blurred_events.insert(event.value.clone());
            }
            if let Some(declared) = declared {
                vocabulary.events.insert(event.value.clone(), self.fields_of(declared).clone());
            } else if !self.files.partial && !event.value.is_empty() {
                let known = self.events.keys().map(|name| name.as_str());
                let suggestion = did_you_mean(&event.value, known)
                    .unwrap_or_else(|| format!("declare it: `kind: event`, `name: {}`, `schema: {{}}`", event.value));
                let message = format!("journey `{}` names the unknown event `{}`", definition.name.value, event.value);
                findings.error_with(event.place, "unknown_event", message, suggestion);
            }
        }
        self.add_actions(definition, &mut vocabulary, findings);
        self.add_datasets(definition, &mut vocabulary, findings);
        for (journey, _) in definition.jumps() {
            self.add_entrance(definition, journey, &mut vocabulary, findings);
        }
        vocabulary
    }

    /// Fields of an event: of one that a rule recognises those of the events that it is recognised among.
    fn fields_of<'s>(&'s self, declared: &'s EventDefinition) -> &'s Fields {
        let base = declared.rule.as_ref().and_then(|rule| self.events.get(&rule.of.value));
        &base.copied().unwrap_or(declared).schema
    }

    pub(super) fn check_rule_set(&self, definition: &JourneyDefinition, findings: &mut Findings<'_>) {
        let Some(rule_set) = &definition.rule_set else { return };
        if !self.next.rule_sets.contains_key(&rule_set.value) && !self.files.partial {
            let suggestion = did_you_mean(&rule_set.value, self.next.rule_sets.keys().map(SmolStr::as_str))
                .unwrap_or_else(|| format!("declare it: `kind: rule_set`, `name: {}`", rule_set.value));
            let message =
                format!("journey `{}` carries the unknown rule set `{}`", definition.name.value, rule_set.value);
            findings.error_with(rule_set.place, "unknown_rule_set", message, suggestion);
        }
    }

    /// Rules of events: whether what they are about exists, and whether they compile with it.
    pub(super) fn check_rules(&self, findings: &mut Findings<'_>) {
        for (name, event) in &self.events {
            let Some(rule) = event.rule.as_ref().filter(|_| !event.broken) else { continue };
            let Some(base) = self.events.get(&rule.of.value) else {
                if !self.files.partial {
                    let suggestion = did_you_mean(&rule.of.value, self.events.keys().map(|name| name.as_str()))
                        .unwrap_or_else(|| "name a declared event".to_owned());
                    let message = format!("event `{name}` is recognised among the unknown event `{}`", rule.of.value);
                    findings.error_with(rule.of.place, "unknown_event", message, suggestion);
                }
                continue;
            };
            if base.rule.is_some() {
                let message =
                    format!("event `{name}` is recognised among `{}`, which is itself recognised", rule.of.value);
                let suggestion = "name the event that is sent, and write both rules into one".to_owned();
                findings.error_with(rule.of.place, "rule_of_rule", message, suggestion);
            } else if !base.broken
                && !self.profile_blurred
                && let Err(errors) = Rule::compile(name, rule, base, &self.profile)
            {
                compile::note(&rule.when, &errors, &format!("event `{name}`"), findings);
            }
        }
    }

    /// Custom actions that `definition` calls.
    fn add_actions(&self, definition: &JourneyDefinition, vocabulary: &mut Vocabulary, findings: &mut Findings<'_>) {
        for (name, _) in definition.actions() {
            match self.next.actions.get(&name.value) {
                Some(action) if !action.broken => {
                    vocabulary.actions.insert(name.value.clone(), action.shape.clone());
                    continue;
                }
                Some(_) => {}
                None if self.files.partial => {}
                None => {
                    let suggestion = self.callee_suggestion(&name.value);
                    let journey = &definition.name.value;
                    if name.value.starts_with(SOURCE_PREFIX) {
                        let message = format!("journey `{journey}` asks the unknown {}", titled(&name.value));
                        findings.error_with(name.place, "unknown_data_source", message, suggestion);
                        vocabulary.blurred_actions = true;
                        continue;
                    }
                    let message = format!("journey `{journey}` calls the unknown {}", titled(&name.value));
                    findings.error_with(name.place, "unknown_action", message, suggestion);
                }
            }
            vocabulary.blurred_actions = true;
        }
    }

    /// Datasets that `definition` looks up in.
    fn add_datasets(&self, definition: &JourneyDefinition, vocabulary: &mut Vocabulary, findings: &mut Findings<'_>) {
        for (_, name, _) in definition.lookups() {
            if let Some(dataset) = self.next.datasets.get(&name.value) {
                vocabulary.datasets.insert(name.value.clone(), dataset.schema.clone());
                continue;
            }
            vocabulary.blurred_datasets = true;
            if !self.files.partial {
                let suggestion = did_you_mean(&name.value, self.next.datasets.keys().map(SmolStr::as_str))
                    .unwrap_or_else(|| format!("declare it: `kind: dataset`, `name: {}`", name.value));
                let message =
                    format!("journey `{}` looks up in the unknown dataset `{}`", definition.name.value, name.value);
                findings.error_with(name.place, "unknown_dataset", message, suggestion);
            }
        }
        let lookups: Vec<_> = definition.lookups().collect();
        if let Some((node, ..)) = lookups.get(limits::LOOKUPS_MAX) {
            let (journey, count) = (&definition.name.value, lookups.len());
            let message = format!(
                "journey `{journey}` has {count} nodes that look up, of which `{}` is one too many: the limit is {}, as in AJO",
                node.value,
                limits::LOOKUPS_MAX
            );
            let suggestion = format!("look several keys up at once; {}", tighter_by("lookups_max"));
            findings.error_with(node.place, "too_many_lookups", message, suggestion);
        }
    }

    /// An action or data source that may have been meant.
    fn callee_suggestion(&self, name: &str) -> String {
        let (kind, prefix, shown) = match name.strip_prefix(SOURCE_PREFIX) {
            Some(shown) => ("data_source", SOURCE_PREFIX, shown),
            None => ("action", "", name),
        };
        let known = self.next.actions.keys().filter_map(|known| known.strip_prefix(prefix));
        did_you_mean(shown, known).unwrap_or_else(|| format!("declare it: `kind: {kind}`, `name: {shown}`"))
    }

    /// What lets profiles into the journey that `definition` jumps to.
    fn add_entrance(
        &self,
        definition: &JourneyDefinition,
        journey: &At<SmolStr>,
        vocabulary: &mut Vocabulary,
        findings: &mut Findings<'_>,
    ) {
        let in_files = self.files.journeys.get(&journey.value);
        let target = in_files.or_else(|| self.latest(&journey.value).map(|version| &version.source.definition));
        let Some(target) = target else {
            if !self.files.partial {
                let known = self.files.journeys.keys().chain(&self.catalog.journeys).map(SmolStr::as_str);
                let suggestion = did_you_mean(&journey.value, known)
                    .unwrap_or_else(|| "name a journey of these files, or a published one".to_owned());
                let message =
                    format!("journey `{}` jumps to the unknown journey `{}`", definition.name.value, journey.value);
                findings.error_with(journey.place, "unknown_journey", message, suggestion);
            }
            return;
        };
        if in_files.is_none() && !self.catalog.live.contains_key(&journey.value) {
            let message = format!("journey `{}`, to which this one jumps, takes no entries", journey.value);
            let suggestion = "publish a new version of it, or remove the jump: it will fail".to_owned();
            findings.warning(journey.place, "jump_to_closed", message, suggestion);
        }
        let event = target.entry.event.value.clone();
        if let Some(declared) = self.events.get(&event).filter(|declared| !declared.broken) {
            let entrance = Entrance { event, fields: self.fields_of(declared).clone() };
            vocabulary.entrances.insert(journey.value.clone(), entrance);
        }
    }

    pub(super) fn messages_of(
        &self,
        definition: &JourneyDefinition,
        findings: &mut Findings<'_>,
    ) -> Vec<(MessageId, Arc<MessageDefinition>)> {
        let mut found = Vec::new();
        for name in definition.messages() {
            if let Some(id) = self.messages.get(&name.value) {
                let message = &self.next.messages[id.0 as usize];
                if !message.broken {
                    found.push((*id, Arc::clone(message)));
                }
            } else if !self.files.partial {
                let suggestion = did_you_mean(&name.value, self.messages.keys().map(SmolStr::as_str))
                    .unwrap_or_else(|| format!("declare it: `kind: message`, `name: {}`", name.value));
                let message = format!("journey `{}` sends the unknown message `{}`", definition.name.value, name.value);
                findings.error_with(name.place, "unknown_message", message, suggestion);
            }
        }
        found
    }
}
