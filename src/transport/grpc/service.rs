//! The service itself: unary calls, streams, and the routes that a server merges into its router.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::{Interceptor, Routes};
use tonic::{Request, Response, Status, Streaming};
use tonic_health::server::HealthReporter;

use crate::domain::event::check_name;
use crate::domain::ids::{Millis, SandboxId};
use crate::domain::limits;
use crate::runtime::api::{Deferral, EventStatus, Origin, Patience, Submission};
use crate::runtime::ingest::Ingest;
use crate::transport::clock::{EventClock, SourceClock};
use crate::transport::code::Code;
use crate::transport::grpc::convert;
use crate::transport::grpc::proto::ingest_service_server::{IngestService, IngestServiceServer};
use crate::transport::grpc::proto::{self, IngestAck, IngestBatch, IngestRequest, IngestResponse, Welcome};
use crate::transport::keys::KeyRegistry;
use crate::transport::stream::{self, Acknowledger, SANDBOX, StreamError, Streams, Submitter, Window, producer_id};

/// Acks waiting for a slow client; behind them commits wait, and behind those its batches.
const ACKS_WAITING_MAX: usize = 16;

/// How the gRPC feed behaves.
#[derive(Clone)]
pub struct GrpcOptions {
    /// What moves timers.
    pub clock: EventClock,
    /// Who may send.
    pub keys: Arc<dyn KeyRegistry>,
    /// All streams of the server: shared with TCP.
    pub streams: Arc<Streams>,
    /// What each stream may have unacknowledged.
    pub window: Window,
    /// How long a unary call waits for room before it is told to come back.
    pub patience: Duration,
    /// A stream must bring its hello within this.
    pub hello_timeout: Duration,
    /// At its end, how long a stream awaits its last acks.
    pub drain_timeout: Duration,
    /// Ends all streams: they read no more, acknowledge what was accepted, and close.
    pub shutdown: CancellationToken,
    /// The tasks of open streams; the server waits for them after `shutdown`.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for GrpcOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcOptions").field("clock", &self.clock).field("window", &self.window).finish_non_exhaustive()
    }
}

impl GrpcOptions {
    /// The defaults: wall clock, half a second of patience.
    pub fn new(keys: Arc<dyn KeyRegistry>, streams: Arc<Streams>, shutdown: CancellationToken) -> Self {
        Self {
            clock: EventClock::Wall,
            keys,
            streams,
            window: Window::default(),
            patience: Duration::from_millis(500),
            hello_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            shutdown,
            tasks: TaskTracker::new(),
        }
    }
}

/// The feed, ready to be merged into a router.
#[derive(Debug)]
pub struct Grpc {
    /// `Routes::into_axum_router` gives the router.
    pub routes: Routes,
    /// Tells health checks whether to send here; the server sets it to not serving when it stops.
    pub health: HealthReporter,
}

/// Builds the ingest, reflection (v1 and v1alpha) and health services. Only ingest asks for a key.
pub async fn routes<E: Ingest>(engine: E, options: GrpcOptions) -> Grpc {
    const BUILT_IN: &str = "the descriptors are compiled in";
    let (health, health_service) = tonic_health::server::health_reporter();
    let keys = Door(Arc::clone(&options.keys));
    let service = IngestServiceServer::new(Service { engine, options })
        .max_decoding_message_size(limits::FRAME_BYTES_MAX)
        .max_encoding_message_size(limits::FRAME_BYTES_MAX);
    health.set_serving::<IngestServiceServer<Service<E>>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(tonic::service::interceptor::InterceptedService::new(service, keys))
        .add_service(health_service)
        .add_service(reflection().build_v1().expect(BUILT_IN))
        .add_service(reflection().build_v1alpha().expect(BUILT_IN));
    Grpc { routes, health }
}

/// Lets calls in by their key: `authorization: Bearer KEY` or `x-api-key: KEY`.
#[derive(Clone)]
struct Door(Arc<dyn KeyRegistry>);

impl Interceptor for Door {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let text = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let key = text("x-api-key").or_else(|| text("authorization").and_then(|value| value.strip_prefix("Bearer ")));
        if self.0.allows(key) {
            return Ok(request);
        }
        let message = "an api key is required: authorization: Bearer KEY, or x-api-key: KEY";
        Err(convert::status(Code::Unauthenticated, message))
    }
}

