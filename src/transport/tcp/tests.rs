//! The feed over real sockets, with an engine that commits when told.

mod ends;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::TcpOptions;
use super::connection::{self, Connection};
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::runtime::api::{Origin, Refusal};
use crate::transport::client::{ClientConfig, ClientError, Reconnect};
use crate::transport::clock::EventClock;
use crate::transport::code::Code;
use crate::transport::fake::{FakeEngine, event, events};
use crate::transport::stream::{Streams, Window};
use crate::wire::frame::{
    Ack, Batch, ClientFrame, Hello, LENGTH_BYTES, ServerFrame, encode_batch, encode_client, encode_hello,
};

use ends::*;

#[tokio::test]
async fn a_client_sends_and_all_is_acknowledged() {
    let server = server(options()).await;
    let mut client = server.client(ClientConfig::new("shop", 1)).await.expect("welcome");
    assert_eq!(client.clock(), "wall");
    let mut sent = events(1, 25_000);
    sent[6].profile = "nobody".into();
    sent[7].kind = "journey.mine".into();
    sent[24_999].kind = "engine_refuses".into();
    client.send(&sent).await.expect("sent");
    let flushed = client.flush().await.expect("acknowledged");
    assert_eq!((flushed.sequence, flushed.rejected, flushed.duplicates), (25_000, 3, 0));
    let rejections = client.take_rejections();
    let told: Vec<_> = rejections.iter().map(|r| (r.sequence, r.code.as_str())).collect();
    assert_eq!(told, [(7, "bad_profile"), (8, "reserved_type"), (25_000, "not_this")]);
    client.finish().await.expect("goodbye");
    let engine = server.stop().await;
    let applied = engine.applied();
    let expected: Vec<_> = (1..=25_000).filter(|id| *id != 7 && *id != 8).map(|id| id.to_string()).collect();
    assert_eq!(applied, expected);
    for submission in engine.submissions() {
        let Origin::Stream { first_sequence, .. } = submission.origin else { panic!("a stream") };
        let first = submission.events.first().expect("no empty submission");
        assert_eq!(first.id.as_str(), first_sequence.to_string(), "sequences name their events");
    }
}

#[tokio::test]
async fn acks_come_after_the_commit_in_order_and_together() {
    let server = server(options()).await;
    server.engine.commit_to(0);
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    for first in [1, 4, 7] {
        raw.batch(first, 3).await;
    }
    raw.send(ClientFrame::Ping(77)).await;
    assert_eq!(raw.frame().await, ServerFrame::Pong(77), "no ack comes before the commit");
    server.engine.commit_to(2);
    let (ack, credit) = raw.ack().await;
    assert_eq!((ack, credit), (Ack { sequence: 6, ..Ack::default() }, 6));
    server.engine.commit_to(3);
    assert_eq!(raw.ack().await.0.sequence, 9);
    raw.send(ClientFrame::Goodbye(String::new())).await;
    assert!(matches!(raw.frame().await, ServerFrame::Goodbye(_)));
    drop(raw);
    server.stop().await;
}

