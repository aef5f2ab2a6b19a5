//! Resources: check, plan, publish.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::JsonBody;
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::{ApplyBody, CheckBody, ResourceFiles};

fn texts(files: ResourceFiles) -> Vec<(String, String)> {
    files.files.into_iter().map(|f| (f.name, f.text)).collect()
}

/// The engine's report in the shape described: a test publishes something, so that the two can't drift apart.
fn report(report: serde_json::Value) -> Result<Json<ApplyBody>, ApiError> {
    serde_json::from_value(report).map(Json).map_err(|error| {
        tracing::error!(%error, "the report of a change is not as described");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "done, but the report can't be shown")
    })
}

/// Checks resources by themselves, as `sojourn check` does, within this server's guardrails; publishes nothing.
#[utoipa::path(
    post, path = "/v1/resources/check", tag = "resources", request_body = ResourceFiles,
    responses(
        (status = 200, description = "What was found, errors included", body = CheckBody),
        (status = 400, description = "Not the shape described", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
    )
)]
pub async fn check(
    State(api): State<Api>,
    JsonBody(files): JsonBody<ResourceFiles>,
) -> Result<Json<CheckBody>, ApiError> {
    // Compiling a large set takes milliseconds: not on a thread that serves connections.
    let checking = tokio::task::spawn_blocking(move || api.engine.check(texts(files)));
    let findings = checking
        .await
        .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the check ended early"))?;
    Ok(Json(CheckBody::new(&findings)))
}

/// What publishing would change.
#[utoipa::path(
    post, path = "/v1/resources/plan", tag = "resources", request_body = ResourceFiles,
    responses(
        (status = 200, description = "One entry per resource and what would be done with it", body = ApplyBody),
        (status = 400, description = "Not the shape described", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 422, description = "Resources have errors; see `findings`", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn plan(
    State(api): State<Api>,
    JsonBody(files): JsonBody<ResourceFiles>,
) -> Result<Json<ApplyBody>, ApiError> {
    report(api.engine.plan(texts(files)).await?)
}

/// Publishes resources, all or none; answered once that is durable.
#[utoipa::path(
    post, path = "/v1/resources/apply", tag = "resources", request_body = ResourceFiles,
    responses(
        (status = 200, description = "One entry per resource and what was done with it", body = ApplyBody),
        (status = 400, description = "Not the shape described", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 422, description = "Resources have errors; nothing was published; see `findings`", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn apply(
    State(api): State<Api>,
    JsonBody(files): JsonBody<ResourceFiles>,
) -> Result<Json<ApplyBody>, ApiError> {
    report(api.engine.apply(texts(files)).await?)
}

/// Keeps journeys as drafts, which nobody enters, all or none; answered once that is durable. Other resources are published
/// if they are new, and must not differ from what is published.
#[utoipa::path(
    post, path = "/v1/resources/draft", tag = "resources", request_body = ResourceFiles,
    responses(
        (status = 200, description = "One entry per resource and what was done with it", body = ApplyBody),
        (status = 400, description = "Not the shape described", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 422, description = "Resources have errors; nothing was kept; see `findings`", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn draft(
    State(api): State<Api>,
    JsonBody(files): JsonBody<ResourceFiles>,
) -> Result<Json<ApplyBody>, ApiError> {
    report(api.engine.apply_draft(texts(files)).await?)
}
