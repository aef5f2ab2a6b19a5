//! Tests of journeys, resolved against the resources beside them: what they name must exist, what they give must be
//! declared. `apply` and `plan` look at their shape only: an outdated test must not keep a journey from being published.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::domain::catalog::attributes::profile_fields;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::effect::CallAnswer;
use crate::domain::event::{FEEDBACK_PROPERTIES, PROFILE_UPDATE, is_feedback};
use crate::domain::expression::{Fields, Type};
use crate::domain::finding::Finding;
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::Millis;
use crate::domain::journey::action::{answer_of, titled};
use crate::domain::journey::definition::JourneyDefinition;
use crate::domain::journey::findings::{At, Findings, Place};
use crate::domain::journey::program::Channel;
use crate::domain::journey::source::{Resources, Tree, literal, read, read_responses};
use crate::domain::journey::trial::{
    CallExpectation, Expectation, MessageExpectation, START, Trial, TrialAnswer, TrialDefinition, TrialEvent,
    TrialInput,
};
use crate::domain::suggest::did_you_mean;

/// A set of files taken by themselves: what they publish, and the tests among them.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What the files publish.
    pub catalog: Catalog,
    /// The tests, in the order of the files.
    pub trials: Vec<Trial>,
    /// Findings that do not hinder.
    pub warnings: Vec<Finding>,
}

impl Rehearsal {
    /// Reads and checks `files`. Any error refuses the whole set.
    pub fn of(files: &[SourceFile]) -> Result<Self, Vec<Finding>> {
        Self::within(files, &Guardrails::DEFAULT)
    }

    /// The same within other guardrails.
    pub fn within(files: &[SourceFile], rails: &Guardrails) -> Result<Self, Vec<Finding>> {
        let mut findings = Findings::new(files);
        let resources = read(files, &BTreeMap::new(), &mut findings);
        let trials = Resolver::new(&resources).resolve_all(&mut findings);
        let (catalog, report) =
            Catalog::default().publish_resources(&resources, Millis(0), (rails, &BTreeSet::new()), findings)?;
        Ok(Self { catalog, trials, warnings: report.warnings })
    }
}

/// What custom actions answer, by name.
pub type Responses = BTreeMap<SmolStr, Vec<CallAnswer>>;

impl Rehearsal {
    /// Reads what custom actions answer from a file of its own, written as `actions` of a test, against the actions of
    /// `files`. Times in it count from the start of tests.
    ///
    /// # Errors
    /// What is wrong with the responses; `files` are looked at by whoever publishes them.
    pub fn responses(files: &[SourceFile], responses: SourceFile) -> Result<Responses, Vec<Finding>> {
        let resources = read(files, &BTreeMap::new(), &mut Findings::new(files));
        let responses = [responses];
        let mut findings = Findings::new(&responses);
        let given = read_responses(&responses, 0, &mut findings);
        let answers = Resolver::new(&resources).answers(&given, START, &mut findings);
        if findings.any_error() { Err(findings.into_sorted()) } else { Ok(answers) }
    }
}

/// Looks up what tests name.
struct Resolver<'r> {
    resources: &'r Resources,
    profile: Fields,
    /// Attributes that can't be read: a field that seems undeclared may be one of them.
    profile_blurred: bool,
}

impl<'r> Resolver<'r> {
    fn new(resources: &'r Resources) -> Self {
        let mut profile = profile_fields(&resources.attributes);
        // The address of mails is read without a declaration.
        if !profile.iter().any(|(name, _)| name == "email") {
            profile.push((SmolStr::new_static("email"), Type::String));
        }
        let profile_blurred = resources.partial || resources.attributes.values().any(|attribute| attribute.broken);
        Self { resources, profile, profile_blurred }
    }

    fn resolve_all(&self, findings: &mut Findings<'_>) -> Vec<Trial> {
        let mut names: BTreeMap<(Option<&str>, &str), Place> = BTreeMap::new();
        let mut trials = Vec::new();
        for definition in &self.resources.trials {
            let journey = definition.journey.as_ref().map(|journey| journey.value.as_str());
            let name = &definition.name;
            if let Some(first) = names.insert((journey, &name.value), name.place) {
                let message = format!("test `{}` stands twice; first at {}", name.value, findings.name_place(first));
                findings.error_with(name.place, "duplicate_resource", message, "rename one of them".to_owned());
            }
            trials.extend(self.resolve(definition, findings));
        }
        trials
    }

