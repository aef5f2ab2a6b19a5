//! Sends one request and reads its answer. Never follows a redirect, never reaches a private address unless the
//! surface allows it, never uses a proxy from the environment (it would resolve names behind our check), and never
//! puts a URL or secret into an error.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

use crate::channel::address::{Lookup, PublicOnly, RefusedAddress, is_public, system_lookup};
use crate::channel::attempt::{Announcement, Attempt, Idempotence, Sender};
use crate::channel::http::{chain, retry_after};
use crate::channel::secret;
use crate::domain::content::Escape;
use crate::domain::limits::WEBHOOK_ANSWER_BYTES_MAX;
use crate::domain::surface::{InDoubt, Network, Settings, Surface};
use crate::runtime::delivery::Job;

const USER_AGENT: &str = concat!("sojourn/", env!("CARGO_PKG_VERSION"));
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Idle connections are dropped after this: below the 60 s after which many load balancers drop them unseen.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Idle connections kept per receiver.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Sends by one webhook surface.
pub(in crate::channel) struct WebhookSender {
    client: Client,
    url: Url,
    signer: Option<Webhook>,
    idempotence: Idempotence,
    /// The literal address in the URL, which no resolver sees, if it must not be reached.
    refused: Option<RefusedAddress>,
}

impl Sender for WebhookSender {
    const IN_FLIGHT_MAX: usize = 1_024;

    fn build(surface: &Surface) -> Result<Self, String> {
        Self::with_lookup(surface, system_lookup())
    }

    /// A receiver is taken to know the key, unless the surface says that it would rather lose or hold.
    fn idempotence(surface: &Surface) -> Idempotence {
        match surface.in_doubt {
            InDoubt::PreferDuplicate => Idempotence::Keyed,
            policy @ (InDoubt::Hold | InDoubt::PreferLoss) => Idempotence::Unkeyed(policy),
        }
    }

    async fn attempt(&self, job: &Job, announcement: &Announcement) -> Attempt {
        if let Some(refused) = &self.refused {
            return Attempt::Failed(refused.to_string());
        }
        let body = match job.message.body.render(&job.row.input) {
            Ok(body) => body,
            Err(error) => return Attempt::Failed(format!("can't render message '{}': {error}", job.message.name)),
        };
        let headers = match self.headers(job, &body) {
            Ok(headers) => headers,
            Err(reason) => return Attempt::Failed(reason),
        };
        if self.idempotence != Idempotence::Keyed
            && let Err(ended) = announcement.started().await
        {
            return ended;
        }
        let is_keyed = self.idempotence == Idempotence::Keyed;
        match self.client.post(self.url.clone()).headers(headers).body(body).send().await {
            Ok(response) => {
                let status = response.status();
                let attempt = outcome_of(status, retry_after(response.headers()));
                drain(response).await;
                if is_keyed { attempt } else { unkeyed(attempt, may_have_been_handled(status)) }
            }
            Err(error) => {
                // Nothing was sent on a connection that never was.
                let may_have_arrived = !error.is_connect();
                let attempt = outcome_of_error(&error.without_url());
                if is_keyed { attempt } else { unkeyed(attempt, may_have_arrived) }
            }
        }
    }
}

