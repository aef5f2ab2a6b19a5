//! The one shape of every refusal over HTTP, and how the engine's refusals map to it.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::schema::FindingBody;
use crate::runtime::api::Refusal;
use crate::runtime::engine::RequestError;
use crate::transport::code::Code;

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

/// Full disks and restarts last longer than a busy moment.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

impl ApiError {
    /// A refusal of the engine: status and name are those of its [`Code`].
    fn of(code: Code, message: String) -> Self {
        let status = StatusCode::from_u16(code.http()).expect("codes have statuses of HTTP");
        Self::new(status, code.name(), message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let retry_after = match &refusal {
            Refusal::Throttled { retry_after, .. } | Refusal::Overloaded { retry_after } => *retry_after,
            Refusal::DiskFull | Refusal::Stopping => UNAVAILABLE_RETRY,
        };
        Self::of(Code::from(&refusal), refusal.to_string()).retry_after(retry_after)
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => refusal.into(),
            other => {
                let mut body = Self::of(Code::from(&other), other.to_string());
                if let RequestError::Findings(findings) = &other {
                    body.detail.findings = findings.iter().map(FindingBody::from).collect();
                }
                if let RequestError::NotFound { suggestion, .. } = other {
                    body.detail.suggestion = suggestion;
                }
                body
            }
        }
    }
}
