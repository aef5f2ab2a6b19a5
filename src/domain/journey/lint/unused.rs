//! Rules about resources that nothing refers to. They look at a whole set, not at one journey.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::domain::expression::{FieldPath, Root};
use crate::domain::journey::action::titled;
use crate::domain::journey::definition::{JourneyDefinition, LocalTime, MessageDefinition};
use crate::domain::journey::findings::Findings;
use crate::domain::journey::program::Channel;
use crate::domain::journey::source::Resources;

/// What all journeys together refer to.
#[derive(Clone, Debug, Default)]
pub struct Used {
    events: BTreeSet<SmolStr>,
    /// Paths below `profile`.
    fields: BTreeSet<Vec<SmolStr>>,
    surfaces: BTreeSet<SmolStr>,
    /// Actions, and data sources by the names they have among those.
    actions: BTreeSet<SmolStr>,
    datasets: BTreeSet<SmolStr>,
}

impl Used {
    /// Adds what one journey refers to, by its definition and the fields it reads.
    pub fn add(&mut self, definition: &JourneyDefinition, reads: &BTreeSet<FieldPath>) {
        self.events.extend(definition.event_types().into_iter().map(|event| event.value.clone()));
        self.fields.extend(reads.iter().filter(|read| read.root == Root::Profile).map(|read| read.path.clone()));
        self.actions.extend(definition.actions().map(|(action, _)| action.value.clone()));
        self.datasets.extend(definition.lookups().map(|(_, dataset, _)| dataset.value.clone()));
        if definition.local_time == LocalTime::Profile {
            self.fields.insert(vec![SmolStr::new_static("timezone")]);
        }
    }

    /// Adds what the rule of an event that is used refers to: the type it is recognised among, and what it reads.
    pub fn add_rule(&mut self, name: &str, of: &SmolStr, reads: &[FieldPath]) {
        if self.events.contains(name) {
            self.events.insert(of.clone());
            self.fields.extend(reads.iter().filter(|read| read.root == Root::Profile).map(|read| read.path.clone()));
        }
    }

    /// Adds what a message refers to, whether or not a journey sends it.
    pub fn add_message(&mut self, message: &MessageDefinition) {
        self.surfaces.extend(message.surface.iter().map(|surface| surface.value.clone()));
        if message.channel == Channel::Email {
            self.fields.insert(vec![SmolStr::new_static("email")]);
        }
    }

    fn reads(&self, attribute: &str) -> bool {
        let path: Vec<SmolStr> = attribute.split('.').map(SmolStr::new).collect();
        self.fields.iter().any(|read| read.starts_with(&path) || path.starts_with(read))
    }
}

/// `unused_event`, `unused_attribute`, `unused_surface`, `unused_action`, `unused_dataset` and `unused_fragment`, of what
/// `resources` declare.
pub fn lint_unused(resources: &Resources, used: &Used, findings: &mut Findings<'_>) {
    for event in resources.events.values().filter(|event| !used.events.contains(&event.name.value)) {
        let message = format!("no journey names event `{}`", event.name.value);
        findings.hint(event.name.place, "unused_event", message, "use it in a journey, or remove it".to_owned());
    }
    for attribute in resources.attributes.values().filter(|attribute| !used.reads(&attribute.name.value)) {
        let message = format!("nothing reads or sets attribute `{}`", attribute.name.value);
        let suggestion = "read it in a condition or a message, or remove it".to_owned();
        findings.hint(attribute.name.place, "unused_attribute", message, suggestion);
    }
    for (name, surface) in resources.surfaces.iter().filter(|(name, _)| !used.surfaces.contains(*name)) {
        let message = format!("no message leaves by surface `{name}`");
        findings.hint(surface.place, "unused_surface", message, "name it in a message, or remove it".to_owned());
    }
    for (name, action) in resources.actions.iter().filter(|(name, _)| !used.actions.contains(*name)) {
        let message = format!("no journey calls {}", titled(name));
        findings.hint(action.name.place, "unused_action", message, "call it from a node, or remove it".to_owned());
    }
    for (name, dataset) in resources.datasets.iter().filter(|(name, _)| !used.datasets.contains(*name)) {
        let message = format!("no journey looks up in dataset `{name}`");
        findings.hint(dataset.place, "unused_dataset", message, "look up in it, or remove it".to_owned());
    }
    // Which fragments a published journey took over is not known any more.
    for (name, fragment) in resources.fragments.iter().filter(|(name, _)| !resources.taken.contains(*name)) {
        let message = format!("no journey of these files takes over fragment `{name}`");
        findings.hint(fragment.name.place, "unused_fragment", message, "take it over, or remove it".to_owned());
    }
}
