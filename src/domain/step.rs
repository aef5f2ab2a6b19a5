//! Steps: what happened to a profile, as recorded in the commit. Counters, timelines and the decision hash derive
//! from steps and from nothing else.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::effect::CallStatus;
use crate::domain::ids::{Millis, NodeNo, VersionId};
use crate::domain::limits;

/// One step. `node` is [`Step::NO_NODE`] where none is meant (discards at entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The version it happened in.
    pub version: VersionId,
    /// The node it happened at.
    pub node: NodeNo,
    /// Entry ordinal of the instance within its profile; 0 where there is no instance.
    pub ordinal: u32,
    /// What happened.
    pub kind: StepKind,
    /// For [`StepKind::Arrived`]: when the node's or journey's timer is due; else [`Millis::NEVER`].
    pub due: Millis,
}

impl Step {
    /// No node.
    pub const NO_NODE: NodeNo = NodeNo(u16::MAX);
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepKind {
    /// The profile entered (counted once per instance).
    Entered(Entrance),
    /// The instance came to the node.
    Arrived,
    /// The instance left the node for another.
    Left(Path),
    /// The instance ended at the node.
    Exited(ExitReason),
    /// The instance ended at the node with an error.
    Failed(Failure),
    /// The profile did not enter.
    Discarded(DiscardReason),
    /// A message's outcome at the node (`message` = index into the program's messages).
    Message {
        /// Index into [`Program::messages`](crate::domain::journey::program::Program::messages).
        message: u16,
        /// What became of it.
        outcome: MessageOutcome,
    },
    /// The call of the node's custom action has ended.
    Called(CallStatus),
    /// A pause holds the instance at the node, with so many events kept for it already; without a node it holds it at the
    /// entrance, and it has not begun.
    Held(u16),
    /// It holds it no longer; so many events are kept for it.
    Released(u16),
    /// The event is kept for this node, to which the held instance may come next.
    Kept(NodeNo),
    /// A node to which the held instance may come next would have taken the event, and it is not kept.
    NotKept(Unkept),
}

/// Why an event is not kept for an instance that a pause holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unkept {
    /// As many are kept already as may be.
    TooMany,
    /// The state of the instance would pass the size limit.
    TooLarge,
}

impl Unkept {
    /// For people.
    pub fn told(self) -> String {
        match self {
            Self::TooMany => format!("{} events are kept already, as many as may be", limits::HELD_EVENTS_MAX),
            Self::TooLarge => "with it the run would remember more than it may".to_owned(),
        }
    }
}

/// Whether a profile enters a journey for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entrance {
    /// It does, or its earlier entries are forgotten.
    First,
    /// It has been in it before, in whichever version.
    Again,
    /// It comes from an older version, of which this one disposes.
    Migrated,
}

/// By which path an instance left a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Path {
    /// The one way on.
    Then,
    /// A branch of a condition, from 0.
    Branch(u16),
    /// No branch was true.
    Otherwise,
    /// A wait ended.
    WaitEnded,
    /// The awaited event came.
    EventReceived,
    /// The awaited event did not come in time.
    TimedOut,
    /// What the node does failed.
    Failed,
    /// One of the ways, from 0, of a node whose ways are counted.
    Way(u16),
}

/// How an instance ended other than by an error (spec §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// An end node, or a condition with no path.
    Completed,
    /// An exit criterion.
    Criteria,
    /// The journey's global timeout.
    Timeout,
    /// The journey or version was stopped.
    Stopped,
    /// The journey's end date.
    Ended,
    /// It came to an action while its journey was paused in the mode `discard`.
    Forced,
    /// It goes on in a newer version.
    Migrated,
    /// A newer version says so.
    Withdrawn,
}

/// Why an instance failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// An expression failed while running.
    Expression,
    /// A node was visited more than the limit allows.
    VisitLimit,
    /// One input made more steps than the limit allows.
    StepLimit,
    /// Its state passed the size limit.
    InstanceTooLarge,
    /// A jump led nowhere: the other journey takes no entries, or re-entrance forbids it.
    Jump,
    /// An update would have made the profile's document too large.
    DocumentTooLarge,
    /// A custom action, or a data source, answered with an error, or not at all; how, unless it was recorded before that was.
    Action(Option<CallStatus>),
}

