//! Shards: how many run and what they own.

use axum::Json;
use axum::extract::State;

use super::body::JsonBody;
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::ShardsRequest;
use crate::runtime::view::ShardsView;

/// Shards and the partitions they own.
#[utoipa::path(
    get, path = "/v1/shards", tag = "operations",
    responses(
        (status = 200, description = "Shards", body = ShardsView),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn show(State(api): State<Api>) -> Result<Json<ShardsView>, ApiError> {
    Ok(Json(api.engine.shards().await?))
}

/// Moves partitions, while running, so that `count` shards own them; answered once every move is durable.
#[utoipa::path(
    put, path = "/v1/shards", tag = "operations", request_body = ShardsRequest,
    responses(
        (status = 200, description = "Shards afterwards", body = ShardsView),
        (status = 400, description = "Count out of range", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 409, description = "Another move is under way", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn set(
    State(api): State<Api>,
    JsonBody(request): JsonBody<ShardsRequest>,
) -> Result<Json<ShardsView>, ApiError> {
    Ok(Json(api.engine.set_shards(request.count).await?))
}
