//! All resources of a set of files: each document by its kind, each name once.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::domain::endpoint::{Capping, Throttling};
use crate::domain::journey::action::ActionDefinition;
use crate::domain::journey::definition::{
    AttributeDefinition, EventDefinition, FragmentDefinition, JourneyDefinition, MessageDefinition, NodeForm,
    RuleSetDefinition,
};
use crate::domain::journey::findings::{At, Findings, Place, SourceFile};
use crate::domain::journey::source::dataset::DatasetFile;
use crate::domain::journey::source::fragment::{self, Fragments};
use crate::domain::journey::source::reader::{MapReader, listed, text};
use crate::domain::journey::source::tree::{Extent, Tree, parse};
use crate::domain::journey::source::{action, capping, dataset, journey, message, rule_set, schema, surface, trial};
use crate::domain::journey::trial::TrialDefinition;
use crate::domain::suggest::did_you_mean;
use crate::domain::surface::Surface;

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A type of events.
    Event,
    /// A field of the profile document.
    Attribute,
    /// Settings of a channel.
    Surface,
    /// A custom action.
    Action,
    /// Something that is asked over HTTP.
    DataSource,
    /// Records to look up.
    Dataset,
    /// A limit of calls.
    Capping,
    /// A rate that calls wait for.
    Throttling,
    /// A message.
    Message,
    /// Limits of entries.
    RuleSet,
    /// Nodes that journeys take over.
    Fragment,
    /// A journey.
    Journey,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Event,
        Self::Attribute,
        Self::Message,
        Self::Surface,
        Self::Action,
        Self::DataSource,
        Self::Dataset,
        Self::Capping,
        Self::Throttling,
        Self::RuleSet,
        Self::Fragment,
        Self::Journey,
    ];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Attribute => "attribute",
            Self::Surface => "surface",
            Self::Action => "action",
            Self::DataSource => "data_source",
            Self::Dataset => "dataset",
            Self::Capping => "capping",
            Self::Throttling => "throttling",
            Self::Message => "message",
            Self::RuleSet => "rule_set",
            Self::Fragment => "fragment",
            Self::Journey => "journey",
        }
    }
}

/// Kinds of later releases.
const LATER_KINDS: [&str; 9] =
    ["audience", "segment", "offer", "placement", "decision_policy", "experiment", "holdout", "template", "campaign"];

/// Everything the files hold, by name.
#[derive(Debug, Default)]
pub struct Resources {
    /// Events by type.
    pub events: BTreeMap<SmolStr, EventDefinition>,
    /// Attributes by path.
    pub attributes: BTreeMap<SmolStr, AttributeDefinition>,
    /// Surfaces by name.
    pub surfaces: BTreeMap<SmolStr, At<Surface>>,
    /// Custom actions by name, and data sources by [`source_name`](crate::domain::journey::action::source_name).
    pub actions: BTreeMap<SmolStr, ActionDefinition>,
    /// Datasets by name.
    pub datasets: BTreeMap<SmolStr, At<DatasetFile>>,
    /// Limits of calls by name.
    pub cappings: BTreeMap<SmolStr, Capping>,
    /// Rates that calls wait for, by name.
    pub throttlings: BTreeMap<SmolStr, At<Throttling>>,
    /// Messages by name.
    pub messages: BTreeMap<SmolStr, MessageDefinition>,
    /// Rule sets by name.
    pub rule_sets: BTreeMap<SmolStr, RuleSetDefinition>,
    /// Fragments by name.
    pub fragments: BTreeMap<SmolStr, FragmentDefinition>,
    /// Names of fragments that journeys of the files take over.
    pub taken: BTreeSet<SmolStr>,
    /// Journeys by name, with copies of the fragments that they take over.
    pub journeys: BTreeMap<SmolStr, JourneyDefinition>,
    /// Tests, in the order of the files: no part of what is published.
    pub trials: Vec<TrialDefinition>,
    /// Where each of them is declared; data sources under the names that files give them.
    pub places: BTreeMap<(Kind, SmolStr), Place>,
    /// A document could not be read or placed: a name that seems unknown may stand there.
    pub partial: bool,
}

/// Reads all files. Definitions are as complete as their findings allow. Journeys may take over fragments of the files and
/// `published` ones.
pub fn read(
    files: &[SourceFile],
    published: &BTreeMap<SmolStr, FragmentDefinition>,
    findings: &mut Findings<'_>,
) -> Resources {
    let mut resources = Resources::default();
    for index in 0..files.len() {
        let (documents, extent) = parse(files, index, findings);
        resources.partial |= extent == Extent::Partial;
        for document in documents.iter().filter(|document| !document.is_null()) {
            if read_document(document, &mut resources, findings).is_none() {
                resources.partial = true;
            }
        }
    }
    let Resources { journeys, fragments: given, partial, taken, .. } = &mut resources;
    for journey in journeys.values_mut() {
        taken.extend(journey.nodes.iter().filter_map(|node| match &node.form {
            NodeForm::Fragment { fragment, .. } => Some(fragment.value.clone()),
            _ => None,
        }));
        fragment::expand(journey, Fragments { given, published, partial: *partial }, findings);
    }
    resources
}

