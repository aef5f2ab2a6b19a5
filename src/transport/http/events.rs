//! Events come in: one object, an array, or one object a line. Answered once everything accepted is durable.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use smol_str::SmolStr;

use super::body;
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::{EventBody, EventResult, IngestBody};
use crate::domain::event::{Event, EventError};
use crate::domain::limits;
use crate::runtime::api::{Deferral, EventStatus, Origin, Patience, Submission};
use crate::wire::event::{Batch, BatchFormat, decode_json_batch};

/// Bodies above this are decoded on a thread for blocking work: 64 KiB take well under a millisecond, 16 MiB do not.
const DECODE_INLINE_BYTES_MAX: usize = 64 << 10;

/// The table of ids empties at the pace of its window, not of a busy moment.
const IDS_FULL_RETRY: Duration = Duration::from_secs(10);

/// Refusal of a batch whose every event was refused: error and results both.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RefusedBatchBody {
    #[serde(flatten)]
    refusal: ErrorBody,
    #[serde(flatten)]
    ingest: IngestBody,
}

/// Takes events: one object, an array, or NDJSON, plain or gzip; answered once what is accepted is durable.
///
/// The layout is told from the media type (`application/x-ndjson` and `application/ndjson` are one object a line), and
/// for `application/json` or none from the body itself. Events of a profile are handled in the order sent.
#[utoipa::path(
    post, path = "/v1/events", tag = "events",
    request_body(content(
        (EventBody = "application/json"),
        (EventBody = "application/x-ndjson"),
    ), description = "One event, an array of events, or one event a line; at most 10,000 events and 16 MiB decompressed, 1 MiB an event"),
    responses(
        (status = 200, description = "At least one event is durable (now or before); one result per event", body = IngestBody),
        (status = 400, description = "Nothing was taken: no JSON, or every event refused (then with `results`)", body = RefusedBatchBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 413, description = "Too many bytes or events", body = ErrorBody),
        (status = 415, description = "Unknown media type or content coding", body = ErrorBody),
        (status = 429, description = "Over the rate, or shards busy, or the table of ids full: send the batch again after `Retry-After` seconds",
            body = RefusedBatchBody, headers(("retry-after" = u64, description = "Seconds, at least 1"))),
        (status = 503, description = "Disk full, or stopping: send again later", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds, at least 1"))),
    )
)]
pub async fn ingest(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let format = format_of(&body::media_type(&headers))?;
    let bytes = body::read(&headers, body, limits::BATCH_BYTES_MAX).await?;
    let batch = decode(bytes, format).await?;
    let (events, mut results) = split(batch);
    let mut statuses = Vec::new();
    if !events.is_empty() {
        let engine_times = api.clock.engine_times(&events);
        let origin = Origin::Unsequenced;
        let submission = Submission {
            events,
            origin,
            engine_times,
            patience: Patience::UpTo(api.options.patience),
            deferral: Deferral::default(),
        };
        statuses = api.engine.submit(submission).await?.await?;
    }
    merge(&mut results, statuses);
    Ok(answer(results))
}

/// How the body is laid out, as its media type says.
fn format_of(media_type: &str) -> Result<BatchFormat, ApiError> {
    match media_type {
        "" | "application/json" => Ok(BatchFormat::Auto),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(BatchFormat::Ndjson),
        other => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("media type {other:?} is not supported here"),
        )
        .suggest("send application/json or application/x-ndjson")),
    }
}

async fn decode(bytes: Bytes, format: BatchFormat) -> Result<Batch, ApiError> {
    let decoded = if bytes.len() <= DECODE_INLINE_BYTES_MAX {
        decode_json_batch(&bytes, format)
    } else {
        let decoding = tokio::task::spawn_blocking(move || decode_json_batch(&bytes, format));
        decoding.await.map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "decoding failed"))?
    };
    let batch = decoded.map_err(batch_error)?;
    if batch.is_empty() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "empty_batch", "there is no event in the body"));
    }
    Ok(batch)
}

/// A batch that can't be read at all.
fn batch_error(error: EventError) -> ApiError {
    let status = match error.code {
        "batch_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    ApiError::new(status, error.code, error.message)
}

/// One result per event of the batch; `None` until the engine has said.
type Results = Vec<(String, Option<EventStatus>)>;

/// The events fit for the engine, and the results of those that are not.
fn split(batch: Batch) -> (Vec<Event>, Results) {
    let mut events = Vec::with_capacity(batch.len());
    let mut results = Vec::with_capacity(batch.len());
    for item in batch {
        match item {
            Ok(event) => {
                results.push((event.id.to_string(), None));
                events.push(event);
            }
            Err((id, error)) => results.push((id.unwrap_or_default(), Some(EventStatus::Rejected(error)))),
        }
    }
    (events, results)
}

/// Puts the engine's answers, in order, where there is none yet.
fn merge(results: &mut Results, statuses: Vec<EventStatus>) {
    let mut statuses = statuses.into_iter();
    for (_, slot) in results.iter_mut().filter(|(_, slot)| slot.is_none()) {
        *slot = statuses.next();
    }
    assert!(statuses.next().is_none(), "the engine answers once per event");
}

fn result(id: String, status: EventStatus) -> EventResult {
    let (status, refusal) = match status {
        EventStatus::Accepted => ("accepted", None),
        EventStatus::Duplicate => ("duplicate", None),
        EventStatus::Rejected(error) => ("rejected", Some((SmolStr::new_static(error.code), error.message))),
        EventStatus::Deferred => {
            let message = "the table of event ids is full; send it again later".to_owned();
            ("rejected", Some((SmolStr::new_static("ids_full"), message)))
        }
    };
    let (code, message) = refusal.unzip();
    EventResult { id, status: status.to_owned(), code: code.map(|c| c.to_string()), message }
}

/// 200 if anything is durable, 400 if all are refused, 429 if any must come again: those accepted are then duplicates.
fn answer(results: Results) -> Response {
    let statuses = || results.iter().map(|(_, status)| status.as_ref().expect("every event has an answer"));
    let accepted = statuses().filter(|s| **s == EventStatus::Accepted).count();
    let deferred = statuses().filter(|s| **s == EventStatus::Deferred).count();
    let all_rejected = statuses().all(|s| matches!(s, EventStatus::Rejected(_)));
    let count = results.len();
    let results = results.into_iter().map(|(id, s)| result(id, s.expect("every event has an answer"))).collect();
    let ingest = IngestBody { accepted, results };
    let refusal = if deferred > 0 {
        let message = format!("the table of event ids is full; {deferred} of {count} events were not taken");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "ids_full", message)
            .suggest("send the batch again after Retry-After: what was taken is recognised by its id")
            .retry_after(IDS_FULL_RETRY)
    } else if all_rejected {
        ApiError::new(StatusCode::BAD_REQUEST, "all_rejected", format!("all {count} events were rejected; see results"))
    } else {
        return Json(ingest).into_response();
    };
    let body = RefusedBatchBody { refusal: ErrorBody { error: refusal.detail.clone() }, ingest };
    // The same status and headers as any refusal; only the body says more.
    let (parts, _) = refusal.into_response().into_parts();
    let mut response = Json(body).into_response();
    *response.status_mut() = parts.status;
    if let Some(wait) = parts.headers.get("retry-after") {
        response.headers_mut().insert("retry-after", wait.clone());
    }
    response
}
