//! Step events: one for every step of every profile, as they are exported (docs/step-events.md).

use serde::{Deserialize, Serialize};

use crate::domain::catalog::Catalog;
use crate::domain::effect::CallStatus;
use crate::domain::ids::{InstanceId, SandboxId};
use crate::domain::journey::program::{Channel, NodeKind, Program};
use crate::domain::note;
use crate::domain::step::{Entrance, ExitReason, Failure, Path, Step, StepKind};
use crate::runtime::past::transition::{Cause, Transition, transitions};
use crate::runtime::projection::HistoryEntry;
use crate::runtime::report::{discard_word, exit_word, outcome_word, path_words};

/// One transition of one instance, or an entry that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepEvent {
    /// `s-<partition>-<record>-<step>`, all hex: unique, and the same in every export.
    pub id: String,
    /// Engine time, ISO-8601 with milliseconds.
    pub time: String,
    /// `namespace:value`; absent if the profile is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The journey.
    pub journey: String,
    /// Number of the version, from 1.
    pub version: u32,
    /// Id of the run, new at every entry; absent for refused entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `entered`, `arrived`, `left`, `message`, `called`, `held`, `released`, `kept`, `not_kept`, `exited`, `failed`, `discarded`.
    pub step: String,
    /// `done`, `waiting`, `timed_out`, `capped`, `instance_timed_out`, `error`, `ended`, `discarded`.
    pub status: String,
    /// The node; absent for refused entries, and for those that a pause holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What the node does: `wait`, `condition`, `split`, `profile_cap`, `optimize`, `event`, `first_of`, `message`,
    /// `update_profile`, `jump`, `action` (data sources too), `lookup`, `end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_kind: Option<String>,
    /// Why: the path taken, the reason of an exit, failure or discard, the outcome of a message or call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was wrong, for people; in a test, what a call answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Arrivals: the node before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_node: Option<String>,
    /// Entries from an older version: its number; there the profile was at `previous_node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<u32>,
    /// Arrivals: the path by which it was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_path: Option<String>,
    /// Arrivals that wait: when the next timer fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How the message leaves: `log`, `webhook`, `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The custom action that was called; a data source is `source:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Calls: the declared fields of the answer, if they are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub answer: Option<serde_json::Value>,
    /// Id of the event that caused it; absent where time, an operator or a provider did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Type of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// It is an entry.
    pub entrance: bool,
    /// It is an entry, and not the profile's first into this journey (under its supplemental id).
    pub reentrance: bool,
    /// The instance ended by it.
    pub ended: bool,
    /// It belongs to a test of the journey.
    pub in_test: bool,
    /// It belongs to a dry run.
    pub in_dry_run: bool,
}

/// The step events of an entry that are about one of `wanted`.
pub fn step_events(
    entry: &HistoryEntry,
    identity: Option<&str>,
    catalog: &Catalog,
    wanted: impl Fn(&Step) -> bool,
) -> Vec<StepEvent> {
    let told = transitions(entry, catalog);
    told.iter().filter(|told| wanted(told.step)).map(|told| step_event(entry, told, identity, catalog)).collect()
}

fn step_event(entry: &HistoryEntry, told: &Transition<'_>, identity: Option<&str>, catalog: &Catalog) -> StepEvent {
    let Transition { step, program, .. } = told;
    let node = (step.node != Step::NO_NODE).then(|| program.node(step.node));
    let instance = identity.filter(|_| step.ordinal != 0);
    let instance = instance.map(|of| InstanceId::new(SandboxId::DEFAULT, of, program.journey, step.ordinal));
    let message = match step.kind {
        StepKind::Message { message, .. } => program.messages.get(usize::from(message)),
        _ => None,
    };
    let (error, answer) = match (step.kind, told.note) {
        (StepKind::NotKept(why), _) => (Some(why.told()), None),
        (StepKind::Called(_), Some(note)) => {
            let (reason, fields) = note::parts(note);
            (reason.map(str::to_owned), fields)
        }
        (_, note) => (note.map(str::to_owned), None),
    };
    StepEvent {
        id: format!("s-{:04x}-{:x}-{:x}", entry.partition.0, entry.pseq.0, told.index),
        time: entry.at.to_iso(),
        profile: identity.map(str::to_owned),
        journey: program.name.to_string(),
        version: program.number,
        instance: instance.map(|id| id.to_string()),
        step: step_word(step.kind).to_owned(),
        status: status_word(told).to_owned(),
        node: node.map(|node| node.name.to_string()),
        node_kind: node.map(|node| node.kind.word().to_owned()),
        reason: reason_word(step, program),
        error,
        previous_node: match (told.came_from, told.came_over) {
            (Some((node, _)), _) => Some(program.node(node).name.to_string()),
            (None, Some(before)) => Some(catalog.program(before.version).node(before.node).name.to_string()),
            (None, None) => None,
        },
        previous_version: told.came_over.map(|before| catalog.program(before.version).number),
        previous_path: told.came_from.map(|(node, path)| path_words(path, &program.node(node).kind)),
        due: told.stays.then(|| step.due.to_iso()),
        message: message.map(|message| message.name.to_string()),
        channel: message.map(|message| channel_word(message.channel).to_owned()),
        action: called(told),
        answer,
        event_id: told.cause.event_id().map(str::to_owned),
        event_type: match &told.cause {
            Cause::Event(event) => Some(event.kind.to_string()),
            Cause::Jump(_) => Some(program.entry.event.to_string()),
            Cause::Other => None,
        },
        entrance: matches!(step.kind, StepKind::Entered(Entrance::First | Entrance::Again)),
        reentrance: step.kind == StepKind::Entered(Entrance::Again),
        // Who goes on in a newer version has not ended.
        ended: matches!(step.kind, StepKind::Exited(_) | StepKind::Failed(_))
            && step.kind != StepKind::Exited(ExitReason::Migrated),
        in_test: program.is_in_test,
        // Dry runs have an engine of their own, whose record is thrown away.
        in_dry_run: false,
    }
}

