//! Why a client is at its end, and whether another connection could mend it.

use crate::domain::limits;
use crate::transport::code::Code;
use crate::wire::frame::FrameError;

/// Why a client is at its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection: check the address and whether the server runs.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// As given.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server sent an error frame.
    #[error("refused by the server: {message}")]
    Refused {
        /// What it means; none for a byte this client doesn't know.
        code: Option<Code>,
        /// The server's words.
        message: String,
    },
    /// The server speaks something else.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// An event passes the limits of a frame.
    #[error("event {id:?} of {bytes} bytes passes the limit of {}", limits::EVENT_BYTES_MAX)]
    EventTooLarge {
        /// Its id.
        id: String,
        /// Its size.
        bytes: usize,
    },
}

impl ClientError {
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost(_) => true,
            Self::Refused { code, .. } => code.is_some_and(Code::is_transient),
            Self::Protocol(_) | Self::EventTooLarge { .. } => false,
        }
    }
}

impl From<FrameError> for ClientError {
    fn from(error: FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}
