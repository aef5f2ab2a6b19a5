//! Custom actions from outside: the built server calls a real HTTP endpoint, waits for its answer, and survives a kill
//! while it waits.

#[expect(dead_code, reason = "each test uses its own part of what starts servers")]
#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum_server::tls_rustls::RustlsConfig;
use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use server::{PATIENCE, Server, Starting};

/// What the endpoint has seen: path, key and body of each request.
type Seen = Vec<(String, String, Value)>;

#[derive(Clone)]
struct Endpoint {
    seen: Arc<watch::Sender<Seen>>,
    /// Answers only once this is true.
    answers: watch::Receiver<bool>,
}

async fn serve(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let key = parts.headers["idempotency-key"].to_str().expect("text").to_owned();
    let body = serde_json::from_slice(&body).expect("JSON");
    endpoint.seen.send_modify(|seen| seen.push((parts.uri.path().to_owned(), key, body)));
    let mut answers = endpoint.answers.clone();
    if answers.wait_for(|answers| *answers).await.is_err() {
        return StatusCode::GONE.into_response();
    }
    if parts.uri.path().starts_with("/members/busy/") {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if parts.uri.path().starts_with("/members/bad/") {
        return (StatusCode::NOT_FOUND, json!({ "code": "E1" }).to_string()).into_response();
    }
    if parts.uri.path().starts_with("/members/none/") {
        return (StatusCode::OK, "{}").into_response();
    }
    let level = if parts.uri.path().starts_with("/members/silver-") { "silver" } else { "gold" };
    (StatusCode::OK, json!({ "level": level }).to_string()).into_response()
}

fn resources(endpoint: &str) -> Vec<(String, String)> {
    let text = format!(
        r#"
kind: event
name: bought
schema: {{ total: number }}
---
kind: action
name: loyalty
url: "{endpoint}/members"
allow_private: true
parameters: {{ member: string, points: number }}
path: "/{{member}}/points"
body: {{ points: with.points }}
response: {{ level: string }}
error_response: {{ code: string }}
---
kind: message
name: told
channel: log
body: "{{{{ action.loyalty.level }}}} {{{{ action.loyalty.status }}}} {{{{ action.loyalty.error_response.code }}}}"
---
kind: journey
name: ask
entry: {{ event: bought }}
start: ask
nodes:
  ask: {{ action: loyalty, with: {{ member: journey.key, points: event.total }}, then: tell, on_error: sorry }}
  tell: {{ message: told, then: done }}
  sorry: {{ message: told, then: done }}
  done: {{ end: true }}
"#
    );
    vec![("ask.yaml".to_owned(), text)]
}

async fn buy(server: &Server, profile: &str) {
    let event = json!({ "id": profile, "type": "bought", "profile": profile, "properties": { "total": 80 } });
    let (status, body) = server.api.call(Method::POST, "/v1/events", Some(&event)).await.expect("answers");
    assert_eq!(status, 200, "{body}");
}

/// Waits until the report says what `holds` wants.
async fn report(server: &Server, holds: impl Fn(&Value) -> bool) -> Value {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let report = server.api.get("/v1/reports").await;
        let journey = &report["journeys"]["ask"];
        if holds(journey) {
            return journey.clone();
        }
        assert!(tokio::time::Instant::now() < until, "{journey}");
        tokio::time::sleep(server::POLL).await;
    }
}

#[tokio::test]
async fn a_call_survives_a_kill_with_its_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let (seen, (answer, answers)) = (Arc::new(watch::Sender::new(Seen::new())), watch::channel(false));
    let endpoint = Endpoint { seen: Arc::clone(&seen), answers };
    let router = Router::new().fallback(serve).with_state(endpoint);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut seen = seen.subscribe();

    let directory = tempfile::tempdir().expect("a directory");
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Starting::new(&data, &[], &log).listening().await;
    server.api.publish(&resources(&format!("http://127.0.0.1:{port}"))).await;
    buy(&server, "crm:ann").await;
    timeout(PATIENCE, seen.wait_for(|seen| seen.len() == 1)).await.expect("in time").expect("called");
    let journey = report(&server, |journey| journey["active"] == 1).await;
    assert_eq!(journey["nodes"]["ask"]["in_node"], 1, "it waits for its answer: {journey}");
    server.kill();

    let server = Starting::new(&data, &[], &log).listening().await;
    timeout(PATIENCE, seen.wait_for(|seen| seen.len() == 2)).await.expect("in time").expect("called again");
    answer.send_replace(true);
    buy(&server, "crm:bad").await;
    let done = |journey: &Value| journey["exited"]["completed"] == 2 && journey["messages"]["told"]["sent"] == 2;
    let journey = report(&server, done).await;
    assert_eq!((&journey["nodes"]["tell"]["entered"], &journey["nodes"]["sorry"]["entered"]), (&json!(1), &json!(1)));
    let calls = seen.borrow().clone();
    assert_eq!(calls.len(), 3, "nobody is asked again: {calls:?}");
    assert_eq!(calls[0], calls[1], "the same call with the same key");
    assert_eq!((calls[0].0.as_str(), &calls[0].2), ("/members/ann/points", &json!({ "points": 80.0 })));
    assert_ne!(calls[0].1, calls[2].1);
    assert!(server.stop().await.success());
    let lines = std::fs::read_to_string(data.join("messages.ndjson")).expect("a log");
    assert!(lines.contains("gold http_200 ") && lines.contains(" http_404 E1"), "{lines}");
}

