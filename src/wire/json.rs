//! The native event as JSON: one event, an array of them, or one a line (NDJSON).
//!
//! One pass over the bytes turns `properties` straight into MessagePack. What is wrong with one event is noted and the
//! rest of it stepped over (without recursion), so that its neighbours still count; only bytes that are no JSON, or a
//! batch beyond its limits, refuse the whole. Refused by name: unknown fields, fields and properties that stand
//! twice, integers from 2^63 up to 2^64 (an integer literal beyond 2^64 is a double, as in every JSON reader),
//! nesting deeper than [`limits::DEPTH_MAX`]. A `null` in `time` or `properties` means absent.

mod event;
mod properties;
mod visits;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny};

use self::event::{ArraySeed, EventSeed};
use self::properties::PropertiesSeed;
use crate::domain::event::{Event, EventError};
use crate::domain::limits;
use crate::wire::msgpack::EMPTY_MAP;

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
