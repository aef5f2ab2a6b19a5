//! What leaves the engine: deliveries of messages, and what comes back from them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::content::RenderInput;
use crate::domain::ids::{DeliveryId, InstanceId, MessageId, Millis, NodeNo, VersionId};
use crate::domain::journey::program::Channel;
use crate::domain::value::Map;

/// A row of the outbox: one message to one recipient, with its inputs frozen at the decision.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// Its id, also the idempotency key.
    pub id: DeliveryId,
    /// `namespace:value` of the profile.
    pub profile: smol_str::SmolStr,
    /// Version that decided it.
    pub version: VersionId,
    /// Node that decided it.
    pub node: NodeNo,
    /// Entry ordinal of the instance in its profile.
    pub entry_ordinal: u32,
    /// Index of the message in the program; of a call, of its action.
    pub message: u16,
    /// The message; of a call number 0, which means nothing.
    pub message_id: MessageId,
    /// How it leaves.
    pub channel: Channel,
    /// Address (email); empty where the surface is the address.
    pub recipient: smol_str::SmolStr,
    /// What its templates read; of a call its parameters, as `action`.
    pub input: RenderInput,
    /// Engine time of the decision.
    pub decided_at: Millis,
    /// How far it has come.
    pub state: OutboxState,
    /// Engine time of the first attempt, if one was journaled.
    pub first_attempt_at: Option<Millis>,
}

/// How far an outbox row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxState {
    /// No attempt is journaled: safe to send.
    Pending,
    /// An attempt is journaled and its result is not: in doubt after a restart.
    Started,
    /// Held in doubt until someone decides.
    InDoubt,
}

/// What a channel reports, an input like any other.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryReport {
    /// Which delivery.
    pub id: DeliveryId,
    /// What happened.
    pub outcome: DeliveryOutcome,
}

/// The outcome of a delivery, or a step on its way.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryOutcome {
    /// About to write the first byte on a channel that is not idempotent; sending goes on once this is durable.
    AttemptStarted,
    /// An attempt ended with nothing delivered: the row is safe to send again.
    AttemptFailed {
        /// Why, for people.
        reason: String,
    },
    /// Accepted by the provider.
    Sent,
    /// Will never be delivered.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// An attempt may or may not have delivered it.
    InDoubt {
        /// Why, for people.
        reason: String,
    },
    /// A call has its answer, or will never have one.
    Answered(Box<CallAnswer>),
}

/// What came of a call of a custom action.
#[derive(Clone, Debug, PartialEq)]
pub struct CallAnswer {
    /// Whether it was answered, and how.
    pub status: CallStatus,
    /// Declared fields of the answer: those of an error if the status is one.
    pub fields: Map,
    /// Why it is an error, for people.
    pub reason: Option<String>,
}

impl CallAnswer {
    /// One that says nothing.
    pub fn empty(status: CallStatus) -> Self {
        Self { status, fields: Map::new(), reason: None }
    }

    /// One that says nothing but why.
    pub fn because(status: CallStatus, reason: impl Into<String>) -> Self {
        Self { status, fields: Map::new(), reason: Some(reason.into()) }
    }
}

/// How a call of a custom action ended (spec §3.7). Its text is what expressions read as `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// It was answered with this code of HTTP.
    Http(u16),
    /// It was not answered in time.
    TimedOut,
    /// There were too many calls.
    Capped,
    /// It could not be made, or its answer could not be read.
    InternalError,
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(code) => write!(f, "http_{code}"),
            Self::TimedOut => f.write_str("timed_out"),
            Self::Capped => f.write_str("capped"),
            Self::InternalError => f.write_str("internal_error"),
        }
    }
}

impl CallStatus {
    const TIMED_OUT: u16 = 1_000;
    const CAPPED: u16 = 1_001;
    const INTERNAL_ERROR: u16 = 1_002;

    /// Whether instances go on by their way for errors: any code above 2xx, and no answer.
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Http(..300))
    }

    /// Its stored code.
    pub fn code(self) -> u16 {
        match self {
            Self::Http(code) => code,
            Self::TimedOut => Self::TIMED_OUT,
            Self::Capped => Self::CAPPED,
            Self::InternalError => Self::INTERNAL_ERROR,
        }
    }

    /// The one with this code.
    pub fn from_code(code: u16) -> Option<Self> {
        match code {
            100..=999 => Some(Self::Http(code)),
            Self::TIMED_OUT => Some(Self::TimedOut),
            Self::CAPPED => Some(Self::Capped),
            Self::INTERNAL_ERROR => Some(Self::InternalError),
            _ => None,
        }
    }
}

/// An effect of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Put a row into the outbox.
    Send(Box<OutboxRow>),
    /// Take the rows of this instance that were not yet attempted out of the outbox (it exited).
    CancelUnattempted(InstanceId),
    /// The instance waits for a place under a profile cap.
    Claim(Claim),
}

/// A count that all partitions share: that of one node of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// The version.
    pub version: VersionId,
    /// The node.
    pub node: NodeNo,
}

/// An instance that waits for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of which cap.
    pub counter: Counter,
    /// Places there are in all.
    pub max: u64,
    /// Entry ordinal of the instance.
    pub ordinal: u32,
    /// Its generation: at another one it no longer waits for this.
    pub generation: u32,
    /// When it came.
    pub at: Millis,
}

/// What an instance that waits for a place is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There is one.
    Free,
    /// All were taken.
    Spent,
}