/// A server that is told to stop does not wait for an answer that may never come.
#[tokio::test]
async fn a_stop_leaves_the_call_to_the_next_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let (seen, (_answer, answers)) = (Arc::new(watch::Sender::new(Seen::new())), watch::channel(false));
    let router = Router::new().fallback(serve).with_state(Endpoint { seen: Arc::clone(&seen), answers });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut seen = seen.subscribe();
    let directory = tempfile::tempdir().expect("a directory");
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Starting::new(&data, &[], &log).listening().await;
    server.api.publish(&resources(&format!("http://127.0.0.1:{port}"))).await;
    buy(&server, "crm:ann").await;
    timeout(PATIENCE, seen.wait_for(|seen| seen.len() == 1)).await.expect("in time").expect("called");
    assert!(timeout(Duration::from_secs(60), server.stop()).await.expect("it stops").success());
    let server = Starting::new(&data, &[], &log).listening().await;
    timeout(PATIENCE, seen.wait_for(|seen| seen.len() == 2)).await.expect("in time").expect("called again");
    server.kill();
}

/// A journey whose way hangs on what was answered.
fn branching(port: u16) -> Vec<(String, String)> {
    let mut files = resources(&format!("http://127.0.0.1:{port}"));
    files[0].1 = files[0].1.replace("then: tell, on_error", "then: level, on_error").replace(
        "nodes:\n",
        "nodes:\n  level: { condition: [ { when: \"action.loyalty.level == 'gold'\", then: tell } ], otherwise: done }\n",
    );
    files
}

/// A dry run of these files on what the server recorded.
fn dry_run(server: &Server, files: &[(String, String)], directory: &Path, more: &[&str]) -> Output {
    let path = directory.join("draft.yaml");
    std::fs::write(&path, &files[0].1).expect("written");
    let mut command = Command::new(server::program());
    command.arg("dry-run").arg(&path).args(["--journey", "ask", "--samples", "20", "--server", &server.api.base]);
    command.args(more).env_remove("SOJOURN_API_KEY").output().expect("the program starts")
}

