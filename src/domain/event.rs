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
        // Looking for a byte costs a fifth of looking for a character, and every event is looked through.
        let colon = self.profile.bytes().position(|byte| byte == b':')?;
        Some((&self.profile[..colon], &self.profile[colon + 1..]))
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

/// Whether any character is a control character. Every event has four names: eight bytes are looked at together, and only
/// what may hold one is looked through by characters.
fn has_control(text: &str) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let (chunks, rest) = text.as_bytes().as_chunks::<8>();
    // A byte that is no ASCII, below 0x20 or 0x7f raises the high bit of its place; carries may raise others, which costs time
    // and changes nothing.
    let suspects = chunks.iter().fold(0, |found, chunk| {
        let word = u64::from_le_bytes(*chunk);
        found | word | word.wrapping_sub(0x20 * ONES) | word.wrapping_add(ONES)
    });
    let is_suspect = suspects & HIGH != 0 || rest.iter().any(|byte| !(0x20..0x7f).contains(byte));
    is_suspect && text.chars().any(char::is_control)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Looking at eight bytes together finds what looking at characters finds.
        #[test]
        fn control_characters_are_found(text in "[ -~\\u{1}\\u{1f}\\u{7f}\\u{80}\\u{9f}\\u{a0}é€]{0,40}") {
            prop_assert_eq!(has_control(&text), text.chars().any(char::is_control), "{:?}", text);
        }
    }

    #[test]
    fn every_character_is_found_at_every_place() {
        for place in 0..20 {
            for character in ['\u{0}', '\u{1f}', '\u{7f}', '\u{80}', '\u{9f}', ' ', '~', '\u{a0}', 'é'] {
                let text = format!("{}{character}{}", "a".repeat(place), "b".repeat(19 - place));
                assert_eq!(has_control(&text), character.is_control(), "{text:?}");
            }
        }
    }
}
