//! What every request of the API passes first: the key, the bound on requests at once, the deadline.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use super::router::Api;
use crate::transport::keys::KeyRegistry as _;

/// The key a request presents: `Authorization: Bearer …` or `x-api-key: …`.
pub fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
        let (scheme, key) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|v| v.to_str().ok()))
}

/// Refuses requests without a key that the registry knows.
pub async fn authenticate(State(api): State<Api>, request: Request, next: Next) -> Response {
    if api.keys.allows(presented_key(request.headers())) {
        return next.run(request).await;
    }
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "no valid API key")
        .suggest("send `Authorization: Bearer <key>` or `x-api-key: <key>`")
        .into_response()
}

/// Bounds requests at once and the time of each. The body is read within that time, so a slow sender is bounded too.
pub async fn bound(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Ok(_permit) = api.requests.try_acquire() else {
        return ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_requests_at_once",
            "too many requests at once",
        )
        .retry_after(api.options.patience)
        .into_response();
    };
    match tokio::time::timeout(api.options.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            format!(
                "not done within {} ms; events may or may not have been taken",
                api.options.request_timeout.as_millis()
            ),
        )
        .suggest("send it again: events already taken are recognised by their id")
        .retry_after(api.options.patience)
        .into_response(),
    }
}

/// Counts and times answered requests, by route as declared (never by path: paths hold names of customers).
pub async fn measure(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let begun = tokio::time::Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("sojourn_http_request_seconds", "route" => route.clone()).record(begun.elapsed().as_secs_f64());
    metrics::counter!("sojourn_http_requests_total", "route" => route, "status" => status).increment(1);
    response
}
