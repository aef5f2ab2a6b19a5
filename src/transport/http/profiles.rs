//! One profile: its state and timeline, and why it is where it is in a journey.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::router::Api;
use crate::domain::ids::Millis;
use crate::runtime::engine::past::PastQuery;
use crate::runtime::past::why::Why;
use crate::runtime::view::ProfileView;

/// Items of a timeline in one answer: a page that people read.
const TIMELINE_DEFAULT: usize = 100;
/// Items of a timeline in one answer at most: each may hold an event's properties, up to 1 MiB.
const TIMELINE_MAX: usize = 1_000;

/// Which part of the timeline.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct TimelineQuery {
    /// Items of the timeline, newest first; 100 if absent, at most 1000.
    timeline: Option<usize>,
    /// Only what happened in this journey, and the events that led to it.
    journey: Option<String>,
    /// Only from this engine time on, ISO-8601.
    since: Option<String>,
    /// Only before this engine time, ISO-8601.
    until: Option<String>,
}

/// Which journey.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// The journey.
    journey: String,
}

/// State and timeline of one profile, with the reason of every step.
#[utoipa::path(
    get, path = "/v1/profiles/{profile}", tag = "profiles",
    params(("profile" = String, Path, description = "`namespace:value`, percent-encoded"), TimelineQuery),
    responses(
        (status = 200, description = "The profile", body = ProfileView),
        (status = 400, description = "No `namespace:value`, or no instant", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such profile or journey", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn show(
    State(api): State<Api>,
    Path(profile): Path<String>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<ProfileView>, ApiError> {
    has_namespace(&profile)?;
    let query = PastQuery {
        journey: query.journey,
        since: instant("since", query.since.as_deref())?,
        until: instant("until", query.until.as_deref())?,
        limit: Some(query.timeline.unwrap_or(TIMELINE_DEFAULT).min(TIMELINE_MAX)),
    };
    Ok(Json(api.engine.profile(&profile, &query).await?))
}

/// Why a profile entered a journey or not, was sent to or not, left or not: a story with rules and the values they saw.
#[utoipa::path(
    get, path = "/v1/profiles/{profile}/why", tag = "profiles",
    params(("profile" = String, Path, description = "`namespace:value`, percent-encoded"), WhyQuery),
    responses(
        (status = 200, description = "The story", body = Why),
        (status = 400, description = "No `namespace:value`, or no journey named", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such profile or journey", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn why(
    State(api): State<Api>,
    Path(profile): Path<String>,
    Query(query): Query<WhyQuery>,
) -> Result<Json<Why>, ApiError> {
    has_namespace(&profile)?;
    Ok(Json(api.engine.why(&profile, &query.journey).await?))
}

/// Refuses what is no `namespace:value`.
pub(super) fn has_namespace(profile: &str) -> Result<(), ApiError> {
    if profile.contains(':') {
        return Ok(());
    }
    let message = format!("profile {profile:?} has no namespace");
    let error = ApiError::new(StatusCode::BAD_REQUEST, "bad_profile", message);
    Err(error.suggest("write it as namespace:value, e.g. crm:4711"))
}

/// The instant of a parameter.
pub(super) fn instant(name: &str, text: Option<&str>) -> Result<Option<Millis>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    Millis::parse_iso(text).map(Some).ok_or_else(|| {
        let error = ApiError::new(StatusCode::BAD_REQUEST, "bad_instant", format!("{name} {text:?} is no instant"));
        error.suggest("write it as 2026-01-31T12:00:00Z, or as a date alone for 00:00 UTC")
    })
}
