//! The webhook channel against small HTTP servers on loopback.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::WebhookSender;
use crate::channel::address::Lookup;
use crate::channel::attempt::{Announcement, Attempt, Sender as _};
use crate::channel::testing::{Reports, delivery_id, failed_because, job, job_with, pool, webhook_surface, with_row};
use crate::domain::content::Escape;
use crate::domain::effect::DeliveryOutcome;
use crate::domain::ids::Millis;
use crate::domain::journey::program::Channel;
use crate::domain::surface::{InDoubt, Network, Surface};
use crate::runtime::delivery::Standing;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Head(&'static str),
    /// 200 and far more body than is read.
    LongBody,
    Reset,
    Hang,
}

struct Request {
    headers: HeaderMap,
    body: String,
}

/// Answers requests in order by its script; the last answer repeats.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    async fn start(script: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<_>>()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    fn surface(&self) -> Arc<Surface> {
        let url = format!("http://{}/hook", self.address);
        webhook_surface(&url, Some(SECRET), Network::AllowPrivate)
    }

    fn request_ids(&self) -> Vec<String> {
        let header = |request: &Request| request.headers["webhook-id"].to_str().expect("text").to_owned();
        self.requests.lock().iter().map(header).collect()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<VecDeque<Answer>>>, seen: Arc<Mutex<Vec<Request>>>) {
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().push(request);
        let answer = {
            let mut script = script.lock();
            if script.len() > 1 { script.pop_front().expect("not empty") } else { script[0] }
        };
        let head = match answer {
            Answer::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok"),
            Answer::Head(head) => format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"),
            Answer::LongBody => format!("HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n{}", "x".repeat(200_000)),
            Answer::Reset => {
                // Unread bytes or zero linger make the kernel send RST; either way the answer never comes.
                return;
            }
            Answer::Hang => std::future::pending().await,
        };
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").expect("header");
        let name: reqwest::header::HeaderName = name.parse().expect("name");
        headers.append(name, value.parse().expect("value"));
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { headers, body: String::from_utf8(body).expect("text") })
}

/// One delivery against a server with `script`: what was reported, and how many requests came.
async fn check(script: &[Answer], expected: &[DeliveryOutcome], requests: usize) {
    let server = Server::start(script).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<WebhookSender>(&reports);
    let job = job(1, Channel::Webhook, Some(&server.surface()));
    pool.offer(job).expect("room");
    assert_eq!(reports.wait(delivery_id(1), expected.len()).await, expected);
    let ids = server.request_ids();
    assert_eq!(ids, vec![delivery_id(1).to_string(); requests]);
}

/// `in_doubt: hold` on a webhook: the attempt is journaled first, and what may have arrived is not repeated.
#[tokio::test]
async fn a_receiver_without_keys_is_not_asked_twice() {
    for (first, expected, requests) in [
        (Answer::Reset, "in doubt", 1),
        (Answer::Status(500), "in doubt", 1),
        (Answer::Status(504), "in doubt", 1),
        (Answer::Status(503), "sent", 2),
        (Answer::Status(429), "sent", 2),
        (Answer::Status(200), "sent", 1),
    ] {
        let server = Server::start(&[first, Answer::Status(200)]).await;
        let mut surface = (*server.surface()).clone();
        surface.in_doubt = InDoubt::Hold;
        let reports = Reports::new();
        let (pool, _stop) = pool::<WebhookSender>(&reports);
        pool.offer(job(1, Channel::Webhook, Some(&Arc::new(surface)))).expect("room");
        let outcomes = reports.wait(delivery_id(1), if requests == 1 { 2 } else { 4 }).await;
        assert_eq!(outcomes[0], DeliveryOutcome::AttemptStarted);
        let last = match outcomes.last() {
            Some(DeliveryOutcome::Sent) => "sent",
            Some(DeliveryOutcome::InDoubt { .. }) => "in doubt",
            _ => "other",
        };
        assert_eq!((last, server.requests.lock().len()), (expected, requests), "{outcomes:?}");
    }
}

