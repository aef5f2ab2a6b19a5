//! The native event as JSON: one event, an array of them, or one a line (NDJSON).
//!
//! One pass over the bytes turns `properties` straight into MessagePack. What is wrong with one event is noted and the
//! rest of it stepped over (without recursion), so that its neighbours still count; only bytes that are no JSON, or a
//! batch beyond its limits, refuse the whole. Refused by name: unknown fields, fields and properties that stand
//! twice, integers from 2^63 up to 2^64 (an integer literal beyond 2^64 is a double, as in every JSON reader),
//! nesting deeper than [`limits::DEPTH_MAX`]. A `null` in `time` or `properties` means absent.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::domain::event::{Event, EventError};
use crate::domain::limits;
use crate::wire::event::{FIELDS, Parts, duplicate_field, unknown_field};
use crate::wire::msgpack::{
    Container, EMPTY_MAP, check_property_name, close_head, duplicate_property, first_duplicate, number_too_large,
    open_head, parse_time, properties_are, too_deep, too_many_properties, write_bool, write_float, write_int,
    write_nil, write_text,
};

/// An event that was refused, with its id where it had one that can be echoed.
pub type RejectedEvent = (Option<String>, EventError);

/// What a batch holds, in its order.
pub type Batch = Vec<Result<Event, RejectedEvent>>;

/// How the events of a body are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFormat {
    /// Told from the first bytes: `[` an array; one object a line where the first line is complete; else one event.
    Auto,
    /// One object.
    One,
    /// An array of objects.
    Array,
    /// One object a line; empty lines are stepped over.
    Ndjson,
}

/// Decodes one event that is the whole of `body`.
///
/// # Errors
/// What is wrong and how to mend it; code `bad_json` where the bytes are no JSON.
pub fn decode_json_event(body: &[u8]) -> Result<Event, EventError> {
    parse(body, EventSeed)?.map_err(|(_, error)| error)
}

/// Decodes a batch. A bad event is refused alone, with its id if it had one.
///
/// # Errors
/// Code `bad_json` where the bytes of an array or of the only event are no JSON, `batch_too_large` beyond
/// [`limits::BATCH_EVENTS_MAX`] or [`limits::BATCH_BYTES_MAX`]; then nothing of the batch counts.
pub fn decode_json_batch(body: &[u8], format: BatchFormat) -> Result<Batch, EventError> {
    if body.len() > limits::BATCH_BYTES_MAX {
        let limit = limits::BATCH_BYTES_MAX;
        return Err(EventError::new("batch_too_large", format!("{} bytes pass the limit of {limit}", body.len())));
    }
    match format {
        BatchFormat::Auto => decode_json_batch(body, detect(body)?),
        BatchFormat::One => Ok(vec![parse(body, EventSeed)?]),
        BatchFormat::Ndjson => decode_lines(body),
        BatchFormat::Array => {
            let (batch, count) = parse(body, ArraySeed)?;
            check_count(count)?;
            Ok(batch)
        }
    }
}

/// Decodes a JSON object (or `null`) that is the whole of `body` as the properties of an event.
///
/// # Errors
/// As [`decode_json_event`].
pub fn properties_from_json(body: &[u8]) -> Result<Bytes, EventError> {
    Ok(parse(body, PropertiesSeed)??.map_or(Bytes::from_static(EMPTY_MAP), Into::into))
}

fn detect(body: &[u8]) -> Result<BatchFormat, EventError> {
    let text = body.trim_ascii();
    let first_line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    match text.first() {
        None => Err(EventError::new("bad_json", "the body is empty; an event, an array of them or NDJSON is due")),
        Some(b'[') => Ok(BatchFormat::Array),
        Some(_) if first_line.len() < text.len() && parse(first_line, AnySeed).is_ok() => Ok(BatchFormat::Ndjson),
        Some(_) => Ok(BatchFormat::One),
    }
}

fn decode_lines(body: &[u8]) -> Result<Batch, EventError> {
    let mut batch = Vec::new();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        check_count(batch.len() + 1)?;
        batch.push(parse(line, EventSeed).unwrap_or_else(|error| {
            Err((None, EventError::new(error.code, format!("line {} of the body: {}", index + 1, error.message))))
        }));
    }
    Ok(batch)
}

fn check_count(count: usize) -> Result<(), EventError> {
    if count <= limits::BATCH_EVENTS_MAX {
        return Ok(());
    }
    let limit = limits::BATCH_EVENTS_MAX;
    Err(EventError::new("batch_too_large", format!("more than {limit} events; send them in several batches")))
}

fn parse<'de, S: DeserializeSeed<'de>>(body: &'de [u8], seed: S) -> Result<S::Value, EventError> {
    let no_json = |error: serde_json::Error| EventError::new("bad_json", format!("no JSON: {error}"));
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut deserializer).map_err(no_json)?;
    deserializer.end().map_err(no_json)?;
    Ok(value)
}

