//! Drafts, their tests, and test profiles.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::body::JsonBody;
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use crate::domain::journey::duration;
use crate::domain::limits::TEST_WAIT_MS;
use crate::runtime::engine::RequestError;
use crate::runtime::engine::testing::TestLog;
use crate::runtime::view::JourneySummary;

/// How to test.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct TestQuery {
    /// How long every wait takes, 1s to 1h; 10s if absent. Feedback is waited for 40s at least.
    wait: Option<String>,
}

/// Which profiles to flag.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagRequest {
    /// To be test profiles from now on, `namespace:value`.
    #[serde(default)]
    pub add: Vec<String>,
    /// To be none any more.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// Test profiles.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlaggedBody {
    /// In order of their names.
    pub test_profiles: Vec<String>,
}

/// Starts the test of a journey's draft: from now on test profiles enter it, before what is live.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/test/start", tag = "journeys", params(("name" = String, Path, description = "The journey"), TestQuery),
    responses(
        (status = 200, description = "Started, durably", body = JourneySummary),
        (status = 400, description = "No such wait", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such draft", body = ErrorBody),
        (status = 409, description = "It is in test already", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn start(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<TestQuery>,
) -> Result<Json<JourneySummary>, ApiError> {
    let wait_ms = match &query.wait {
        None => TEST_WAIT_MS,
        Some(text) => duration::parse(text).map_err(|error| RequestError::Invalid(error.to_string()))?,
    };
    Ok(Json(api.engine.start_test(&name, wait_ms).await?))
}

/// Ends the test of a draft: everybody in it leaves, and its counts go.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/test/stop", tag = "journeys", params(("name" = String, Path, description = "The journey")),
    responses(
        (status = 200, description = "Ended, durably", body = JourneySummary),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such draft", body = ErrorBody),
        (status = 409, description = "It is not in test", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn stop(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<JourneySummary>, ApiError> {
    Ok(Json(api.engine.stop_test(&name).await?))
}

/// Publishes a draft as the next version; a test of it ends.
#[utoipa::path(
    post, path = "/v1/journeys/{name}/test/publish", tag = "journeys", params(("name" = String, Path, description = "The journey")),
    responses(
        (status = 200, description = "Published, durably", body = JourneySummary),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such draft", body = ErrorBody),
        (status = 409, description = "Published with another re-entrance meanwhile", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn publish(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<JourneySummary>, ApiError> {
    Ok(Json(api.engine.publish_draft(&name).await?))
}

/// The log of a test: where everybody is, what happened to them, what custom actions answered.
#[utoipa::path(
    get, path = "/v1/journeys/{name}/test", tag = "journeys", params(("name" = String, Path, description = "The journey")),
    responses(
        (status = 200, description = "The log", body = TestLog),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such draft", body = ErrorBody),
        (status = 409, description = "It is not in test", body = ErrorBody),
        (status = 503, description = "Stopping", body = ErrorBody),
    )
)]
pub async fn log(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<TestLog>, ApiError> {
    Ok(Json(api.engine.test_log(&name).await?))
}

/// Profiles that may walk in tests.
#[utoipa::path(
    get, path = "/v1/test-profiles", tag = "profiles",
    responses(
        (status = 200, description = "All of them", body = FlaggedBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
    )
)]
pub async fn flagged(State(api): State<Api>) -> Json<FlaggedBody> {
    Json(FlaggedBody { test_profiles: api.engine.flagged() })
}

/// Flags test profiles, a hundred at most, and takes the flag from others.
#[utoipa::path(
    post, path = "/v1/test-profiles", tag = "profiles", request_body = FlagRequest,
    responses(
        (status = 200, description = "All that are flagged then, durably", body = FlaggedBody),
        (status = 400, description = "No `namespace:value`", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 409, description = "Too many", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn flag(
    State(api): State<Api>,
    JsonBody(request): JsonBody<FlagRequest>,
) -> Result<Json<FlaggedBody>, ApiError> {
    let names = |names: Vec<String>| names.into_iter().map(SmolStr::from).collect();
    let test_profiles = api.engine.flag(names(request.add), names(request.remove)).await?;
    Ok(Json(FlaggedBody { test_profiles }))
}
