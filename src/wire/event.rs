//! The native event on the wire: MessagePack (array form of our own clients, map form of hand-written ones) here,
//! JSON in [`json`](crate::wire::json). Strict: unknown, missing and repeated fields are refused by name.
//!
//! ```text
//! array form   [id, type, profile, time, properties]          always five elements
//! map form     {"id": .., "type": .., "profile": .., "time": .., "properties": ..}   time and properties optional
//! time         integer ms since 1970 | ISO-8601 text with a zone | timestamp extension | nil (= arrival)
//! properties   a map (see wire::msgpack) | nil (= none)
//! ```
//!
//! Properties that arrive as MessagePack are checked and then kept as a slice of the frame: no copy.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::domain::event::{Event, EventError};
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::wire::msgpack::{
    EMPTY_MAP, Reader, Token, check_properties, read_time, write_array_head, write_int, write_nil, write_text,
};

pub use crate::wire::json::{
    Batch, BatchFormat, RejectedEvent, decode_json_batch, decode_json_event, properties_from_json,
};
pub use crate::wire::msgpack::{map_to_properties, properties_from_msgpack, properties_to_map};

/// Elements of the array form.
const ARRAY_FORM_LENGTH: u32 = 5;

/// Fields of an event, in the order of the array form.
pub(crate) const FIELDS: [&str; 5] = ["id", "type", "profile", "time", "properties"];

/// Fields as they come, in any order.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) id: Option<SmolStr>,
    pub(crate) kind: Option<SmolStr>,
    pub(crate) profile: Option<SmolStr>,
    pub(crate) time: Option<Millis>,
    pub(crate) properties: Option<Bytes>,
}

impl Parts {
    /// The event, checked.
    pub(crate) fn into_event(self) -> Result<Event, EventError> {
        let missing = |field: &str| {
            EventError::new("missing_field", format!("the event has no {field:?}; id, type and profile are required"))
        };
        let event = Event {
            id: self.id.ok_or_else(|| missing("id"))?,
            kind: self.kind.ok_or_else(|| missing("type"))?,
            profile: self.profile.ok_or_else(|| missing("profile"))?,
            time: self.time,
            properties: self.properties.unwrap_or(Bytes::from_static(EMPTY_MAP)),
        };
        checked(event)
    }
}

/// The event if it is valid. The profile's length comes first: the refusal of one without a colon quotes it.
pub(crate) fn checked(event: Event) -> Result<Event, EventError> {
    const PROFILE_BYTES_MAX: usize = limits::NAME_BYTES_MAX + 1 + limits::IDENTITY_BYTES_MAX;
    if event.profile.len() > PROFILE_BYTES_MAX {
        let length = event.profile.len();
        let message = format!("profile of {length} bytes passes the limit of {PROFILE_BYTES_MAX}");
        return Err(EventError::new("bad_profile", message));
    }
    event.validate()?;
    Ok(event)
}

pub(crate) fn unknown_field(name: &str) -> EventError {
    let shown: String = name.chars().take(40).collect();
    EventError::new("unknown_field", format!("unknown field {shown:?}; an event has {}", FIELDS.join(", ")))
}

pub(crate) fn duplicate_field(name: &str) -> EventError {
    EventError::new("duplicate_field", format!("field {name:?} stands twice in the event"))
}

/// Decodes one event in array or map form that is the whole of `bytes`.
///
/// # Errors
/// What is wrong and how to mend it.
pub fn decode_rmp_event(bytes: &Bytes) -> Result<Event, EventError> {
    let mut reader = Reader::new(bytes);
    let event = read_event(bytes, &mut reader)?;
    if !reader.is_at_end() {
        reader.malformed::<()>(reader.position(), "bytes behind the event")?;
    }
    Ok(event)
}

/// Reads the event at `reader`, which runs over `frame`; its properties become a slice of `frame`.
/// After an error the reader stands anywhere: step over the event from its start.
pub(crate) fn read_event(frame: &Bytes, reader: &mut Reader<'_>) -> Result<Event, EventError> {
    match reader.token()? {
        Token::Array(ARRAY_FORM_LENGTH) => read_array_form(frame, reader),
        Token::Array(count) => Err(EventError::new(
            "bad_event",
            format!("an event of {count} elements; the array form has {ARRAY_FORM_LENGTH}: {}", FIELDS.join(", ")),
        )),
        Token::Map(count) => read_map_form(frame, reader, count),
        other => {
            Err(EventError::new("bad_event", format!("an event is {}; an array or a map is due", other.describe())))
        }
    }
}

fn read_array_form(frame: &Bytes, reader: &mut Reader<'_>) -> Result<Event, EventError> {
    let id = SmolStr::new(reader.utf8("id", "bad_id")?);
    let kind = SmolStr::new(reader.utf8("type", "bad_type")?);
    let profile = SmolStr::new(reader.utf8("profile", "bad_profile")?);
    let time = read_time(reader)?;
    let properties = read_properties(frame, reader)?;
    checked(Event { id, kind, profile, time, properties })
}

