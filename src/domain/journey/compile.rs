//! A checked definition and what it refers to, to the program that profiles walk.
//!
//! The same function serves publishing and loading: what it is given at publish is stored and given again at every
//! start, so a version never changes its meaning. All findings are noted; a program comes out only if none is an error.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::domain::calendar::zone;
use crate::domain::content::{Escape, Template};
use crate::domain::dataset::ENTITIES;
use crate::domain::expression::{Expr, FieldPath, Fields, Root, SOURCE_PREFIX, Schemas, SourceError, Type};
use crate::domain::ids::{JourneyId, MessageId, NodeNo, VersionId};
use crate::domain::journey::action::{Action, ActionShape};
use crate::domain::journey::definition::{Format, JourneyDefinition, MessageDefinition, Since};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::graph::Graph;
use crate::domain::journey::notes::{Notes, reads_fact};
use crate::domain::journey::program::{EventFilter, Message, Program};

/// What is declared of the events and attributes that a journey names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Fields by event type.
    pub events: BTreeMap<SmolStr, Fields>,
    /// Fields of the profile document.
    pub profile: Fields,
    /// What lets profiles into the journeys that it jumps to, by their names.
    pub entrances: BTreeMap<SmolStr, Entrance>,
    /// Custom actions that it calls.
    pub actions: BTreeMap<SmolStr, ActionShape>,
    /// Fields of the datasets that it looks up in.
    pub datasets: BTreeMap<SmolStr, Fields>,
    /// What it says of itself; of a published version only where something reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<SmolStr>,
    /// Event types whose fields are not known, because their declaration is missing or broken (a finding says so).
    #[serde(skip)]
    pub blurred_events: BTreeSet<SmolStr>,
    /// An action's declaration is missing or broken.
    #[serde(skip)]
    pub blurred_actions: bool,
    /// A dataset's declaration is missing or broken.
    #[serde(skip)]
    pub blurred_datasets: bool,
    /// An attribute's declaration is broken.
    #[serde(skip)]
    pub blurred_profile: bool,
}

/// The event that lets profiles into a journey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrance {
    /// Its type.
    pub event: SmolStr,
    /// Its fields; of a published version those that the jump gives.
    pub fields: Fields,
}

/// Numbers of a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// The journey.
    pub journey: JourneyId,
    /// The version, over all journeys.
    pub version: VersionId,
    /// The version within its journey, from 1.
    pub number: u32,
}

/// A program and what it reads.
#[derive(Debug)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// Every field that any expression or template of it reads, entry filter included.
    pub reads: BTreeSet<FieldPath>,
}

