//! Calls against a small HTTP server on loopback.

mod auth;
mod tls;

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
use super::tls::CallTls;
use crate::channel::testing::{Reports, call_job, context, delivery_id};
use crate::domain::effect::{CallAnswer, CallStatus, DeliveryOutcome};
use crate::domain::endpoint::{Asking, Auth, Capping, Deployment, Endpoint, Method, Throttling};
use crate::domain::limits::SOURCE_CALLS_MAX;
use crate::domain::surface::Network;
use crate::domain::value::Value;
use crate::runtime::delivery::CallJob;

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    Json(u16, &'static str),
    Redirect(u16, &'static str),
    /// 200 and an empty object, after longer than an action may take and not be a slow one.
    Slow,
    /// 503, and when to ask again.
    Later(&'static str),
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
        Endpoint { name: "loyalty".into(), url: self.url(), auth, network: Network::AllowPrivate, asking: None }
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
        Reply::Redirect(code, to) => (status(code), [("location", to)]).into_response(),
        Reply::Slow => {
            tokio::time::sleep(Duration::from_millis(800)).await;
            "{}".into_response()
        }
        Reply::Later(seconds) => (status(503), [("retry-after", seconds)]).into_response(),
        Reply::Hang => std::future::pending().await,
    }
}

/// The caller of `endpoint`.
fn build(endpoint: &Endpoint) -> Caller {
    Caller::build(endpoint, &CallTls::default()).expect("builds")
}

/// One call with this time: the answer, and how many requests came.
async fn call(script: &[Reply], timeout_ms: i64) -> (CallAnswer, usize) {
    let server = Server::start(script).await;
    let caller = build(&server.endpoint(Auth::None));
    let job = call_job(1, &server.endpoint(Auth::None), timeout_ms);
    let answer = caller.call(&job, &Limits::new(), Duration::ZERO, |_, _| Duration::ZERO).await;
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
    let caller = build(&endpoint);
    let answer =
        caller.call(&call_job(1, &endpoint, 30_000), &Limits::new(), Duration::ZERO, |_, _| Duration::ZERO).await;
    assert_eq!(answer.status, CallStatus::Http(200));
    assert_eq!(Value::Map(answer.fields).to_json(), serde_json::json!({ "level": "gold", "points": 7 }));
    let seen = server.seen.lock();
    assert_eq!((seen[0].method.as_str(), seen[0].uri.as_str()), ("POST", "/members/4711/points?page=2"));
    assert_eq!(seen[0].body, r#"{"points":2}"#);
    assert_eq!(seen[0].headers["content-type"], "application/json");
    assert_eq!(seen[0].headers["x-shop"], "a");
}

/// Within the time of the call an endpoint is asked again when it wants to be, and not before; one that wants more is not.
#[tokio::test]
async fn retry_after_is_kept_within_the_time() {
    let began_at = tokio::time::Instant::now();
    check(&[Reply::Later("1"), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
    assert!(began_at.elapsed() >= Duration::from_secs(1), "a second was asked for");
    check(&[Reply::Later("31"), Reply::Json(200, "{}")], CallStatus::Http(503), 1).await;
    check(&[Reply::Later("soon"), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
}

/// Spec §16.16: never again after 401, 403 and 404; at most three times after other errors.
#[tokio::test]
async fn trap_16_errors_are_tried_again_three_times_and_some_never() {
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
async fn trap_16_retries_share_the_time_and_a_timeout_is_final() {
    let (answer, requests) = call(&[Reply::Hang, Reply::Json(200, "{}")], 50).await;
    assert_eq!((answer.status, requests), (CallStatus::TimedOut, 1));
    let (answer, requests) = call(&[Reply::Status(500), Reply::Hang], 500).await;
    assert_eq!((answer.status, requests), (CallStatus::TimedOut, 2), "{:?}", answer.reason);
}

#[tokio::test]
async fn answers_of_another_form_are_errors() {
    for body in ["no JSON", "[1]", r#"{"points":"seven"}"#] {
        let (answer, requests) = call(&[Reply::Json(200, body)], 30_000).await;
        assert_eq!((answer.status, requests), (CallStatus::InternalError, 1), "{body:?}");
        assert!(answer.reason.is_some());
    }
    let (answer, _) = call(&[Reply::Json(403, r#"{"code":"E1"}"#)], 30_000).await;
    assert_eq!(answer.status, CallStatus::Http(403));
    assert_eq!(Value::Map(answer.fields).to_json(), serde_json::json!({ "code": "E1" }));
}

/// Spec §3.7: in error is what is above 2xx, and nothing below. Without a body there are no fields, whatever is declared.
#[tokio::test]
async fn an_answer_without_a_body_has_its_status_and_no_fields() {
    for reply in [Reply::Status(204), Reply::Status(205), Reply::Status(200), Reply::Json(202, " \n")] {
        let (answer, requests) = call(&[reply], 30_000).await;
        let (Reply::Status(code) | Reply::Json(code, _)) = reply else { panic!("a code") };
        assert_eq!((answer, requests), (CallAnswer::empty(CallStatus::Http(code)), 1), "{reply:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_within_the_host() {
    check(&[Reply::Redirect(302, "/elsewhere"), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
    check(&[Reply::Redirect(302, "http://localhost:1/"), Reply::Json(200, "{}")], CallStatus::Http(200), 2).await;
    check(&[Reply::Redirect(302, "http://localhost:1/")], CallStatus::Http(302), 4).await;
}

/// Spec §16.16 and 16.17: retries consume places of a window that a host's actions share.
#[tokio::test]
async fn trap_17_a_host_has_one_sliding_window_and_retries_take_places() {
    let server = Server::start(&[Reply::Status(500)]).await;
    let endpoint = server.endpoint(Auth::None);
    let caller = build(&endpoint).limited_to(6, 6);
    let limits = Limits::new();
    let mut statuses = Vec::new();
    for n in 0..3 {
        statuses.push(
            caller.call(&call_job(n, &endpoint, 30_000), &limits, Duration::ZERO, |_, _| Duration::ZERO).await.status,
        );
    }
    assert_eq!(statuses, [CallStatus::Http(500), CallStatus::Capped, CallStatus::Capped]);
    assert_eq!(server.seen.lock().len(), 6);
}

/// Spec §3.7: an action whose latest answer took more than 0.75 s has a window of its own, which its host does not notice.
#[tokio::test]
async fn a_slow_action_is_counted_by_itself_until_it_is_fast_again() {
    let fast = Reply::Json(200, "{}");
    let server = Server::start(&[Reply::Slow, fast, Reply::Slow, Reply::Slow, fast]).await;
    let endpoint = server.endpoint(Auth::None);
    let caller = build(&endpoint).limited_to(4, 2);
    let neighbour = build(&Endpoint { name: "other".into(), ..endpoint.clone() }).limited_to(4, 2);
    let limits = Limits::new();
    let call = async |caller: &Caller| {
        let job = call_job(1, &endpoint, 30_000);
        caller.call(&job, &limits, Duration::ZERO, |_, _| Duration::ZERO).await.status
    };
    let good = CallStatus::Http(200);
    assert_eq!(call(&caller).await, good, "the first of the host's, and slow");
    assert_eq!(call(&caller).await, good, "the first of its own, and fast");
    assert_eq!(call(&caller).await, good, "the second of the host's, and slow");
    assert_eq!(call(&caller).await, good, "the second of its own, and slow");
    assert_eq!(call(&caller).await, CallStatus::Capped, "its own window is full");
    assert_eq!(call(&neighbour).await, good, "the third of the host's");
    assert_eq!(call(&neighbour).await, good, "the fourth");
    assert_eq!(call(&neighbour).await, CallStatus::Capped, "the host's window is full");
    assert_eq!(server.seen.lock().len(), 6);
}

/// Spec §16.17: calls of two actions that are over the rate wait, and are made in the order of their decisions, whatever order
/// they came in; a repeat keeps to the rate too, and goes before those that have not begun.
#[tokio::test]
async fn trap_17_throttled_calls_wait_in_order() {
    let fast = Reply::Json(200, "{}");
    let server = Server::start(&[fast, Reply::Status(500), fast]).await;
    let reports = Reports::new();
    let (context, _stop) = context(&reports);
    let limits = Arc::new(Limits::new());
    let start = || CallPool::start(&Handle::current(), context.clone(), Arc::clone(&limits), CallTls::default());
    let pools = [start(), start()];
    let (endpoint, throttling) = (server.endpoint(Auth::None), throttling(&server, 1));
    let began_at = tokio::time::Instant::now();
    let offer = |n: u128| {
        let job = call_job(n, &endpoint, 30_000);
        let mut row = (*job.row).clone();
        row.decided_at.0 += n as i64;
        let job = CallJob { row: Arc::new(row), throttling: Some(Arc::clone(&throttling)), ..job };
        assert!(pools[n as usize % 2].offer(job).is_ok(), "room");
    };
    // Nobody is before the first, and then there is no room for a second.
    offer(0);
    reports.wait(delivery_id(0), 1).await;
    [3, 1, 4, 2].into_iter().for_each(offer);
    for n in 0..5 {
        let outcomes = reports.wait(delivery_id(n), 1).await;
        assert!(matches!(&outcomes[..], [DeliveryOutcome::Answered(answer)] if answer.status == CallStatus::Http(200)));
    }
    assert!(began_at.elapsed() >= Duration::from_secs(5), "six requests, one a second");
    let seen = server.seen.lock();
    let keys: Vec<&str> = seen.iter().map(|seen| seen.headers["idempotency-key"].to_str().expect("text")).collect();
    assert_eq!(keys, [0, 1, 1, 2, 3, 4].map(|n| delivery_id(n).to_string()));
}

/// The codes that make a POST a GET leave the body behind (RFC 9110 §15.4).
#[tokio::test]
async fn a_redirect_says_what_goes_on() {
    for (code, method, body) in [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", r#"{"points":2}"#),
        (308, "POST", r#"{"points":2}"#),
    ] {
        let server = Server::start(&[Reply::Redirect(code, "/elsewhere"), Reply::Json(200, "{}")]).await;
        let endpoint = server.endpoint(Auth::None);
        let job = call_job(1, &endpoint, 30_000);
        let answer = build(&endpoint).call(&job, &Limits::new(), Duration::ZERO, |_, _| Duration::ZERO).await;
        assert_eq!(answer.status, CallStatus::Http(200), "{code}");
        let seen = server.seen.lock();
        assert_eq!((seen[1].method.as_str(), seen[1].uri.as_str()), (method, "/elsewhere"), "{code}");
        assert_eq!(seen[1].body, body, "{code}");
        assert_eq!(seen[1].headers["idempotency-key"], seen[0].headers["idempotency-key"]);
    }
}

/// Spec §3.7: who waits for six hours is not called any more.
#[tokio::test]
async fn a_throttled_call_waits_six_hours() {
    let server = Server::start(&[Reply::Json(200, "{}")]).await;
    let endpoint = server.endpoint(Auth::None);
    let (caller, limits) = (build(&endpoint), Limits::new());
    let job = CallJob { throttling: Some(throttling(&server, 1)), ..call_job(1, &endpoint, 30_000) };
    let waited = Duration::from_secs(6 * 3_600);
    let call = |waited| caller.call(&job, &limits, waited, |_, _| Duration::ZERO);
    assert_eq!(call(waited - Duration::from_secs(60)).await.status, CallStatus::Http(200), "its turn has come");
    let answer = call(waited).await;
    assert_eq!(answer.status, CallStatus::Capped, "the second is taken: {answer:?}");
    assert_eq!(server.seen.lock().len(), 1);
}

/// Spec §5.9: a data source is asked 15 times a second, the same question once while its answer serves, and no line is before it.
#[tokio::test]
async fn a_data_source_is_asked_as_often_as_it_says() {
    let server = Server::start(&[Reply::Json(200, r#"{"level":"gold"}"#)]).await;
    let asking = |cache_ms| Some(Asking { calls: SOURCE_CALLS_MAX, period_ms: 3_600_000, cache_ms });
    let endpoint = Endpoint { asking: asking(0), ..server.endpoint(Auth::None) };
    let (caller, limits) = (build(&endpoint), Limits::new());
    let job = CallJob { throttling: Some(throttling(&server, 1)), ..call_job(1, &endpoint, 30_000) };
    let call =
        async |caller: &Caller, job: &CallJob| caller.call(job, &limits, Duration::ZERO, |_, _| Duration::ZERO).await;
    for _ in 0..SOURCE_CALLS_MAX {
        assert_eq!(call(&caller, &job).await.status, CallStatus::Http(200));
    }
    assert_eq!(call(&caller, &job).await.status, CallStatus::Capped);
    assert_eq!(server.seen.lock().len(), 15);
    let endpoint = Endpoint { name: "other".into(), asking: asking(60_000), ..endpoint };
    let caller = build(&endpoint);
    let first = call(&caller, &job).await;
    for _ in 0..2 * SOURCE_CALLS_MAX {
        assert_eq!(call(&caller, &job).await, first, "asked once");
    }
    let mut row = (*job.row).clone();
    row.input.action.insert("points", Value::Int(3));
    let other = CallJob { row: Arc::new(row), ..job };
    assert_eq!(call(&caller, &other).await.status, CallStatus::Http(200));
    assert_eq!(server.seen.lock().len(), 17, "another question");
}

fn throttling(server: &Server, throughput_max: u32) -> Arc<Throttling> {
    let (url, deployment) = (format!("{}/*/points", server.url()), Deployment::Deployed);
    Arc::new(Throttling { name: "calm".into(), url, methods: vec![Method::Post], throughput_max, deployment })
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
        let caller = build(&endpoint);
        statuses.push(caller.call(&job, &limits, Duration::ZERO, |_, _| Duration::ZERO).await.status);
    }
    assert_eq!(statuses, [CallStatus::Http(200), CallStatus::Http(200), CallStatus::Capped]);
    assert_eq!(server.seen.lock().len(), 2);
}

#[tokio::test]
async fn private_addresses_are_refused() {
    let server = Server::start(&[Reply::Json(200, "{}")]).await;
    let endpoint = Endpoint { network: Network::Public, ..server.endpoint(Auth::None) };
    let caller = build(&endpoint);
    let answer =
        caller.call(&call_job(1, &endpoint, 30_000), &Limits::new(), Duration::ZERO, |_, _| Duration::ZERO).await;
    assert_eq!(answer.status, CallStatus::InternalError);
    assert!(answer.reason.is_some_and(|reason| reason.contains("is not public")));
    assert!(server.seen.lock().is_empty());
}

#[tokio::test]
async fn a_pool_reports_each_answer_once() {
    let server = Server::start(&[Reply::Json(200, "{}")]).await;
    let reports = Reports::new();
    let (context, _stop) = context(&reports);
    let pool = CallPool::start(&Handle::current(), context, Arc::new(Limits::new()), CallTls::default());
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
