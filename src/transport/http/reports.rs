//! Reports over journeys, and the decision hash.

use axum::Json;
use axum::extract::{Path, State};

use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::HashBody;
use crate::runtime::view::Report;

/// Report over all journeys.
#[utoipa::path(
    get, path = "/v1/reports", tag = "reports",
    responses(
        (status = 200, description = "All journeys", body = Report),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn all(State(api): State<Api>) -> Result<Json<Report>, ApiError> {
    Ok(Json(api.engine.report(None).await?))
}

/// Report over one journey, also per version.
#[utoipa::path(
    get, path = "/v1/reports/{journey}", tag = "reports", params(("journey" = String, Path, description = "The journey")),
    responses(
        (status = 200, description = "One journey", body = Report),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn one(State(api): State<Api>, Path(journey): Path<String>) -> Result<Json<Report>, ApiError> {
    Ok(Json(api.engine.report(Some(&journey)).await?))
}

/// Hash over all decisions: the same for the same input, whatever the number of shards.
#[utoipa::path(
    get, path = "/v1/hash", tag = "reports",
    responses(
        (status = 200, description = "The hash", body = HashBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn hash(State(api): State<Api>) -> Result<Json<HashBody>, ApiError> {
    Ok(Json(HashBody { hash: api.engine.report(None).await?.hash }))
}