/// Compiles `definition`. `messages` are those it sends, in the order of [`JourneyDefinition::messages`]; one that is
/// missing has its finding already.
pub fn compile(
    definition: &JourneyDefinition,
    vocabulary: &Vocabulary,
    messages: &[(MessageId, Arc<MessageDefinition>)],
    numbers: Numbers,
    findings: &mut Findings<'_>,
) -> Option<Compiled> {
    let before = findings.count();
    let mut compiler = Compiler::new(definition, vocabulary, findings);
    let entry = compiler.entry();
    let supplemental_id = definition.supplemental_id.as_ref().map(|id| compiler.supplemental_id(id));
    let exit: Vec<_> = definition.exit.iter().map(|exit| compiler.filter(exit, "exit criterion")).collect();
    let exit_when: Vec<_> =
        definition.exit_when.iter().map(|when| compiler.inside(when, &Type::Boolean, "exit criterion")).collect();
    let programs: Vec<_> = messages.iter().map(|(id, message)| compiler.message(*id, message)).collect();
    let actions = compiler.actions();
    let graph = Graph::new(definition);
    let nodes = compiler.nodes(graph.as_ref(), &programs, &actions);
    let reads = std::mem::take(&mut compiler.reads);
    let kept = std::mem::take(&mut compiler.kept);
    let heard = std::mem::take(&mut compiler.heard);
    let followed = std::mem::take(&mut compiler.followed);
    if definition.broken || findings.any_error_since(before) {
        return None;
    }
    let of = |root: Root| kept.iter().filter(move |read| read.root == root).map(|read| read.path.clone());
    let keeps_event = smallest(of(Root::Event).collect());
    let keeps_last = smallest(of(Root::Last).collect());
    let answers = [Root::Action, Root::Source, Root::Lookup];
    let keeps_action = smallest(answers.into_iter().flat_map(of).collect());
    let start = graph?.start;
    let program = Program {
        journey: numbers.journey,
        version: numbers.version,
        number: numbers.number,
        name: definition.name.value.clone(),
        description: vocabulary.description.clone().filter(|_| reads_fact(&reads, "description")),
        zone: zone(&definition.timezone).unwrap_or(TimeZone::UTC),
        zone_name: definition.timezone.clone(),
        local_time: definition.local_time,
        starts_at: definition.starts_at,
        ends_at: definition.ends_at.as_ref().map(|at| at.value),
        entry: entry?,
        supplemental_id: supplemental_id.map_or(Some(None), |id| id.map(Some))?,
        rule_set: definition.rule_set.as_ref().map(|name| name.value.clone()),
        priority: definition.priority,
        reentry: definition.reentry.value,
        exit: exit.into_iter().collect::<Option<_>>()?,
        exit_when: exit_when.into_iter().collect::<Option<_>>()?,
        timeout_ms: definition.timeout_ms,
        call_timeout_ms: definition.call_timeout_ms,
        start: node_no(start),
        nodes: nodes.into_iter().collect::<Option<_>>()?,
        messages: programs.into_iter().collect::<Option<_>>()?,
        actions,
        keeps_event,
        keeps_last,
        keeps_action,
        heard,
        notes: Notes::of(&kept),
        is_in_test: false,
        followed: followed.into_iter().collect(),
    };
    Some(Compiled { program, reads })
}

/// Checks the templates of a message that no journey sends, with every field any event declares.
pub fn check_alone(message: &MessageDefinition, schemas: &Schemas, findings: &mut Findings<'_>) {
    for template in message.subject.iter().chain([&message.body]) {
        let Err(mut errors) = Template::compile(&template.value, schemas, escape(message.format)) else { continue };
        // What is called and looked up is known where it is sent.
        errors.retain(|error| error.code != "root_not_available");
        if !errors.is_empty() {
            note(template, &errors, &format!("message `{}`", message.name.value), findings);
        }
    }
}

impl Vocabulary {
    /// Only what `reads` reach and jumps of `definition` give.
    pub fn pruned(&self, reads: &BTreeSet<FieldPath>, definition: &JourneyDefinition) -> Self {
        let below = |roots: &[Root]| -> Vec<&[SmolStr]> {
            reads.iter().filter(|read| roots.contains(&read.root)).map(|read| read.path.as_slice()).collect()
        };
        let of_events = below(&[Root::Event, Root::Last]);
        let events = self.events.iter().map(|(name, fields)| (name.clone(), prune(fields, &of_events))).collect();
        let (actions, datasets) = (self.actions.clone(), self.datasets.clone());
        let mut entrances = self.entrances.clone();
        for (journey, entrance) in &mut entrances {
            let given = |name: &SmolStr| {
                definition.jumps().any(|(j, with)| j.value == *journey && with.iter().any(|(n, _)| n.value == *name))
            };
            entrance.fields.retain(|(name, _)| given(name));
        }
        Self {
            events,
            profile: prune(&self.profile, &below(&[Root::Profile])),
            entrances,
            actions,
            datasets,
            description: self.description.clone().filter(|_| reads_fact(reads, "description")),
            ..Self::default()
        }
    }
}

