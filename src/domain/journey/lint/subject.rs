//! What the rules look at: one journey that compiled, with all that it refers to.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{clocks, conditions, consents, cycles, recipients, waits, ways};
use crate::domain::expression::{Fields, Schemas};
use crate::domain::journey::compile::{Vocabulary, inner_schemas};
use crate::domain::journey::definition::{JourneyDefinition, MessageDefinition, NodeDefinition, NodeForm};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::graph::Graph;

/// A journey that compiled.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// It.
    pub definition: &'a JourneyDefinition,
    /// What its entry event is.
    pub entry: EntryEvent,
    /// What is declared of its events.
    pub vocabulary: &'a Vocabulary,
    /// Everything declared of the profile.
    pub profile: &'a Fields,
    /// The messages it sends.
    pub messages: Vec<Arc<MessageDefinition>>,
}

/// How events come to be of the type that lets profiles in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryEvent {
    /// They are sent as such.
    Sent,
    /// A rule recognises them among others.
    Recognised,
}

/// Ways that nobody goes, by node and by index among its targets, each with the reason.
pub(super) type DeadWays = BTreeMap<(usize, usize), String>;

/// Notes what the rules find in one journey.
pub fn lint(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let Some(graph) = Graph::new(subject.definition) else { return };
    let mut dead = DeadWays::new();
    conditions::check(subject, &mut dead, findings);
    clocks::check(subject, &mut dead, findings);
    ways::check_shares(subject, &mut dead);
    waits::check(subject, &graph, &mut dead, findings);
    ways::check(subject, &graph, &dead, findings);
    cycles::check(subject, &graph, findings);
    recipients::check(subject, findings);
    consents::check(subject, &graph, &dead, findings);
}

/// Notes what the rules find in the rule that recognises events as `name`, which may read `schemas`.
pub fn lint_rule(name: &str, when: &At<SmolStr>, schemas: &Schemas, findings: &mut Findings<'_>) {
    conditions::check_rule(name, when, schemas, findings);
}

impl Subject<'_> {
    /// What nodes may read.
    pub(super) fn schemas(&self) -> Schemas {
        let schemas = inner_schemas(self.definition, self.vocabulary);
        Schemas { profile: Some(self.profile.clone()), ..schemas }
    }

    /// What the filter of an event that comes in may read.
    pub(super) fn schemas_at(&self, event: &str) -> Schemas {
        Schemas { last: self.vocabulary.events.get(event).cloned(), ..self.schemas() }
    }

    /// The message a node sends.
    pub(super) fn message_of(&self, node: &NodeDefinition) -> Option<&MessageDefinition> {
        let NodeForm::Message { message, .. } = &node.form else { return None };
        self.messages.iter().find(|known| known.name.value == message.value).map(|message| &**message)
    }

    /// The node called `name`.
    pub(super) fn node(&self, name: &str) -> Option<&NodeDefinition> {
        self.definition.nodes.iter().find(|node| node.name.value == name)
    }
}