/// Any one JSON value.
struct AnySeed;

impl<'de> DeserializeSeed<'de> for AnySeed {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_ignored_any(IgnoredAny).map(drop)
    }
}

/// The events of an array, up to the limit, and how many there were.
struct ArraySeed;

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
struct EventSeed;

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = Result<Event, RejectedEvent>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visits of a scalar or container that is no event, all of one mind.
macro_rules! refuse_others {
    ($refuse:expr; $($rest:ident),*) => { $(refuse_others!(@ $rest, $refuse);)* };
    (@ bool, $refuse:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { $refuse(self, "a boolean") }
    };
    (@ number, $refuse:expr) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { $refuse(self, "a number") }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { $refuse(self, "a number") }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { $refuse(self, "a number") }
    };
    (@ text, $refuse:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { $refuse(self, "text") }
    };
    (@ null, $refuse:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> { $refuse(self, "null") }
    };
    (@ array, $refuse:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            $refuse(self, "an array")
        }
    };
    (@ object, $refuse:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            drain(&mut fields)?;
            $refuse(self, "an object")
        }
    };
}

fn drain<'de, A: MapAccess<'de>>(fields: &mut A) -> Result<(), A::Error> {
    while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
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

/// A name of a field or property, borrowed where it holds no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
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

/// The value of `properties`: MessagePack, none for null, or what is wrong.
struct PropertiesSeed;

impl PropertiesSeed {
    fn refuse<E>(self, found: &str) -> Result<Result<Option<Vec<u8>>, EventError>, E> {
        Ok(Err(properties_are(found)))
    }
}

impl<'de> DeserializeSeed<'de> for PropertiesSeed {
    type Value = Result<Option<Vec<u8>>, EventError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PropertiesSeed {
    type Value = Result<Option<Vec<u8>>, EventError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("properties")
    }

    refuse_others!(Self::refuse; bool, number, text, array);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Ok(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::with_capacity(64);
        let mut flaw = None;
        ValueSeed { out: &mut out, depth: 0, flaw: &mut flaw }.visit_map(fields)?;
        Ok(flaw.map_or(Ok(Some(out)), Err))
    }
}

/// One value inside `properties`, appended to `out`. The first flaw is noted and everything after it stepped over.
struct ValueSeed<'a> {
    out: &'a mut Vec<u8>,
    /// Containers around this value.
    depth: usize,
    flaw: &'a mut Option<EventError>,
}

