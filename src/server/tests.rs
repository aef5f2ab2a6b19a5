//! Exposure, keys, TLS files, and the ways a server ends.

use std::future::pending;

use super::*;
use crate::config::{Sources, load};

fn config(flags: &[(&str, &str)]) -> Config {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    load(&Sources { flags, ..Sources::default() }).expect("valid").config
}

#[test]
fn strangers_are_kept_out() {
    let check = |flags: &[(&str, &str)], expected: &str| {
        let config = config(flags);
        let outcome = check_exposure(&config, &api_keys(&config, None)).err().map(|e| e.to_string());
        assert!(outcome.as_deref().unwrap_or("fine").starts_with(expected), "{outcome:?}");
    };
    let digest = format!("shop=sha256:{}", "ab".repeat(32));
    let key = ("auth.keys", digest.as_str());
    check(&[], "fine");
    check(&[("http.listen", "[::1]:0")], "fine");
    check(
        &[("http.listen", "0.0.0.0:8080")],
        "http.listen 0.0.0.0:8080 is reachable from other machines, but there is no",
    );
    check(
        &[("tcp.listen", "10.0.0.1:7070")],
        "tcp.listen 10.0.0.1:7070 is reachable from other machines, but there is no",
    );
    check(
        &[("http.listen", "0.0.0.0:8080"), key],
        "http.listen 0.0.0.0:8080 is reachable from other machines, but not",
    );
    check(&[("http.listen", "0.0.0.0:8080"), key, ("allow_plaintext", "true")], "fine");
    check(&[("http.listen", "0.0.0.0:1"), key, ("tls.certificate", "c"), ("tls.key", "k")], "fine");
}

#[test]
fn a_key_of_the_environment_counts() {
    let config = config(&[]);
    assert!(api_keys(&config, None).is_empty() && api_keys(&config, Some("")).is_empty());
    let keys = api_keys(&config, Some("secret"));
    assert!(keys.allows(Some("secret")) && !keys.allows(None));
}

#[test]
fn unusable_certificates_are_named() {
    let error = tls(&config(&[("tls.certificate", "/nowhere/c.pem"), ("tls.key", "/nowhere/k.pem")]), &[]);
    let text = error.expect_err("no such file").to_string();
    assert!(text.starts_with("tls.certificate: /nowhere/c.pem: "), "{text}");
}

#[test]
fn what_calls_show_and_trust_is_read_at_start() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
    let check = |settings: &[(&str, &str)], expected: &str| {
        let paths: Vec<_> = settings.iter().map(|(key, file)| (*key, format!("{directory}/{file}"))).collect();
        let flags: Vec<_> = paths.iter().map(|(key, path)| (*key, path.as_str())).collect();
        let outcome = call_tls(&config(&flags)).map_or_else(|error| error.to_string(), |tls| format!("{tls:?}"));
        assert_eq!(outcome.replace(directory, "TLS"), expected);
    };
    let both = |certificate, key| [("calls.client_certificate", certificate), ("calls.client_key", key)];
    check(&[], "CallTls { has_identity: false, authorities: 0 }");
    check(&both("client.pem", "client.key.pem"), "CallTls { has_identity: true, authorities: 0 }");
    check(&[("calls.ca", "authority.pem")], "CallTls { has_identity: false, authorities: 1 }");
    let missing = "No such file or directory (os error 2)";
    check(&both("none.pem", "client.key.pem"), &format!("calls.client_certificate: TLS/none.pem: {missing}"));
    check(&both("client.pem", "none.pem"), &format!("calls.client_key: TLS/none.pem: {missing}"));
    check(
        &both("client.pem", "localhost.key.pem"),
        "calls.client_key: TLS/localhost.key.pem: it is not the key of the certificate",
    );
    check(
        &both("client.key.pem", "client.key.pem"),
        "calls.client_certificate: TLS/client.key.pem: it holds no certificate",
    );
    check(&[("calls.ca", "client.key.pem")], "calls.ca: TLS/client.key.pem: it holds no certificate");
}

/// What happens once a stop has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    EngineStops,
    SecondSignal,
    Failure,
    Nothing,
}

/// How a server ends that gets a signal, and then this.
async fn end(then: Then, deadline: Duration) -> Outcome {
    let bound = bind("http.listen", "127.0.0.1:0".parse().expect("an address")).expect("a port");
    let http = HttpListener::start(bound, axum::Router::new(), None, ListenerOptions::default()).expect("starts");
    let nowhere = http.address();
    let addresses = Addresses { http: nowhere, grpc: nowhere, tcp: nowhere, data: String::new(), pid: 0 };
    let (streams, tasks) = (CancellationToken::new(), TaskTracker::new());
    let server = Server { addresses, draining: Arc::default(), http, health: None, streams, tasks };
    let signalled = AtomicBool::new(false);
    // Resolves once the engine was asked to stop, so that the order of things is the one under test.
    let (asked, begun) = tokio::sync::watch::channel(false);
    let once_stopping = |is: Then| {
        let mut begun = begun.clone();
        async move {
            if then != is || begun.wait_for(|begun| *begun).await.is_err() {
                pending::<()>().await;
            }
        }
    };
    let lifecycle = Lifecycle {
        signal: async || {
            if signalled.swap(true, Ordering::Relaxed) {
                once_stopping(Then::SecondSignal).await;
            }
        },
        failed: async {
            once_stopping(Then::Failure).await;
            "sync".to_owned()
        },
        stop_engine: async |_: Duration| {
            asked.send_replace(true);
            once_stopping(Then::EngineStops).await;
        },
        deadline,
    };
    run(server, lifecycle).await
}

#[tokio::test]
async fn every_way_to_end() {
    /// Never reached: a test that waits for it fails by hanging.
    const LONG: Duration = Duration::from_secs(86_400);
    assert_eq!(end(Then::EngineStops, LONG).await, Outcome::Stopped);
    assert_eq!(end(Then::SecondSignal, LONG).await, Outcome::CutOff);
    assert_eq!(end(Then::Failure, LONG).await, Outcome::Failed("sync".to_owned()));
    assert_eq!(end(Then::Nothing, Duration::ZERO).await, Outcome::CutOff);
}
