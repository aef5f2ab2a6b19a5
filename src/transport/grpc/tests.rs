//! The feed over a real socket, through an axum router as in the server, with tonic's own clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code as GrpcCode, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::proto::event::PropertiesForm;
use super::proto::event_result::Status as ResultStatus;
use super::proto::ingest_service_client::IngestServiceClient;
use super::proto::{Event, Hello, IngestAck, IngestBatch, IngestRequest};
use super::{GrpcOptions, routes};
use crate::domain::ids::Millis;
use crate::runtime::api::{Origin, Refusal};
use crate::transport::clock::EventClock;
use crate::transport::fake::FakeEngine;
use crate::transport::stream::{Streams, Window};
use crate::wire::event::properties_to_map;

struct Server {
    url: String,
    engine: FakeEngine,
    options: GrpcOptions,
    _serving: tokio_util::task::AbortOnDropHandle<()>,
}

fn options() -> GrpcOptions {
    let keys = Arc::new(|key: Option<&str>| key != Some("wrong"));
    GrpcOptions::new(keys, Streams::new(8), CancellationToken::new())
}

async fn server(options: GrpcOptions) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let engine = FakeEngine::new();
    let router = routes(engine.clone(), options.clone()).await.routes.into_axum_router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
    Server { url, engine, options, _serving: tokio_util::task::AbortOnDropHandle::new(serving) }
}

impl Server {
    async fn channel(&self) -> Channel {
        Channel::from_shared(self.url.clone()).expect("url").connect().await.expect("connect")
    }

    async fn client(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel().await)
    }

    async fn stream(&self, hello: Hello) -> Stream {
        let (batches, outgoing) = mpsc::channel(4);
        batches.send(IngestBatch { hello: Some(hello), ..IngestBatch::default() }).await.expect("open");
        let opened = self.client().await.ingest_stream(ReceiverStream::new(outgoing)).await.expect("a stream");
        Stream { batches, acks: opened.into_inner() }
    }

    async fn greeted(&self, hello: Hello) -> Stream {
        let mut stream = self.stream(hello).await;
        let welcome = stream.ack().await.expect("an answer").welcome.expect("a welcome");
        assert_eq!(welcome.credit, self.options.window.events);
        stream
    }
}

struct Stream {
    batches: mpsc::Sender<IngestBatch>,
    acks: Streaming<IngestAck>,
}

impl Stream {
    async fn send(&self, first_sequence: u64, events: Vec<Event>) {
        self.batches.send(IngestBatch { hello: None, first_sequence, events }).await.expect("open");
    }

    async fn ack(&mut self) -> Result<IngestAck, Status> {
        self.acks.message().await.map(|ack| ack.expect("an ack"))
    }
}

fn hello(producer: &str) -> Hello {
    Hello { sandbox: String::new(), producer: producer.to_owned(), epoch: 1, engine_time_ms: None }
}

fn event(id: u64) -> Event {
    Event {
        id: id.to_string(),
        r#type: "purchase".to_owned(),
        profile: format!("crm:{id}"),
        time: None,
        properties_form: None,
    }
}

