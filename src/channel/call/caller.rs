//! One call from its first request to its answer: its turn first, then the limits, then the request, and up to three more
//! within the journey's time (spec §3.7).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use tokio::time::Instant;

use super::cache::Cache;
use super::client::{Attempted, EndpointClient};
use super::limits::{Bound, Limits};
use super::throttle::{Errand, Passage};
use super::tls::CallTls;
use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::Millis;
use crate::domain::journey::action::Request;
use crate::domain::limits::{CALLS_PER_HOST_MAX, CALLS_PER_SLOW_ACTION_MAX, THROTTLED_MS_MAX};
use crate::runtime::delivery::CallJob;

/// Period of the calls of a host.
const HOST_PERIOD_MS: i64 = 60_000;
/// Period of the calls of a slow action.
const SLOW_PERIOD_MS: i64 = 30_000;
/// An answer that takes longer makes its action a slow one, until one takes less.
const SLOW_AFTER: Duration = Duration::from_millis(750);

/// How long a call waits for its turn.
const THROTTLED_MAX: Duration = Duration::from_millis(THROTTLED_MS_MAX as u64);

/// Calls one action as it is published.
pub(super) struct Caller {
    client: EndpointClient,
    url: String,
    host: Bound,
    slow: Bound,
    is_slow: AtomicBool,
    /// Of a data source.
    asked: Option<Asked>,
}

/// What a data source is asked under.
struct Asked {
    rate: Bound,
    cache: Cache,
}

impl Caller {
    pub(super) fn build(endpoint: &Endpoint, tls: &CallTls) -> Result<Self, String> {
        let host = host_of(&endpoint.url);
        Ok(Self {
            client: EndpointClient::build(endpoint, tls)?,
            url: endpoint.url.trim_end_matches('/').to_owned(),
            host: Bound { key: format_smolstr!("host:{host}"), calls: CALLS_PER_HOST_MAX, period_ms: HOST_PERIOD_MS },
            slow: Bound {
                key: format_smolstr!("slow:{}", endpoint.name),
                calls: CALLS_PER_SLOW_ACTION_MAX,
                period_ms: SLOW_PERIOD_MS,
            },
            is_slow: AtomicBool::new(false),
            asked: endpoint.asking.map(|asking| Asked {
                rate: Bound {
                    key: format_smolstr!("rate:{}", endpoint.name),
                    calls: asking.calls,
                    period_ms: asking.period_ms,
                },
                cache: Cache::new(Duration::from_millis(u64::try_from(asking.cache_ms).unwrap_or(0))),
            }),
        })
    }

    /// With lower limits, of its host and of itself while it is slow, for tests.
    #[cfg(test)]
    pub(super) fn limited_to(mut self, host: u32, slow: u32) -> Self {
        (self.host.calls, self.slow.calls) = (host, slow);
        self
    }

    /// Makes the call, which was decided that long ago; `pause` is the pause before a retry, from its number and a number of
    /// `0.0..1.0`. It waits for its turn first, where one has to; its time begins then.
    pub(super) async fn call(
        &self,
        job: &CallJob,
        limits: &Limits,
        waited: Duration,
        pause: fn(u32, f64) -> Duration,
    ) -> CallAnswer {
        let request = match job.action.request(&job.row.input.action, job.row.decided_at) {
            Ok(request) => request,
            Err(error) => return CallAnswer::because(CallStatus::InternalError, error.to_string()),
        };
        let Some(asked) = &self.asked else { return self.call_in_turn(job, &request, limits, waited, pause).await };
        let key = format!("{:?} {:?} {request:?}", job.action.method, job.action.response);
        if let Some(answer) = asked.cache.get(&key) {
            return answer;
        }
        let url = format!("{}{}", self.url, request.path);
        let answer = self.request(job, &request, &url, limits, None, pause).await;
        asked.cache.put(key, &answer);
        answer
    }

    /// Waits for the turn of a call of an action, and makes it.
    async fn call_in_turn(
        &self,
        job: &CallJob,
        request: &Request,
        limits: &Limits,
        waited: Duration,
        pause: fn(u32, f64) -> Duration,
    ) -> CallAnswer {
        limits.follow(job.throttling.as_ref(), job.catalog);
        let url = format!("{}{}", self.url, request.path);
        let errand = Errand { method: job.action.method, url: &url, turn: (job.row.decided_at, job.row.id) };
        if limits.pass(errand, Instant::now() + THROTTLED_MAX.saturating_sub(waited)).await == Passage::TooLate {
            return CallAnswer::because(CallStatus::Capped, format!("no turn within {THROTTLED_MAX:?}"));
        }
        self.request(job, request, &url, limits, Some(errand), pause).await
    }

    /// The requests of a call whose turn has come; repeats stand in line once more, as `errand`.
    async fn request(
        &self,
        job: &CallJob,
        request: &Request,
        url: &str,
        limits: &Limits,
        errand: Option<Errand<'_>>,
        pause: fn(u32, f64) -> Duration,
    ) -> CallAnswer {
        let timeout = Duration::from_millis(u64::try_from(job.timeout_ms).unwrap_or(0));
        let deadline = Instant::now() + timeout;
        let mut bounds = vec![self.bound(limits)];
        bounds.extend(cappings(job, url).chain(self.asked.as_ref().map(|asked| asked.rate.clone())));
        let mut retries = 0;
        loop {
            bounds[0] = self.bound(limits);
            if !limits.take(&bounds) {
                return CallAnswer::because(CallStatus::Capped, "too many calls");
            }
            let began_at = Instant::now();
            let attempt = self.client.attempt(job.row.id, &job.action, request);
            let attempted = tokio::time::timeout_at(deadline, attempt).await;
            self.is_slow.store(began_at.elapsed() > SLOW_AFTER, Ordering::Relaxed);
            let (answer, not_before) = match attempted {
                Err(_) => return CallAnswer::because(CallStatus::TimedOut, format!("no answer within {timeout:?}")),
                Ok(Attempted::Answered(answer)) => return answer,
                Ok(Attempted::Again(answer, not_before)) => (answer, not_before),
            };
            retries += 1;
            let again_at = Instant::now() + pause(retries, rand::random()).max(not_before.unwrap_or_default());
            if retries > limits.bounds().retries || again_at >= deadline {
                return answer;
            }
            tracing::debug!(id = %job.row.id, action = %job.action.name, status = %answer.status, "call is repeated");
            tokio::time::sleep_until(again_at).await;
            // Its time runs, so it goes before those who have not begun.
            if let Some(errand) = errand {
                let errand = Errand { turn: (Millis::MIN, job.row.id), ..errand };
                if limits.pass(errand, deadline).await == Passage::TooLate {
                    return answer;
                }
            }
        }
    }

    /// What counts the next request: all of a host together, those of a slow action by themselves.
    fn bound(&self, limits: &Limits) -> Bound {
        let allowed = limits.bounds();
        let (own, most) = match self.is_slow.load(Ordering::Relaxed) {
            true => (&self.slow, allowed.per_slow_action),
            false => (&self.host, allowed.per_host),
        };
        Bound { calls: own.calls.min(most), ..own.clone() }
    }
}

/// Limits that were set for requests to `url`.
fn cappings(job: &CallJob, url: &str) -> impl Iterator<Item = Bound> {
    job.cappings.values().filter(move |capping| capping.covers(job.action.method, url)).map(|capping| Bound {
        key: format_smolstr!("capping:{}", capping.name),
        calls: capping.calls,
        period_ms: capping.period_ms,
    })
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