/// Fields that one of `paths` reaches; whole where a path ends or leads into a list.
fn prune(fields: &Fields, paths: &[&[SmolStr]]) -> Fields {
    if paths.iter().any(|path| path.is_empty()) {
        return fields.clone();
    }
    let mut kept = Fields::new();
    for (name, value_type) in fields {
        let below: Vec<&[SmolStr]> = paths.iter().filter(|path| path[0] == *name).map(|path| &path[1..]).collect();
        match value_type {
            _ if below.is_empty() => {}
            Type::Object(inner) => kept.push((name.clone(), Type::Object(prune(inner, &below)))),
            whole => kept.push((name.clone(), whole.clone())),
        }
    }
    kept
}

/// Without the paths that lie below others.
fn smallest(paths: BTreeSet<Vec<SmolStr>>) -> Vec<Vec<SmolStr>> {
    let mut kept: Vec<Vec<SmolStr>> = Vec::new();
    // A prefix sorts before what it begins.
    for path in paths {
        if !kept.iter().any(|shorter| path.starts_with(shorter)) {
            kept.push(path);
        }
    }
    kept
}

/// The number of a node: there are never more than a `u16` of them (nodes and branches are bounded).
fn node_no(index: usize) -> NodeNo {
    NodeNo(u16::try_from(index).expect("nodes of a checked journey are bounded"))
}

fn escape(format: Format) -> Escape {
    match format {
        Format::Text => Escape::None,
        Format::Html => Escape::Html,
        Format::Json => Escape::Json,
    }
}

/// Notes what is wrong with an expression.
pub fn note(source: &At<impl AsRef<str>>, errors: &[SourceError], whence: &str, findings: &mut Findings<'_>) {
    if errors.is_empty() {
        findings.error(source.place, "expression", format!("{whence}: can't be compiled"));
    }
    for error in errors {
        let message = format!("{whence}: {}", error.message);
        findings.error_within(source, error.offset, error.code, message, error.suggestion.clone());
    }
}

/// A field of `last` that two events declare with different types.
struct Conflict {
    name: SmolStr,
    first: SmolStr,
    second: SmolStr,
}

/// What may be read of answers of actions, or of data sources; without any there is nothing.
fn answers(vocabulary: &Vocabulary, root: Root) -> Option<Fields> {
    let named = |name: &SmolStr| match (root, name.strip_prefix(SOURCE_PREFIX)) {
        (Root::Source, Some(source)) => Some(SmolStr::new(source)),
        (Root::Action, None) => Some(name.clone()),
        _ => None,
    };
    let readable = vocabulary.actions.iter();
    let fields: Fields =
        readable.filter_map(|(name, shape)| Some((named(name)?, Type::Object(shape.readable())))).collect();
    (!fields.is_empty()).then_some(fields)
}

/// What may be read of look-ups; without any there is nothing.
fn found(definition: &JourneyDefinition, vocabulary: &Vocabulary) -> Option<Fields> {
    let lookups = definition.lookups().filter_map(|(node, dataset, fields)| {
        let entity = Type::Object(taken(vocabulary.datasets.get(&dataset.value)?, fields));
        let entities = vec![(SmolStr::new_static(ENTITIES), Type::List(Box::new(entity)))];
        Some((node.value.clone(), Type::Object(entities)))
    });
    let lookups: Fields = lookups.collect();
    (!lookups.is_empty()).then_some(lookups)
}

/// The fields of a dataset that a node takes.
fn taken(schema: &Fields, fields: &[At<SmolStr>]) -> Fields {
    schema.iter().filter(|(name, _)| fields.iter().any(|field| field.value == *name)).cloned().collect()
}

struct Compiler<'c, 'f> {
    definition: &'c JourneyDefinition,
    vocabulary: &'c Vocabulary,
    findings: &'c mut Findings<'f>,
    /// What nodes and messages may read.
    inside: Schemas,
    conflicts: Vec<Conflict>,
    numbers: BTreeMap<&'c str, usize>,
    reads: BTreeSet<FieldPath>,
    /// The part of `reads` that an instance must remember: not the entry filter's, nor `last` in other filters.
    kept: BTreeSet<FieldPath>,
    /// Events that count from before their nodes on; the index is the slot.
    heard: Vec<(EventFilter, Since)>,
    /// Message nodes on which feedback is awaited.
    followed: BTreeSet<NodeNo>,
}

