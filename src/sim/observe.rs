//! What durable records show, in names instead of numbers: the oracle's view of the engine. Reads blocks, judges nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::domain::catalog::Catalog;
use crate::domain::content::RenderInput;
use crate::domain::effect::OutboxRow;
use crate::domain::ids::{HashKey, Millis, ProfileKey, SandboxId};
use crate::domain::journey::action::Action;
use crate::domain::journey::program::{Channel, Program};
use crate::domain::step::{DiscardReason, Entrance, ExitReason, Failure, MessageOutcome, Path, Step, StepKind, Unkept};
use crate::domain::value::Value;
use crate::sim::workload::ScriptEvent;
use crate::wire::outbox::OutboxChange;
use crate::wire::record::{EventView, ProfileRecord, Record, RecordKind, records};
use crate::wire::value::map_from;

/// One durable decision about one profile, or a change of what is published.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Whose (`namespace:value`); empty for changes of what is published.
    pub profile: String,
    /// Engine time of the decision.
    pub engine_time_ms: i64,
    /// Number of the catalog it was decided with; for changes of what is published, the number it has afterwards.
    pub catalog: u32,
    /// Partition and pseq of the record, for people.
    pub place: (u16, u64),
    /// What caused it.
    pub cause: Cause,
    /// Steps, in order.
    pub steps: Vec<ObservedStep>,
    /// Messages and calls put into the outbox, in order.
    pub messages: Vec<ObservedMessage>,
    /// Delivery ids of those that left it.
    pub gone: Vec<String>,
}

/// What caused a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// An event.
    Event(ScriptEvent),
    /// Time, or the end of instances of stopped versions.
    Timers,
    /// What a channel or an operator said about a delivery.
    Report,
    /// These resources were published.
    Publish(String),
    /// All versions of this journey were stopped.
    Stop(String),
    /// The live version of this journey was closed.
    Close(String),
    /// Something became of a draft.
    Draft(DraftAct),
    /// This journey is paused, on these terms.
    Pause(String, Terms),
    /// This journey is resumed: when, what becomes of overdue messages if not what the pause says, and within how many
    /// milliseconds all are let go.
    Resume(String, i64, Option<String>, i64),
}

/// Terms of a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Profiles, entrants and awaited events are kept.
    pub holds: bool,
    /// From when.
    pub at_ms: i64,
    /// Until when.
    pub ends_ms: i64,
    /// It ends with a stop.
    pub stops: bool,
    /// `send`, `shift`, `merge`, `drop`.
    pub overdue: String,
    /// Within how many milliseconds all are let go.
    pub window_ms: i64,
}

/// What becomes of drafts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftAct {
    /// Journeys of these resources were kept.
    Keep(String),
    /// The draft of this journey is in test, with waits of so many milliseconds.
    Start(String, i64),
    /// Its test ended.
    Stop(String),
    /// It was published.
    Publish(String),
    /// These profiles, and no others, walk in tests.
    Flag(Vec<String>),
}

/// What the numbers of the n-th test of all begin at: it walks under a number of its own.
pub const TESTS_FROM: u32 = 10_000;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedStep {
    /// Name of the journey.
    pub journey: String,
    /// Number of the version within its journey.
    pub version: u32,
    /// Name of the node; empty where none is meant.
    pub node: String,
    /// Which entry of the profile, from 1; 0 where there is no instance.
    pub entry: u32,
    /// What happened: see [`reason`].
    pub reason: String,
    /// After `arrived`: when the instance's next timer is due.
    pub due_ms: Option<i64>,
}

/// A message put into the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedMessage {
    /// Name of the journey.
    pub journey: String,
    /// Number of the version within its journey.
    pub version: u32,
    /// Name of the node.
    pub node: String,
    /// Which entry of the profile.
    pub entry: u32,
    /// Name of the message, or of the action.
    pub message: String,
    /// Its delivery id.
    pub delivery: String,
    /// `log`, `webhook`, `email` or `call`.
    pub channel: &'static str,
    /// Address; empty where the surface is it.
    pub recipient: String,
    /// What its templates read: `event`, `last`, `profile`, `meta`.
    pub input: Json,
    /// What a call's request says: `method`, `path`, `query`, `headers`, `body` if it has one; [`UNSAID`] where that can't be
    /// worked out. Null for messages.
    pub says: Json,
}

/// What a request says that can't be made.
pub const UNSAID: &str = "nothing";

/// Names of profiles, by key.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<ProfileKey, String>);

impl Names {
    /// Names of `profiles` in a directory that keys by `hash_key`.
    pub fn new<'a>(hash_key: HashKey, profiles: impl IntoIterator<Item = &'a String>) -> Self {
        let keyed = |profile: &String| {
            let (namespace, value) = profile.split_once(':').unwrap_or(("", profile));
            (hash_key.profile_key(SandboxId::DEFAULT, namespace, value), profile.clone())
        };
        Self(profiles.into_iter().map(keyed).collect())
    }

    fn of(&self, key: ProfileKey) -> String {
        self.0.get(&key).cloned().unwrap_or_else(|| format!("{key:?}"))
    }
}