impl Failure {
    /// The kind of failure, as expressions have it: all calls that fail are one.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expression => "expression",
            Self::VisitLimit => "visit_limit",
            Self::StepLimit => "step_limit",
            Self::InstanceTooLarge => "instance_too_large",
            Self::Jump => "jump",
            Self::DocumentTooLarge => "document_too_large",
            Self::Action(_) => "action",
        }
    }

    /// The code of the error, as expressions have it: how the call ended, or `error` (spec §5.5, `lastErrorCode`).
    pub fn error_code(self) -> Cow<'static, str> {
        match self {
            Self::Action(Some(status)) => Cow::Owned(status.to_string()),
            _ => Cow::Borrowed("error"),
        }
    }
}

/// The reason of the failure, as reports and step events have it: of a call how that ended.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(Some(status)) => status.fmt(f),
            other => f.write_str(other.word()),
        }
    }
}

/// Why a profile did not enter (spec §13.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscardReason {
    /// An instance is running.
    AlreadyInJourney,
    /// Re-entrance forbids it.
    ReentranceNotAllowed,
    /// The entry filter failed while running.
    EntryFilterError,
    /// The profile holds as many instances as the limit allows.
    TooManyInstances,
    /// Before the journey's start date, or after its end date.
    OutsideDates,
    /// The event names no supplemental id, and the journey is entered under one.
    NoSupplementalId,
    /// The rule set allows no further entry, or no further journey at once.
    CapReached,
    /// The same event let the profile into a journey of higher priority, which took the last place the rule set has.
    LowerPriority,
    /// The journey is paused, and does not keep it.
    Paused,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageOutcome {
    /// Decided and put into the outbox.
    Requested,
    /// No address: not sent, the profile goes on.
    Excluded,
    /// The provider accepted it.
    Sent,
    /// It can't be delivered.
    Failed,
    /// An attempt was started and its result is not known; policy `hold`.
    InDoubt,
    /// The instance ended before the first attempt.
    Cancelled,
    /// No longer in doubt; what it became follows as a step of its own.
    Resolved,
    /// Overdue at the end of a pause, and skipped.
    Dropped,
    /// Overdue at the end of a pause; a later one of the same channel took its place.
    Merged,
}

/// Codes of steps are stored, in records and in the decision hash: never change or reuse one.
impl StepKind {
    /// This step as (code, detail).
    pub fn code(self) -> (u8, u16) {
        match self {
            Self::Entered(Entrance::First) => (1, 0),
            Self::Entered(Entrance::Again) => (1, 1),
            Self::Entered(Entrance::Migrated) => (1, 2),
            Self::Arrived => (Self::ARRIVED, 0),
            Self::Left(Path::Then) => (3, 0),
            Self::Left(Path::Otherwise) => (3, 1),
            Self::Left(Path::WaitEnded) => (3, 2),
            Self::Left(Path::EventReceived) => (3, 3),
            Self::Left(Path::TimedOut) => (3, 4),
            Self::Left(Path::Failed) => (3, 5),
            Self::Left(Path::Branch(index)) => (4, index),
            Self::Left(Path::Way(index)) => (WAY, index),
            Self::Exited(reason) => (5, reason.code()),
            Self::Failed(failure) => (6, failure.code()),
            Self::Discarded(reason) => (7, reason.code()),
            Self::Message { message, outcome } => (MESSAGE_BASE + outcome.code() as u8, message),
            Self::Called(status) => (CALLED, status.code()),
            Self::Held(kept) => (HELD, kept),
            Self::Released(kept) => (RELEASED, kept),
            Self::Kept(node) => (KEPT, node.0),
            Self::NotKept(Unkept::TooMany) => (NOT_KEPT, 0),
            Self::NotKept(Unkept::TooLarge) => (NOT_KEPT, 1),
        }
    }

