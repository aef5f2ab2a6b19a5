//! Sends one request of a call and reads its answer. Never reaches a private address unless the action allows it, never
//! uses a proxy from the environment, follows redirects within the host only (what it sends is meant for nobody else),
//! and never puts a URL or secret into an error.

use std::borrow::Cow;
use std::error::Error as _;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt as Redirection, Policy};
use reqwest::{Client, RequestBuilder, Response, Url};
use smol_str::SmolStr;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::assertion::Asserter;
use super::tls::CallTls;
use crate::channel::address::{PublicOnly, RefusedAddress, is_public, system_lookup};
use crate::channel::http::{chain, retry_after};
use crate::channel::secret;
use crate::domain::effect::{CallAnswer, CallStatus};
use crate::domain::endpoint::{Auth, Encoding, Endpoint, KeyPlace, Method, TokenGrant};
use crate::domain::expression::Fields;
use crate::domain::ids::DeliveryId;
use crate::domain::journey::action::{Action, Request, declared};
use crate::domain::limits::CALL_ANSWER_BYTES_MAX;
use crate::domain::surface::{Network, Secret};
use crate::domain::value::{Map, Value};

const USER_AGENT: &str = concat!("sojourn/", env!("CARGO_PKG_VERSION"));
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Idle connections are dropped after this: below the 60 s after which many load balancers drop them unseen.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Idle connections kept per host.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Redirects that one request follows.
const REDIRECTS_MAX: usize = 5;

/// What one request came to.
#[derive(Debug)]
pub(super) enum Attempted {
    /// This is the answer.
    Answered(CallAnswer),
    /// The answer, unless another request gets a better one, after the time that the endpoint asks for.
    Again(CallAnswer, Option<Duration>),
}

/// Calls one endpoint.
pub(super) struct EndpointClient {
    client: Client,
    url: Url,
    login: Login,
    /// The literal address in the URL, which no resolver sees, if it must not be reached.
    refused: Option<RefusedAddress>,
}

/// How requests show who they come from, secrets read.
enum Login {
    None,
    Basic(String, String),
    Key(KeyPlace, String),
    Token(Box<Grant>),
}

/// What one request shows.
enum Credential<'a> {
    None,
    Basic(&'a str, &'a str),
    Key(&'a KeyPlace, Cow<'a, str>),
}

struct Grant {
    url: Url,
    grant: TokenGrant,
    headers: Vec<(String, String)>,
    fields: Vec<(String, String)>,
    asserter: Option<Asserter>,
    /// The token and when it is no longer used. Whoever gets one holds the lock, so that nobody else does too.
    token: Mutex<Option<(String, Instant)>>,
}

impl EndpointClient {
    pub(super) fn build(endpoint: &Endpoint, tls: &CallTls) -> Result<Self, String> {
        // One process-wide provider, so that only one TLS library is linked; a second call is harmless.
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let url: Url = endpoint.url.parse().map_err(|error| format!("its url is not valid: {error}"))?;
        let login = Login::read(&endpoint.auth)?;
        let mut client = tls
            .apply(Client::builder())
            .user_agent(USER_AGENT)
            .redirect(Policy::custom(within_host))
            .no_proxy()
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT);
        let mut refused = None;
        if endpoint.network == Network::Public {
            client = client.dns_resolver(Arc::new(PublicOnly { lookup: system_lookup() }));
            let urls = [Some(&url), if let Login::Token(grant) = &login { Some(&grant.url) } else { None }];
            refused = urls.into_iter().flatten().find_map(refused_literal);
        }
        let client = client.build().map_err(|error| format!("no HTTP client: {}", chain(&error.without_url())))?;
        Ok(Self { client, url, login, refused })
    }

    /// One request with this key.
    pub(super) async fn attempt(&self, id: DeliveryId, action: &Action, request: &Request) -> Attempted {
        if let Some(refused) = &self.refused {
            return Attempted::Answered(CallAnswer::because(CallStatus::InternalError, refused.to_string()));
        }
        let credential = match self.login.credential(&self.client).await {
            Ok(credential) => credential,
            Err(reason) => return Attempted::Again(CallAnswer::because(CallStatus::InternalError, reason), None),
        };
        let built = match self.build_request(id, action.method, request, &credential) {
            Ok(built) => built,
            Err(reason) => return Attempted::Answered(CallAnswer::because(CallStatus::InternalError, reason)),
        };
        match built.send().await {
            Ok(response) => {
                if response.status().as_u16() == 401 {
                    self.login.forget().await;
                }
                read_answer(response, action).await
            }
            Err(error) => failed(&error.without_url()),
        }
    }

    fn build_request(
        &self,
        id: DeliveryId,
        method: Method,
        request: &Request,
        credential: &Credential<'_>,
    ) -> Result<RequestBuilder, String> {
        let mut url = self.url.clone();
        if !request.path.is_empty() {
            url.set_path(&format!("{}{}", self.url.path().trim_end_matches('/'), request.path));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        if let Credential::Key(KeyPlace::Query(name), key) = credential {
            url.query_pairs_mut().append_pair(name, key);
        }
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 3);
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &request.headers {
            let (name, value) = header(name, value)?;
            headers.insert(name, value);
        }
        let key = HeaderValue::from_str(&id.to_string()).expect("hex and dashes are a valid header");
        headers.insert(IDEMPOTENCY_KEY, key);
        match credential {
            Credential::Key(KeyPlace::Bearer, key) => {
                headers.insert(AUTHORIZATION, header("authorization", &format!("Bearer {key}"))?.1);
            }
            Credential::Key(KeyPlace::Header(name), key) => {
                let (name, value) = header(name, key)?;
                headers.insert(name, value);
            }
            Credential::Key(KeyPlace::Query(_), _) | Credential::Basic(..) | Credential::None => {}
        }
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let mut built = self.client.request(method, url).headers(headers);
        if let Credential::Basic(username, password) = credential {
            built = built.basic_auth(username, Some(password));
        }
        Ok(match &request.body {
            Some(body) => built.body(body.to_json().to_string()),
            None => built,
        })
    }
}

