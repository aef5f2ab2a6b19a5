//! Steps: what happened to a profile, as recorded in the commit. Counters, timelines and the decision hash derive
//! from steps and from nothing else.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Millis, NodeNo, VersionId};

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
    Entered,
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
}

/// Why an instance failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
}
