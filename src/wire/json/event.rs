//! Events as a parser meets them: one, or an array of them. What is wrong with an event is a value of its own and never
//! ends the parse, so that its neighbours still count.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smol_str::SmolStr;

use super::properties::PropertiesSeed;
use super::visits::{Name, drain, refuse_others};
use super::{Batch, RejectedEvent};
use crate::domain::event::{Event, EventError};
use crate::domain::limits;
use crate::wire::event::{FIELDS, Parts, duplicate_field, unknown_field};
use crate::wire::msgpack::parse_time;

/// The events of an array, up to the limit, and how many there were.
pub(super) struct ArraySeed;

impl<'de> DeserializeSeed<'de> for ArraySeed {
    type Value = (Batch, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ArraySeed {
    type Value = (Batch, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut batch = Vec::new();
        while batch.len() < limits::BATCH_EVENTS_MAX {
            let Some(event) = items.next_element_seed(EventSeed)? else {
                let count = batch.len();
                return Ok((batch, count));
            };
            batch.push(event);
        }
        let mut count = batch.len();
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((batch, count))
    }
}

/// One event: what is wrong with it is a value, not a failure of the parser.
pub(super) struct EventSeed;

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = Result<Event, RejectedEvent>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl EventSeed {
    fn refuse<E>(self, found: &str) -> Result<Result<Event, RejectedEvent>, E> {
        Ok(Err((None, EventError::new("bad_event", format!("an event is {found}; an object is due")))))
    }
}

impl<'de> Visitor<'de> for EventSeed {
    type Value = Result<Event, RejectedEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    refuse_others!(Self::refuse; bool, number, text, null, array);

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut parts = Parts::default();
        let mut flaw: Option<EventError> = None;
        let mut seen = [false; FIELDS.len()];
        while let Some(Name(name)) = fields.next_key::<Name<'_>>()? {
            let Some(index) = FIELDS.iter().position(|field| *field == name) else {
                flaw.get_or_insert_with(|| unknown_field(&name));
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut seen[index], true) {
                flaw.get_or_insert_with(|| duplicate_field(&name));
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            if let Err(error) = read_field(&mut parts, FIELDS[index], &mut fields)? {
                flaw.get_or_insert(error);
            }
        }
        let id = parts.id.as_ref().filter(|id| id.len() <= limits::EVENT_ID_BYTES_MAX).map(ToString::to_string);
        let event = flaw.map_or_else(|| parts.into_event(), Err);
        Ok(event.map_err(|error| (id, error)))
    }
}

/// Reads one field into its place; the inner result is the event's own flaw.
fn read_field<'de, A: MapAccess<'de>>(
    parts: &mut Parts,
    field: &'static str,
    fields: &mut A,
) -> Result<Result<(), EventError>, A::Error> {
    if field == "properties" {
        return Ok(fields.next_value_seed(PropertiesSeed)?.map(|bytes| parts.properties = bytes.map(Into::into)));
    }
    match (field, fields.next_value::<Scalar>()?) {
        ("id", Scalar::Text(text)) => parts.id = Some(text),
        ("type", Scalar::Text(text)) => parts.kind = Some(text),
        ("profile", Scalar::Text(text)) => parts.profile = Some(text),
        ("time", Scalar::Text(text)) => match parse_time(&text) {
            Ok(time) => parts.time = Some(time),
            Err(error) => return Ok(Err(error)),
        },
        ("time", Scalar::Null) => {}
        (_, scalar) => {
            let code = match field {
                "id" => "bad_id",
                "type" => "bad_type",
                "profile" => "bad_profile",
                _ => "bad_time",
            };
            return Ok(Err(EventError::new(code, format!("{field} is {}; text is due", scalar.describe()))));
        }
    }
    Ok(Ok(()))
}

/// What stands where text is due.
enum Scalar {
    Text(SmolStr),
    Null,
    Other(&'static str),
}

impl Scalar {
    fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Null => "null",
            Self::Other(found) => found,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        fn other<E>(_: ScalarVisitor, found: &'static str) -> Result<Scalar, E> {
            Ok(Scalar::Other(found))
        }
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            refuse_others!(other; bool, number, array, object);

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(SmolStr::new(text)))
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}