/// The decisions about profiles in a durable block, in order. `catalog` may be newer than the one they were made with:
/// numbers are never reused. Records of the catalog itself and of ownership are left out.
pub fn decode(block: &[u8], catalog: &Catalog, names: &Names) -> Result<Vec<Observed>, String> {
    let mut observed = Vec::new();
    for record in records(block) {
        let (_, record) = record.map_err(|error| format!("an unreadable block: {error}"))?;
        if record.head.kind == RecordKind::Profile {
            observed.push(decode_record(&record, catalog, names)?);
        }
    }
    Ok(observed)
}

/// The decision in one record of a profile.
pub fn decode_record(record: &Record<'_>, catalog: &Catalog, names: &Names) -> Result<Observed, String> {
    let head = &record.head;
    let unreadable = |error: &dyn std::fmt::Display| {
        format!("record {} of partition {} can't be read: {error}", head.pseq, head.partition)
    };
    let payload = ProfileRecord::read(&record.payload).map_err(|error| unreadable(&error))?;
    let profile = names.of(head.key);
    let cause = match &payload.event {
        Some(event) => Cause::Event(script_event(event, &profile).map_err(|error| unreadable(&error))?),
        // What channels say changes rows of the outbox and nothing else.
        None if payload.components.is_empty() => Cause::Report,
        None => Cause::Timers,
    };
    let gone = payload.outbox.iter().filter_map(|change| match change {
        OutboxChange::Gone(id) => Some(id.to_string()),
        OutboxChange::Put(_) | OutboxChange::State { .. } | OutboxChange::Mail(_) => None,
    });
    let messages = payload.outbox.iter().filter_map(|change| match change {
        OutboxChange::Put(row) => Some(message(row, catalog)),
        OutboxChange::Gone(_) | OutboxChange::State { .. } | OutboxChange::Mail(_) => None,
    });
    Ok(Observed {
        profile,
        engine_time_ms: head.engine_time.0,
        catalog: head.catalog.0,
        place: (head.partition.0, head.pseq.0),
        cause,
        steps: payload.steps.iter().map(|step| observed_step(step, catalog)).collect(),
        messages: messages.collect(),
        gone: gone.collect(),
    })
}

fn script_event(event: &EventView<'_>, profile: &str) -> Result<ScriptEvent, String> {
    let properties = map_from(event.properties).map_err(|error| error.to_string())?;
    let Json::Object(properties) = Value::Map(properties).to_json() else { unreachable!("a map is an object") };
    Ok(ScriptEvent {
        id: event.id.to_owned(),
        kind: event.kind.to_owned(),
        profile: profile.to_owned(),
        time_ms: event.time.map(|time| time.0),
        properties,
    })
}

fn observed_step(step: &Step, catalog: &Catalog) -> ObservedStep {
    let program = catalog.program(step.version);
    let message = |index: u16| program.messages.get(usize::from(index)).map_or("?", |message| message.name.as_str());
    ObservedStep {
        journey: program.name.to_string(),
        version: number(program, catalog),
        node: program.nodes.get(usize::from(step.node.0)).map(|node| node.name.to_string()).unwrap_or_default(),
        entry: step.ordinal,
        reason: reason(step.kind, program, message),
        due_ms: (step.kind == StepKind::Arrived).then_some(step.due.0),
    }
}

/// The number of a version within its journey; of a test also which of all tests it is.
fn number(program: &Program, catalog: &Catalog) -> u32 {
    if !program.is_in_test {
        return program.number;
    }
    let until = &catalog.versions[..=program.version.0 as usize];
    program.number + TESTS_FROM * until.iter().filter(|version| version.test.is_some()).count() as u32
}