    fn resolve(&self, definition: &TrialDefinition, findings: &mut Findings<'_>) -> Option<Trial> {
        let before = findings.count();
        if let Some(journey) = &definition.journey {
            self.journey(journey, findings);
        }
        let mut inputs = Vec::new();
        for (identity, document) in &definition.profiles {
            let Some(document) = document else { continue };
            inputs.push(TrialInput {
                place: document.place,
                at: definition.start,
                id: SmolStr::new_static("given"),
                kind: SmolStr::new_static(PROFILE_UPDATE),
                profile: identity.value.clone(),
                properties: self.document(document, definition.start, findings),
                of: None,
            });
        }
        let answers = self.answers(&definition.answers, definition.start, findings);
        let mut events: Vec<TrialInput> = Vec::new();
        for (index, event) in definition.events.iter().enumerate() {
            events.extend(self.event(definition, index, event, findings));
        }
        // Stable: events of one instant come as they stand.
        events.sort_by_key(|event| event.at);
        inputs.extend(events);
        let expectations: Vec<Expectation> = definition
            .expectations
            .iter()
            .filter_map(|expectation| self.expectation(definition, expectation, findings))
            .collect();
        (!definition.broken && !findings.any_error_since(before)).then(|| Trial {
            name: definition.name.clone(),
            journey: definition.journey.as_ref().map(|journey| journey.value.clone()),
            start: definition.start,
            profiles: definition.profiles.iter().map(|(identity, _)| identity.value.clone()).collect(),
            answers,
            inputs,
            until: definition.until,
            expectations,
        })
    }

    /// What custom actions answer, read as they declare it.
    fn answers(
        &self,
        given: &[(At<SmolStr>, Vec<TrialAnswer>)],
        start: Millis,
        findings: &mut Findings<'_>,
    ) -> BTreeMap<SmolStr, Vec<CallAnswer>> {
        let mut answers: BTreeMap<SmolStr, Vec<CallAnswer>> = BTreeMap::new();
        for (name, written) in given {
            let Some(action) = self.resources.actions.get(&name.value) else {
                self.unknown(name, "action", self.resources.actions.keys(), findings);
                continue;
            };
            let of_action = answers.entry(name.value.clone()).or_default();
            for answer in written {
                let (fields, what) = match answer.status.is_error() {
                    false => (&action.shape.response, "response"),
                    true => (&action.shape.error_response, "error_response"),
                };
                let what = format!("`{what}` of {}", titled(&name.value));
                let body = answer.body.as_ref().filter(|_| !action.broken);
                let body = body.map(|tree| literal::fields(tree, fields, &what, start, findings));
                of_action.push(answer_of(answer.status, &body.unwrap_or_default(), fields));
            }
        }
        answers
    }

    fn document(&self, tree: &Tree, start: Millis, findings: &mut Findings<'_>) -> crate::domain::value::Map {
        if self.profile_blurred {
            return Default::default();
        }
        literal::fields(tree, &self.profile, "the profile", start, findings)
    }

    fn event(
        &self,
        definition: &TrialDefinition,
        index: usize,
        event: &TrialEvent,
        findings: &mut Findings<'_>,
    ) -> Option<TrialInput> {
        let profile = match &event.profile {
            Some(profile) => Some(self.profile(definition, profile, findings)),
            None => definition.profiles.first().map(|(identity, _)| identity.value.clone()),
        };
        let start = definition.start;
        let kind = &event.kind;
        self.feedback(definition, event, findings);
        let properties = if is_feedback(&kind.value) {
            let fields: Fields =
                FEEDBACK_PROPERTIES.iter().map(|name| (SmolStr::new_static(name), Type::String)).collect();
            let what = format!("`{}`", kind.value);
            event.properties.as_ref().map(|tree| literal::fields(tree, &fields, &what, start, findings))
        } else if kind.value == PROFILE_UPDATE {
            event.properties.as_ref().map(|tree| self.document(tree, start, findings))
        } else if let Some(declared) = self.resources.events.get(&kind.value) {
            let what = format!("event `{}`", kind.value);
            let properties = event.properties.as_ref().filter(|_| !declared.broken);
            properties.map(|tree| literal::fields(tree, &declared.schema, &what, start, findings))
        } else {
            self.unknown(kind, "event", self.resources.events.keys(), findings);
            return None;
        };
        Some(TrialInput {
            place: event.place,
            at: event.at,
            id: event.id.clone().unwrap_or_else(|| SmolStr::new(format!("event-{}", index + 1))),
            kind: kind.value.clone(),
            profile: profile?,
            properties: properties.unwrap_or_default(),
            of: event.of.as_ref().map(|of| of.value.clone()),
        })
    }

