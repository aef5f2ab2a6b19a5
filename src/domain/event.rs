//! The native event and its limits. Decoding lives in `wire`; this file says what a valid event is.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::domain::ids::Millis;
use crate::domain::limits;

/// The reserved type that merges its properties into the profile's document.
pub const PROFILE_UPDATE: &str = "profile.update";

/// Prefixes of type names that users can't use.
pub const RESERVED_PREFIXES: [&str; 4] = ["profile.", "message.", "journey.", "sojourn."];

/// What receivers of messages do, and what becomes of messages behind the provider: types of events that providers'
/// callbacks bring, and that nodes may await (spec §3.2). Each names its `delivery`.
pub const FEEDBACK_TYPES: [&str; 6] = [
    "message.delivered",
    "message.opened",
    "message.clicked",
    "message.bounced",
    "message.complained",
    "message.unsubscribed",
];

/// The property of feedback that names the delivery, as it was given to the provider.
pub const FEEDBACK_DELIVERY: &str = "delivery";

/// Properties of feedback, all text, all but the delivery optional.
pub const FEEDBACK_PROPERTIES: [&str; 3] = [FEEDBACK_DELIVERY, "url", "reason"];

/// Whether events of this type are feedback on a message.
pub fn is_feedback(kind: &str) -> bool {
    FEEDBACK_TYPES.contains(&kind)
}

/// One event of one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The producer's id of it.
    pub id: SmolStr,
    /// Its type.
    pub kind: SmolStr,
    /// `namespace:value`, split at the first colon.
    pub profile: SmolStr,
    /// When it happened, if the producer says so. Data only, unless the engine runs on the events' clock.
    pub time: Option<Millis>,
    /// Its properties as one MessagePack map, depth checked (≤ [`limits::DEPTH_MAX`]).
    pub properties: Bytes,
}

/// Why an event is refused. The code is stable and documented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EventError {
    /// Stable code, e.g. `bad_profile`.
    pub code: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl EventError {
    /// A refusal.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Event {
    /// Namespace and value; `None` where there is no colon.
    pub fn identity(&self) -> Option<(&str, &str)> {
        self.profile.split_once(':')
    }

    /// Checks names and sizes (contract, "Events").
    pub fn validate(&self) -> Result<(), EventError> {
        check_name("id", "bad_id", &self.id, limits::EVENT_ID_BYTES_MAX)?;
        check_name("type", "bad_type", &self.kind, limits::NAME_BYTES_MAX)?;
        let is_open = || self.kind == PROFILE_UPDATE || is_feedback(&self.kind);
        if RESERVED_PREFIXES.iter().any(|p| self.kind.starts_with(p)) && !is_open() {
            let open = FEEDBACK_TYPES.join(", ");
            return Err(EventError::new(
                "reserved_type",
                format!("type {:?} is reserved; of such types only {PROFILE_UPDATE}, {open} may be sent", self.kind),
            ));
        }
        let Some((namespace, value)) = self.identity() else {
            return Err(EventError::new(
                "bad_profile",
                format!("profile {:?} has no namespace; write it as namespace:value, e.g. crm:4711", self.profile),
            ));
        };
        check_name("namespace of profile", "bad_profile", namespace, limits::NAME_BYTES_MAX)?;
        check_name("value of profile", "bad_profile", value, limits::IDENTITY_BYTES_MAX)?;
        if self.properties.len() > limits::EVENT_BYTES_MAX {
            return Err(EventError::new(
                "event_too_large",
                format!("properties of {} bytes pass the limit of {}", self.properties.len(), limits::EVENT_BYTES_MAX),
            ));
        }
        Ok(())
    }
}

/// Whether any character is a control character. Names are short and mostly ASCII, and every event has four.
fn has_control(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Without a branch for each byte: compilers take several at once.
    let (mut control, mut other) = (false, false);
    for byte in bytes {
        control |= *byte < 0x20 || *byte == 0x7f;
        other |= *byte >= 0x80;
    }
    control || (other && text.chars().any(char::is_control))
}

/// Checks that a name is there, short enough and free of control characters.
pub fn check_name(what: &str, code: &'static str, text: &str, bytes_max: usize) -> Result<(), EventError> {
    if text.is_empty() {
        return Err(EventError::new(code, format!("{what} is empty")));
    }
    if text.len() > bytes_max {
        return Err(EventError::new(code, format!("{what} of {} bytes passes the limit of {bytes_max}", text.len())));
    }
    if has_control(text) {
        return Err(EventError::new(code, format!("{what} {text:?} holds a control character")));
    }
    Ok(())
}
