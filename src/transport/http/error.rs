//! The one shape of every refusal over HTTP, and how the engine's refusals map to it.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::schema::FindingBody;
use crate::runtime::api::Refusal;
use crate::runtime::engine::RequestError;

/// Body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// Stable, documented code such as `body_too_large`.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// How to mend it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What is wrong with resources, for code `findings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingBody>,
}

/// A refusal on its way out.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// The body.
    pub detail: ErrorDetail,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal with a code and a message.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let detail = ErrorDetail { code: code.to_owned(), message: message.into(), ..ErrorDetail::default() };
        Self { status, detail, retry_after: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.detail.suggestion = Some(suggestion.into());
        self
    }

    /// The same, to be tried again after a while.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// Whole seconds, at least 1: `Retry-After: 0` would make clients spin.
pub fn retry_after_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: self.detail })).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds(wait)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        /// Full disks and restarts last longer than a busy moment.
        const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);
        let message = refusal.to_string();
        match refusal {
            Refusal::Throttled { retry_after, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", message).retry_after(retry_after)
            }
            Refusal::Overloaded { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message).retry_after(retry_after)
            }
            Refusal::DiskFull => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "disk_full", message).retry_after(UNAVAILABLE_RETRY)
            }
            Refusal::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).retry_after(UNAVAILABLE_RETRY)
            }
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match error {
            RequestError::Findings(findings) => {
                let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "findings", message);
                error.detail.findings = findings.iter().map(FindingBody::from).collect();
                error
            }
            RequestError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            RequestError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            RequestError::Invalid(_) => Self::new(StatusCode::BAD_REQUEST, "invalid", message),
            RequestError::Refused(refusal) => refusal.into(),
        }
    }
}