    /// Feedback names the node whose message it is about, and nothing else does.
    fn feedback(&self, definition: &TrialDefinition, event: &TrialEvent, findings: &mut Findings<'_>) {
        match (&event.of, is_feedback(&event.kind.value)) {
            (Some(of), false) => {
                let message = format!("`of` goes with feedback on a message, and `{}` is none", event.kind.value);
                findings.error_with(of.place, "not_feedback", message, "remove it".to_owned());
            }
            (Some(of), true) => {
                let named = definition.journey.as_ref().and_then(|name| self.resources.journeys.get(&name.value));
                if let Some(journey) = named.filter(|journey| !journey.broken) {
                    self.node(journey, of, findings);
                }
            }
            (None, true) if event.properties.is_none() => {
                let message = format!("`{}` says not on which message", event.kind.value);
                let suggestion = "add `of: NODE`, a message node that has sent before".to_owned();
                findings.error_with(event.kind.place, "missing_key", message, suggestion);
            }
            _ => {}
        }
    }

    /// One of the test's profiles.
    fn profile(&self, definition: &TrialDefinition, named: &At<SmolStr>, findings: &mut Findings<'_>) -> SmolStr {
        let known = || definition.profiles.iter().map(|(identity, _)| identity.value.as_str());
        if !known().any(|identity| identity == named.value) {
            let suggestion = did_you_mean(&named.value, known())
                .unwrap_or_else(|| "name it in `profiles: { NAMESPACE:VALUE: { … } }`".to_owned());
            let message = format!("the test has no profile `{}`", named.value);
            findings.error_with(named.place, "unknown_profile", message, suggestion);
        }
        named.value.clone()
    }

    fn expectation(
        &self,
        definition: &TrialDefinition,
        written: &Expectation,
        findings: &mut Findings<'_>,
    ) -> Option<Expectation> {
        let mut expectation = written.clone();
        match (&written.profile, definition.profiles.as_slice()) {
            (Some(profile), _) => drop(self.profile(definition, profile, findings)),
            (None, [(only, _)]) => expectation.profile = Some(only.clone()),
            // A profile that can't be read is a finding of its own.
            (None, _) if definition.broken => return None,
            (None, _) => {
                let message = "this test has several profiles, and this says of none of them what is expected";
                findings.error_with(written.place, "missing_key", message, "add `profile: …`".to_owned());
            }
        }
        let only = match self.resources.journeys.values().collect::<Vec<_>>().as_slice() {
            [only] => Some(At::new(only.name.value.clone(), written.place)),
            _ => None,
        };
        expectation.journey = written.journey.clone().or_else(|| definition.journey.clone()).or(only);
        let journey = match &expectation.journey {
            Some(journey) if written.journey.is_some() || definition.journey.is_none() => {
                Some(self.journey(journey, findings)?)
            }
            Some(journey) => Some(self.resources.journeys.get(&journey.value)?),
            None => {
                self.expect_no_journey(written, findings);
                None
            }
        };
        if let Some(journey) = journey.filter(|journey| !journey.broken) {
            let lists = [&written.path, &written.path_includes];
            for node in lists.into_iter().flatten().flat_map(|path| &path.value) {
                self.node(journey, node, findings);
            }
        }
        let messages = [&written.messages, &written.messages_include];
        for message in messages.into_iter().flatten().flat_map(|messages| &messages.value) {
            self.message(journey, &message.message, findings);
            self.message_details(journey, message, findings);
        }
        let calls = [&written.calls, &written.calls_include];
        for call in calls.into_iter().flatten().flat_map(|calls| &calls.value) {
            self.call(journey, call, findings);
        }
        for message in written.excluded.iter().flat_map(|excluded| &excluded.value) {
            self.message(journey, message, findings);
        }
        if let Some(document) = &written.document {
            expectation.fields = self.document(document, definition.start, findings);
        }
        Some(expectation)
    }

    /// What an instance does can't be expected of nobody's instance.
    fn expect_no_journey(&self, written: &Expectation, findings: &mut Findings<'_>) {
        let of_instances = written.path.is_some()
            || written.path_includes.is_some()
            || written.end.is_some()
            || written.end_at.is_some()
            || written.entry.is_some()
            || written.entries.is_some()
            || written.discarded.is_some();
        if of_instances && !self.resources.partial && !self.resources.journeys.is_empty() {
            let message = "there are several journeys, and this says of none of them what is expected";
            findings.error_with(written.place, "missing_key", message, "add `journey: NAME`".to_owned());
        }
    }