fn failed(reason: &str) -> DeliveryOutcome {
    DeliveryOutcome::Failed { reason: reason.to_owned() }
}

#[tokio::test]
async fn accepted_at_once_is_sent() {
    check(&[Answer::Status(200)], &[DeliveryOutcome::Sent], 1).await;
    check(&[Answer::Status(204)], &[DeliveryOutcome::Sent], 1).await;
}

#[tokio::test]
async fn a_passing_error_is_retried_with_the_same_id() {
    let expected = [DeliveryOutcome::AttemptStarted, DeliveryOutcome::Sent];
    check(&[Answer::Status(500), Answer::Status(200)], &expected, 2).await;
    check(&[Answer::Status(503), Answer::Status(408), Answer::Status(429), Answer::Status(200)], &expected, 4).await;
}

#[tokio::test]
async fn a_lost_connection_is_retried_with_the_same_id() {
    check(&[Answer::Reset, Answer::Status(200)], &[DeliveryOutcome::AttemptStarted, DeliveryOutcome::Sent], 2).await;
}

#[tokio::test]
async fn refusals_and_redirects_are_final() {
    let gone = failed("the receiver answered 410 Gone");
    check(&[Answer::Status(410)], &[gone], 1).await;
    let moved = failed("the receiver answered 302 Found; redirects are not followed");
    check(&[Answer::Head("302 Found\r\nlocation: http://127.0.0.1:1/")], &[moved], 1).await;
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    check(&[Answer::LongBody], &[DeliveryOutcome::Sent], 1).await;
}