/// `None`: it is unknown what this document declares.
fn read_document(document: &Tree, resources: &mut Resources, findings: &mut Findings<'_>) -> Option<()> {
    let mut map = MapReader::open(document, "a resource", findings)?;
    let word = text(map.required("kind", findings)?, "`kind`", findings)?;
    if word.value == trial::KIND {
        read_trial(map, resources, findings);
        return Some(());
    }
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word.value) else {
        unknown_kind(&word, findings);
        return None;
    };
    map.what = format!("this {}", kind.word());
    let name = text(map.required("name", findings)?, "`name`", findings)?;
    map.what = format!("{} `{}`", kind.word(), name.value);
    if let Some(first) = resources.places.get(&(kind, name.value.clone())) {
        let message = format!("{} is declared twice; first at {}", map.what, findings.name_place(*first));
        findings.error_with(name.place, "duplicate_resource", message, "rename or remove one of them".to_owned());
        return Some(());
    }
    resources.places.insert((kind, name.value.clone()), name.place);
    if let Some(description) = map.optional("description") {
        text(description, "`description`", findings);
    }
    read_resource(kind, name, map, resources, findings);
    Some(())
}

/// What follows kind, name and description.
fn read_resource(
    kind: Kind,
    name: At<SmolStr>,
    map: MapReader<'_>,
    resources: &mut Resources,
    findings: &mut Findings<'_>,
) {
    let key = name.value.clone();
    match kind {
        Kind::Event => {
            resources.events.insert(key, schema::read_event(name, map, findings));
        }
        Kind::Attribute => {
            resources.attributes.insert(key, schema::read_attribute(name, map, findings));
        }
        Kind::Surface => {
            // A surface that can't be read still has its name: messages that use it are not to blame.
            let surface = surface::read(&name, map, findings);
            match surface {
                Some(surface) => {
                    resources.surfaces.insert(key, At::new(surface, name.place));
                }
                None => resources.partial = true,
            }
        }
        Kind::Action => {
            resources.actions.insert(key, action::read(name, map, findings));
        }
        Kind::DataSource => {
            let source = action::read_source(&name, map, findings);
            resources.actions.insert(source.name.value.clone(), source);
        }
        Kind::Dataset => match dataset::read(&name, map, findings) {
            Some(dataset) => drop(resources.datasets.insert(key, dataset)),
            None => resources.partial = true,
        },
        Kind::Capping => match capping::read(&name, map, findings) {
            Some(capping) => drop(resources.cappings.insert(key, capping)),
            None => resources.partial = true,
        },
        Kind::Throttling => match capping::read_throttling(&name, map, findings) {
            Some(throttling) => drop(resources.throttlings.insert(key, throttling)),
            None => resources.partial = true,
        },
        Kind::Message => {
            resources.messages.insert(key, message::read(name, map, findings));
        }
        Kind::RuleSet => {
            resources.rule_sets.insert(key, rule_set::read(name, map, findings));
        }
        Kind::Fragment => {
            resources.fragments.insert(key, fragment::read(name, map, findings));
        }
        Kind::Journey => {
            resources.journeys.insert(key, journey::read(name, map, findings));
        }
    }
}

/// A test declares nothing that others name, so one that can't be read hides nothing.
fn read_trial(mut map: MapReader<'_>, resources: &mut Resources, findings: &mut Findings<'_>) {
    map.what = "this test".to_owned();
    let Some(name) = map.required("name", findings).and_then(|tree| text(tree, "`name`", findings)) else { return };
    map.what = format!("test `{}`", name.value);
    if let Some(description) = map.optional("description") {
        text(description, "`description`", findings);
    }
    resources.trials.push(trial::read(name, map, findings));
}

fn unknown_kind(word: &At<SmolStr>, findings: &mut Findings<'_>) {
    let words: Vec<&str> = Kind::ALL.map(Kind::word).into_iter().chain([trial::KIND]).collect();
    let supported = format!("known kinds are {}", listed(&words));
    if LATER_KINDS.contains(&word.value.as_str()) {
        let message = format!("kind `{}` is not available in this release", word.value);
        findings.error_with(word.place, "not_available", message, supported);
        return;
    }
    let suggestion = did_you_mean(&word.value, words.iter().copied()).unwrap_or(supported);
    findings.error_with(word.place, "unknown_kind", format!("unknown kind `{}`", word.value), suggestion);
}