fn revealed(all: &[(String, Secret)]) -> Result<Vec<(String, String)>, String> {
    all.iter().map(|(name, value)| Ok((name.clone(), secret::reveal(value)?))).collect()
}

impl Login {
    fn read(auth: &Auth) -> Result<Self, String> {
        Ok(match auth {
            Auth::None => Self::None,
            Auth::Basic { username, password } => Self::Basic(username.clone(), secret::reveal(password)?),
            Auth::ApiKey { place, key } => Self::Key(place.clone(), secret::reveal(key)?),
            Auth::Token(grant) => {
                let url = grant.url.parse().map_err(|error| format!("the url of its auth is not valid: {error}"))?;
                let (headers, fields) = (revealed(&grant.headers)?, revealed(&grant.fields)?);
                let asserter = grant.assertion.as_ref().map(Asserter::read).transpose()?;
                let (grant, token) = ((**grant).clone(), Mutex::new(None));
                Self::Token(Box::new(Grant { url, grant, headers, fields, asserter, token }))
            }
        })
    }

    async fn credential(&self, client: &Client) -> Result<Credential<'_>, String> {
        Ok(match self {
            Self::None => Credential::None,
            Self::Basic(username, password) => Credential::Basic(username, password),
            Self::Key(place, key) => Credential::Key(place, Cow::Borrowed(key)),
            Self::Token(grant) => Credential::Key(&grant.grant.place, Cow::Owned(grant.token(client).await?)),
        })
    }

    /// The token was refused: the next request gets another.
    async fn forget(&self) {
        if let Self::Token(grant) = self {
            *grant.token.lock().await = None;
        }
    }
}

impl Grant {
    /// The token, got anew where there is none or its time is over.
    async fn token(&self, client: &Client) -> Result<String, String> {
        let mut held = self.token.lock().await;
        if let Some((token, used_until)) = &*held
            && Instant::now() < *used_until
        {
            return Ok(token.clone());
        }
        let mut fields = match &self.asserter {
            Some(asserter) => asserter.fields()?,
            None => Vec::new(),
        };
        // What is given counts: servers differ in what they want to be told.
        fields.retain(|(name, _)| !self.fields.iter().any(|(given, _)| given == name));
        fields.extend(self.fields.iter().cloned());
        let mut request = match self.grant.method {
            Method::Get => {
                let mut url = self.url.clone();
                url.query_pairs_mut().extend_pairs(&fields);
                client.get(url)
            }
            Method::Post | Method::Put => match self.grant.encoding {
                Encoding::Form => {
                    // A query is written as a form is.
                    let mut form = self.url.clone();
                    form.query_pairs_mut().clear().extend_pairs(&fields);
                    let form_type = "application/x-www-form-urlencoded";
                    client
                        .post(self.url.clone())
                        .header(CONTENT_TYPE, form_type)
                        .body(form.query().unwrap_or_default().to_owned())
                }
                Encoding::Json => {
                    let fields: serde_json::Map<_, _> =
                        fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                    client.post(self.url.clone()).json(&fields)
                }
            },
        };
        for (name, value) in &self.headers {
            let (name, value) = header(name, value)?;
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| format!("no token: {}", chain(&error.without_url())))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("no token: the server answered {status}"));
        }
        let body = read_body(response).await.map_err(|reason| format!("no token: {reason}"))?;
        let token = token_in(&body, &self.grant.token_in).ok_or("no token is where `token_in` says")?;
        let cache = Duration::from_millis(u64::try_from(self.grant.cache_ms).unwrap_or(0));
        *held = Some((token.clone(), Instant::now() + cache));
        Ok(token)
    }
}

