//! Messages of `sojourn.v1` to the engine's words and back. No I/O.

use std::time::Duration;

use bytes::Bytes;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp};
use tonic::metadata::MetadataValue;
use tonic::{Code as GrpcCode, Status};

use crate::domain::event::{Event, EventError};
use crate::domain::ids::Millis;
use crate::domain::value::{Map, Value};
use crate::runtime::api::{EventStatus, Refusal};
use crate::transport::code::Code;
use crate::transport::grpc::proto;
use crate::transport::grpc::proto::event::PropertiesForm;
use crate::transport::grpc::proto::event_result::Status as ResultStatus;
use crate::transport::stream::Acknowledged;
use crate::wire::event::{checked, map_to_properties, properties_from_json, properties_from_msgpack};
use crate::wire::frame::{Batch, Rejection};
use crate::wire::msgpack::{EMPTY_MAP, check_time};

/// Whole doubles below this are integers without loss: 2^53.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// One event, checked.
pub(super) fn event(event: proto::Event) -> Result<Event, EventError> {
    checked(Event {
        id: event.id.into(),
        kind: event.r#type.into(),
        profile: event.profile.into(),
        time: event.time.as_ref().map(time).transpose()?,
        properties: properties(event.properties_form)?,
    })
}

/// The events of a message, good and refused.
pub(super) fn batch(first_sequence: u64, events: Vec<proto::Event>) -> Batch {
    let mut batch = Batch { first_sequence, events: Vec::with_capacity(events.len()), rejected: Vec::new() };
    for (index, one) in (0..).zip(events) {
        match event(one) {
            Ok(event) => batch.events.push(event),
            Err(error) => batch.rejected.push((index, error)),
        }
    }
    batch
}

fn time(time: &Timestamp) -> Result<Millis, EventError> {
    let nanoseconds = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis =
        nanoseconds.and_then(|nanos| time.seconds.checked_mul(1_000)?.checked_add(i64::from(nanos / 1_000_000)));
    let millis = millis.ok_or_else(|| EventError::new("bad_time", "time is beyond every calendar"))?;
    check_time(Millis(millis))
}

fn properties(form: Option<PropertiesForm>) -> Result<Bytes, EventError> {
    match form {
        None => Ok(Bytes::from_static(EMPTY_MAP)),
        Some(PropertiesForm::PropertiesMsgpack(bytes)) => properties_from_msgpack(bytes),
        Some(PropertiesForm::PropertiesJson(bytes)) => properties_from_json(&bytes),
        Some(PropertiesForm::Properties(fields)) => properties_from_msgpack(map_to_properties(&map(fields))),
    }
}

/// Depth is bounded by the decoder of protobuf, which allows 100 nested messages: three for each level of a struct.
fn map(fields: Struct) -> Map {
    Map(fields.fields.into_iter().map(|(name, value)| (name.into(), value_of(value.kind))).collect())
}

fn value_of(kind: Option<Kind>) -> Value {
    match kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(bool)) => Value::Bool(bool),
        // A struct knows doubles only; a schema's `integer` wants an integer, and its `number` takes either.
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < WHOLE_MAX => {
            Value::Int(number as i64)
        }
        Some(Kind::NumberValue(number)) => Value::Float(number),
        Some(Kind::StringValue(text)) => Value::Str(text.into()),
        Some(Kind::StructValue(fields)) => Value::Map(map(fields)),
        Some(Kind::ListValue(ListValue { values })) => {
            Value::List(values.into_iter().map(|value| value_of(value.kind)).collect())
        }
    }
}

/// What became of one event.
pub(super) fn result(id: String, status: &EventStatus) -> proto::EventResult {
    let (status, code, message) = match status {
        EventStatus::Accepted => (ResultStatus::Accepted, "", String::new()),
        EventStatus::Duplicate => (ResultStatus::Duplicate, "", String::new()),
        EventStatus::Rejected(error) => {
            let Rejection { message, .. } = Rejection::new(0, error);
            (ResultStatus::Rejected, error.code, message)
        }
        EventStatus::Deferred => {
            let message = "the partition's table of ids is full; send it again later".to_owned();
            (ResultStatus::Deferred, Code::Overloaded.name(), message)
        }
    };
    proto::EventResult { id, status: status.into(), code: code.to_owned(), message }
}

/// An ack with its credit.
pub(super) fn ack(acknowledged: Acknowledged) -> proto::IngestAck {
    let Acknowledged { ack, credit } = acknowledged;
    let rejected = ack.rejected.into_iter();
    proto::IngestAck {
        welcome: None,
        sequence: ack.sequence,
        rejected: rejected
            .map(|Rejection { sequence, code, message }| proto::Rejection { sequence, code, message })
            .collect(),
        duplicates: ack.duplicates,
        credit,
        engine_time_ms: ack.engine_time.map(|time| time.0),
    }
}

/// A status with the code's name in `sojourn-code`, since several codes share a gRPC status.
pub(super) fn status(code: Code, message: impl Into<String>) -> Status {
    let mut status = Status::new(code.grpc(), message);
    debug_assert_ne!(status.code(), GrpcCode::Ok);
    status.metadata_mut().insert("sojourn-code", MetadataValue::from_static(code.name()));
    status
}

/// The status of a refused submission; `grpc-retry-pushback-ms` (gRPC proposal A6) says when to try again.
pub(super) fn refused(refusal: &Refusal) -> Status {
    let mut status = status(refusal.into(), refusal.to_string());
    let retry_after = match refusal {
        Refusal::Throttled { retry_after, .. } | Refusal::Overloaded { retry_after } => *retry_after,
        Refusal::DiskFull | Refusal::Stopping => Duration::from_secs(1),
    };
    status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from(retry_after.as_millis() as u64));
    status
}
