//! Mutual TLS against a server that asks who calls.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::channel::call::tls::Unusable;

/// `tests/data/tls`: a certificate for `localhost` and one for whoever calls, by two authorities that exist for tests only.
const AUTHORITY: &[u8] = include_bytes!("../../../../tests/data/tls/authority.pem");
const LOCALHOST: &[u8] = include_bytes!("../../../../tests/data/tls/localhost.pem");
const LOCALHOST_KEY: &[u8] = include_bytes!("../../../../tests/data/tls/localhost.key.pem");
const CLIENTS: &[u8] = include_bytes!("../../../../tests/data/tls/clients.pem");
const CLIENT: &[u8] = include_bytes!("../../../../tests/data/tls/client.pem");
const CLIENT_KEY: &[u8] = include_bytes!("../../../../tests/data/tls/client.key.pem");

#[derive(Clone, Copy, Debug)]
enum Asks {
    Everyone,
    Nobody,
}

/// The certificates that each client has shown whose request was answered.
type Shown = Arc<Mutex<Vec<Vec<CertificateDer<'static>>>>>;

fn certificate(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).expect("a certificate")
}

fn config(asks: Asks, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[version]).expect("a version");
    let mut clients = RootCertStore::empty();
    clients.add(certificate(CLIENTS)).expect("an authority");
    let builder = match asks {
        Asks::Nobody => builder.with_no_client_auth(),
        Asks::Everyone => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::from_pem_slice(LOCALHOST_KEY).expect("a key");
    Arc::new(builder.with_single_cert(vec![certificate(LOCALHOST)], key).expect("they fit"))
}

/// A server whose answer to every request is `{}`; its port.
async fn start(config: Arc<ServerConfig>) -> (u16, Shown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("bound").port();
    let (acceptor, shown) = (TlsAcceptor::from(config), Shown::default());
    let seen = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (accepting, seen) = (acceptor.accept(stream).into_fallible(), Arc::clone(&seen));
            tokio::spawn(async move {
                match accepting.await {
                    Ok(stream) => answer_one(stream, &seen).await,
                    // Until the client goes: a connection that is cut may take the alert with it.
                    Err((_, mut stream)) => drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await),
                }
            });
        }
    });
    (port, shown)
}

async fn answer_one(mut stream: TlsStream<TcpStream>, shown: &Shown) {
    let mut request = Vec::new();
    // The body of every call here is an object.
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
            continue;
        }
        return;
    }
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    shown.lock().push(chain.iter().map(|one| one.clone().into_owned()).collect());
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    stream.write_all(answer).await.expect("the client listens");
    stream.shutdown().await.expect("the client is there");
}

/// One call with `tls` to a server that asks so: the answer, and what was shown.
async fn call_with(
    tls: &CallTls,
    asks: Asks,
    version: &'static SupportedProtocolVersion,
) -> (CallAnswer, Vec<Vec<CertificateDer<'static>>>) {
    let (port, shown) = start(config(asks, version)).await;
    let endpoint = Endpoint {
        name: "loyalty".into(),
        url: format!("https://localhost:{port}/members"),
        auth: Auth::None,
        network: Network::AllowPrivate,
        asking: None,
    };
    let caller = Caller::build(&endpoint, tls).expect("builds");
    let job = call_job(1, &endpoint, 30_000);
    let answer = caller.call(&job, &Limits::new(), Duration::ZERO, |_, _| Duration::ZERO).await;
    let shown = shown.lock().clone();
    (answer, shown)
}

fn trusting() -> CallTls {
    CallTls::default().trusting(AUTHORITY).expect("an authority")
}

fn showing() -> CallTls {
    trusting().showing(CLIENT, CLIENT_KEY).expect("a certificate and its key")
}

/// Spec §3.7: mutual TLS, automatic when the endpoint asks.
#[tokio::test]
async fn whoever_asks_is_shown_the_certificate() {
    for version in [&TLS12, &TLS13] {
        let (answer, shown) = call_with(&showing(), Asks::Everyone, version).await;
        assert_eq!(answer, CallAnswer::empty(CallStatus::Http(200)), "{version:?}");
        assert_eq!(shown, [[certificate(CLIENT)]]);
        let (answer, shown) = call_with(&showing(), Asks::Nobody, version).await;
        assert_eq!(answer.status, CallStatus::Http(200), "{answer:?}");
        assert_eq!(shown, [[]], "nobody asked");
    }
}

#[tokio::test]
async fn without_a_certificate_the_answer_says_what_was_asked_for() {
    for version in [&TLS12, &TLS13] {
        let (answer, shown) = call_with(&trusting(), Asks::Everyone, version).await;
        assert_eq!((answer.status, shown.len()), (CallStatus::InternalError, 0));
        let reason = answer.reason.expect("a reason");
        assert!(reason.contains("CertificateRequired"), "{version:?}: {reason}");
    }
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_ends_the_call() {
    let tls = CallTls::default().showing(CLIENT, CLIENT_KEY).expect("a certificate and its key");
    let (answer, shown) = call_with(&tls, Asks::Everyone, &TLS13).await;
    assert_eq!((answer.status, shown.len()), (CallStatus::InternalError, 0));
    let reason = answer.reason.expect("a reason");
    assert!(reason.contains("UnknownIssuer"), "{reason}");
}

#[test]
fn files_that_cannot_be_used_say_why_and_never_show_the_key() {
    let refused = |certificate: &[u8], key: &[u8]| CallTls::default().showing(certificate, key).expect_err("refused");
    let certificate = |why: &str| Unusable::Certificate(why.to_owned());
    let key = |why: &str| Unusable::Key(why.to_owned());
    assert_eq!(refused(b"", CLIENT_KEY), certificate("it holds no certificate"));
    assert_eq!(refused(CLIENT_KEY, CLIENT_KEY), certificate("it holds no certificate"));
    assert_eq!(refused(CLIENT, CLIENT), key("it holds no private key, or an encrypted one"));
    assert_eq!(refused(CLIENT, LOCALHOST_KEY), key("it is not the key of the certificate"));
    let nonsense = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    assert_eq!(refused(CLIENT, nonsense), key("its private key can't be read"));
    let nonsense = b"-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(nonsense, CLIENT_KEY), Unusable::Certificate(_)));
    assert!(CallTls::default().trusting(nonsense).is_err());
    assert_eq!(CallTls::default().trusting(b"# none\n").expect_err("refused"), "it holds no certificate");
    // One file for both is common.
    let both = [CLIENT, CLIENT_KEY].concat();
    let tls = showing().showing(&both, &both).expect("certificate and key");
    assert_eq!(format!("{tls:?}"), "CallTls { has_identity: true, authorities: 1 }");
}