impl<'c, 'f> Compiler<'c, 'f> {
    fn new(definition: &'c JourneyDefinition, vocabulary: &'c Vocabulary, findings: &'c mut Findings<'f>) -> Self {
        let (_, conflicts) = last_fields(definition, vocabulary);
        let numbers = definition.nodes.iter().enumerate().map(|(n, node)| (node.name.value.as_str(), n)).collect();
        Self {
            definition,
            vocabulary,
            findings,
            inside: inner_schemas(definition, vocabulary),
            conflicts,
            numbers,
            reads: BTreeSet::new(),
            kept: BTreeSet::new(),
            heard: Vec::new(),
            followed: BTreeSet::new(),
        }
    }

    /// Those that nodes call, each once; what is wrong with one was noted where it is declared.
    fn actions(&mut self) -> Vec<Arc<Action>> {
        let shapes = self.vocabulary.actions.iter();
        shapes.filter_map(|(name, shape)| Action::compile(name, shape, self.findings).map(Arc::new)).collect()
    }

    fn message(&mut self, id: MessageId, message: &MessageDefinition) -> Option<Arc<Message>> {
        let subject = message.subject.as_ref().map(|subject| self.template(subject, Escape::None, message));
        let body = self.template(&message.body, escape(message.format), message);
        let subject = match subject {
            Some(subject) => Some(subject?),
            None => None,
        };
        let body = body?;
        let reads: BTreeSet<FieldPath> =
            subject.iter().chain([&body]).flat_map(|template| template.reads().iter().cloned()).collect();
        Some(Arc::new(Message {
            id,
            name: message.name.value.clone(),
            channel: message.channel,
            surface: message.surface.as_ref().map(|at| at.value.clone()),
            subject,
            body,
            reads: reads.into_iter().collect(),
        }))
    }

    fn template(&mut self, source: &At<String>, escape: Escape, message: &MessageDefinition) -> Option<Template> {
        if self.mentions_blurred(&source.value, &self.blurred_roots(&self.received())) {
            return None;
        }
        let whence = format!("message `{}` in journey `{}`", message.name.value, self.definition.name.value);
        match Template::compile(&source.value, &self.inside, escape) {
            Ok(template) => {
                if self.conflicts(source, template.reads(), &whence) {
                    return None;
                }
                self.read(template.reads());
                Some(template)
            }
            Err(errors) => {
                note(source, &errors, &whence, self.findings);
                None
            }
        }
    }

    /// An expression of a node.
    fn inside(&mut self, source: &At<SmolStr>, expected: &Type, whence: &str) -> Option<Expr> {
        let schemas = self.inside.clone();
        let blurred = self.blurred_roots(&self.received());
        let expr = self.expression(source, &schemas, &blurred, expected, whence)?;
        if self.conflicts(source, expr.reads(), whence) {
            return None;
        }
        self.read(expr.reads());
        Some(expr)
    }

    fn expression(
        &mut self,
        source: &At<SmolStr>,
        schemas: &Schemas,
        blurred: &[&str],
        expected: &Type,
        whence: &str,
    ) -> Option<Expr> {
        if self.mentions_blurred(&source.value, blurred) {
            return None;
        }
        let whence = format!("{whence} in journey `{}`", self.definition.name.value);
        Expr::compile(&source.value, schemas, expected)
            .map_err(|errors| note(source, &errors, &whence, self.findings))
            .ok()
    }

    fn read(&mut self, reads: &[FieldPath]) {
        self.reads.extend(reads.iter().cloned());
        self.kept.extend(reads.iter().cloned());
    }