fn read_map_form(frame: &Bytes, reader: &mut Reader<'_>, count: u32) -> Result<Event, EventError> {
    let mut parts = Parts::default();
    let mut seen = [false; FIELDS.len()];
    for _ in 0..count {
        let name = reader.utf8("name of a field", "bad_event")?;
        let index = FIELDS.iter().position(|field| *field == name).ok_or_else(|| unknown_field(name))?;
        if std::mem::replace(&mut seen[index], true) {
            return Err(duplicate_field(name));
        }
        match name {
            "id" => parts.id = Some(SmolStr::new(reader.utf8("id", "bad_id")?)),
            "type" => parts.kind = Some(SmolStr::new(reader.utf8("type", "bad_type")?)),
            "profile" => parts.profile = Some(SmolStr::new(reader.utf8("profile", "bad_profile")?)),
            "time" => parts.time = read_time(reader)?,
            _ => parts.properties = Some(read_properties(frame, reader)?),
        }
    }
    parts.into_event()
}

fn read_properties(frame: &Bytes, reader: &mut Reader<'_>) -> Result<Bytes, EventError> {
    let start = reader.position();
    let mut ahead = reader.clone();
    if matches!(ahead.token()?, Token::Nil | Token::Map(0)) {
        *reader = ahead;
        return Ok(Bytes::from_static(EMPTY_MAP));
    }
    check_properties(reader)?;
    Ok(frame.slice(start..reader.position()))
}

/// Appends `event` in array form.
pub fn write_event(out: &mut Vec<u8>, event: &Event) {
    write_array_head(out, FIELDS.len());
    write_text(out, &event.id);
    write_text(out, &event.kind);
    write_text(out, &event.profile);
    match event.time {
        Some(time) => write_int(out, time.0),
        None => write_nil(out),
    }
    out.extend_from_slice(&event.properties);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn event(id: &str, time: Option<i64>, properties: &'static [u8]) -> Event {
        Event {
            id: id.into(),
            kind: "purchase".into(),
            profile: "crm:4711".into(),
            time: time.map(Millis),
            properties: Bytes::from_static(properties),
        }
    }

    fn check(bytes: &'static [u8], expected: &Result<Event, &str>) {
        let decoded = decode_rmp_event(&Bytes::from_static(bytes)).map_err(|error| error.code);
        assert_eq!(&decoded, expected, "{bytes:x?}");
    }

    #[test]
    fn both_forms_decode() {
        check(
            b"\x95\xa3e-1\xa8purchase\xa8crm:4711\xd3\x00\x00\x01\x6e\x28\x14\x7d\xd9\x81\xa5total\x3c",
            &Ok(event("e-1", Some(0x016e_2814_7dd9), b"\x81\xa5total\x3c")),
        );
        check(b"\x95\xa1e\xa8purchase\xa8crm:4711\xc0\xc0", &Ok(event("e", None, EMPTY_MAP)));
        check(
            b"\x84\xa7profile\xa8crm:4711\xa2id\xa1e\xa4type\xa8purchase\xa4time\xb41970-01-01T00:00:01Z",
            &Ok(event("e", Some(1_000), EMPTY_MAP)),
        );
        check(b"\x95\xa1e\xa8purchase\xa8crm:4711\xd6\xff\0\0\0\x01\x80", &Ok(event("e", Some(1_000), EMPTY_MAP)));
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        check(b"\x01", &Err("bad_event"));
        check(b"\x94\xa1e\xa8purchase\xa8crm:4711\xc0", &Err("bad_event"));
        check(b"\x95\x01\xa8purchase\xa8crm:4711\xc0\xc0", &Err("bad_id"));
        check(b"\x95\xa1e\xa8purchase\xa3crm\xc0\xc0", &Err("bad_profile"));
        check(b"\x95\xa1e\xa9journey.x\xa3c:1\xc0\xc0", &Err("reserved_type"));
        check(b"\x95\xa1e\xa1x\xa3c:1\xcb\0\0\0\0\0\0\0\0\xc0", &Err("bad_time"));
        check(b"\x95\xa1e\xa1x\xa3c:1\xa31pm\xc0", &Err("bad_time"));
        check(b"\x95\xa1e\xa1x\xa3c:1\xd3\x7f\0\0\0\0\0\0\0\xc0", &Err("bad_time"));
        check(b"\x95\xa1e\xa1x\xa3c:1\xc0\x90", &Err("bad_properties"));
        check(b"\x95\xa1e\xa1x\xa3c:1\xc0\xc0\xc0", &Err("bad_msgpack"));
        check(b"\x82\xa2id\xa1e\xa2id\xa1e", &Err("duplicate_field"));
        check(b"\x82\xa2id\xa1e\xa2ix\xa1e", &Err("unknown_field"));
        check(b"\x81\xa2id\xa1e", &Err("missing_field"));
        check(b"\xdf\xff\xff\xff\xff", &Err("bad_msgpack"));
    }

    proptest! {
        #[test]
        fn written_events_read_back(
            id in "[!-~]{1,60}", kind in "[a-z_]{1,30}", value in "[^\\p{Cc}]{1,60}", time in prop::option::of(0i64..2_000_000_000_000),
        ) {
            let profile = format!("crm:{value}");
            let event = Event {
                id: id.into(), kind: kind.into(), profile: profile.into(), time: time.map(Millis),
                properties: Bytes::from_static(b"\x81\xa1a\x91\xc3"),
            };
            let mut out = Vec::new();
            write_event(&mut out, &event);
            prop_assert_eq!(decode_rmp_event(&out.into()), Ok(event));
        }

        #[test]
        fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_rmp_event(&bytes.into());
        }
    }
}
