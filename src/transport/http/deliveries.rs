//! Messages on their way out, and decisions about those in doubt.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::body::JsonBody;
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::{DeliveriesBody, ResolveBody, ResolvedBody};
use crate::domain::ids::DeliveryId;
use crate::runtime::engine::DeliveryFilter;

/// Rows in one answer, if the request does not say.
const ROWS_DEFAULT: usize = 100;
/// Rows in one answer at most: bounds the memory of one request.
const ROWS_MAX: usize = 10_000;

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waiting, started and in doubt.
    All,
    /// Attempted, with an unknown outcome.
    InDoubt,
}

/// Which rows, and how many.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesQuery {
    /// All of them if absent.
    #[param(inline)]
    state: Option<DeliveryState>,
    /// Rows in the answer; 100 if absent, at most 10000.
    max: Option<usize>,
}

/// Outbox rows: all that wait, or those in doubt.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "deliveries", params(DeliveriesQuery),
    responses(
        (status = 200, description = "Rows", body = DeliveriesBody),
        (status = 400, description = "Unknown state", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<DeliveriesBody>, ApiError> {
    let filter = match query.state {
        Some(DeliveryState::InDoubt) => DeliveryFilter::InDoubt,
        Some(DeliveryState::All) | None => DeliveryFilter::All,
    };
    let max = query.max.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
    Ok(Json(DeliveriesBody { deliveries: api.engine.deliveries(filter, max).await? }))
}

/// Decides about a delivery in doubt.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resolve", tag = "deliveries", request_body = ResolveBody,
    params(("id" = String, Path, description = "The delivery, `d-…`")),
    responses(
        (status = 200, description = "Decided, durably", body = ResolvedBody),
        (status = 400, description = "No id of a delivery", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such delivery", body = ErrorBody),
        (status = 409, description = "It is not in doubt", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn resolve(
    State(api): State<Api>,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<ResolveBody>,
) -> Result<Json<ResolvedBody>, ApiError> {
    let Ok(delivery) = id.parse::<DeliveryId>() else {
        let message = format!("{id:?} is no id of a delivery");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_delivery", message)
            .suggest("GET /v1/deliveries?state=in_doubt lists them"));
    };
    api.engine.resolve_delivery(delivery, body.resolution).await?;
    Ok(Json(ResolvedBody { id: delivery.to_string(), resolution: body.resolution }))
}