fn token_in(body: &[u8], path: &[SmolStr]) -> Option<String> {
    if path.is_empty() {
        let text = std::str::from_utf8(body).ok()?.trim();
        return (!text.is_empty()).then(|| text.to_owned());
    }
    let Value::Map(map) = Value::from_json(&serde_json::from_slice(body).ok()?) else { return None };
    match map.path(path)? {
        Value::Str(token) => Some(token.to_string()),
        _ => None,
    }
}

/// A header; its value may be a secret, so errors do not show it.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let bad = || format!("header `{name}` can't hold its value");
    Ok((HeaderName::try_from(name).map_err(|_| bad())?, HeaderValue::try_from(value).map_err(|_| bad())?))
}

fn within_host(redirection: Redirection<'_>) -> reqwest::redirect::Action {
    let place = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let Some(first) = redirection.previous().first() else { return redirection.stop() };
    let stays = place(first) == place(redirection.url());
    if stays && redirection.previous().len() <= REDIRECTS_MAX { redirection.follow() } else { redirection.stop() }
}

fn refused_literal(url: &Url) -> Option<RefusedAddress> {
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    (!is_public(address)).then(|| RefusedAddress { host: host.to_owned(), address })
}

/// An error above 2xx may pass, unless it says that the request itself is not wanted (spec §3.7).
async fn read_answer(response: Response, action: &Action) -> Attempted {
    let status = response.status();
    let called = CallStatus::Http(status.as_u16());
    let not_before = retry_after(response.headers());
    let fields = if called.is_error() { &action.error_response } else { &action.response };
    let read = if fields.is_empty() { Ok(Map::new()) } else { read_fields(response, fields).await };
    match (called.is_error(), read) {
        (false, Ok(fields)) => Attempted::Answered(CallAnswer { status: called, fields, reason: None }),
        (false, Err(reason)) => Attempted::Answered(CallAnswer::because(CallStatus::InternalError, reason)),
        (true, read) => {
            let reason = Some(format!("the server answered {status}"));
            let answer = CallAnswer { status: called, fields: read.unwrap_or_default(), reason };
            match status.as_u16() {
                401 | 403 | 404 => Attempted::Answered(answer),
                _ => Attempted::Again(answer, not_before),
            }
        }
    }
}

/// The declared fields of a body; of an empty one none.
async fn read_fields(response: Response, fields: &Fields) -> Result<Map, String> {
    let body = read_body(response).await?;
    // Nobody promised more than the status: 204 and 205 never have a body, other codes need none.
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let json: serde_json::Value = serde_json::from_slice(&body).map_err(|_| "the answer is not JSON".to_owned())?;
    let Value::Map(map) = Value::from_json(&json) else { return Err("the answer is no JSON object".to_owned()) };
    declared(&map, fields).map_err(|path| format!("`{path}` of the answer is not of its declared type"))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > CALL_ANSWER_BYTES_MAX => {
                return Err(format!("the answer passes {CALL_ANSWER_BYTES_MAX} bytes"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(format!("the answer broke off: {}", chain(&error.without_url()))),
        }
    }
}

fn failed(error: &reqwest::Error) -> Attempted {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<RefusedAddress>() {
            return Attempted::Answered(CallAnswer::because(CallStatus::InternalError, refused.to_string()));
        }
        cause = inner.source();
    }
    let answer = CallAnswer::because(CallStatus::InternalError, chain(error));
    if error.is_builder() { Attempted::Answered(answer) } else { Attempted::Again(answer, None) }
}
