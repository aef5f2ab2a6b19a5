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
