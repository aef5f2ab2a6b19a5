//! The events' clock: time moved on by hand, where no event comes any more to move it.

use axum::Json;
use axum::extract::State;

use super::body::JsonBody;
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::{AdvanceRequest, AdvancedBody};
use crate::domain::ids::Millis;
use crate::runtime::engine::RequestError;

/// Moves time on through every timer that is due by then; answered once all that follows from it is durable.
///
/// Only with `--clock events`. A time that has been reached already changes nothing. If the request takes too long it is
/// answered 503 and time goes on moving: ask again.
#[utoipa::path(
    post, path = "/v1/clock/advance", tag = "operations", request_body = AdvanceRequest,
    responses(
        (status = 200, description = "Time has moved", body = AdvancedBody),
        (status = 400, description = "No instant", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 409, description = "The server runs on the wall clock", body = ErrorBody),
        (status = 503, description = "Stopping, or not done in time", body = ErrorBody),
    )
)]
pub async fn advance(
    State(api): State<Api>,
    JsonBody(request): JsonBody<AdvanceRequest>,
) -> Result<Json<AdvancedBody>, ApiError> {
    let to = match &request.to {
        None => None,
        Some(text) => Some(Millis::parse_iso(text).ok_or_else(|| {
            RequestError::Invalid(format!("{text:?} is no instant; write it as 2026-01-31T12:00:00Z or 2026-01-31"))
        })?),
    };
    api.engine.advance_clock(to).await?;
    Ok(Json(AdvancedBody { to: to.map(Millis::to_iso) }))
}
