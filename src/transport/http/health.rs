//! Health and metrics, for supervisors and scrapers.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::error::ErrorBody;
use super::router::Api;
use super::schema::LiveBody;
use crate::runtime::view::Health;

/// The media type of Prometheus' text format, as its own server asks for.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process answers. Restart it if it does not.
#[utoipa::path(get, path = "/health/live", tag = "operations", security(()), responses((status = 200, description = "Alive", body = LiveBody)))]
pub async fn live() -> Json<LiveBody> {
    Json(LiveBody { state: "live".to_owned() })
}

/// Takes events. Route traffic elsewhere while it does not; restarting does not help unless the state is `failed`.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", security(()),
    responses(
        (status = 200, description = "Serving", body = Health),
        (status = 503, description = "Starting, disk full, stopping or failed", body = Health),
    )
)]
pub async fn ready(State(api): State<Api>) -> Response {
    let mut health = api.engine.health();
    if health.ready && api.draining.load(Ordering::Relaxed) {
        health =
            Health { ready: false, state: "stopping".to_owned(), detail: "connections are being drained".to_owned() };
    }
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "Prometheus text format 0.0.4", body = String, content_type = "text/plain"),
        (status = 401, description = "No valid API key", body = ErrorBody),
    )
)]
pub async fn metrics(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, PROMETHEUS)], api.metrics.render()).into_response()
}
