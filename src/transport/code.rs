//! The one enum of what can go wrong between a client and the server, and its three faces: HTTP status, gRPC status,
//! TCP byte. Errors become a [`Code`] once, here; no transport invents its own.

use crate::runtime::api::Refusal;
use crate::runtime::engine::RequestError;

/// What went wrong. Bytes and names are stable; the table is in `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// The bytes are no request of this protocol, or a value in them is wrong.
    Malformed = 1,
    /// A key is missing or unknown.
    Unauthenticated = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The state of things forbids it.
    Conflict = 4,
    /// Larger than the limit.
    TooLarge = 5,
    /// Over the event rate: try again later.
    Throttled = 6,
    /// Mailboxes, or a table of ids or producers, are full: try again later.
    Overloaded = 7,
    /// The disk is full: service resumes by itself.
    DiskFull = 8,
    /// The server is stopping: connect again later.
    Stopping = 9,
    /// Another version of the protocol.
    Version = 10,
    /// More events in flight than were granted.
    CreditExceeded = 11,
    /// A sequence is not the one that was due.
    SequenceGap = 12,
    /// A newer stream of the same producer took over.
    Superseded = 13,
    /// The producer has already begun a later epoch.
    StaleEpoch = 14,
    /// Nothing was heard for too long.
    Idle = 15,
    /// As many streams are open as may be.
    TooManyStreams = 16,
    /// Resources have errors; nothing was published.
    Findings = 17,
    /// A fault of the server.
    Internal = 18,
}

/// All codes, in the order of their bytes.
pub const CODES: [Code; 18] = [
    Code::Malformed,
    Code::Unauthenticated,
    Code::NotFound,
    Code::Conflict,
    Code::TooLarge,
    Code::Throttled,
    Code::Overloaded,
    Code::DiskFull,
    Code::Stopping,
    Code::Version,
    Code::CreditExceeded,
    Code::SequenceGap,
    Code::Superseded,
    Code::StaleEpoch,
    Code::Idle,
    Code::TooManyStreams,
    Code::Findings,
    Code::Internal,
];

impl Code {
    /// Its byte in a TCP error frame.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The code of a TCP byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        CODES.into_iter().find(|code| code.byte() == byte)
    }

    /// Its stable name, in JSON bodies and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::DiskFull => "disk_full",
            Self::Stopping => "stopping",
            Self::Version => "version",
            Self::CreditExceeded => "credit_exceeded",
            Self::SequenceGap => "sequence_gap",
            Self::Superseded => "superseded",
            Self::StaleEpoch => "stale_epoch",
            Self::Idle => "idle",
            Self::TooManyStreams => "too_many_streams",
            Self::Findings => "findings",
            Self::Internal => "internal",
        }
    }

    /// Its HTTP status.
    pub const fn http(self) -> u16 {
        match self {
            Self::Malformed | Self::Version | Self::CreditExceeded => 400,
            Self::Unauthenticated => 401,
            Self::NotFound => 404,
            Self::Idle => 408,
            Self::Conflict | Self::SequenceGap | Self::Superseded | Self::StaleEpoch => 409,
            Self::TooLarge => 413,
            Self::Findings => 422,
            Self::Throttled | Self::Overloaded => 429,
            Self::Internal => 500,
            Self::DiskFull | Self::Stopping | Self::TooManyStreams => 503,
        }
    }

    /// Its gRPC status.
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::Malformed | Self::CreditExceeded | Self::Findings => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::NotFound => tonic::Code::NotFound,
            Self::Idle => tonic::Code::DeadlineExceeded,
            Self::Superseded => tonic::Code::Aborted,
            Self::Conflict | Self::SequenceGap | Self::StaleEpoch | Self::Version => tonic::Code::FailedPrecondition,
            Self::TooLarge => tonic::Code::OutOfRange,
            Self::Throttled | Self::Overloaded | Self::TooManyStreams => tonic::Code::ResourceExhausted,
            Self::Internal => tonic::Code::Internal,
            Self::DiskFull | Self::Stopping => tonic::Code::Unavailable,
        }
    }

    /// Whether the same request, or the same stream connected anew, may succeed later without any change.
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::Overloaded | Self::DiskFull | Self::Stopping | Self::Idle | Self::TooManyStreams
        )
    }
}

impl From<&Refusal> for Code {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Throttled { .. } => Self::Throttled,
            Refusal::Overloaded { .. } => Self::Overloaded,
            Refusal::DiskFull => Self::DiskFull,
            Refusal::Stopping => Self::Stopping,
        }
    }
}

impl From<&RequestError> for Code {
    fn from(error: &RequestError) -> Self {
        match error {
            RequestError::Findings(_) => Self::Findings,
            RequestError::NotFound { .. } => Self::NotFound,
            RequestError::Conflict(_) => Self::Conflict,
            RequestError::Invalid(_) => Self::Malformed,
            RequestError::Refused(refusal) => refusal.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_names_are_unique_and_read_back() {
        for (index, code) in CODES.into_iter().enumerate() {
            assert_eq!(usize::from(code.byte()), index + 1);
            assert_eq!(Code::from_byte(code.byte()), Some(code));
            assert_eq!(CODES.iter().filter(|other| other.name() == code.name()).count(), 1);
            assert!((400..600).contains(&code.http()));
        }
        assert_eq!((Code::from_byte(0), Code::from_byte(19)), (None, None));
    }

    #[test]
    fn the_protocol_page_lists_every_code() {
        let page = include_str!("../../docs/protocol.md");
        for code in CODES {
            let row = format!("| {} | `{}` | {} | `{:?}` |", code.byte(), code.name(), code.http(), code.grpc());
            assert!(page.contains(&row), "docs/protocol.md lacks the row {row}");
        }
    }
}
