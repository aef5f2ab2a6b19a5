//! The API over an engine in memory: events in, keys, bounds, media types, routes, errors, the description.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::error::{ApiError, retry_after_seconds};
use super::*;
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::HashKey;
use crate::domain::journey::program::Channel;
use crate::domain::limits;
use crate::runtime::admission::Rate;
use crate::runtime::api::Refusal;
use crate::runtime::delivery::{DeliverySink, Job};
use crate::runtime::engine::start::{EngineConfig, EngineParts};
use crate::runtime::engine::{ClockMode, Engine, RequestError};
use crate::runtime::keeper::KeeperConfig;
use crate::runtime::projection::NoProjection;
use crate::store::journal::JournalConfig;
use crate::store::memory::MemoryDisk;
use crate::store::timers::MemoryTimers;
use crate::transport::api_keys::{ApiKeys, digest};
use crate::transport::clock::{EventClock, SourceClock};

/// One engine for all tests, on a disk in memory.
fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let start = || {
        let config = EngineConfig {
            shards: 1,
            partitions: 8,
            directory_id: 1,
            hash_key: HashKey::FIXED,
            calls: crate::domain::apply::Calls::Made,
            clock: ClockMode::Wall,
            rate: Rate::Unlimited,
            id_window_ms: 3_600_000,
            ids_max: 1 << 16,
            guardrails: Guardrails::DEFAULT,
            outbox_rows_max: 1 << 10,
            journal: JournalConfig { segment_bytes: 1 << 20, ..JournalConfig::default() },
            keeper: KeeperConfig { tail_bytes: 4 << 20, interval: Duration::from_secs(60) },
        };
        let parts = EngineParts {
            disk: Arc::new(MemoryDisk::default()),
            timers: Box::new(MemoryTimers::default()),
            sink: Arc::new(NoSink),
            projection: Arc::new(NoProjection),
            history: Arc::new(NoProjection),
        };
        Engine::start(&config, parts).expect("starts")
    };
    ENGINE.get_or_init(start).clone()
}

/// Nothing leaves.
struct NoSink;

impl DeliverySink for NoSink {
    fn offer(&self, job: Job) -> Result<(), Job> {
        Err(job)
    }

    fn call(&self, job: crate::runtime::delivery::CallJob) -> Result<(), crate::runtime::delivery::CallJob> {
        Err(job)
    }

    fn room(&self, _: Option<&str>, _: Channel) -> usize {
        0
    }
}

fn api(options: ApiOptions) -> Api {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    Api::new(engine(), Arc::new(ApiKeys::new()), SourceClock::new(EventClock::Wall, None), recorder.handle(), options)
}