    /// The step of a code; `None` if there is none.
    pub fn from_code(code: u8, detail: u16) -> Option<Self> {
        Some(match (code, detail) {
            (1, 0) => Self::Entered(Entrance::First),
            (1, 1) => Self::Entered(Entrance::Again),
            (1, 2) => Self::Entered(Entrance::Migrated),
            (Self::ARRIVED, _) => Self::Arrived,
            (3, 0) => Self::Left(Path::Then),
            (3, 1) => Self::Left(Path::Otherwise),
            (3, 2) => Self::Left(Path::WaitEnded),
            (3, 3) => Self::Left(Path::EventReceived),
            (3, 4) => Self::Left(Path::TimedOut),
            (3, 5) => Self::Left(Path::Failed),
            (4, index) => Self::Left(Path::Branch(index)),
            (5, detail) => Self::Exited(ExitReason::from_code(detail)?),
            (6, detail) => Self::Failed(Failure::from_code(detail)?),
            (7, detail) => Self::Discarded(DiscardReason::from_code(detail)?),
            (WAY, index) => Self::Left(Path::Way(index)),
            (CALLED, status) => Self::Called(CallStatus::from_code(status)?),
            (HELD, kept) => Self::Held(kept),
            (RELEASED, kept) => Self::Released(kept),
            (KEPT, node) => Self::Kept(NodeNo(node)),
            (NOT_KEPT, 0) => Self::NotKept(Unkept::TooMany),
            (NOT_KEPT, 1) => Self::NotKept(Unkept::TooLarge),
            (code, message) => {
                let outcome = MessageOutcome::from_code(u16::from(code.checked_sub(MESSAGE_BASE)?))?;
                Self::Message { message, outcome }
            }
        })
    }

    /// The code of [`StepKind::Arrived`], the one step that has an instant.
    pub const ARRIVED: u8 = 2;

    /// Whether it was decided here, rather than reported by a provider or caused by what happens to an outbox row.
    pub fn is_decision(self) -> bool {
        match self {
            Self::Message { outcome, .. } => {
                use MessageOutcome::{Dropped, Excluded, Merged, Requested};
                matches!(outcome, Requested | Excluded | Dropped | Merged)
            }
            Self::Called(_) => false,
            Self::Entered(_)
            | Self::Arrived
            | Self::Left(_)
            | Self::Exited(_)
            | Self::Failed(_)
            | Self::Discarded(_)
            | Self::Held(_)
            | Self::Released(_)
            | Self::Kept(_)
            | Self::NotKept(_) => true,
        }
    }
}

/// Code of a message's first outcome.
const MESSAGE_BASE: u8 = 8;
/// Code of a call's end; far from those of messages, which may get more.
const CALLED: u8 = 64;
const HELD: u8 = 65;
const RELEASED: u8 = 66;
/// Code of a way that is counted.
const WAY: u8 = 67;
const KEPT: u8 = 68;
const NOT_KEPT: u8 = 69;

/// Gives an enum without fields its stored codes, from 0 in the order of `ALL`.
macro_rules! codes {
    ($name:ident { $($variant:ident = $code:literal),+ $(,)? }) => {
        impl $name {
            /// Every one, in the order of their codes.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            /// Its stored code.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$variant => $code),+
                }
            }

            /// The one with this code.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codes!(ExitReason {
    Completed = 0,
    Criteria = 1,
    Timeout = 2,
    Stopped = 3,
    Ended = 4,
    Forced = 5,
    Migrated = 6,
    Withdrawn = 7,
});
codes!(DiscardReason {
    AlreadyInJourney = 0,
    ReentranceNotAllowed = 1,
    EntryFilterError = 2,
    TooManyInstances = 3,
    OutsideDates = 4,
    NoSupplementalId = 5,
    CapReached = 6,
    LowerPriority = 7,
    Paused = 8,
});
codes!(MessageOutcome {
    Requested = 0,
    Excluded = 1,
    Sent = 2,
    Failed = 3,
    InDoubt = 4,
    Cancelled = 5,
    Resolved = 6,
    Dropped = 7,
    Merged = 8,
});

impl Failure {
    /// Every one that names no call's end, in the order of their codes.
    pub const PLAIN: [Self; 7] = [
        Self::Expression,
        Self::VisitLimit,
        Self::StepLimit,
        Self::InstanceTooLarge,
        Self::Jump,
        Self::DocumentTooLarge,
        Self::Action(None),
    ];

    /// Its stored code; of a call that of how it ended, which is at least 100.
    pub fn code(self) -> u16 {
        match self {
            Self::Expression => 0,
            Self::VisitLimit => 1,
            Self::StepLimit => 2,
            Self::InstanceTooLarge => 3,
            Self::Jump => 4,
            Self::DocumentTooLarge => 5,
            Self::Action(None) => 6,
            Self::Action(Some(status)) => status.code(),
        }
    }

    /// The one with this code.
    pub fn from_code(code: u16) -> Option<Self> {
        match Self::PLAIN.get(usize::from(code)) {
            Some(plain) => Some(*plain),
            None => CallStatus::from_code(code).map(|status| Self::Action(Some(status))),
        }
    }
}

#[cfg(test)]
mod tests;