    fn journey(&self, name: &At<SmolStr>, findings: &mut Findings<'_>) -> Option<&'r JourneyDefinition> {
        let found = self.resources.journeys.get(&name.value);
        if found.is_none() {
            self.unknown(name, "journey", self.resources.journeys.keys(), findings);
        }
        found
    }

    fn node(&self, journey: &JourneyDefinition, name: &At<SmolStr>, findings: &mut Findings<'_>) {
        let known = || journey.nodes.iter().map(|node| node.name.value.as_str());
        if known().any(|node| node == name.value) {
            return;
        }
        let all: Vec<&str> = known().collect();
        let suggestion =
            did_you_mean(&name.value, known()).unwrap_or_else(|| format!("its nodes are {}", all.join(", ")));
        let message = format!("journey `{}` has no node `{}`", journey.name.value, name.value);
        findings.error_with(name.place, "unknown_node", message, suggestion);
    }

    fn message(&self, journey: Option<&JourneyDefinition>, name: &At<SmolStr>, findings: &mut Findings<'_>) {
        if !self.resources.messages.contains_key(&name.value) {
            self.unknown(name, "message", self.resources.messages.keys(), findings);
            return;
        }
        let Some(journey) = journey.filter(|journey| !journey.broken) else { return };
        let sent = journey.messages();
        if !sent.iter().any(|message| message.value == name.value) {
            let suggestion = did_you_mean(&name.value, sent.iter().map(|message| message.value.as_str()));
            let message = format!("journey `{}` never sends message `{}`", journey.name.value, name.value);
            findings.error_with(name.place, "never_sent", message, suggestion);
        }
    }

    fn call(&self, journey: Option<&JourneyDefinition>, expected: &CallExpectation, findings: &mut Findings<'_>) {
        let name = &expected.action;
        if !self.resources.actions.contains_key(&name.value) {
            self.unknown(name, "action", self.resources.actions.keys(), findings);
            return;
        }
        let Some(journey) = journey.filter(|journey| !journey.broken) else { return };
        if let Some(node) = &expected.node {
            self.node(journey, node, findings);
        }
        let called: Vec<&At<SmolStr>> = journey.actions().map(|(action, _)| action).collect();
        if !called.iter().any(|action| action.value == name.value) {
            let suggestion = did_you_mean(&name.value, called.iter().map(|action| action.value.as_str()))
                .unwrap_or_else(|| "name one that it calls, or another journey".to_owned());
            let message = format!("journey `{}` never calls {}", journey.name.value, titled(&name.value));
            findings.error_with(name.place, "never_called", message, suggestion);
        }
    }

    fn message_details(
        &self,
        journey: Option<&JourneyDefinition>,
        expected: &MessageExpectation,
        findings: &mut Findings<'_>,
    ) {
        if let (Some(journey), Some(node)) = (journey.filter(|journey| !journey.broken), &expected.node) {
            self.node(journey, node, findings);
        }
        let Some(message) = self.resources.messages.get(&expected.message.value).filter(|message| !message.broken)
        else {
            return;
        };
        if let (Some(to), Channel::Log | Channel::Webhook) = (&expected.to, message.channel) {
            let text = format!("message `{}` is no mail, so it has no address", expected.message.value);
            findings.error_with(to.place, "unexpected_address", text, "remove `to`".to_owned());
        }
        let subject = expected.subject.as_ref().or(expected.subject_contains.first());
        if let (Some(subject), None) = (subject, &message.subject) {
            let text = format!("message `{}` has no subject", expected.message.value);
            findings.error_with(subject.place, "unexpected_subject", text, "expect its `body`".to_owned());
        }
    }

    fn unknown<'n>(
        &self,
        named: &At<SmolStr>,
        what: &str,
        known: impl Iterator<Item = &'n SmolStr>,
        findings: &mut Findings<'_>,
    ) {
        if self.resources.partial {
            return;
        }
        let suggestion = did_you_mean(&named.value, known.map(SmolStr::as_str))
            .unwrap_or_else(|| format!("give the file with `kind: {what}`, `name: {}` too", named.value));
        let message = format!("there is no {what} `{}`", named.value);
        let code = match what {
            "event" => "unknown_event",
            "message" => "unknown_message",
            "action" => "unknown_action",
            _ => "unknown_journey",
        };
        findings.error_with(named.place, code, message, suggestion);
    }
}

#[cfg(test)]
mod tests;
