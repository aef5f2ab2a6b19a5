//! Calls against a small HTTP server on loopback.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::caller::Caller;
use super::limits::Limits;
use super::pool::CallPool;
use crate::channel::testing::{Reports, call_job, context, delivery_id};
use crate::domain::effect::{CallAnswer, CallStatus, DeliveryOutcome};
use crate::domain::endpoint::{Auth, Capping, Encoding, Endpoint, KeyPlace, Method, TokenGrant};
use crate::domain::surface::{Network, Secret};
use crate::domain::value::Value;
use crate::runtime::delivery::CallJob;

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    Json(u16, &'static str),
    Redirect(&'static str),
    Hang,
}

#[derive(Debug)]
struct Seen {
    method: String,
    uri: String,
    headers: HeaderMap,
    body: String,
}

/// Answers requests in order by its script; the last answer repeats.
#[derive(Clone)]
struct Server {
    address: Option<SocketAddr>,
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().ok();
        let script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let server = Self { address, script, seen: Arc::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/members", self.address.expect("bound"))
    }

    fn endpoint(&self, auth: Auth) -> Endpoint {
        Endpoint { name: "loyalty".into(), url: self.url(), auth, network: Network::AllowPrivate }
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    server.seen.lock().push(Seen {
        method: parts.method.to_string(),
        uri: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).expect("text"),
    });
    let reply = {
        let mut script = server.script.lock();
        if script.len() > 1 { script.pop_front().expect("not empty") } else { script[0] }
    };
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match reply {
        Reply::Status(code) => status(code).into_response(),
        Reply::Json(code, body) => (status(code), body).into_response(),
        Reply::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Reply::Hang => std::future::pending().await,
    }
}

/// One call with this time: the answer, and how many requests came.
async fn call(script: &[Reply], timeout_ms: i64) -> (CallAnswer, usize) {
    let server = Server::start(script).await;
    let caller = Caller::build(&server.endpoint(Auth::None)).expect("builds");
    let job = call_job(1, &server.endpoint(Auth::None), timeout_ms);
    let answer = caller.call(&job, &Limits::new(), |_, _| Duration::ZERO).await;
    let seen = server.seen.lock();
    let key = delivery_id(1).to_string();
    assert!(seen.iter().all(|seen| seen.headers["idempotency-key"] == key.as_str()), "every attempt has the same key");
    (answer, seen.len())
}

async fn check(script: &[Reply], status: CallStatus, requests: usize) {
    let (answer, count) = call(script, 30_000).await;
    assert_eq!((answer.status, count), (status, requests), "{script:?}: {:?}", answer.reason);
}

#[tokio::test]
async fn the_request_is_as_the_action_says_and_the_answer_as_it_declares() {
    let reply = Reply::Json(200, r#"{"level":"gold","points":7,"more":1}"#);
    let server = Server::start(&[reply]).await;
    let endpoint = server.endpoint(Auth::None);
    let caller = Caller::build(&endpoint).expect("builds");
    let answer = caller.call(&call_job(1, &endpoint, 30_000), &Limits::new(), |_, _| Duration::ZERO).await;
    assert_eq!(answer.status, CallStatus::Http(200));
    assert_eq!(Value::Map(answer.fields).to_json(), serde_json::json!({ "level": "gold", "points": 7 }));
    let seen = server.seen.lock();
    assert_eq!((seen[0].method.as_str(), seen[0].uri.as_str()), ("POST", "/members/4711/points?page=2"));
    assert_eq!(seen[0].body, r#"{"points":2}"#);
    assert_eq!(seen[0].headers["content-type"], "application/json");
    assert_eq!(seen[0].headers["x-shop"], "a");
}

/// Spec §16.16: never again after 401, 403 and 404; at most three times after other errors.
#[tokio::test]
async fn errors_are_tried_again_three_times_and_some_never() {
    check(&[Reply::Status(200)], CallStatus::InternalError, 1).await;
    for code in [401, 403, 404] {
        check(&[Reply::Status(code), Reply::Json(200, "{}")], CallStatus::Http(code), 1).await;
    }
    for code in [400, 422, 429, 500, 503] {
        check(&[Reply::Status(code), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
        check(&[Reply::Status(code)], CallStatus::Http(code), 4).await;
    }
}

/// Spec §16.16: a first call that times out is never tried again.
#[tokio::test]
async fn the_time_is_that_of_all_requests() {
    let (answer, requests) = call(&[Reply::Hang, Reply::Json(200, "{}")], 50).await;
    assert_eq!((answer.status, requests), (CallStatus::TimedOut, 1));
    let (answer, requests) = call(&[Reply::Status(500), Reply::Hang], 500).await;
    assert_eq!((answer.status, requests), (CallStatus::TimedOut, 2), "{:?}", answer.reason);
}

#[tokio::test]
async fn answers_of_another_form_are_errors() {
    for body in ["", "no JSON", "[1]", r#"{"points":"seven"}"#] {
        let (answer, requests) = call(&[Reply::Json(200, body)], 30_000).await;
        assert_eq!((answer.status, requests), (CallStatus::InternalError, 1), "{body:?}");
        assert!(answer.reason.is_some());
    }
    let (answer, _) = call(&[Reply::Json(403, r#"{"code":"E1"}"#)], 30_000).await;
    assert_eq!(answer.status, CallStatus::Http(403));
    assert_eq!(Value::Map(answer.fields).to_json(), serde_json::json!({ "code": "E1" }));
}

#[tokio::test]
async fn redirects_are_followed_within_the_host() {
    check(&[Reply::Redirect("/elsewhere"), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
    check(&[Reply::Redirect("http://localhost:1/"), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
    check(&[Reply::Redirect("http://localhost:1/")], CallStatus::Http(302), 4).await;
}

/// Spec §16.17, and each retry takes a place.
#[tokio::test]
async fn calls_over_the_limit_are_refused() {
    let server = Server::start(&[Reply::Status(500)]).await;
    let endpoint = server.endpoint(Auth::None);
    let caller = Caller::build(&endpoint).expect("builds").limited_to(6);
    let limits = Limits::new();
    let mut statuses = Vec::new();
    for n in 0..3 {
        statuses.push(caller.call(&call_job(n, &endpoint, 30_000), &limits, |_, _| Duration::ZERO).await.status);
    }
    assert_eq!(statuses, [CallStatus::Http(500), CallStatus::Capped, CallStatus::Capped]);
    assert_eq!(server.seen.lock().len(), 6);
}

/// A capping counts what it covers, over all actions, and nothing else.
#[tokio::test]
async fn cappings_count_what_they_cover() {
    let server = Server::start(&[Reply::Json(200, "{}")]).await;
    let endpoint = server.endpoint(Auth::None);
    let capping = |name: &str, path: &str, calls| Capping {
        name: name.into(),
        url: format!("{}{path}", server.url()),
        methods: vec![Method::Post],
        calls,
        period_ms: 3_600_000,
    };
    let cappings = [capping("own", "/*/points", 2), capping("other", "/other/*", 1)];
    let cappings: BTreeMap<_, _> = cappings.into_iter().map(|capping| (capping.name.clone(), capping)).collect();
    let job = CallJob { cappings: Arc::new(cappings), ..call_job(1, &endpoint, 30_000) };
    let limits = Limits::new();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let caller = Caller::build(&endpoint).expect("builds");
        statuses.push(caller.call(&job, &limits, |_, _| Duration::ZERO).await.status);
    }
    assert_eq!(statuses, [CallStatus::Http(200), CallStatus::Http(200), CallStatus::Capped]);
    assert_eq!(server.seen.lock().len(), 2);
}

#[tokio::test]
async fn every_way_to_show_who_calls() {
    let secret = |text: &str| Secret::Inline(text.to_owned());
    let header = |auth: Auth| async move {
        let server = Server::start(&[Reply::Json(200, "{}")]).await;
        let caller = Caller::build(&server.endpoint(auth)).expect("builds");
        let endpoint = server.endpoint(Auth::None);
        caller.call(&call_job(1, &endpoint, 30_000), &Limits::new(), |_, _| Duration::ZERO).await;
        let seen = server.seen.lock().pop().expect("a request");
        let text = |name: &str| seen.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        (text("authorization"), text("x-api-key"), seen.uri)
    };
    let (authorization, ..) = header(Auth::Basic { username: "shop".to_owned(), password: secret("s3cret") }).await;
    assert_eq!(authorization.as_deref(), Some("Basic c2hvcDpzM2NyZXQ="));
    let place = KeyPlace::Header("X-Api-Key".to_owned());
    assert_eq!(header(Auth::ApiKey { place, key: secret("k1") }).await.1.as_deref(), Some("k1"));
    let place = KeyPlace::Query("key".to_owned());
    assert_eq!(header(Auth::ApiKey { place, key: secret("k 1") }).await.2, "/members/4711/points?page=2&key=k+1");
}

#[tokio::test]
async fn a_token_is_got_once_and_again_when_it_is_refused() {
    let token = Reply::Json(200, r#"{"data":{"token":"t1"}}"#);
    let tokens = Server::start(&[token, Reply::Json(200, r#"{"data":{"token":"t2"}}"#)]).await;
    let server = Server::start(&[Reply::Json(200, "{}"), Reply::Status(401), Reply::Json(200, "{}")]).await;
    let grant = TokenGrant {
        url: tokens.url(),
        method: Method::Post,
        headers: Vec::new(),
        fields: vec![
            ("grant_type".to_owned(), Secret::Inline("client_credentials".to_owned())),
            ("client_secret".to_owned(), Secret::Inline("a b&c".to_owned())),
        ],
        encoding: Encoding::Form,
        token_in: vec!["data".into(), "token".into()],
        place: KeyPlace::Bearer,
        cache_ms: 3_600_000,
    };
    let endpoint = server.endpoint(Auth::Token(Box::new(grant)));
    let caller = Caller::build(&endpoint).expect("builds");
    let (limits, job) = (Limits::new(), call_job(1, &endpoint, 30_000));
    for expected in [200, 401, 200] {
        let answer = caller.call(&job, &limits, |_, _| Duration::ZERO).await;
        assert_eq!(answer.status, CallStatus::Http(expected));
    }
    let shown: Vec<String> = server
        .seen
        .lock()
        .iter()
        .map(|seen| seen.headers["authorization"].to_str().expect("text").to_owned())
        .collect();
    assert_eq!(shown, ["Bearer t1", "Bearer t1", "Bearer t2"]);
    let asked = tokens.seen.lock();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, "grant_type=client_credentials&client_secret=a+b%26c");
}

#[tokio::test]
async fn private_addresses_are_refused() {
    let server = Server::start(&[Reply::Json(200, "{}")]).await;
    let endpoint = Endpoint { network: Network::Public, ..server.endpoint(Auth::None) };
    let caller = Caller::build(&endpoint).expect("builds");
    let answer = caller.call(&call_job(1, &endpoint, 30_000), &Limits::new(), |_, _| Duration::ZERO).await;
    assert_eq!(answer.status, CallStatus::InternalError);
    assert!(answer.reason.is_some_and(|reason| reason.contains("is not public")));
    assert!(server.seen.lock().is_empty());
}

#[tokio::test]
async fn a_pool_reports_each_answer_once() {
    let server = Server::start(&[Reply::Json(200, "{}")]).await;
    let reports = Reports::new();
    let (context, _stop) = context(&reports);
    let pool = CallPool::start(&Handle::current(), context, Arc::new(Limits::new()));
    let endpoint = server.endpoint(Auth::None);
    for n in 0..200 {
        assert!(pool.offer(call_job(n, &endpoint, 30_000)).is_ok(), "room");
    }
    for n in 0..200 {
        let outcomes = reports.wait(delivery_id(n), 1).await;
        let empty = CallAnswer::empty(CallStatus::Http(200));
        assert_eq!(outcomes, [DeliveryOutcome::Answered(Box::new(empty))]);
    }
    assert_eq!(server.seen.lock().len(), 200);
}