/// Every profile gets the answer that it got: an unchanged journey does in a dry run what it did.
#[tokio::test]
async fn a_dry_run_of_an_unchanged_journey_with_calls_shows_no_difference() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let (_answer, answers) = watch::channel(true);
    let endpoint = Endpoint { seen: Arc::new(watch::Sender::new(Seen::new())), answers };
    let router = Router::new().fallback(serve).with_state(endpoint);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().expect("a directory");
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let server = Starting::new(&data, &[], &log).listening().await;
    let files = branching(port);
    server.api.publish(&files).await;
    for who in ["gold-1", "silver-1", "bad", "none", "gold-2", "silver-2", "silver-3"] {
        buy(&server, &format!("crm:{who}")).await;
    }
    let journey = report(&server, |journey| journey["exited"]["completed"] == 7).await;
    assert_eq!(journey["nodes"]["tell"]["entered"], 2);

    let until = tokio::time::Instant::now() + PATIENCE;
    let told = loop {
        let output = dry_run(&server, &files, directory.path(), &["--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // The archive follows the journal.
        if told["live"]["exited"]["completed"] == 7 {
            break told;
        }
        assert!(tokio::time::Instant::now() < until, "{told}");
        tokio::time::sleep(server::POLL).await;
    };
    assert_eq!(told["draft"], told["live"]);
    assert_eq!(told["draft"]["calls"]["loyalty"], json!({ "http_200": 6, "http_404": 1 }));
    let codes: Vec<&Value> = told["unknown"].as_array().expect("a list").iter().map(|it| &it["code"]).collect();
    assert!(!codes.contains(&&json!("null_answers")), "{codes:?}");
    let samples = told["samples"].to_string();
    assert!(samples.contains(r#"http_200: {\"level\":\"silver\"}"#), "{samples}");

    // A field that no answer ever had is nothing that a draft could go by.
    let mut other = files.clone();
    other[0].1 = other[0].1.replace("{ level: string }", "{ level: string, tier: string }");
    other[0].1 = other[0].1.replace("action.loyalty.level ==", "action.loyalty.tier ==");
    let output = dry_run(&server, &other, directory.path(), &[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[2], "branches that nobody knows", "{text}");
    assert!(lines[3].starts_with("  - 6 times `level` was decided by `action.loyalty.tier`"), "{text}");
    server.kill();
}

/// Guardrails of calls reach those who make them: two of three calls of a host are made, and one that fails is not repeated.
#[tokio::test]
async fn fewer_calls_of_a_host_and_no_retries() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let (seen, (_answer, answers)) = (Arc::new(watch::Sender::new(Seen::new())), watch::channel(true));
    let endpoint = Endpoint { seen: Arc::clone(&seen), answers };
    let router = Router::new().fallback(serve).with_state(endpoint);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().expect("a directory");
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let flags = [("guardrails-calls-per-host-max", "2".to_owned()), ("guardrails-call-retries-max", "0".to_owned())];
    let server = Starting::new(&data, &flags, &log).listening().await;
    server.api.publish(&resources(&format!("http://127.0.0.1:{port}"))).await;
    buy(&server, "crm:busy").await;
    report(&server, |journey| journey["messages"]["told"]["sent"] == 1).await;
    assert_eq!(seen.borrow().len(), 1, "it failed, and is not repeated");
    for profile in ["crm:bea", "crm:cat"] {
        buy(&server, profile).await;
        report(&server, |journey| journey["active"] == 0).await;
    }
    let journey = report(&server, |journey| journey["messages"]["told"]["sent"] == 3).await;
    assert_eq!((&journey["nodes"]["tell"]["entered"], &journey["nodes"]["sorry"]["entered"]), (&json!(1), &json!(2)));
    assert_eq!(seen.borrow().len(), 2);
    assert!(server.stop().await.success());
    let lines = std::fs::read_to_string(data.join("messages.ndjson")).expect("a log");
    assert!(lines.contains(" http_500 ") && lines.contains("gold http_200 ") && lines.contains(" capped "), "{lines}");
}

/// An HTTPS endpoint that answers nobody without a certificate of the authority of clients; its port.
fn serve_known_clients(tls: &Path, router: Router) -> u16 {
    let certificate = |name: &str| CertificateDer::from_pem_file(tls.join(name)).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut clients = RootCertStore::empty();
    clients.add(certificate("clients.pem")).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(
            vec![certificate("localhost.pem")],
            PrivateKeyDer::from_pem_file(tls.join("localhost.key.pem")).expect("a key"),
        )
        .expect("they fit");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    listener.set_nonblocking(true).expect("can be");
    let port = listener.local_addr().expect("an address").port();
    let serving = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config))).expect("listens");
    tokio::spawn(serving.serve(router.into_make_service()));
    port
}

/// Mutual TLS from the settings to the answer; without a certificate the call fails, and the step says why.
#[tokio::test]
async fn an_endpoint_that_asks_is_shown_the_certificate_of_the_settings() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let (seen, (_answer, answers)) = (Arc::new(watch::Sender::new(Seen::new())), watch::channel(true));
    let endpoint = Endpoint { seen: Arc::clone(&seen), answers };
    let port = serve_known_clients(&tls, Router::new().fallback(serve).with_state(endpoint));
    let directory = tempfile::tempdir().expect("a directory");
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let file = |name: &str| tls.join(name).display().to_string();
    let trusted = ("calls-ca", file("authority.pem"));
    let shown = [("calls-client-certificate", file("client.pem")), ("calls-client-key", file("client.key.pem"))];

    let server = Starting::new(&data, std::slice::from_ref(&trusted), &log).listening().await;
    server.api.publish(&resources(&format!("https://localhost:{port}"))).await;
    buy(&server, "crm:ann").await;
    report(&server, |journey| journey["messages"]["told"]["sent"] == 1).await;
    let timeline = server.api.get("/v1/profiles/crm:ann").await.to_string();
    assert!(timeline.contains("internal_error") && timeline.contains("CertificateRequired"), "{timeline}");
    assert!(server.stop().await.success());
    assert_eq!(seen.borrow().len(), 0);

    let [certificate, key] = shown;
    let server = Starting::new(&data, &[trusted, certificate, key], &log).listening().await;
    buy(&server, "crm:bea").await;
    report(&server, |journey| journey["messages"]["told"]["sent"] == 2).await;
    assert!(server.stop().await.success());
    assert_eq!(seen.borrow().len(), 1);
    let lines = std::fs::read_to_string(data.join("messages.ndjson")).expect("a log");
    assert!(lines.contains(" internal_error ") && lines.contains("gold http_200 "), "{lines}");
}