#[tokio::test]
async fn a_hanging_receiver_is_given_up_after_the_timeout() {
    let server = Server::start(&[Answer::Hang]).await;
    let mut surface = (*server.surface()).clone();
    surface.attempt_timeout_ms = 50;
    let sender = WebhookSender::build(&surface).expect("valid");
    let reports = Reports::new();
    let announcement = Announcement::new(delivery_id(1), reports.sink());
    match sender.attempt(&job(1, Channel::Webhook, Some(&Arc::new(surface))), &announcement).await {
        Attempt::Again { reason, not_before: None } => {
            assert!(!reason.contains("127.0.0.1"), "no URL in reasons: {reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.requests.lock().len(), 1);
}

#[tokio::test]
async fn the_receivers_pause_is_read() {
    let server = Server::start(&[Answer::Head("429 Too Many Requests\r\nretry-after: 120")]).await;
    let sender = WebhookSender::build(&server.surface()).expect("valid");
    let announcement = Announcement::new(delivery_id(1), Reports::new().sink());
    let attempt = sender.attempt(&job(1, Channel::Webhook, None), &announcement).await;
    let not_before = Some(std::time::Duration::from_secs(120));
    assert_eq!(
        attempt,
        Attempt::Again { reason: "the receiver answered 429 Too Many Requests".to_owned(), not_before }
    );
}

#[tokio::test]
async fn requests_are_signed_and_carry_their_key() {
    let server = Server::start(&[Answer::Status(200)]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<WebhookSender>(&reports);
    let surface = server.surface();
    let body = r#"{"text":"grüße"}"#;
    pool.offer(job_with(1, Channel::Webhook, Some(&surface), ("", body, Escape::Json))).expect("room");
    assert_eq!(reports.wait(delivery_id(1), 1).await, [DeliveryOutcome::Sent]);
    let requests = server.requests.lock();
    let request = &requests[0];
    assert_eq!(request.body, body);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["idempotency-key"], delivery_id(1).to_string().as_str());
    assert!(request.headers["user-agent"].to_str().expect("text").starts_with("sojourn/"));
    let verifier = standardwebhooks::Webhook::new(SECRET).expect("secret");
    verifier.verify(body.as_bytes(), &request.headers).expect("signature");
    verifier.verify(b"{}", &request.headers).expect_err("another body");
}

#[tokio::test]
async fn private_addresses_are_refused() {
    let server = Server::start(&[Answer::Status(200)]).await;
    let port = server.address.port();
    for (url, expected) in [
        (format!("http://127.0.0.1:{port}/"), "address 127.0.0.1 of 127.0.0.1 is not public"),
        (format!("http://2130706433:{port}/"), "address 127.0.0.1 of 127.0.0.1 is not public"),
        (format!("http://[::1]:{port}/"), "address ::1 of [::1] is not public"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "is not public"),
        (format!("http://intern.example:{port}/"), "address 127.0.0.1 of intern.example is not public"),
    ] {
        let loopback: Lookup = Arc::new(|_| Box::pin(async { Ok(vec!["127.0.0.1:0".parse().expect("address")]) }));
        let surface = webhook_surface(&url, None, Network::Public);
        let sender = WebhookSender::with_lookup(&surface, loopback).expect("valid");
        let announcement = Announcement::new(delivery_id(1), Reports::new().sink());
        match sender.attempt(&job(1, Channel::Webhook, Some(&surface)), &announcement).await {
            Attempt::Failed(reason) => assert!(reason.contains(expected), "{url}: {reason}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    assert!(server.requests.lock().is_empty());
}

#[tokio::test]
async fn a_row_cancelled_after_the_first_failure_is_not_sent_again() {
    let server = Server::start(&[Answer::Status(500), Answer::Status(200)]).await;
    let reports = Reports::new();
    reports.cancel(delivery_id(1));
    let (pool, _stop) = pool::<WebhookSender>(&reports);
    let surface = server.surface();
    pool.offer(job(1, Channel::Webhook, Some(&surface))).expect("room");
    pool.offer(job(2, Channel::Webhook, Some(&surface))).expect("room");
    reports.wait(delivery_id(2), 1).await;
    assert_eq!(reports.wait(delivery_id(1), 1).await, [DeliveryOutcome::AttemptStarted]);
    assert_eq!(server.requests.lock().len(), 2);
}

#[tokio::test]
async fn the_horizon_counts_from_the_journaled_first_attempt() {
    let server = Server::start(&[Answer::Status(500)]).await;
    let reports = Reports::new();
    let (pool, _stop) = pool::<WebhookSender>(&reports);
    let fresh = job(1, Channel::Webhook, Some(&server.surface()));
    let a_day_earlier = Millis(fresh.row.decided_at.0 - 86_400_000);
    pool.offer(with_row(&fresh, |row| row.first_attempt_at = Some(a_day_earlier))).expect("room");
    let outcomes = reports.wait(delivery_id(1), 1).await;
    let reason = "gave up at attempt 1: the receiver answered 500 Internal Server Error";
    assert_eq!(failed_because(&outcomes[0]), reason);

    let mut resumed = with_row(&fresh, |row| {
        row.id = delivery_id(2);
        row.first_attempt_at = Some(a_day_earlier);
    });
    resumed.standing = Standing::Resumed;
    pool.offer(resumed).expect("room");
    let outcomes = reports.wait(delivery_id(2), 1).await;
    assert!(matches!(outcomes[..], [DeliveryOutcome::InDoubt { .. }]), "{outcomes:?}");
    assert_eq!(server.requests.lock().len(), 1);
}

#[tokio::test]
async fn bad_secrets_and_urls_name_what_is_wrong() {
    let build = |url: &str, secret: Option<&str>| {
        WebhookSender::build(&webhook_surface(url, secret, Network::Public)).err().expect("refused")
    };
    assert!(build("nowhere", None).contains("url is not valid"));
    let error = build("https://example.com/", Some("whsec_%%%"));
    assert!(error.contains("base64") && !error.contains("%%%"), "{error}");
}
