//! Pausing journeys, resuming them, and forecasts of that.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::router::Api;
use crate::domain::journey::duration;
use crate::domain::limits;
use crate::domain::pause::{Overdue, PauseEnding, PauseMode};
use crate::runtime::engine::RequestError;
use crate::runtime::engine::pauses::{PauseRequest, ResumeRequest};
use crate::runtime::forecast::Forecast;
use crate::runtime::view::JourneySummary;

/// How a journey is to be paused.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct PauseQuery {
    /// `hold` (default): profiles, entrants and awaited events are kept. `discard`: they are lost, as in AJO.
    #[param(value_type = Option<String>)]
    mode: PauseMode,
    /// A duration, at most 14 days (the default).
    #[serde(rename = "for")]
    #[param(rename = "for")]
    lasts: Option<String>,
    /// What happens then, if nobody resumes it: `resume` (default), `stop`.
    #[param(value_type = Option<String>)]
    then: PauseEnding,
    /// What becomes of overdue messages then: `send` (default), `shift`, `merge`, `drop`.
    #[param(value_type = Option<String>)]
    overdue: Overdue,
    /// Profiles let go in a second then; 5000 if absent, 0 for no bound.
    rate: Option<u32>,
}

/// How a journey is to be resumed, or would be.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct ResumeQuery {
    /// What becomes of overdue messages: `send`, `shift`, `merge`, `drop`; as the pause says if absent.
    #[param(value_type = Option<String>)]
    overdue: Option<Overdue>,
    /// Profiles let go in a second, 0 for no bound; as the pause says if absent.
    rate: Option<u32>,
}

impl From<ResumeQuery> for ResumeRequest {
    fn from(ResumeQuery { overdue, rate }: ResumeQuery) -> Self {
        Self { overdue, rate }
    }
}

/// Pauses a live journey: nothing is sent or called until it is resumed.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/pause", tag = "journeys", params(("name" = String, Path, description = "The journey"), PauseQuery),
    responses(
        (status = 200, description = "Paused, durably", body = JourneySummary),
        (status = 400, description = "No such mode or duration, or it is too long", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey", body = ErrorBody),
        (status = 409, description = "It is not live, or paused already", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn pause(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<PauseQuery>,
) -> Result<Json<JourneySummary>, ApiError> {
    let for_ms = match &query.lasts {
        None => None,
        Some(text) => Some(duration::parse(text).map_err(|error| RequestError::Invalid(format!("`for`: {error}")))?),
    };
    let PauseQuery { mode, then, overdue, .. } = query;
    let rate = query.rate.unwrap_or(limits::RELEASE_RATE);
    Ok(Json(api.engine.pause_journey(&name, PauseRequest { mode, for_ms, then, overdue, rate }).await?))
}

/// Resumes a paused journey: those it holds are let go at a rate.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/resume", tag = "journeys", params(("name" = String, Path, description = "The journey"), ResumeQuery),
    responses(
        (status = 200, description = "Resumed, durably", body = JourneySummary),
        (status = 400, description = "No such choice", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey", body = ErrorBody),
        (status = 409, description = "It is not paused", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn resume(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<ResumeQuery>,
) -> Result<Json<JourneySummary>, ApiError> {
    Ok(Json(api.engine.resume_journey(&name, query.into()).await?))
}

/// What a resume would do now: who is held where, what is overdue, what would become of it.
#[utoipa::path(
    get, path = "/v1/journeys/{name}/forecast", tag = "journeys", params(("name" = String, Path, description = "The journey"), ResumeQuery),
    responses(
        (status = 200, description = "A forecast", body = Forecast),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such journey", body = ErrorBody),
        (status = 409, description = "It is not paused", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn forecast(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<ResumeQuery>,
) -> Result<Json<Forecast>, ApiError> {
    Ok(Json(api.engine.forecast(&name, query.into()).await?))
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    #[test]
    fn what_a_resume_does_not_say_is_left_to_the_pause() {
        let said = |query: &str| {
            let uri: Uri = format!("/v1/journeys/j/resume{query}").parse().expect("an address");
            let Query(query) = Query::<ResumeQuery>::try_from_uri(&uri).expect("reads");
            let asked = ResumeRequest::from(query);
            (asked.overdue, asked.rate)
        };
        assert_eq!(said(""), (None, None));
        assert_eq!(said("?overdue=send"), (Some(Overdue::Send), None));
        assert_eq!(said("?rate=0&overdue=drop"), (Some(Overdue::Drop), Some(0)));
    }
}
