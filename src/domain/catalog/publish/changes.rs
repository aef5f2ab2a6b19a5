//! What becomes of resources that are no journeys, and what is published and in no file.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use super::{Change, Merged, ResourceChange};
use crate::domain::expression::SOURCE_PREFIX;
use crate::domain::journey::source::Kind;

impl Merged<'_> {
    /// What becomes of everything in the files but journeys.
    pub(super) fn simple_changes(&self) -> Vec<ResourceChange> {
        let (files, catalog) = (self.files, self.catalog);
        let mut changes = Vec::new();
        for (name, event) in &files.events {
            changes.push(simple(Kind::Event, name, catalog.events.get(name).map(|before| before == event)));
        }
        for (name, attribute) in &files.attributes {
            changes.push(simple(Kind::Attribute, name, catalog.attributes.get(name).map(|before| before == attribute)));
        }
        for (name, surface) in &files.surfaces {
            changes.push(simple(Kind::Surface, name, catalog.surface(name).map(|before| **before == surface.value)));
        }
        for (name, rule_set) in &files.rule_sets {
            changes.push(simple(Kind::RuleSet, name, catalog.rule_sets.get(name).map(|before| before == rule_set)));
        }
        for (name, fragment) in &files.fragments {
            changes.push(simple(Kind::Fragment, name, catalog.fragments.get(name).map(|before| before == fragment)));
        }
        for (name, capping) in &files.cappings {
            changes.push(simple(Kind::Capping, name, catalog.cappings.get(name).map(|before| before == capping)));
        }
        for name in files.datasets.keys() {
            let before = catalog.datasets.get(name).map(|before| self.next.datasets.get(name) == Some(before));
            changes.push(simple(Kind::Dataset, name, before));
        }
        for (name, throttling) in &files.throttlings {
            let before = catalog.throttlings.get(name).map(|before| **before == throttling.value);
            changes.push(simple(Kind::Throttling, name, before));
        }
        for (name, action) in &files.actions {
            let (kind, shown) = callee(name);
            changes.push(simple(kind, &shown, catalog.actions.get(name).map(|before| **before == *action)));
        }
        for (name, message) in &files.messages {
            let before = catalog.latest_message(name).map(|id| catalog.message(id));
            changes.push(simple(Kind::Message, name, before.map(|before| **before == *message)));
        }
        changes
    }

    /// What is published and in no file. Of journeys only the live ones: the others are past.
    pub(super) fn vanished(&self) -> Vec<ResourceChange> {
        let (files, catalog) = (self.files, self.catalog);
        let vanished = |kind: Kind, name: &SmolStr| ResourceChange {
            kind,
            name: name.clone(),
            change: Change::Vanished,
            version: None,
            status: None,
            difference: None,
            migration: None,
        };
        let messages: BTreeSet<&SmolStr> = catalog.messages.iter().map(|message| &message.name.value).collect();
        let gone = |kind, names: Vec<&SmolStr>, known: &dyn Fn(&str) -> bool| -> Vec<ResourceChange> {
            names.into_iter().filter(|name| !known(name)).map(|name| vanished(kind, name)).collect()
        };
        let mut changes = gone(Kind::Event, catalog.events.keys().collect(), &|name| files.events.contains_key(name));
        changes.extend(gone(Kind::Attribute, catalog.attributes.keys().collect(), &|name| {
            files.attributes.contains_key(name)
        }));
        changes
            .extend(gone(Kind::Surface, catalog.surfaces.keys().collect(), &|name| files.surfaces.contains_key(name)));
        changes.extend(gone(Kind::Fragment, catalog.fragments.keys().collect(), &|name| {
            files.fragments.contains_key(name)
        }));
        changes.extend(gone(Kind::RuleSet, catalog.rule_sets.keys().collect(), &|name| {
            files.rule_sets.contains_key(name)
        }));
        changes
            .extend(gone(Kind::Capping, catalog.cappings.keys().collect(), &|name| files.cappings.contains_key(name)));
        changes
            .extend(gone(Kind::Dataset, catalog.datasets.keys().collect(), &|name| files.datasets.contains_key(name)));
        changes.extend(gone(Kind::Throttling, catalog.throttlings.keys().collect(), &|name| {
            files.throttlings.contains_key(name)
        }));
        let actions = catalog.actions.keys().filter(|name| !files.actions.contains_key(*name)).map(callee);
        changes.extend(actions.map(|(kind, name)| vanished(kind, &name)));
        changes.extend(gone(Kind::Message, messages.into_iter().collect(), &|name| files.messages.contains_key(name)));
        changes.extend(self.others.iter().map(|definition| vanished(Kind::Journey, &definition.name.value)));
        changes
    }
}

/// The kind of an action or data source, and its name in files.
fn callee(name: &SmolStr) -> (Kind, SmolStr) {
    match name.strip_prefix(SOURCE_PREFIX) {
        Some(source) => (Kind::DataSource, SmolStr::new(source)),
        None => (Kind::Action, name.clone()),
    }
}

fn simple(kind: Kind, name: &SmolStr, same: Option<bool>) -> ResourceChange {
    let change = match same {
        None => Change::Created,
        Some(true) => Change::Unchanged,
        Some(false) => Change::Updated,
    };
    ResourceChange { kind, name: name.clone(), change, version: None, status: None, difference: None, migration: None }
}