#[derive(Debug)]
struct Service<E> {
    engine: E,
    options: GrpcOptions,
}

fn of_stream(error: &StreamError) -> Status {
    match error {
        StreamError::Refused(refusal) => convert::refused(refusal),
        other => convert::status(other.into(), other.to_string()),
    }
}

#[tonic::async_trait]
impl<E: Ingest> IngestService for Service<E> {
    type IngestStreamStream = ReceiverStream<Result<IngestAck, Status>>;

    async fn ingest(&self, request: Request<IngestRequest>) -> Result<Response<IngestResponse>, Status> {
        let events = request.into_inner().events;
        check_count(events.len())?;
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let batch = convert::batch(1, events);
        let engine_times = SourceClock::new(self.options.clock, None).engine_times(&batch.events);
        let patience = Patience::UpTo(self.options.patience);
        let mut statuses = Vec::new();
        if !batch.events.is_empty() {
            let submission = Submission {
                events: batch.events,
                origin: Origin::Unsequenced,
                engine_times,
                patience,
                deferral: Deferral::default(),
            };
            let receipt = self.engine.submit(submission).await.map_err(|refusal| convert::refused(&refusal))?;
            statuses = receipt.await.map_err(|refusal| convert::refused(&refusal))?;
        }
        let accepted = statuses.iter().filter(|s| matches!(s, EventStatus::Accepted | EventStatus::Duplicate)).count();
        for (index, error) in batch.rejected {
            // In order: each refused event goes back to the place it had among the others.
            statuses.insert(index as usize, EventStatus::Rejected(error));
        }
        let results = ids.into_iter().zip(&statuses).map(|(id, status)| convert::result(id, status)).collect();
        Ok(Response::new(IngestResponse { accepted: accepted as u64, results }))
    }

