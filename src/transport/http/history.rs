//! What is recorded, for dry runs: how far history goes back, its events and all profiles, as streams of NDJSON.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, ErrorBody};
use super::profiles::instant;
use super::router::Api;
use super::steps::EXPORTS_MAX;
use crate::runtime::engine::RequestError;
use crate::runtime::engine::past::PastQuery;
use crate::runtime::engine::recorded::{HistoryView, RecordedEvent, RecordedEvents, RecordedProfile, RecordedProfiles};

/// Which events.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only from this engine time on, ISO-8601.
    since: Option<String>,
    /// Only before this engine time, ISO-8601.
    until: Option<String>,
}

/// How far recorded history goes back.
#[utoipa::path(
    get, path = "/v1/history", tag = "reports",
    responses(
        (status = 200, description = "What is kept", body = HistoryView),
        (status = 401, description = "No valid API key", body = ErrorBody),
    )
)]
pub async fn show(State(api): State<Api>) -> Json<HistoryView> {
    Json(api.engine.history())
}

/// Recorded events, one JSON object a line. Those of a profile come in order; profiles are mixed. A stream that breaks off
/// before its end is an error of the transfer, never a shorter answer.
#[utoipa::path(
    get, path = "/v1/history/events", tag = "reports", params(EventsQuery),
    responses(
        (status = 200, description = "NDJSON", body = RecordedEvent, content_type = "application/x-ndjson"),
        (status = 400, description = "No instant", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping, or too many exports at once", body = ErrorBody),
    )
)]
pub async fn events(State(api): State<Api>, Query(query): Query<EventsQuery>) -> Result<Response, ApiError> {
    let past = PastQuery {
        since: instant("since", query.since.as_deref())?,
        until: instant("until", query.until.as_deref())?,
        ..PastQuery::default()
    };
    let permit = permit(&api)?;
    let events = api.engine.recorded_events(&past, permit);
    Ok(ndjson(stream::try_unfold(events, next_events)))
}

/// All profiles with their documents as they are now, one JSON object a line.
#[utoipa::path(
    get, path = "/v1/profiles", tag = "profiles",
    responses(
        (status = 200, description = "NDJSON", body = RecordedProfile, content_type = "application/x-ndjson"),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping, or too many exports at once", body = ErrorBody),
    )
)]
pub async fn profiles(State(api): State<Api>) -> Result<Response, ApiError> {
    let permit = permit(&api)?;
    let profiles = api.engine.recorded_profiles(permit);
    Ok(ndjson(stream::try_unfold(profiles, next_profiles)))
}

fn permit(api: &Api) -> Result<tokio::sync::OwnedSemaphorePermit, ApiError> {
    api.exports.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{EXPORTS_MAX} exports are under way already");
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_exports_at_once", message);
        error.retry_after(api.options.patience)
    })
}

fn ndjson(lines: impl futures_util::Stream<Item = Result<Bytes, RequestError>> + Send + 'static) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn next_events(mut events: RecordedEvents) -> Result<Option<(Bytes, RecordedEvents)>, RequestError> {
    Ok(events.next().await?.map(|page| (lines(&page), events)))
}

async fn next_profiles(mut profiles: RecordedProfiles) -> Result<Option<(Bytes, RecordedProfiles)>, RequestError> {
    Ok(profiles.next().await?.map(|page| (lines(&page), profiles)))
}

fn lines<T: Serialize>(page: &[T]) -> Bytes {
    let mut lines = Vec::new();
    for item in page {
        serde_json::to_writer(&mut lines, item).expect("a record has text keys only");
        lines.push(b'\n');
    }
    lines.into()
}
