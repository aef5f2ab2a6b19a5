//! Step events as a stream of NDJSON: read, put into words and sent page by page, so that memory stays bounded whatever is
//! asked for and however slowly it is taken.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::profiles::{has_namespace, instant};
use super::router::Api;
use crate::runtime::engine::RequestError;
use crate::runtime::engine::past::{PastQuery, StepEvents};
use crate::runtime::past::event::StepEvent;

/// Streams of step events at once: each holds a thread that reads, and up to as much of the youngest history in memory as
/// one file of the archive takes.
pub const EXPORTS_MAX: usize = 2;

/// Which step events.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StepsQuery {
    /// Only from this engine time on, ISO-8601.
    since: Option<String>,
    /// Only before this engine time, ISO-8601.
    until: Option<String>,
    /// Only of this journey.
    journey: Option<String>,
    /// Only of this profile, `namespace:value`.
    profile: Option<String>,
    /// So many at most.
    limit: Option<usize>,
}

/// Step events, one JSON object a line. Those of a profile come in order; profiles are mixed. A stream that breaks off
/// before its end is an error of the transfer, never a shorter answer.
#[utoipa::path(
    get, path = "/v1/steps", tag = "reports", params(StepsQuery),
    responses(
        (status = 200, description = "NDJSON", body = StepEvent, content_type = "application/x-ndjson"),
        (status = 400, description = "No `namespace:value`, or no instant", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such profile or journey", body = ErrorBody),
        (status = 503, description = "Stopping, or too many exports at once", body = ErrorBody),
    )
)]
pub async fn export(State(api): State<Api>, Query(query): Query<StepsQuery>) -> Result<Response, ApiError> {
    if let Some(profile) = &query.profile {
        has_namespace(profile)?;
    }
    let past = PastQuery {
        journey: query.journey,
        since: instant("since", query.since.as_deref())?,
        until: instant("until", query.until.as_deref())?,
        limit: query.limit,
    };
    let Ok(permit) = api.exports.clone().try_acquire_owned() else {
        let message = format!("{EXPORTS_MAX} exports are under way already");
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_exports_at_once", message);
        return Err(error.retry_after(api.options.patience));
    };
    let events = api.engine.step_events(&past, query.profile.as_deref(), permit).await?;
    let lines = stream::try_unfold(events, next_lines);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// The next lines, and what makes those after them.
async fn next_lines(mut events: StepEvents) -> Result<Option<(Bytes, StepEvents)>, RequestError> {
    let Some(page) = events.next().await? else { return Ok(None) };
    let mut lines = Vec::new();
    for event in &page {
        serde_json::to_writer(&mut lines, event).expect("a step event has text keys only");
        lines.push(b'\n');
    }
    Ok(Some((lines.into(), events)))
}