    async fn ingest_stream(
        &self,
        request: Request<Streaming<IngestBatch>>,
    ) -> Result<Response<Self::IngestStreamStream>, Status> {
        let Some(place) = self.options.streams.enter() else {
            self.options.streams.count_error(Code::TooManyStreams);
            return Err(convert::status(Code::TooManyStreams, "as many streams are open as may be; come back later"));
        };
        let (acks, outgoing) = mpsc::channel(ACKS_WAITING_MAX);
        let conversation =
            Conversation { engine: self.engine.clone(), options: self.options.clone(), acks: acks.clone() };
        let incoming = request.into_inner();
        self.options.tasks.spawn(async move {
            let gone = acks.clone();
            let ended = tokio::select! {
                biased;
                () = gone.closed() => Ok(()),
                ended = conversation.run(incoming) => ended,
            };
            if let Err(error) = ended {
                acks.send(Err(error)).await.ok();
            }
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

fn check_count(count: usize) -> Result<(), Status> {
    if (1..=limits::BATCH_EVENTS_MAX).contains(&count) {
        return Ok(());
    }
    let message = format!("{count} events; a message holds 1 to {}", limits::BATCH_EVENTS_MAX);
    Err(convert::status(if count == 0 { Code::Malformed } else { Code::TooLarge }, message))
}

/// One stream, from its hello to its last ack.
struct Conversation<E> {
    engine: E,
    options: GrpcOptions,
    acks: mpsc::Sender<Result<IngestAck, Status>>,
}

impl<E: Ingest> Conversation<E> {
    async fn run(self, mut incoming: Streaming<IngestBatch>) -> Result<(), Status> {
        let ended = self.converse(&mut incoming).await;
        if let Err(error) = &ended {
            tracing::debug!(%error, "grpc stream ends");
        }
        ended
    }

    async fn converse(&self, incoming: &mut Streaming<IngestBatch>) -> Result<(), Status> {
        let late = |_| convert::status(Code::Idle, "no hello in time");
        let greeting = tokio::select! {
            biased;
            () = self.options.shutdown.cancelled() => return Err(stopping()),
            greeting = timeout(self.options.hello_timeout, incoming.message()) => greeting.map_err(late)??,
        };
        let Some(first) = greeting else { return Ok(()) };
        let IngestBatch { hello: Some(hello), first_sequence, events } = first else {
            return Err(convert::status(Code::Malformed, "the first message of a stream carries a hello"));
        };
        check_greeting(&hello).map_err(|error| self.fail(&error))?;
        let producer = producer_id(SandboxId::DEFAULT, &hello.producer);
        let registered = self.options.streams.register(producer, hello.epoch).await;
        let registration = registered.map_err(|error| self.fail(&error))?;
        let welcome = Welcome {
            server: concat!("sojourn/", env!("CARGO_PKG_VERSION")).to_owned(),
            sequence: registration.sequence(),
            credit: self.options.window.events,
            clock: self.options.clock.name().to_owned(),
        };
        if !self.say(IngestAck { welcome: Some(welcome), ..IngestAck::default() }).await {
            return Ok(());
        }
        let (submitter, acknowledger) = stream::open(
            self.engine.clone(),
            registration,
            self.options.clock,
            hello.engine_time_ms.map(Millis),
            self.options.window,
        );
        let first = (!events.is_empty()).then_some(IngestBatch { hello: None, first_sequence, events });
        let reading = self.read(incoming, submitter, first);
        let writing = self.write(acknowledger);
        tokio::pin!(reading, writing);
        tokio::select! {
            biased;
            written = &mut writing => written,
            read = &mut reading => {
                let slow = |_| convert::status(Code::Overloaded, "commits took too long; send the rest again");
                timeout(self.options.drain_timeout, writing).await.map_err(slow)??;
                read
            }
        }
    }

    /// Submits batches until the client half-closes. Owns the producer's turn and gives it up on return.
    async fn read(
        &self,
        incoming: &mut Streaming<IngestBatch>,
        mut submitter: Submitter<E>,
        mut first: Option<IngestBatch>,
    ) -> Result<(), Status> {
        let superseded = submitter.registration().superseded();
        loop {
            let message = match first.take() {
                Some(first) => first,
                None => tokio::select! {
                    biased;
                    () = self.options.shutdown.cancelled() => return Err(stopping()),
                    () = superseded.cancelled() => return Err(self.fail(&StreamError::Superseded)),
                    message = incoming.message() => match message? {
                        Some(message) => message,
                        None => return Ok(()),
                    },
                },
            };
            if message.hello.is_some() {
                return Err(convert::status(Code::Malformed, "a second hello; only the first message carries one"));
            }
            check_count(message.events.len())?;
            if message.first_sequence == 0 || message.first_sequence > i64::MAX as u64 {
                return Err(convert::status(Code::Malformed, "sequences count from 1 to 2^63 - 1"));
            }
            let batch = convert::batch(message.first_sequence, message.events);
            let size = batch.events.iter().map(|event| event.properties.len() + size_of_val(event)).sum();
            if !submitter.submit(batch, size).await.map_err(|error| self.fail(&error))? {
                return Ok(());
            }
        }
    }

    /// Writes acks as commits happen, until the reading side is gone and all is acknowledged.
    async fn write(&self, mut acknowledger: Acknowledger) -> Result<(), Status> {
        while let Some(next) = acknowledger.next().await {
            let acknowledged = next.map_err(|error| self.fail(&error))?;
            if !self.say(convert::ack(acknowledged)).await {
                break;
            }
        }
        Ok(())
    }

    async fn say(&self, ack: IngestAck) -> bool {
        self.acks.send(Ok(ack)).await.is_ok()
    }

    fn fail(&self, error: &StreamError) -> Status {
        self.options.streams.count_error(error.into());
        of_stream(error)
    }
}

fn stopping() -> Status {
    convert::status(Code::Stopping, "the server stops; all that it acknowledged is durable, send the rest again")
}

fn check_greeting(hello: &proto::Hello) -> Result<(), StreamError> {
    if !["", SANDBOX].contains(&hello.sandbox.as_str()) {
        let shown: String = hello.sandbox.chars().take(40).collect();
        return Err(StreamError::Greeting(format!("sandbox {shown:?} is not known; {SANDBOX:?} is")));
    }
    check_name("producer", "bad_producer", &hello.producer, limits::PRODUCER_BYTES_MAX)
        .map_err(|error| StreamError::Greeting(error.message))
}