impl ValueSeed<'_> {
    fn inner(&mut self) -> ValueSeed<'_> {
        ValueSeed { out: self.out, depth: self.depth + 1, flaw: self.flaw }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.flaw.is_some() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        write_nil(self.out);
        Ok(())
    }

    fn visit_bool<E>(self, bool: bool) -> Result<(), E> {
        write_bool(self.out, bool);
        Ok(())
    }

    fn visit_i64<E>(self, int: i64) -> Result<(), E> {
        write_int(self.out, int);
        Ok(())
    }

    fn visit_u64<E>(self, int: u64) -> Result<(), E> {
        match i64::try_from(int) {
            Ok(int) => write_int(self.out, int),
            Err(_) => *self.flaw = Some(number_too_large(int)),
        }
        Ok(())
    }

    fn visit_f64<E>(self, float: f64) -> Result<(), E> {
        write_float(self.out, float);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        write_text(self.out, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        if self.depth >= limits::DEPTH_MAX {
            *self.flaw = Some(too_deep());
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let head = open_head(self.out);
        let mut count = 0;
        while items.next_element_seed(self.inner())?.is_some() {
            count += 1;
        }
        close_head(self.out, head, Container::Array, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        if self.depth >= limits::DEPTH_MAX {
            *self.flaw = Some(too_deep());
            return drain(&mut fields);
        }
        let head = open_head(self.out);
        let mut names: SmallVec<[Cow<'de, str>; 16]> = SmallVec::new();
        while let Some(Name(name)) = fields.next_key::<Name<'de>>()? {
            if names.len() == limits::MAP_KEYS_MAX {
                self.flaw.get_or_insert_with(|| too_many_properties(limits::MAP_KEYS_MAX + 1));
            }
            if let Err(error) = check_property_name(&name) {
                self.flaw.get_or_insert(error);
            }
            if self.flaw.is_some() {
                fields.next_value::<IgnoredAny>()?;
                return drain(&mut fields);
            }
            write_text(self.out, &name);
            names.push(name);
            fields.next_value_seed(self.inner())?;
        }
        let mut borrowed: SmallVec<[&str; 16]> = names.iter().map(AsRef::as_ref).collect();
        if let Some(name) = first_duplicate(&mut borrowed) {
            self.flaw.get_or_insert_with(|| duplicate_property(name));
        }
        close_head(self.out, head, Container::Map, names.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::value::Value;
    use crate::wire::msgpack::{Reader, check_properties, properties_to_map};

    fn with_properties(properties: &str) -> String {
        format!(r#"{{"id":"e-1","type":"purchase","profile":"crm:1","properties":{properties}}}"#)
    }

    fn check(body: &str, code: &str) {
        let error = decode_json_event(body.as_bytes()).expect_err("refused");
        assert_eq!(error.code, code, "{error} in {}", &body[..body.len().min(200)]);
    }

    #[test]
    fn the_event_of_the_contract_decodes() {
        let body = r#"{"id":"e-1","type":"purchase","profile":"crm:4711","time":"2019-11-01T17:59:13.273Z",
            "properties":{"total":59.9,"count":3,"neg":-7,"lines":[{"sku":"a\u00e9"},null,true],"e":{}}}"#;
        let event = decode_json_event(body.as_bytes()).expect("valid");
        assert_eq!((event.id.as_str(), event.kind.as_str(), event.profile.as_str()), ("e-1", "purchase", "crm:4711"));
        assert_eq!(event.time.map(|t| t.to_iso()).as_deref(), Some("2019-11-01T17:59:13.273Z"));
        let map = properties_to_map(&event.properties).expect("checked");
        let expected = r#"{"total":59.9,"count":3,"neg":-7,"lines":[{"sku":"aé"},null,true],"e":{}}"#;
        assert_eq!(Value::Map(map).to_json().to_string(), expected);
    }

    #[test]
    fn nulls_of_a_profile_update_are_kept() {
        let body = r#"{"id":"u","type":"profile.update","profile":"crm:1","time":null,"properties":{"a":null,"b":{"c":null}}}"#;
        let event = decode_json_event(body.as_bytes()).expect("valid");
        assert_eq!(&event.properties[..], b"\x82\xa1a\xc0\xa1b\x81\xa1c\xc0");
        assert_eq!(event.time, None);
    }

    #[test]
    fn refusals_have_their_code() {
        for (body, code) in [
            ("", "bad_json"),
            ("{", "bad_json"),
            ("nul", "bad_json"),
            (r#"{"id":"e"} x"#, "bad_json"),
            (r#"{"id":"e","id2":1,}"#, "bad_json"),
            ("[]", "bad_event"),
            ("7", "bad_event"),
            (r#""e""#, "bad_event"),
            ("null", "bad_event"),
            ("{}", "missing_field"),
            (r#"{"id":"e","type":"x","profile":"c:1","extra":{"a":[1]}}"#, "unknown_field"),
            (r#"{"id":"e","id":"f","type":"x","profile":"c:1"}"#, "duplicate_field"),
            (r#"{"id":7,"type":"x","profile":"c:1"}"#, "bad_id"),
            (r#"{"id":"","type":"x","profile":"c:1"}"#, "bad_id"),
            (r#"{"id":"e","type":["x"],"profile":"c:1"}"#, "bad_type"),
            (r#"{"id":"e","type":"message.sent","profile":"c:1"}"#, "reserved_type"),
            (r#"{"id":"e","type":"x","profile":{"c":1}}"#, "bad_profile"),
            (r#"{"id":"e","type":"x","profile":"nocolon"}"#, "bad_profile"),
            (r#"{"id":"e","type":"x","profile":"c:1","time":1}"#, "bad_time"),
            (r#"{"id":"e","type":"x","profile":"c:1","time":"2019-11-01T17:59:13"}"#, "bad_time"),
            (r#"{"id":"e","type":"x","profile":"c:1","time":"0001-01-01T00:00:00Z"}"#, "bad_time"),
            (r#"{"id":"e","type":"x","profile":"c:1","time":"9999-12-31T00:00:00Z"}"#, "bad_time"),
        ] {
            check(body, code);
        }
        for (properties, code) in [
            ("[]", "bad_properties"),
            ("1", "bad_properties"),
            (r#"{"a":1,"a":2}"#, "duplicate_field"),
            (r#"{"a":{"b":1,"b":2}}"#, "duplicate_field"),
            (r#"{"":1}"#, "bad_property"),
            (r#"{"a\u0007":1}"#, "bad_property"),
            (r#"{"a":9223372036854775808}"#, "bad_number"),
            (r#"{"a":1e400}"#, "bad_json"),
            (r#"{"a":NaN}"#, "bad_json"),
        ] {
            check(&with_properties(properties), code);
        }
        let many: Vec<String> = (0..1025).map(|i| format!("\"k{i}\":{i}")).collect();
        check(&with_properties(&format!("{{{}}}", many.join(","))), "too_many_properties");
        let twice: Vec<String> = (0..40).map(|i| format!("\"k{}\":{i}", i % 39)).collect();
        check(&with_properties(&format!("{{{}}}", twice.join(","))), "duplicate_field");
    }

    #[test]
    fn nesting_bombs_are_refused_without_a_deep_stack() {
        let deep = |depth: usize| format!("{}{}{}", r#"{"a":"#.repeat(depth), 1, "}".repeat(depth));
        assert!(decode_json_event(with_properties(&deep(limits::DEPTH_MAX)).as_bytes()).is_ok());
        check(&with_properties(&deep(limits::DEPTH_MAX + 1)), "too_deep");
        check(&with_properties(&deep(100_000)), "too_deep");
        let brackets = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(&with_properties(&format!("{{\"a\":{brackets}}}")), "too_deep");
        check(&with_properties(&brackets), "bad_properties");
        check(&brackets, "bad_event");
        check(&"[".repeat(100_000), "bad_json");
        check(&"{\"a\":".repeat(100_000), "bad_json");
    }

    fn outcome(body: &str, format: BatchFormat) -> Vec<String> {
        let batch = decode_json_batch(body.as_bytes(), format).expect("batch");
        batch
            .into_iter()
            .map(|item| match item {
                Ok(event) => event.id.to_string(),
                Err((id, error)) => format!("{}:{}", id.unwrap_or_default(), error.code),
            })
            .collect()
    }

    #[test]
    fn one_bad_event_leaves_its_neighbours() {
        let (a, b) = (r#"{"id":"a","type":"x","profile":"c:1"}"#, r#"{"id":"b","type":"x","profile":"c:1"}"#);
        let bad = r#"{"type":"x","profile":"c","properties":{"x":[[1]],"x":2},"id":"bad"}"#;
        assert_eq!(
            outcome(&format!("[{a},{bad},7,{b}]"), BatchFormat::Auto),
            ["a", "bad:duplicate_field", ":bad_event", "b"]
        );
        let lines = format!("{a}\r\n\n{bad}\n{{\n{b}\n");
        assert_eq!(outcome(&lines, BatchFormat::Auto), ["a", "bad:duplicate_field", ":bad_json", "b"]);
        assert_eq!(outcome(&lines, BatchFormat::Ndjson).len(), 4);
        assert_eq!(outcome(&a.replace(',', ",\n"), BatchFormat::Auto), ["a"]);
        assert_eq!(outcome("[]", BatchFormat::Auto), Vec::<String>::new());
    }

    #[test]
    fn batches_keep_their_limits() {
        let code = |body: &str, format| decode_json_batch(body.as_bytes(), format).expect_err("refused").code;
        let array = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(code(&array(limits::BATCH_EVENTS_MAX + 1), BatchFormat::Auto), "batch_too_large");
        assert!(decode_json_batch(array(limits::BATCH_EVENTS_MAX).as_bytes(), BatchFormat::Array).is_ok());
        assert_eq!(code(&"{}\n".repeat(limits::BATCH_EVENTS_MAX + 1), BatchFormat::Ndjson), "batch_too_large");
        assert_eq!(code(&" ".repeat(limits::BATCH_BYTES_MAX + 1), BatchFormat::Auto), "batch_too_large");
        assert_eq!(code("  ", BatchFormat::Auto), "bad_json");
        assert_eq!(code("[{]", BatchFormat::Array), "bad_json");
        let large = with_properties(&format!("{{\"a\":\"{}\"}}", "x".repeat(limits::EVENT_BYTES_MAX)));
        assert_eq!(outcome(&large, BatchFormat::One), ["e-1:event_too_large"]);
    }

    proptest! {
        #[test]
        fn properties_of_any_json_are_checked_messagepack(
            keys in prop::collection::btree_set("[a-z\"\\\\é]{1,8}", 0..30), numbers in prop::collection::vec(any::<i64>(), 30),
        ) {
            let map: serde_json::Map<String, serde_json::Value> = keys.into_iter().zip(numbers.into_iter().map(Into::into)).collect();
            let json = serde_json::Value::Object(map);
            let event = decode_json_event(with_properties(&json.to_string()).as_bytes()).expect("valid");
            prop_assert_eq!(check_properties(&mut Reader::new(&event.properties)), Ok(()));
            let back = Value::Map(properties_to_map(&event.properties).expect("checked")).to_json();
            prop_assert_eq!(back, json);
        }

        #[test]
        fn any_text_is_an_answer(text in "[\\[\\]{}\",:a-z0-9 \n]{0,80}") {
            let _ = decode_json_batch(text.as_bytes(), BatchFormat::Auto);
        }
    }
}