/// Status, `retry-after` and body of one request.
async fn ask(api: Api, request: Request<Body>) -> (StatusCode, Option<String>, Value) {
    let response = router(api).oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let retry = parts.headers.get("retry-after").map(|v| v.to_str().expect("text").to_owned());
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("whole");
    (parts.status, retry, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn post(path: &str, media_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", media_type).body(body.into()).expect("valid")
}

/// Status and code of one request.
async fn check(request: Request<Body>, status: u16, code: &str) {
    let path = request.uri().clone();
    let (got, _, body) = ask(api(ApiOptions::default()), request).await;
    assert_eq!((got.as_u16(), body["error"]["code"].as_str()), (status, Some(code)), "{path}: {body}");
    assert!(!body["error"]["message"].as_str().expect("a message").is_empty());
}

#[tokio::test]
async fn refusals_have_one_shape() {
    let json = "application/json";
    check(Request::get("/v1/nothing").body(Body::empty()).expect("valid"), 404, "unknown_route").await;
    check(Request::get("/v1/events").body(Body::empty()).expect("valid"), 405, "unknown_method").await;
    check(post("/v1/events", json, "{"), 400, "bad_json").await;
    check(post("/v1/events", json, ""), 400, "bad_json").await;
    check(post("/v1/events", json, "[]"), 400, "empty_batch").await;
    check(post("/v1/events", "text/csv", "a"), 415, "unsupported_media_type").await;
    check(post("/v1/events", json, r#"{"id":"e","type":"t","profile":"n:v","x":1}"#), 400, "all_rejected").await;
    check(post("/v1/resources/apply", json, r#"{"file":[]}"#), 400, "bad_json").await;
    check(post("/v1/clock/advance", json, "{}"), 409, "conflict").await;
    check(post("/v1/clock/advance", json, r#"{"to":"tomorrow"}"#), 400, "malformed").await;
    check(post("/v1/resources/apply", "text/plain", "{}"), 415, "unsupported_media_type").await;
    check(post("/v1/deliveries/x/resolve", json, r#"{"resolution":"sent"}"#), 400, "bad_delivery").await;
    check(Request::get("/v1/profiles/nocolon").body(Body::empty()).expect("valid"), 400, "bad_profile").await;
}

#[tokio::test]
async fn every_event_has_its_result_when_all_are_rejected() {
    let body = r#"[{"id":"a","type":"t","profile":"nocolon"},{"type":"t"},7]"#;
    let (status, _, body) = ask(api(ApiOptions::default()), post("/v1/events", "application/json", body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["accepted"], 0);
    let results = body["results"].as_array().expect("results");
    assert_eq!(results.len(), 3);
    assert_eq!((&results[0]["id"], &results[0]["code"]), (&"a".into(), &"bad_profile".into()));
    assert!(results.iter().all(|r| r["status"] == "rejected"));
}

#[tokio::test]
async fn events_are_taken_one_many_and_in_lines() {
    let check = async |media_type: &str, body: Vec<u8>, coding: Option<&str>, expected: &[(&str, &str)]| {
        let mut request = post("/v1/events", media_type, body);
        if let Some(coding) = coding {
            request.headers_mut().insert("content-encoding", coding.parse().expect("a coding"));
        }
        let (status, _, body) = ask(api(ApiOptions::default()), request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let results = body["results"].as_array().expect("results").iter();
        let got: Vec<_> =
            results.map(|r| (r["id"].as_str().expect("id"), r["status"].as_str().expect("status"))).collect();
        assert_eq!(got, expected);
        assert_eq!(body["accepted"], expected.iter().filter(|(_, status)| *status == "accepted").count());
    };
    let event = |id: &str| format!(r#"{{"id":"{id}","type":"seen","profile":"feed:1","properties":{{"n":1}}}}"#);
    let json = "application/json; charset=utf-8";
    check(json, event("one").into(), None, &[("one", "accepted")]).await;
    check(json, event("one").into(), None, &[("one", "duplicate")]).await;
    let array = format!("[{},{},7]", event("two"), event("one"));
    check(json, array.into(), None, &[("two", "accepted"), ("one", "duplicate"), ("", "rejected")]).await;
    let lines = format!("{}\n\n{}\n", event("three"), event("four"));
    check("application/x-ndjson", lines.into(), None, &[("three", "accepted"), ("four", "accepted")]).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(event("five").as_bytes()).expect("to memory");
    check(json, gzip.finish().expect("to memory"), Some("gzip"), &[("five", "accepted")]).await;
}

#[tokio::test]
async fn bodies_are_bounded_after_decompression() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..=limits::BATCH_BYTES_MAX >> 20 {
        gzip.write_all(&spaces).expect("to memory");
    }
    let bomb = gzip.finish().expect("to memory");
    assert!(bomb.len() < 1 << 20);
    let coded = |coding: &str, body: Vec<u8>| {
        let request = Request::post("/v1/events").header("content-type", "application/json");
        request.header("content-encoding", coding).body(Body::from(body)).expect("valid")
    };
    check(coded("gzip", bomb), 413, "body_too_large").await;
    check(coded("gzip", b"no gzip".to_vec()), 400, "bad_body").await;
    check(coded("br", b"x".to_vec()), 415, "unsupported_coding").await;
    let declared = Request::post("/v1/events").header("content-length", (limits::BATCH_BYTES_MAX + 1).to_string());
    check(declared.body(Body::empty()).expect("valid"), 413, "body_too_large").await;
    let many = "{}\n".repeat(limits::BATCH_EVENTS_MAX + 1);
    check(post("/v1/events", "application/x-ndjson", many), 413, "batch_too_large").await;
}

#[tokio::test]
async fn keys_guard_all_but_probes() {
    let api = api(ApiOptions::default());
    api.keys.insert("shop", digest("secret"));
    let request = |path: &str, header: Option<(&str, &str)>| {
        let request = Request::get(path);
        let request = header.into_iter().fold(request, |r, (name, value)| r.header(name, value));
        request.body(Body::empty()).expect("valid")
    };
    for (path, header, status) in [
        ("/v1/journeys", None, 401),
        ("/v1/journeys", Some(("authorization", "Bearer wrong")), 401),
        ("/v1/journeys", Some(("authorization", "Basic secret")), 401),
        ("/v1/journeys", Some(("authorization", "Bearer secret")), 200),
        ("/v1/journeys", Some(("x-api-key", "secret")), 200),
        ("/metrics", None, 401),
        ("/metrics", Some(("x-api-key", "secret")), 200),
        ("/health/live", None, 200),
        ("/health/ready", None, 200),
        ("/openapi.json", None, 200),
    ] {
        let (got, ..) = ask(api.clone(), request(path, header)).await;
        assert_eq!(got.as_u16(), status, "{path} {header:?}");
    }
}

#[tokio::test]
async fn requests_at_once_and_their_time_are_bounded() {
    let get = || Request::get("/health/live").body(Body::empty()).expect("valid");
    let full = api(ApiOptions { requests_max: 0, ..ApiOptions::default() });
    let (status, retry, body) = ask(full, get()).await;
    assert_eq!((status.as_u16(), retry.as_deref()), (503, Some("1")), "{body}");
    let hurried = api(ApiOptions { request_timeout: Duration::ZERO, ..ApiOptions::default() });
    // A body that never ends: only the deadline can answer.
    let endless = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let (status, _, body) = ask(hurried, post("/v1/events", "application/json", endless)).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (503, &"timeout".into()));
}

#[test]
fn refusals_of_the_engine_become_statuses() {
    let wait = Duration::from_millis(200);
    let check = |error: ApiError, status: u16, code: &str, retry: Option<&str>| {
        assert_eq!(error.detail.code, code);
        let response = error.into_response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().get("retry-after").map(|v| v.to_str().expect("text")), retry, "{code}");
    };
    check(Refusal::Throttled { rate: 5, retry_after: wait }.into(), 429, "throttled", Some("1"));
    check(Refusal::Overloaded { retry_after: wait * 6 }.into(), 429, "overloaded", Some("2"));
    check(Refusal::DiskFull.into(), 503, "disk_full", Some("5"));
    check(Refusal::Stopping.into(), 503, "stopping", Some("5"));
    check(
        RequestError::NotFound { what: "journey", name: "x".into(), suggestion: None }.into(),
        404,
        "not_found",
        None,
    );
    check(RequestError::Conflict("no".into()).into(), 409, "conflict", None);
    check(RequestError::Findings(Vec::new()).into(), 422, "findings", None);
    assert_eq!(retry_after_seconds(Duration::ZERO), 1);
    assert_eq!(retry_after_seconds(Duration::MAX), u64::MAX);
}

#[tokio::test]
async fn resources_are_planned_published_and_refused_whole() {
    let files = |text: &str| serde_json::json!({"files": [{"name": "a.yaml", "text": text}]}).to_string();
    let send = async |action: &str, text: &str| {
        let request = post(&format!("/v1/resources/{action}"), "application/json", files(text));
        let (status, _, body) = ask(api(ApiOptions::default()), request).await;
        (status.as_u16(), body)
    };
    let good = "kind: event\nname: looked_at\nschema: { price: number }\n";
    let (status, body) = send("plan", good).await;
    assert_eq!((status, &body["resources"][0]["change"]), (200, &"created".into()), "{body}");
    let (status, body) = send("apply", good).await;
    assert_eq!((status, &body["resources"][0]["name"]), (200, &"looked_at".into()), "{body}");
    let (status, body) = send("apply", good).await;
    assert_eq!((status, &body["resources"][0]["change"]), (200, &"unchanged".into()), "{body}");
    let journey = |wait: &str| {
        format!(
            "{good}---\nkind: journey\nname: look\nentry: {{ event: looked_at }}\nmigration: {{ nodes: {{ a: recompute }} }}\nstart: a\n\
             nodes: {{ a: {{ wait: {wait}, then: b }}, b: {{ end: true }} }}\n"
        )
    };
    let of_look = |body: &Value| {
        let resources = body["resources"].as_array().expect("a list").iter();
        resources.into_iter().find(|resource| resource["name"] == "look").expect("is there").clone()
    };
    let (_, body) = send("apply", &journey("1h")).await;
    assert_eq!(of_look(&body)["change"], "created", "{body}");
    let (_, body) = send("plan", &journey("2h")).await;
    let migration = serde_json::json!({
        "from": [1],
        "nodes": [{ "node": "a", "change": "changed", "choice": "recompute", "chosen_by": "node", "waiting": 0 }],
    });
    assert_eq!(of_look(&body)["migration"], migration, "{body}");
    let (status, body) = send("apply", "kind: journey\nname: x\n").await;
    assert_eq!((status, &body["error"]["code"]), (422, &"findings".into()));
    assert_eq!(body["error"]["findings"][0]["file"], "a.yaml");
    let (status, body) = send("check", "kind: journey\nname: x\n").await;
    assert!(status == 200 && body["errors"].as_u64() > Some(0), "{body}");
}

#[tokio::test]
async fn records_are_loaded_whole_or_not_at_all() {
    let text = "kind: dataset\nname: products\nkey: sku\nschema: { sku: string, price: number }\n";
    let files = serde_json::json!({"files": [{"name": "d.yaml", "text": text}]}).to_string();
    let send = async |request| {
        let (status, _, body) = ask(api(ApiOptions::default()), request).await;
        (status.as_u16(), body)
    };
    assert_eq!(send(post("/v1/resources/apply", "application/json", files)).await.0, 200);
    let load = |media_type: &str, body: &str| post("/v1/datasets/products/records", media_type, body.to_owned());
    let (status, body) = send(load("text/csv", "sku,price\na,1.5\nb,\n")).await;
    assert_eq!((status, &body["records"]), (200, &2.into()), "{body}");
    let ndjson = "application/x-ndjson";
    let (status, body) = send(load(ndjson, "{\"sku\":\"c\",\"price\":2}\n{\"price\":3}\n")).await;
    assert_eq!((status, &body["error"]["code"]), (400, &"malformed".into()), "{body}");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("record 2")), "{body}");
    let (_, body) = send(Request::get("/v1/datasets").body(Body::empty()).expect("a request")).await;
    let products = &body["datasets"][0];
    assert_eq!((&products["name"], &products["records"]), (&"products".into(), &2.into()), "{body}");
    let (status, body) = send(load(ndjson, "{\"sku\":\"c\",\"price\":2}\n")).await;
    assert_eq!((status, &body["records"]), (200, &1.into()), "{body}");
    assert_eq!(send(load("text/plain", "x")).await.0, 415);
    let (status, body) = send(post("/v1/datasets/product/records", ndjson, "{}")).await;
    assert_eq!((status, &body["error"]["suggestion"]), (404, &"did you mean `products`?".into()), "{body}");
}

/// Kept in `docs/` for readers without a server; set `SOJOURN_WRITE_REFERENCE=1` to bring it up to date.
#[test]
fn the_description_in_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let mut current = serde_json::to_string_pretty(&super::router::description()).expect("JSON");
    current.push('\n');
    if std::env::var_os("SOJOURN_WRITE_REFERENCE").is_some() {
        std::fs::write(path, current).expect("written");
        return;
    }
    let kept = std::fs::read_to_string(path).expect("docs/openapi.json");
    assert!(kept == current, "docs/openapi.json is out of date: run this test with SOJOURN_WRITE_REFERENCE=1");
}

/// Every route says what it takes, what it answers and how it fails, and every reference leads somewhere.
#[test]
fn the_description_is_whole() {
    let description = serde_json::to_value(super::router::description()).expect("JSON");
    assert_eq!(description["openapi"], "3.1.0");
    let schemas = &description["components"]["schemas"];
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(schemas.get(name).is_some(), "{name} is referred to and not described");
    }
    let paths = description["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 36, "{:?}", paths.keys().collect::<Vec<_>>());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let answers = operation["responses"].as_object().expect("responses");
            assert!(answers.contains_key("200"), "{method} {path}");
            let probe = path.starts_with("/health") || path == "/openapi.json";
            assert!(probe || answers["401"]["content"].is_object(), "{method} {path} does not describe 401");
            if path.contains('{') {
                assert!(operation["parameters"].as_array().is_some_and(|p| p.iter().any(|p| p["in"] == "path")));
            }
        }
    }
}

/// Two connections at most: the third is closed, and a drained listener lets go of its port.
#[tokio::test]
async fn connections_are_bounded_and_drained() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let options = ListenerOptions { connections_max: 2, ..ListenerOptions::default() };
    let listener = HttpListener::start(bound, router(api(ApiOptions::default())), None, options).expect("starts");
    let address = listener.address();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = tokio::net::TcpStream::connect(address).await.expect("connects");
        connection.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("writes");
        let mut answer = [0u8; 12];
        connection.read_exact(&mut answer).await.expect("answers");
        assert_eq!(&answer, b"HTTP/1.1 200");
        open.push(connection);
    }
    let mut third = tokio::net::TcpStream::connect(address).await.expect("connects");
    // Reset or end of stream, as the system has it: in no case an answer.
    let _ = third.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(matches!(third.read(&mut [0u8; 1]).await, Ok(0) | Err(_)));
    listener.drain(Duration::from_secs(10)).await.expect("drains");
    std::net::TcpListener::bind(address).expect("the port is free again");
}

#[tokio::test]
async fn a_draft_is_tested_with_test_profiles_only() {
    let json = "application/json";
    let send = async |path: &str, body: String| ask(api(ApiOptions::default()), post(path, json, body)).await;
    let get = async |path: &str| {
        ask(api(ApiOptions::default()), Request::get(path).body(Body::empty()).expect("valid")).await
    };
    let text = "kind: event\nname: draft_go\nschema: { n: integer }\n---\nkind: journey\nname: drafted\n\
        entry: { event: draft_go }\nstart: a\nnodes:\n  a: { split: [ { percent: 1, then: w }, { percent: 99, then: done } ] }\n\
        \x20 w: { wait: 9d, then: done }\n  done: { end: true }\n";
    let files = serde_json::json!({"files": [{"name": "f.yaml", "text": text}]}).to_string();
    let (status, _, body) = send("/v1/resources/draft", files.clone()).await;
    assert_eq!((status.as_u16(), &body["resources"][1]["change"]), (200, &"drafted".into()), "{body}");
    check(Request::get("/v1/journeys/drafted/test").body(Body::empty()).expect("valid"), 409, "conflict").await;
    check(post("/v1/journeys/nobody/test/start", json, ""), 404, "not_found").await;
    check(post("/v1/journeys/drafted/test/start?wait=1ms", json, ""), 400, "malformed").await;
    check(post("/v1/test-profiles", json, r#"{"add":["nobody"]}"#), 400, "malformed").await;
    let (_, _, flagged) = send("/v1/test-profiles", r#"{"add":["crm:tester"]}"#.to_owned()).await;
    assert_eq!(flagged["test_profiles"], serde_json::json!(["crm:tester"]));
    let (_, _, started) = send("/v1/journeys/drafted/test/start?wait=1h", String::new()).await;
    assert_eq!(
        (&started["versions"][0]["status"], &started["versions"][0]["number"]),
        (&"draft_test".into(), &1.into())
    );

    for who in ["crm:tester", "crm:customer"] {
        let event = format!(r#"{{"id":"{who}","type":"draft_go","profile":"{who}","properties":{{"n":1}}}}"#);
        assert_eq!(send("/v1/events", event).await.0, StatusCode::OK);
    }
    let (_, _, log) = get("/v1/journeys/drafted/test").await;
    assert_eq!((&log["inside"], &log["wait_ms"]), (&1.into(), &3_600_000.into()), "{log}");
    let tester = &log["profiles"][0];
    assert_eq!((&tester["profile"], &tester["instances"][0]["node"]), (&"crm:tester".into(), &"w".into()), "{log}");
    let (_, _, report) = get("/v1/reports/drafted").await;
    assert_eq!(report["journeys"]["drafted"]["entered"], 0, "tests are none of its figures: {report}");
    assert_eq!(get("/v1/profiles/crm:customer/why?journey=drafted").await.0, StatusCode::NOT_FOUND);
    for path in ["/v1/reports/draftd", "/v1/profiles/crm:tester/why?journey=draftd", "/v1/steps?journey=draftd"] {
        let (status, _, body) = get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
        assert_eq!(body["error"]["suggestion"], "did you mean `drafted`?", "{path}: {body}");
    }
    assert_eq!(get("/v1/profiles/crm:tester/why?journey=drafted").await.0, StatusCode::OK);

    let (_, _, published) = send("/v1/journeys/drafted/test/publish", String::new()).await;
    assert_eq!(published["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&published["versions"][0]["status"], &published["versions"][0]["entered"]),
        (&"live".into(), &0.into())
    );
    check(post("/v1/journeys/drafted/test/stop", json, ""), 404, "not_found").await;
    let (_, _, again) = send("/v1/resources/apply", files).await;
    assert_eq!(again["resources"][1]["change"], "unchanged", "{again}");
}

#[tokio::test]
async fn what_is_recorded_is_told() {
    let body = r#"{"id":"r1","type":"profile.update","profile":"rec:1","properties":{"tier":"gold"}}"#;
    assert_eq!(ask(api(ApiOptions::default()), post("/v1/events", "application/json", body)).await.0, StatusCode::OK);
    let get = |path: &str| Request::get(path.to_owned()).body(Body::empty()).expect("valid");
    let (_, _, history) = ask(api(ApiOptions::default()), get("/v1/history")).await;
    assert!(history["since"].is_null() && history["now"].is_string() && history["whole"] == false, "{history}");
    let response = router(api(ApiOptions::default())).oneshot(get("/v1/profiles")).await.expect("infallible");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("whole");
    let lines = String::from_utf8(bytes.to_vec()).expect("text");
    assert!(lines.lines().any(|line| line == r#"{"profile":"rec:1","document":{"tier":"gold"}}"#), "{lines}");
    check(get("/v1/history/events?since=never"), 400, "bad_instant").await;
}