    /// Event types that `last` may be of at a node.
    fn received(&self) -> Vec<&'c SmolStr> {
        let awaited = self.definition.awaited().map(|awaited| &awaited.filter.event.value);
        [&self.definition.entry.event.value].into_iter().chain(awaited).collect()
    }

    /// Roots whose fields are not all known where `last` is one of `received`.
    fn blurred_roots(&self, received: &[&SmolStr]) -> Vec<&'static str> {
        let blurred = |event: &SmolStr| self.vocabulary.blurred_events.contains(event);
        let mut roots = Vec::new();
        if blurred(&self.definition.entry.event.value) {
            roots.push("event");
        }
        if received.iter().any(|event| blurred(event)) {
            roots.push("last");
        }
        if self.vocabulary.blurred_profile {
            roots.push("profile");
        }
        if self.vocabulary.blurred_actions {
            roots.extend(["action", "source"]);
        }
        if self.vocabulary.blurred_datasets {
            roots.push("lookup");
        }
        roots
    }

    /// Whether an error in `source` might only come from an earlier finding.
    fn mentions_blurred(&self, source: &str, roots: &[&str]) -> bool {
        roots.iter().any(|root| source.contains(root))
    }

    /// Whether `reads` hold a field of `last` whose type depends on which event came.
    fn conflicts(&mut self, source: &At<impl AsRef<str>>, reads: &[FieldPath], whence: &str) -> bool {
        let is_read = |conflict: &&Conflict| {
            reads
                .iter()
                .any(|read| read.root == Root::Last && read.path.first().is_none_or(|name| *name == conflict.name))
        };
        let Some(conflict) = self.conflicts.iter().find(is_read) else { return false };
        let text = source.value.as_ref();
        let offset = text.find(&format!("last.{}", conflict.name)).or_else(|| text.find("last")).unwrap_or(0);
        let message = format!(
            "{whence}: field `last.{}` is of one type in `{}` and of another in `{}`",
            conflict.name, conflict.first, conflict.second
        );
        let suggestion = "declare it with one type, or read it in the event's own `when`".to_owned();
        self.findings.error_within(source, offset, "conflicting_field", message, Some(suggestion));
        true
    }
}

/// What nodes and messages may read.
pub fn inner_schemas(definition: &JourneyDefinition, vocabulary: &Vocabulary) -> Schemas {
    Schemas {
        event: vocabulary.events.get(&definition.entry.event.value).cloned(),
        last: Some(last_fields(definition, vocabulary).0),
        profile: Some(vocabulary.profile.clone()),
        journey: Schemas::of_instance(),
        action: answers(vocabulary, Root::Action),
        source: answers(vocabulary, Root::Source),
        lookup: found(definition, vocabulary),
        ..Schemas::default()
    }
}

/// The fields of `last` at a node: those of the entry event and of every awaited one. An exit's event never gets here.
fn last_fields(definition: &JourneyDefinition, vocabulary: &Vocabulary) -> (Fields, Vec<Conflict>) {
    let mut fields = Fields::new();
    let mut declared_by: BTreeMap<SmolStr, SmolStr> = BTreeMap::new();
    let mut conflicts: Vec<Conflict> = Vec::new();
    let awaited = definition.awaited().map(|awaited| &awaited.filter);
    let events = [&definition.entry].into_iter().chain(awaited).map(|filter| &filter.event.value);
    for event in events {
        for (name, value_type) in vocabulary.events.get(event).into_iter().flatten() {
            match fields.iter().find(|(known, _)| known == name) {
                None => {
                    fields.push((name.clone(), value_type.clone()));
                    declared_by.insert(name.clone(), event.clone());
                }
                Some((_, known)) if known == value_type || conflicts.iter().any(|c| c.name == *name) => {}
                Some(_) => {
                    let first = declared_by.get(name).cloned().unwrap_or_default();
                    conflicts.push(Conflict { name: name.clone(), first, second: event.clone() });
                }
            }
        }
    }
    (fields, conflicts)
}
