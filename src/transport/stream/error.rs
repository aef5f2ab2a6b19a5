//! Why a stream ends with an error, and the code that says so. The words are the client's to read; no recovery here.

use crate::runtime::api::Refusal;
use crate::transport::code::Code;

/// Why a stream ends with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The name of the sandbox or producer is not one.
    #[error("{0}")]
    Greeting(String),
    /// The key is missing or unknown.
    #[error("an api key is required and {0}")]
    Unauthenticated(&'static str),
    /// A later epoch of the producer was seen.
    #[error("epoch {epoch} of this producer is over; epoch {current} has begun")]
    StaleEpoch {
        /// As asked.
        epoch: u32,
        /// The latest.
        current: u32,
    },
    /// A newer stream of the producer took over.
    #[error("a newer stream of this producer took over")]
    Superseded,
    /// A sequence was left out or sent again within a stream.
    #[error("the batch begins at sequence {found} where {due} is due")]
    SequenceGap {
        /// What came.
        found: u64,
        /// What was due.
        due: u64,
    },
    /// More events than granted.
    #[error("{in_flight} events in flight pass the {granted} granted; wait for credit")]
    CreditExceeded {
        /// Unacknowledged events with this batch.
        in_flight: u64,
        /// The window.
        granted: u64,
    },
    /// The engine does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A partition's table is full.
    #[error("a partition remembers as many producers as it may; connect again later, with a name that was used before")]
    TableFull,
}

impl From<&StreamError> for Code {
    fn from(error: &StreamError) -> Self {
        match error {
            StreamError::Greeting(_) => Self::Malformed,
            StreamError::Unauthenticated(_) => Self::Unauthenticated,
            StreamError::StaleEpoch { .. } => Self::StaleEpoch,
            StreamError::Superseded => Self::Superseded,
            StreamError::SequenceGap { .. } => Self::SequenceGap,
            StreamError::CreditExceeded { .. } => Self::CreditExceeded,
            StreamError::Refused(refusal) => refusal.into(),
            StreamError::TableFull => Self::Overloaded,
        }
    }
}