#[tokio::test]
async fn a_bad_event_leaves_its_neighbours() {
    let server = server(options()).await;
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    // [1, 1, [7, good, a bomb of arrays, good, nil]]
    let good = |id: &str| [b"\x95\xa1", id.as_bytes(), b"\xa1x\xa3c:1\xc0\x80"].concat();
    let bomb = [vec![0x91; 100_000], vec![0xc0]].concat();
    let deep = [&b"\x95\xa1d\xa1x\xa3c:1\xc0"[..], &b"\x81\xa1a".repeat(101), b"\xc0"].concat();
    let body = [&b"\x93\x01\x01\x97\x07"[..], &good("a"), &bomb, &good("b"), &good("c"), &deep, b"\xc0"].concat();
    raw.body(&body).await;
    let mut rejected = Vec::new();
    loop {
        let (ack, _) = raw.ack().await;
        rejected.extend(ack.rejected.into_iter().map(|r| (r.sequence, r.code)));
        if ack.sequence == 7 {
            break;
        }
    }
    let expected = [(1, "bad_event"), (3, "bad_event"), (6, "too_deep"), (7, "bad_event")];
    assert_eq!(rejected, expected.map(|(sequence, code)| (sequence, code.to_owned())));
    drop(raw);
    let engine = server.stop().await;
    let taken: Vec<_> = engine.submissions().into_iter().map(|s| (s.origin, s.events.len())).collect();
    assert_eq!(taken.len(), 2, "a refused event ends a submission");
    assert_eq!(engine.applied(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_bad_frame_ends_the_connection_after_what_came_before() {
    let too_many = [&b"\x93\x01\x04\xdc\x27\x11"[..], &[0xc0; 10_001]].concat();
    for (body, code, says) in [
        (&b""[..], Code::Malformed, "at byte 0"),
        (b"\xc1", Code::Malformed, "at byte 0"),
        (b"\x01", Code::Malformed, "a frame is an array"),
        (b"\x90", Code::Malformed, "at byte 1"),
        (b"\x91\xa1x", Code::Malformed, "kind of frame"),
        (b"\x91\x09", Code::Malformed, "kind 9"),
        (b"\x92\x03\x05", Code::Malformed, "kind 3, which no client sends"),
        (b"\x92\x05\xa1x", Code::Malformed, "malformed ping"),
        (b"\x92\x05\x01\x00", Code::Malformed, "behind the frame at byte 3"),
        (b"\x91\x01", Code::Malformed, "a batch without 3 elements"),
        (b"\x93\x01\x00\x91\xc0", Code::Malformed, "integer from 1 at byte 2"),
        (b"\x93\x01\x04\x90", Code::Malformed, "0 events"),
        (b"\x93\x01\x04\xdd\xff\xff\xff\xff", Code::Malformed, "4294967295 events"),
        (&too_many, Code::Malformed, "10001 events"),
        (b"\x93\x01\x04\x92\xc0", Code::Malformed, "bytes end where a value is due at byte 5"),
        (b"\x93\x01\x04\x91\xdb\xff\xff\xff\xff", Code::Malformed, "4294967295 bytes announced, 0 there"),
        (b"\x93\x01\x05\x91\xc0", Code::SequenceGap, "5 where 4 is due"),
        (b"\x93\x01\x03\x91\xc0", Code::SequenceGap, "3 where 4 is due"),
    ] {
        let server = server(options()).await;
        let mut raw = Raw::greeted(&server, &hello("shop")).await;
        raw.batch(1, 3).await;
        raw.body(body).await;
        raw.ack_to(3).await;
        let (found, message) = raw.error().await;
        assert_eq!(found, code, "{body:x?}: {message}");
        assert!(message.contains(says), "{message:?} says nothing of {says:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn deep_and_large_frames_are_refused_before_they_are_decoded() {
    let server = server(options()).await;
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    raw.body(&[&[0x92, 0x07][..], &[0x91; 1_000_000], &[0xc0]].concat()).await;
    assert!(raw.error().await.1.contains("nested deeper than 100"));
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    raw.bytes(&(limits::FRAME_BYTES_MAX as u32 + 1).to_be_bytes()).await;
    assert_eq!(raw.error().await.0, Code::TooLarge);
    let mut raw = Raw::connect(&server).await;
    raw.bytes(&(limits::HELLO_BYTES_MAX as u32 + 1).to_be_bytes()).await;
    assert_eq!(raw.error().await.0, Code::TooLarge);
    let mut raw = Raw::connect(&server).await;
    let nested = [&b"\x98\xa7sojourn\x01"[..], &[0x91; 10_000], &[0xc0]].concat();
    raw.body(&nested).await;
    assert_eq!(raw.error().await.0, Code::Malformed);
    server.stop().await;
}

#[tokio::test]
async fn hellos_are_checked() {
    let server = server(options()).await;
    for (change, code, says) in [
        ((|h| h.sandbox = "other".to_owned()) as fn(&mut Hello), Code::Malformed, "sandbox"),
        (|h| h.producer.clear(), Code::Malformed, "producer is empty"),
        (|h| h.producer = "p".repeat(129), Code::Malformed, "129 bytes"),
        (|h| h.api_key = Some("wrong".to_owned()), Code::Unauthenticated, "not known"),
    ] {
        let mut changed = hello("shop");
        change(&mut changed);
        let mut raw = Raw::connect(&server).await;
        raw.hello(&changed).await;
        let (found, message) = raw.error().await;
        assert_eq!(found, code);
        assert!(message.contains(says), "{message}");
        assert!(!message.contains("wrong"), "keys are not repeated");
    }
    let mut raw = Raw::connect(&server).await;
    raw.body(b"\x93\xa7sojourn\x02\xc0").await;
    assert_eq!(raw.error().await, (Code::Version, "protocol version 2 is not spoken here; version 1 is".to_owned()));
    let mut raw = Raw::connect(&server).await;
    raw.bytes(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(raw.error().await.0, Code::TooLarge, "\"GET \" is a length");
    let refused = server.client(ClientConfig { api_key: Some("wrong".into()), ..ClientConfig::new("shop", 1) }).await;
    assert!(matches!(refused, Err(ClientError::Refused { code: Some(Code::Unauthenticated), .. })), "{refused:?}");
    server.stop().await;
}

#[tokio::test]
async fn credit_is_kept() {
    let window = Window { events: 10, ..Window::default() };
    let server = server(TcpOptions { window, ..options() }).await;
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    raw.batch(1, 10).await;
    assert_eq!(raw.ack_to(10).await, 10);
    raw.batch(11, 11).await;
    let (code, message) = raw.error().await;
    assert_eq!((code, message.contains("11 events in flight pass the 10 granted")), (Code::CreditExceeded, true));
    let mut client = server.client(ClientConfig::new("other", 1)).await.expect("welcome");
    client.send(&events(1, 1_000)).await.expect("waits for credit");
    assert_eq!(client.finish().await.expect("goodbye").sequence, 1_000);
    server.stop().await;
}

#[tokio::test]
async fn a_newer_connection_takes_over() {
    let server = server(options()).await;
    let mut old = Raw::greeted(&server, &hello("shop")).await;
    old.batch(1, 2).await;
    assert_eq!(old.ack_to(2).await, 2);
    let mut new = Raw::connect(&server).await;
    new.hello(&hello("shop")).await;
    assert_eq!(old.error().await.0, Code::Superseded);
    let ServerFrame::Welcome(welcome) = new.frame().await else { panic!("welcome") };
    assert_eq!(welcome.sequence, 2, "the server remembers");
    new.batch(4, 1).await;
    assert_eq!(new.error().await.0, Code::SequenceGap, "3 is missing");
    let mut new = Raw::greeted(&server, &hello("shop")).await;
    new.batch(1, 3).await;
    let (ack, _) = new.ack().await;
    assert_eq!((ack.sequence, ack.duplicates), (3, 2));
    let mut later = Raw::greeted(&server, &Hello { epoch: 2, ..hello("shop") }).await;
    assert_eq!(new.error().await.0, Code::Superseded);
    later.batch(1, 1).await;
    assert_eq!(later.ack().await.0.duplicates, 0, "an epoch counts anew");
    let mut stale = Raw::connect(&server).await;
    stale.hello(&hello("shop")).await;
    assert_eq!(stale.error().await.0, Code::StaleEpoch);
    let other = Raw::greeted(&server, &hello("someone else")).await;
    drop((other, later));
    server.stop().await;
}

#[tokio::test]
async fn a_client_connects_again_and_nothing_is_applied_twice() {
    // The first server has a runtime of its own: dropping that kills it in the middle of everything.
    let killed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let engine = FakeEngine::new();
    engine.commit_to(1);
    let taken = engine.clone();
    let first = killed.spawn(server_on("127.0.0.1:0", engine.clone(), options())).await.expect("started");
    let address = first.address.to_string();
    let config = ClientConfig { reconnect: Reconnect::For(Duration::from_secs(30)), ..ClientConfig::new("shop", 1) };
    let mut client = first.client(config).await.expect("welcome");
    client.send(&events(1, 100)).await.expect("sent");
    client.acknowledged().wait_for(|p| p.sequence == 100).await.expect("first batch");
    client.send(&events(101, 100)).await.expect("sent");
    client.send(&events(201, 100)).await.expect("sent");
    while taken.submissions().len() < 3 {
        tokio::task::yield_now().await;
    }
    killed.shutdown_background();
    client.send(&events(301, 50)).await.expect("kept");
    engine.commit_to(usize::MAX);
    let second = server_on(&address, engine, options()).await;
    let done = client.flush().await.expect("acknowledged");
    assert_eq!((done.sequence, done.connections, done.duplicates), (350, 2, 200));
    client.finish().await.expect("goodbye");
    let applied = second.stop().await.applied();
    assert_eq!(applied, (1..=350).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn repeats_are_acknowledged_as_duplicates() {
    let server = server(options()).await;
    for duplicates in [0, 10] {
        let mut client = server.client(ClientConfig::new("shop", 1)).await.expect("welcome");
        client.send(&events(1, 10)).await.expect("sent");
        assert_eq!(client.finish().await.expect("goodbye").duplicates, duplicates);
    }
    assert_eq!(server.stop().await.applied().len(), 10);
}

#[tokio::test]
async fn shutdown_acknowledges_what_was_accepted_and_says_goodbye() {
    let server = server(options()).await;
    server.engine.commit_to(0);
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    let mut waiting = Raw::connect(&server).await;
    raw.batch(1, 5).await;
    raw.send(ClientFrame::Ping(1)).await;
    assert_eq!(raw.frame().await, ServerFrame::Pong(1));
    server.shutdown.cancel();
    assert!(matches!(waiting.frame().await, ServerFrame::Goodbye(_)));
    let engine = server.engine.clone();
    engine.commit_to(usize::MAX);
    assert_eq!(raw.ack_to(5).await, 5);
    assert!(matches!(raw.frame().await, ServerFrame::Goodbye(_)));
    assert_eq!(raw.0.read(&mut [0; 1]).await.expect("closed"), 0);
    drop((raw, waiting));
    server.stop().await;
}

#[tokio::test]
async fn refusals_of_the_engine_end_the_connection_unacknowledged() {
    type Failing = fn(&FakeEngine);
    let failing: [(Failing, Code); 3] = [
        (|engine| engine.refuse(Refusal::DiskFull), Code::DiskFull),
        (|engine| engine.fail_commits(Refusal::Stopping), Code::Stopping),
        (|_| {}, Code::Overloaded),
    ];
    for (fail, code) in failing {
        let server = server(options()).await;
        let mut raw = Raw::greeted(&server, &hello("shop")).await;
        raw.batch(1, 2).await;
        raw.ack_to(2).await;
        fail(&server.engine);
        let mut out = Vec::new();
        encode_batch(&mut out, 3, &[event(3, "table_full", None)]);
        raw.bytes(&out).await;
        assert_eq!(raw.error().await.0, code);
        server.stop().await;
    }
}

#[tokio::test]
async fn on_the_events_clock_stamps_go_on_after_a_reconnect() {
    let server = server(TcpOptions { clock: EventClock::Events, ..options() }).await;
    let timed = |ids: &[(u64, Option<i64>)]| ids.iter().map(|(id, t)| event(*id, "x", *t)).collect::<Vec<_>>();
    let all = timed(&[(1, Some(50)), (2, Some(40)), (3, None), (4, Some(60)), (5, Some(10)), (6, None)]);
    let config = ClientConfig { engine_time: Some(Millis(45)), ..ClientConfig::new("a", 1) };
    let mut client = server.client(config.clone()).await.expect("welcome");
    assert_eq!(client.clock(), "events");
    client.send(&all).await.expect("sent");
    assert_eq!(client.finish().await.expect("goodbye").engine_time, Some(Millis(60)));
    // The same in two connections, as after a kill: the second goes on where the first was acknowledged.
    let mut client = server.client(ClientConfig { producer: "b".into(), ..config.clone() }).await.expect("welcome");
    client.send(&all[..4]).await.expect("sent");
    let half = client.finish().await.expect("goodbye");
    let config = ClientConfig {
        producer: "b".into(),
        engine_time: half.engine_time,
        first_sequence: half.sequence + 1,
        ..config
    };
    let mut client = server.client(config).await.expect("welcome");
    client.send(&all[4..]).await.expect("sent");
    client.finish().await.expect("goodbye");
    let submissions = server.stop().await.submissions();
    let stamps: Vec<_> = submissions.iter().flat_map(|s| &s.engine_times).map(|t| t.0).collect();
    assert_eq!(stamps, [50, 50, 50, 60, 60, 60, 50, 50, 50, 60, 60, 60]);
}

#[tokio::test]
async fn silence_is_asked_and_then_closed() {
    let idle = TcpOptions { idle_timeout: Duration::from_millis(80), ..options() };
    let server = server(idle).await;
    let mut raw = Raw::greeted(&server, &hello("shop")).await;
    for token in 1..4 {
        assert_eq!(raw.frame().await, ServerFrame::Ping(token));
        raw.send(ClientFrame::Pong(token)).await;
    }
    assert_eq!(raw.frame().await, ServerFrame::Ping(4));
    assert_eq!(raw.error().await.0, Code::Idle);
    let mute = TcpOptions { hello_timeout: Duration::from_millis(30), ..server.options.clone() };
    server.stop().await;
    let server = server_on("127.0.0.1:0", FakeEngine::new(), mute).await;
    let raw = Raw::connect(&server).await;
    assert_eq!(raw.error().await.0, Code::Idle);
    server.stop().await;
}

#[tokio::test]
async fn places_are_limited_and_given_back() {
    let server = server(TcpOptions { streams: Streams::new(2), ..options() }).await;
    let first = Raw::greeted(&server, &hello("a")).await;
    let second = Raw::greeted(&server, &hello("b")).await;
    let third = Raw::connect(&server).await;
    assert_eq!(third.error().await.0, Code::TooManyStreams);
    drop(first);
    while server.options.streams.open_count() > 1 {
        tokio::task::yield_now().await;
    }
    let third = Raw::greeted(&server, &hello("c")).await;
    drop((second, third));
    server.stop().await;
}

#[tokio::test]
async fn who_reads_no_acks_stops_only_himself() {
    let engine = FakeEngine::new();
    let options = TcpOptions { window: Window { events: 1 << 40, ..Window::default() }, ..options() };
    let shutdown = CancellationToken::new();
    // A pipe of 128 bytes instead of a socket, whose buffers would swallow megabytes of acks.
    let (mine, theirs) = tokio::io::duplex(128);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let connection =
        Connection { engine: engine.clone(), options: Arc::new(options), shutdown: shutdown.clone(), peer };
    let running = tokio::spawn(connection::run(theirs, connection));
    let (mut read, mut write) = tokio::io::split(mine);
    const COUNT: u64 = 20_000;
    let writing = tokio::spawn(async move {
        let mut out = Vec::new();
        encode_hello(&mut out, &hello("shop"));
        for sequence in 1..=COUNT {
            encode_batch(&mut out, sequence, &events(sequence, 1));
        }
        encode_client(&mut out, &ClientFrame::Goodbye(String::new()));
        write.write_all(&out).await.expect("written in the end");
        write
    });
    let mut taken = usize::MAX;
    while taken != engine.submissions().len() {
        taken = engine.submissions().len();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    let bound = limits::STREAM_SUBMISSIONS_IN_FLIGHT_MAX as u64;
    assert!((taken as u64) < COUNT.min(2 * bound) && !writing.is_finished(), "{taken} taken while no ack is read");
    let mut answers = Vec::new();
    read.read_to_end(&mut answers).await.expect("acks to the end");
    assert_eq!(engine.applied().len() as u64, COUNT);
    running.await.expect("no panic");
    drop(writing.await);
}

#[test]
fn batches_know_their_sequences() {
    let mut out = Vec::new();
    encode_batch(&mut out, 9, &events(9, 3));
    let body = bytes::Bytes::from(out.split_off(LENGTH_BYTES));
    let Ok(ClientFrame::Batch(batch)) = crate::wire::frame::decode_client(&body) else { panic!("a batch") };
    assert_eq!(batch, Batch { first_sequence: 9, events: events(9, 3), rejected: Vec::new() });
    assert_eq!((batch.count(), batch.last_sequence()), (3, 11));
}

/// Both ends of TLS from `tests/data/tls`: a certificate for `localhost` by an authority that exists for this test only.
fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = |pem: &[u8]| CertificateDer::from_pem_slice(pem).expect("a certificate");
    let authority = certificate(include_bytes!("../../../tests/data/tls/authority.pem"));
    let chain = vec![certificate(include_bytes!("../../../tests/data/tls/localhost.pem"))];
    let key =
        PrivateKeyDer::from_pem_slice(include_bytes!("../../../tests/data/tls/localhost.key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a chain that fits its key");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority).expect("an authority");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[tokio::test]
async fn tls_carries_the_same_frames() {
    let (server_tls, client_tls) = tls();
    let server = server(TcpOptions { tls: Some(server_tls), ..options() }).await;
    let name = "localhost".try_into().expect("a name");
    let config = ClientConfig { tls: Some((client_tls, name)), ..ClientConfig::new("shop", 1) };
    let mut client = server.client(config).await.expect("welcome");
    client.send(&events(1, 20_000)).await.expect("sent");
    assert_eq!(client.finish().await.expect("goodbye").sequence, 20_000);
    let plain = server.client(ClientConfig::new("shop", 1)).await;
    assert!(matches!(plain, Err(ClientError::Lost(_) | ClientError::Protocol(_))), "{plain:?}");
    server.stop().await;
}