/// The word for a step: `entered`, `arrived`, the path by which a node is left, how an instance ended, why an event was
/// discarded, or what became of a message followed by its name.
fn reason<'a>(kind: StepKind, program: &Program, message_name: impl Fn(u16) -> &'a str) -> String {
    let word = match kind {
        StepKind::Entered(Entrance::Migrated) => "came over",
        StepKind::Entered(_) => "entered",
        StepKind::Arrived => "arrived",
        StepKind::Left(Path::Then) => "then",
        StepKind::Left(Path::Branch(index)) => return format!("branch {index}"),
        StepKind::Left(Path::Otherwise) => "otherwise",
        StepKind::Left(Path::WaitEnded) => "wait_ended",
        StepKind::Left(Path::EventReceived) => "event_received",
        StepKind::Left(Path::TimedOut) => "timed_out",
        StepKind::Left(Path::Failed) => "error",
        StepKind::Left(Path::Way(index)) => return format!("way {index}"),
        StepKind::Exited(ExitReason::Completed) => "completed",
        StepKind::Exited(ExitReason::Criteria) => "criteria",
        StepKind::Exited(ExitReason::Timeout) => "timeout",
        StepKind::Exited(ExitReason::Stopped) => "stopped",
        StepKind::Exited(ExitReason::Ended) => "ended",
        StepKind::Exited(ExitReason::Forced) => "forced",
        StepKind::Exited(ExitReason::Migrated) => "migrated",
        StepKind::Exited(ExitReason::Withdrawn) => "withdrawn",
        StepKind::Failed(Failure::Expression) => "failed expression",
        StepKind::Failed(Failure::VisitLimit) => "failed visit_limit",
        StepKind::Failed(Failure::StepLimit) => "failed step_limit",
        StepKind::Failed(Failure::InstanceTooLarge) => "failed instance_too_large",
        StepKind::Failed(Failure::Jump) => "failed jump",
        StepKind::Failed(Failure::DocumentTooLarge) => "failed document_too_large",
        StepKind::Failed(Failure::Action(None)) => "failed action",
        StepKind::Failed(Failure::Action(Some(status))) => return format!("failed {status}"),
        StepKind::Discarded(DiscardReason::AlreadyInJourney) => "already_in_journey",
        StepKind::Discarded(DiscardReason::ReentranceNotAllowed) => "reentrance_not_allowed",
        StepKind::Discarded(DiscardReason::EntryFilterError) => "entry_filter_error",
        StepKind::Discarded(DiscardReason::TooManyInstances) => "too_many_instances",
        StepKind::Discarded(DiscardReason::OutsideDates) => "outside_dates",
        StepKind::Discarded(DiscardReason::NoSupplementalId) => "no_supplemental_id",
        StepKind::Discarded(DiscardReason::CapReached) => "cap_reached",
        StepKind::Discarded(DiscardReason::LowerPriority) => "lower_priority",
        StepKind::Discarded(DiscardReason::Paused) => "paused",
        StepKind::Held(0) => "held",
        StepKind::Held(kept) => return format!("held with {kept}"),
        StepKind::Released(0) => "released",
        StepKind::Released(kept) => return format!("released with {kept}"),
        StepKind::Kept(node) => return format!("kept for {}", program.node(node).name),
        StepKind::NotKept(Unkept::TooMany) => "not kept: too many",
        StepKind::NotKept(Unkept::TooLarge) => "not kept: too large",
        StepKind::Called(status) => return format!("called {status}"),
        StepKind::Message { message, outcome } => {
            let word = match outcome {
                MessageOutcome::Requested => "requested",
                MessageOutcome::Excluded => "excluded",
                MessageOutcome::Sent => "sent",
                MessageOutcome::Failed => "failed",
                MessageOutcome::InDoubt => "in_doubt",
                MessageOutcome::Cancelled => "cancelled",
                MessageOutcome::Resolved => "resolved",
                MessageOutcome::Dropped => "dropped",
                MessageOutcome::Merged => "merged",
            };
            return format!("{word} message {}", message_name(message));
        }
    };
    word.to_owned()
}

fn message(row: &OutboxRow, catalog: &Catalog) -> ObservedMessage {
    let program = catalog.program(row.version);
    ObservedMessage {
        journey: program.name.to_string(),
        version: number(program, catalog),
        node: program.node(row.node).name.to_string(),
        entry: row.entry_ordinal,
        message: match row.channel {
            Channel::Call => program.actions[usize::from(row.message)].name.to_string(),
            _ => catalog.message(row.message_id).name.value.to_string(),
        },
        delivery: row.id.to_string(),
        channel: match row.channel {
            Channel::Log => "log",
            Channel::Webhook => "webhook",
            Channel::Email => "email",
            Channel::Call => "call",
        },
        recipient: row.recipient.to_string(),
        input: input(&row.input),
        says: match row.channel {
            Channel::Call => says(&program.actions[usize::from(row.message)], row),
            _ => Json::Null,
        },
    }
}

fn says(action: &Action, row: &OutboxRow) -> Json {
    let Ok(request) = action.request(&row.input.action, row.decided_at) else { return Json::from(UNSAID) };
    let mut said = json!({
        "method": action.method.word(),
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
    });
    if let Some(body) = request.body {
        said["body"] = body.to_json();
    }
    said
}

fn input(input: &RenderInput) -> Json {
    let roots = [
        ("event", &input.event),
        ("last", &input.last),
        ("profile", &input.profile),
        ("meta", &input.meta),
        ("journey", &input.journey),
        ("action", &input.action),
    ];
    let object: Map<String, Json> =
        roots.into_iter().map(|(name, map)| (name.to_owned(), Value::Map(map.clone()).to_json())).collect();
    Json::Object(object)
}

/// An instant as people read it.
pub fn instant_text(instant_ms: i64) -> String {
    Millis(instant_ms).to_iso()
}
