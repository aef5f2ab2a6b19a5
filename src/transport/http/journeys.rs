//! Journeys and the status of their versions.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::router::Api;
use super::schema::{ConflictsBody, JourneysBody};
use crate::runtime::view::JourneySummary;

/// Which version; all of them if absent.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct VersionQuery {
    /// Number of one version, from 1.
    version: Option<u32>,
}

/// All journeys with their versions.
#[utoipa::path(
    get, path = "/v1/journeys", tag = "journeys",
    responses(
        (status = 200, description = "In order of name", body = JourneysBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn list(State(api): State<Api>) -> Result<Json<JourneysBody>, ApiError> {
    Ok(Json(JourneysBody { journeys: api.engine.journeys().await? }))
}

/// Which journey; all of them if absent.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct ConflictsQuery {
    /// Name of one journey, live or a draft.
    journey: Option<String>,
}

/// Journeys that may reach the same profile at the same time.
#[utoipa::path(
    get, path = "/v1/journeys/conflicts", tag = "journeys", params(ConflictsQuery),
    responses(
        (status = 200, description = "Pairs of live journeys, and of drafts with live ones, that overlap", body = ConflictsBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey", body = ErrorBody),
    )
)]
pub async fn conflicts(
    State(api): State<Api>,
    Query(query): Query<ConflictsQuery>,
) -> Result<Json<ConflictsBody>, ApiError> {
    Ok(Json(ConflictsBody { conflicts: api.engine.conflicts(query.journey.as_deref())? }))
}

/// Stops a journey: no entries, and everyone inside leaves.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/stop", tag = "journeys", params(("name" = String, Path, description = "The journey"), VersionQuery),
    responses(
        (status = 200, description = "Stopped, durably", body = JourneySummary),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey or version", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn stop(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<VersionQuery>,
) -> Result<Json<JourneySummary>, ApiError> {
    Ok(Json(api.engine.stop_journey(&name, query.version).await?))
}

/// Closes a journey: no entries; those inside run to their end.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/close", tag = "journeys", params(("name" = String, Path, description = "The journey"), VersionQuery),
    responses(
        (status = 200, description = "Closed, durably", body = JourneySummary),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey or version", body = ErrorBody),
        (status = 409, description = "It is stopped already", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn close(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<VersionQuery>,
) -> Result<Json<JourneySummary>, ApiError> {
    Ok(Json(api.engine.close_journey(&name, query.version).await?))
}