/// The name of the action that was called.
fn called(told: &Transition<'_>) -> Option<String> {
    if !matches!(told.step.kind, StepKind::Called(_)) {
        return None;
    }
    let NodeKind::Action { action, .. } = &told.program.node(told.step.node).kind else { return None };
    Some(told.program.actions[usize::from(*action)].name.to_string())
}

/// The word of what happened.
pub fn step_word(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Entered(_) => "entered",
        StepKind::Arrived => "arrived",
        StepKind::Left(_) => "left",
        StepKind::Exited(_) => "exited",
        StepKind::Failed(_) => "failed",
        StepKind::Discarded(_) => "discarded",
        StepKind::Message { .. } => "message",
        StepKind::Called(_) => "called",
        StepKind::Held(_) => "held",
        StepKind::Released(_) => "released",
        StepKind::Kept(_) => "kept",
        StepKind::NotKept(_) => "not_kept",
    }
}

fn reason_word(step: &Step, program: &Program) -> Option<String> {
    Some(match step.kind {
        StepKind::Entered(Entrance::Migrated) => "migrated".to_owned(),
        StepKind::Entered(_) | StepKind::Arrived => return None,
        StepKind::Held(_) | StepKind::Released(_) | StepKind::Kept(_) | StepKind::NotKept(_) => "paused".to_owned(),
        StepKind::Left(path) => path_words(path, &program.node(step.node).kind),
        StepKind::Exited(reason) => exit_word(reason).to_owned(),
        StepKind::Failed(failure) => failure.to_string(),
        StepKind::Discarded(reason) => discard_word(reason).to_owned(),
        StepKind::Message { outcome, .. } => outcome_word(outcome).to_owned(),
        StepKind::Called(status) => status.to_string(),
    })
}

/// The step's status (spec §13.2, `stepStatus`).
fn status_word(told: &Transition<'_>) -> &'static str {
    match told.step.kind {
        StepKind::Arrived if told.stays => "waiting",
        StepKind::Held(_) | StepKind::Kept(_) => "waiting",
        StepKind::Left(Path::TimedOut) => "timed_out",
        StepKind::Failed(Failure::Action(Some(status))) => call_word(status),
        StepKind::Left(Path::Failed) | StepKind::Failed(_) => "error",
        StepKind::Exited(ExitReason::Timeout) => "instance_timed_out",
        StepKind::Exited(ExitReason::Migrated) => "done",
        StepKind::Exited(_) => "ended",
        StepKind::Discarded(_) | StepKind::NotKept(_) => "discarded",
        StepKind::Called(status) if status.is_error() => call_word(status),
        StepKind::Called(_)
        | StepKind::Released(_)
        | StepKind::Entered(_)
        | StepKind::Arrived
        | StepKind::Left(_)
        | StepKind::Message { .. } => "done",
    }
}

/// The status of a step at which a call ended in an error.
fn call_word(status: CallStatus) -> &'static str {
    match status {
        CallStatus::TimedOut => "timed_out",
        CallStatus::Capped => "capped",
        CallStatus::Http(_) | CallStatus::InternalError => "error",
    }
}

/// The word of a channel.
pub fn channel_word(channel: Channel) -> &'static str {
    match channel {
        Channel::Log => "log",
        Channel::Webhook => "webhook",
        Channel::Email => "email",
        Channel::Call => "call",
    }
}