impl WebhookSender {
    pub(super) fn with_lookup(surface: &Surface, lookup: Lookup) -> Result<Self, String> {
        let Settings::Webhook(settings) = &surface.settings else {
            return Err("it is not a webhook surface".to_owned());
        };
        // One process-wide provider, so that only one TLS library is linked; a second call is harmless.
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let url: Url = settings.url.parse().map_err(|error| format!("its url is not valid: {error}"))?;
        let secret = settings.secret.as_ref().map(secret::reveal).transpose()?;
        let signer = secret
            .map(|secret| Webhook::new(&secret).map_err(|_| "its secret is not base64 behind 'whsec_'".to_owned()))
            .transpose()?;
        let timeout = Duration::from_millis(u64::try_from(surface.attempt_timeout_ms).unwrap_or(0));
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            // Shorter than the whole: an attempt that never had a connection is known not to have arrived.
            .connect_timeout(timeout / 2)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT);
        let mut refused = None;
        if settings.network == Network::Public {
            client = client.dns_resolver(Arc::new(PublicOnly { lookup }));
            refused = literal_address(&url)
                .filter(|address| !is_public(*address))
                .map(|address| RefusedAddress { host: url.host_str().unwrap_or_default().to_owned(), address });
        }
        let client = client.build().map_err(|error| format!("no HTTP client: {}", chain(&error.without_url())))?;
        Ok(Self { client, url, signer, idempotence: Self::idempotence(surface), refused })
    }

    /// Headers of one attempt. The timestamp is that of the attempt (receivers refuse old ones); the id never changes.
    #[expect(clippy::disallowed_methods, reason = "the signed timestamp is the real time of the attempt")]
    fn headers(&self, job: &Job, body: &str) -> Result<HeaderMap, String> {
        let id = job.row.id.to_string();
        let timestamp = jiff::Timestamp::now().as_second();
        let key = HeaderValue::from_str(&id).expect("hex and dashes are a valid header");
        let mut headers = HeaderMap::with_capacity(6);
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&id, timestamp, body.as_bytes()).map_err(|error| error.to_string())?;
            let signature = HeaderValue::from_str(&signature).expect("base64 is a valid header");
            headers.insert(HEADER_WEBHOOK_SIGNATURE, signature);
        }
        headers.insert(HEADER_WEBHOOK_ID, key.clone());
        headers.insert(HEADER_WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp));
        headers.insert(IDEMPOTENCY_KEY, key);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(body, job.message.body.escape())));
        Ok(headers)
    }
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn content_type(body: &str, escape: Escape) -> &'static str {
    match serde_json::from_str::<serde::de::IgnoredAny>(body) {
        Ok(_) => "application/json",
        Err(_) if escape == Escape::Html => "text/html; charset=utf-8",
        Err(_) => "text/plain; charset=utf-8",
    }
}

/// What an answer means: 2xx accepted; 408, 425, 429 and 5xx may pass; everything else will not, redirects included.
fn outcome_of(status: StatusCode, retry_after: Option<Duration>) -> Attempt {
    match status.as_u16() {
        200..=299 => Attempt::Sent,
        408 | 425 | 429 | 500..=599 => {
            Attempt::Again { reason: format!("the receiver answered {status}"), not_before: retry_after }
        }
        300..=399 => Attempt::Failed(format!("the receiver answered {status}; redirects are not followed")),
        _ => Attempt::Failed(format!("the receiver answered {status}")),
    }
}

/// Whether a receiver that answered so, without knowing our key, may have handled the request: a gateway that gave up
/// (502, 504) or a handler that broke (500) may have done its work before.
fn may_have_been_handled(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE
}

/// Without a key a repeat is safe only if the request was surely not handled.
fn unkeyed(attempt: Attempt, may_have_been_handled: bool) -> Attempt {
    match attempt {
        Attempt::Again { reason, .. } if may_have_been_handled => Attempt::Uncertain(reason),
        other => other,
    }
}

fn outcome_of_error(error: &reqwest::Error) -> Attempt {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<RefusedAddress>() {
            return Attempt::Failed(refused.to_string());
        }
        cause = inner.source();
    }
    if error.is_builder() { Attempt::Failed(chain(error)) } else { Attempt::again(chain(error)) }
}

/// Reads the answer to its end so that the connection can be used again; gives it up beyond the limit. The status has
/// decided already, so errors do not matter; the client's timeout bounds the time.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > WEBHOOK_ANSWER_BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_table_says() {
        let asked = Some(Duration::from_secs(7));
        for (status, expected) in [
            (200, "sent"),
            (202, "sent"),
            (204, "sent"),
            (301, "failed"),
            (307, "failed"),
            (400, "failed"),
            (401, "failed"),
            (404, "failed"),
            (408, "again"),
            (410, "failed"),
            (413, "failed"),
            (422, "failed"),
            (425, "again"),
            (429, "again"),
            (500, "again"),
            (502, "again"),
            (503, "again"),
            (504, "again"),
        ] {
            let outcome = outcome_of(StatusCode::from_u16(status).expect("status"), asked);
            let name = match outcome {
                Attempt::Sent => "sent",
                Attempt::Failed(_) => "failed",
                Attempt::Again { not_before, .. } if not_before == asked => "again",
                _ => "other",
            };
            assert_eq!(name, expected, "{status}");
        }
    }

    #[test]
    fn json_bodies_are_told_from_text() {
        assert_eq!(content_type(r#"{"a":1}"#, Escape::Json), "application/json");
        assert_eq!(content_type("Your cart holds 5 EUR", Escape::Json), "text/plain; charset=utf-8");
        assert_eq!(content_type("<p>5 EUR</p>", Escape::Html), "text/html; charset=utf-8");
    }
}
