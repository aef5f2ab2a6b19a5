//! One call from its first request to its answer: the limits first, then the request, and up to three more within the
//! journey's time (spec §3.7).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use tokio::time::Instant;

use super::client::{Attempted, EndpointClient};
use super::limits::{Bound, Limits};
use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::endpoint::Endpoint;
use crate::domain::journey::action::Request;
use crate::domain::limits::{CALL_RETRIES_MAX, CALLS_PER_HOST_MAX, CALLS_PER_SLOW_ACTION_MAX};
use crate::runtime::delivery::CallJob;

/// Period of the calls of a host.
const HOST_PERIOD_MS: i64 = 60_000;
/// Period of the calls of a slow action.
const SLOW_PERIOD_MS: i64 = 30_000;
/// An answer that takes longer makes its action a slow one, until one takes less.
const SLOW_AFTER: Duration = Duration::from_millis(750);

/// Calls one action as it is published.
pub(super) struct Caller {
    client: EndpointClient,
    url: String,
    host: Bound,
    slow: Bound,
    is_slow: AtomicBool,
}

impl Caller {
    pub(super) fn build(endpoint: &Endpoint) -> Result<Self, String> {
        let host = host_of(&endpoint.url);
        Ok(Self {
            client: EndpointClient::build(endpoint)?,
            url: endpoint.url.trim_end_matches('/').to_owned(),
            host: Bound { key: format_smolstr!("host:{host}"), calls: CALLS_PER_HOST_MAX, period_ms: HOST_PERIOD_MS },
            slow: Bound {
                key: format_smolstr!("slow:{}", endpoint.name),
                calls: CALLS_PER_SLOW_ACTION_MAX,
                period_ms: SLOW_PERIOD_MS,
            },
            is_slow: AtomicBool::new(false),
        })
    }

    /// With a lower limit of its host, for tests.
    #[cfg(test)]
    pub(super) fn limited_to(mut self, calls: u32) -> Self {
        self.host.calls = calls;
        self
    }

    /// Makes the call; `pause` is the pause before a retry, from its number and a number of `0.0..1.0`.
    pub(super) async fn call(&self, job: &CallJob, limits: &Limits, pause: fn(u32, f64) -> Duration) -> CallAnswer {
        let request = match job.action.request(&job.row.input.action, job.row.decided_at) {
            Ok(request) => request,
            Err(error) => return CallAnswer::because(CallStatus::InternalError, error.to_string()),
        };
        let timeout = Duration::from_millis(u64::try_from(job.timeout_ms).unwrap_or(0));
        let deadline = Instant::now() + timeout;
        let mut bounds = vec![self.bound().clone()];
        bounds.extend(self.cappings(job, &request));
        let mut retries = 0;
        loop {
            bounds[0] = self.bound().clone();
            if !limits.take(&bounds) {
                return CallAnswer::because(CallStatus::Capped, "too many calls");
            }
            let began_at = Instant::now();
            let attempt = self.client.attempt(job.row.id, &job.action, &request);
            let attempted = tokio::time::timeout_at(deadline, attempt).await;
            self.is_slow.store(began_at.elapsed() > SLOW_AFTER, Ordering::Relaxed);
            let answer = match attempted {
                Err(_) => return CallAnswer::because(CallStatus::TimedOut, format!("no answer within {timeout:?}")),
                Ok(Attempted::Answered(answer)) => return answer,
                Ok(Attempted::Again(answer)) => answer,
            };
            retries += 1;
            let again_at = Instant::now() + pause(retries, rand::random());
            if retries > CALL_RETRIES_MAX || again_at >= deadline {
                return answer;
            }
            tracing::debug!(id = %job.row.id, action = %job.action.name, status = %answer.status, "call is repeated");
            tokio::time::sleep_until(again_at).await;
        }
    }

    /// Limits that were set for such requests.
    fn cappings(&self, job: &CallJob, request: &Request) -> impl Iterator<Item = Bound> {
        let url = format!("{}{}", self.url, request.path);
        job.cappings.values().filter(move |capping| capping.covers(job.action.method, &url)).map(|capping| Bound {
            key: format_smolstr!("capping:{}", capping.name),
            calls: capping.calls,
            period_ms: capping.period_ms,
        })
    }

    /// What counts the next request: all of a host together, those of a slow action by themselves.
    fn bound(&self) -> &Bound {
        if self.is_slow.load(Ordering::Relaxed) { &self.slow } else { &self.host }
    }
}

/// The host of a checked URL, in lower case.
fn host_of(url: &str) -> SmolStr {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    SmolStr::new(host.to_ascii_lowercase())
}

/// Pause before a retry: exponential from a fifth of a second, with full jitter.
pub(in crate::channel) fn pause_before_retry(retry: u32, dice: f64) -> Duration {
    const FIRST: Duration = Duration::from_millis(200);
    FIRST.saturating_mul(1 << retry.saturating_sub(1).min(8)).mul_f64(dice)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn endpoints_of_one_host_are_counted_together() {
        for url in ["https://API.example.com/a", "https://api.example.com:443/b/c", "http://api.example.com"] {
            assert_eq!(host_of(url), "api.example.com");
        }
        assert_eq!(host_of("http://[::1]:80/x"), "[::1]");
        assert_eq!(host_of("http://[::1]/x"), "[::1]");
    }
}
