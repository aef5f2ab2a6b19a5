//! One profile: its state and timeline.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::router::Api;
use crate::runtime::view::ProfileView;

/// Items of a timeline in one answer: a page that people read.
const TIMELINE_DEFAULT: usize = 100;
/// Items of a timeline in one answer at most: each may hold an event's properties, up to 1 MiB.
const TIMELINE_MAX: usize = 1_000;

/// How much of the timeline.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct TimelineQuery {
    /// Items of the timeline, newest first; 100 if absent, at most 1000.
    timeline: Option<usize>,
}

/// State and timeline of one profile, with the reason of every step.
#[utoipa::path(
    get, path = "/v1/profiles/{profile}", tag = "profiles",
    params(("profile" = String, Path, description = "`namespace:value`, percent-encoded"), TimelineQuery),
    responses(
        (status = 200, description = "The profile", body = ProfileView),
        (status = 400, description = "No `namespace:value`", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such profile", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn show(
    State(api): State<Api>,
    Path(profile): Path<String>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<ProfileView>, ApiError> {
    if !profile.contains(':') {
        let message = format!("profile {profile:?} has no namespace");
        let error = ApiError::new(StatusCode::BAD_REQUEST, "bad_profile", message);
        return Err(error.suggest("write it as namespace:value, e.g. crm:4711"));
    }
    let items = query.timeline.unwrap_or(TIMELINE_DEFAULT).min(TIMELINE_MAX);
    Ok(Json(api.engine.profile(&profile, items).await?))
}
