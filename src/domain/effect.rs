//! What leaves the engine: deliveries of messages, and what comes back from them.

use crate::domain::content::RenderInput;
use crate::domain::ids::{DeliveryId, InstanceId, MessageId, Millis, NodeNo, VersionId};
use crate::domain::journey::program::Channel;

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
    /// Index of the message in the program.
    pub message: u16,
    /// The message.
    pub message_id: MessageId,
    /// How it leaves.
    pub channel: Channel,
    /// Address (email); empty where the surface is the address.
    pub recipient: smol_str::SmolStr,
    /// What its templates read.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// An effect of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Put a row into the outbox.
    Send(Box<OutboxRow>),
    /// Take the rows of this instance that were not yet attempted out of the outbox (it exited).
    CancelUnattempted(InstanceId),
}