fn code_of(status: &Status) -> String {
    status.metadata().get("sojourn-code").map(|code| code.to_str().expect("ascii").to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn unary_answers_for_each_event_in_order() {
    let server = server(options()).await;
    let mut client = server.client().await;
    let mut bad = event(2);
    bad.profile = "nobody".to_owned();
    let mut refused = event(4);
    refused.r#type = "engine_refuses".to_owned();
    let mut full = event(5);
    full.r#type = "table_full".to_owned();
    let events = vec![event(1), bad, event(3), refused, full, event(1)];
    let answer = client.ingest(IngestRequest { events }).await.expect("answered").into_inner();
    assert_eq!(answer.accepted, 3);
    let results: Vec<_> = answer.results.iter().map(|r| (r.id.as_str(), r.status(), r.code.as_str())).collect();
    let expected = [
        ("1", ResultStatus::Accepted, ""),
        ("2", ResultStatus::Rejected, "bad_profile"),
        ("3", ResultStatus::Accepted, ""),
        ("4", ResultStatus::Rejected, "not_this"),
        ("5", ResultStatus::Deferred, "overloaded"),
        ("1", ResultStatus::Duplicate, ""),
    ];
    assert_eq!(results, expected);
    assert_eq!(server.engine.submissions()[0].origin, Origin::Unsequenced);
}

#[tokio::test]
async fn properties_come_in_three_forms() {
    let server = server(options()).await;
    let number = |n| Value { kind: Some(Kind::NumberValue(n)) };
    let fields = BTreeMap::from([("count".to_owned(), number(3.0)), ("total".to_owned(), number(59.9))]);
    let form = |id, form| Event { properties_form: Some(form), ..event(id) };
    let events = vec![
        form(1, PropertiesForm::Properties(Struct { fields })),
        form(2, PropertiesForm::PropertiesJson(br#"{"count":3,"total":59.9}"#.as_slice().into())),
        form(
            3,
            PropertiesForm::PropertiesMsgpack(
                b"\x82\xa5count\x03\xa5total\xcb\x40\x4d\xf3\x33\x33\x33\x33\x33".as_slice().into(),
            ),
        ),
        form(4, PropertiesForm::PropertiesJson(b"{".as_slice().into())),
        form(5, PropertiesForm::PropertiesMsgpack(b"\x80\x80".as_slice().into())),
        form(6, PropertiesForm::Properties(Struct { fields: BTreeMap::from([("x".to_owned(), number(f64::NAN))]) })),
        Event { time: Some(Timestamp { seconds: 1, nanos: 5_000_000 }), ..event(7) },
        Event { time: Some(Timestamp { seconds: i64::MAX, nanos: 0 }), ..event(8) },
    ];
    let answer = server.client().await.ingest(IngestRequest { events }).await.expect("answered").into_inner();
    let codes: Vec<_> = answer.results.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(codes, ["", "", "", "bad_json", "bad_msgpack", "bad_number", "", "bad_time"]);
    let taken = server.engine.submissions().remove(0).events;
    for event in &taken[..3] {
        let map = properties_to_map(&event.properties).expect("checked");
        let json = crate::domain::value::Value::Map(map).to_json().to_string();
        assert_eq!(json, r#"{"count":3,"total":59.9}"#);
    }
    assert_eq!(taken[3].time, Some(Millis(1_005)));
}

#[tokio::test]
async fn unary_refusals_say_when_to_come_back() {
    let server = server(options()).await;
    let mut client = server.client().await;
    let refused = client.ingest(IngestRequest::default()).await.expect_err("empty");
    assert_eq!((refused.code(), code_of(&refused).as_str()), (GrpcCode::InvalidArgument, "malformed"));
    let refused = client.ingest(IngestRequest { events: vec![Event::default(); 10_001] }).await.expect_err("too many");
    assert_eq!(refused.code(), GrpcCode::OutOfRange);
    server.engine.refuse(Refusal::Throttled { rate: 5_000, retry_after: Duration::from_millis(250) });
    let refused = client.ingest(IngestRequest { events: vec![event(1)] }).await.expect_err("throttled");
    assert_eq!((refused.code(), code_of(&refused).as_str()), (GrpcCode::ResourceExhausted, "throttled"));
    let after = refused.metadata().get("grpc-retry-pushback-ms").expect("retry information");
    assert_eq!(after.to_str().expect("ascii"), "250");
}

#[tokio::test]
async fn only_ingest_asks_for_a_key() {
    let mut options = options();
    options.keys = Arc::new(|key: Option<&str>| key == Some("k1"));
    let server = server(options).await;
    let mut client = server.client().await;
    for (name, value, is_let_in) in [
        ("authorization", "Bearer k1", true),
        ("x-api-key", "k1", true),
        ("authorization", "k1", false),
        ("x-api-key", "k2", false),
        ("x-other", "k1", false),
    ] {
        let mut request = Request::new(IngestRequest { events: vec![event(1)] });
        request.metadata_mut().insert(name, value.parse().expect("ascii"));
        let answer = client.ingest(request).await;
        match answer {
            Ok(_) => assert!(is_let_in, "{name}: {value}"),
            Err(status) => assert!(!is_let_in && status.code() == GrpcCode::Unauthenticated, "{status:?}"),
        }
    }
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "sojourn.v1.IngestService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.expect("health").into_inner();
        assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    }
}

#[tokio::test]
async fn a_reflection_client_finds_the_services_and_their_messages() {
    let server = server(options()).await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let ask = |question| ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("sojourn.v1.IngestService".to_owned())),
    ];
    let mut answers =
        client.server_reflection_info(tokio_stream::iter(questions)).await.expect("reflection").into_inner();
    let mut next = async || answers.message().await.expect("an answer").and_then(|a| a.message_response);
    let Some(MessageResponse::ListServicesResponse(list)) = next().await else { panic!("a list of services") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["sojourn.v1.IngestService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(file)) = next().await else { panic!("a file") };
    assert!(!file.file_descriptor_proto.is_empty());
}

#[tokio::test]
async fn a_stream_acknowledges_after_the_commit() {
    let server = server(options()).await;
    server.engine.commit_to(0);
    let mut stream = server.greeted(hello("shop")).await;
    stream.send(1, vec![event(1), event(2)]).await;
    let mut bad = event(4);
    bad.profile.clear();
    stream.send(3, vec![event(3), bad, event(5)]).await;
    while server.engine.submissions().len() < 3 {
        tokio::task::yield_now().await;
    }
    server.engine.commit_to(1);
    let ack = stream.ack().await.expect("an ack");
    assert_eq!((ack.sequence, ack.credit, ack.rejected.len()), (2, 2, 0));
    server.engine.commit_to(usize::MAX);
    let (mut credit, mut rejected, mut sequence) = (0, Vec::new(), 0);
    while sequence < 5 {
        let ack = stream.ack().await.expect("an ack");
        (sequence, credit) = (ack.sequence, credit + ack.credit);
        rejected.extend(ack.rejected.into_iter().map(|r| (r.sequence, r.code)));
    }
    assert_eq!((credit, rejected), (3, vec![(4, "bad_profile".to_owned())]));
    let Stream { batches, mut acks } = stream;
    drop(batches);
    assert_eq!(acks.message().await.expect("a clean end"), None);
    let mut again = server.greeted(hello("shop")).await;
    again.send(5, vec![event(5), event(6)]).await;
    assert_eq!(again.ack().await.expect("an ack").duplicates, 1);
}

#[tokio::test]
async fn streams_that_break_the_rules_end_with_their_code() {
    let window = Window { events: 3, ..Window::default() };
    let server = server(GrpcOptions { window, ..options() }).await;
    let ended = async |hello: Hello, batches: Vec<(u64, Vec<Event>)>| {
        let mut stream = server.stream(hello).await;
        for (first, events) in batches {
            stream.send(first, events).await;
        }
        loop {
            if let Err(status) = stream.ack().await {
                return (status.code(), code_of(&status));
            }
        }
    };
    let other = Hello { sandbox: "other".to_owned(), ..hello("a") };
    for (hello, batches, code, name) in [
        (other, vec![], GrpcCode::InvalidArgument, "malformed"),
        (hello(""), vec![], GrpcCode::InvalidArgument, "malformed"),
        (hello("b"), vec![(0, vec![event(1)])], GrpcCode::InvalidArgument, "malformed"),
        (hello("c"), vec![(1, vec![])], GrpcCode::InvalidArgument, "malformed"),
        (hello("d"), vec![(1, vec![event(1)]), (3, vec![event(3)])], GrpcCode::FailedPrecondition, "sequence_gap"),
        (hello("e"), vec![(1, (1..=4).map(event).collect())], GrpcCode::InvalidArgument, "credit_exceeded"),
    ] {
        assert_eq!(ended(hello, batches).await, (code, name.to_owned()));
    }
    let (batches, outgoing) = mpsc::channel(1);
    batches.send(IngestBatch { hello: None, first_sequence: 1, events: vec![event(1)] }).await.expect("open");
    let mut client = server.client().await;
    let mut acks = client.ingest_stream(ReceiverStream::new(outgoing)).await.expect("a stream").into_inner();
    assert_eq!(acks.message().await.expect_err("no hello").code(), GrpcCode::InvalidArgument);
}

#[tokio::test]
async fn newer_streams_take_over_and_shutdown_ends_them() {
    let server = server(GrpcOptions { clock: EventClock::Events, ..options() }).await;
    let mut old = server.greeted(hello("shop")).await;
    let timed = |id, seconds| Event { time: Some(Timestamp { seconds, nanos: 0 }), ..event(id) };
    old.send(1, vec![timed(1, 9), timed(2, 5)]).await;
    assert_eq!(old.ack().await.expect("an ack").engine_time_ms, Some(9_000));
    let mut new = server.greeted(Hello { engine_time_ms: Some(9_000), ..hello("shop") }).await;
    assert_eq!(code_of(&old.ack().await.expect_err("superseded")), "superseded");
    new.send(3, vec![timed(3, 7)]).await;
    assert_eq!(new.ack().await.expect("an ack").engine_time_ms, Some(9_000));
    server.options.shutdown.cancel();
    let ended = new.ack().await.expect_err("stopped");
    assert_eq!((ended.code(), code_of(&ended).as_str()), (GrpcCode::Unavailable, "stopping"));
    server.options.tasks.close();
    server.options.tasks.wait().await;
    assert_eq!(server.options.streams.open_count(), 0);
    let stamps: Vec<_> = server.engine.submissions().into_iter().flat_map(|s| s.engine_times).collect();
    assert_eq!(stamps, [9_000, 9_000, 9_000].map(Millis));
}
