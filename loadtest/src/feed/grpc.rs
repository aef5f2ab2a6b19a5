//! A connection of the gRPC feed: one bidirectional stream, by the client generated from the protocol.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use sojourn::transport::grpc::proto::ingest_service_client::IngestServiceClient;
use sojourn::transport::grpc::proto::{Hello, IngestAck, IngestBatch};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

use crate::event::{Encoder, LoadEvent};
use crate::target::{KEY_HEADER, Target};

use super::link::LinkConfig;
use super::underway::Underway;
use super::window::Window;

/// Batches handed to the connection and not yet written.
const BATCHES_WAITING_MAX: usize = 4;

/// A connection.
#[derive(Debug)]
pub struct GrpcLink {
    batches: mpsc::Sender<IngestBatch>,
    window: Arc<Window>,
    reading: JoinHandle<anyhow::Result<()>>,
    encoder: Encoder,
}

impl GrpcLink {
    /// Connects and greets.
    pub async fn connect(target: &Target, config: LinkConfig, underway: Arc<Underway>) -> anyhow::Result<Self> {
        let LinkConfig { producer, in_flight, encoder, .. } = config;
        let channel = Endpoint::from_shared(format!("http://{}", target.http()))?.tcp_nodelay(true).connect().await?;
        let (batches, outgoing) = mpsc::channel(BATCHES_WAITING_MAX);
        let hello = Hello { sandbox: String::new(), producer, epoch: 1, engine_time_ms: None };
        batches.send(IngestBatch { hello: Some(hello), ..IngestBatch::default() }).await?;
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(key) = target.api_key() {
            request.metadata_mut().insert(KEY_HEADER, key.parse()?);
        }
        let stream = IngestServiceClient::new(channel).ingest_stream(request).await?;
        let mut acks = stream.into_inner();
        let first = acks.message().await?.context("the stream ended before its welcome")?;
        let welcome = first.welcome.context("the first answer is no welcome")?;
        let window = Window::new(in_flight.min(welcome.credit));
        let reading = tokio::spawn(read(acks, Arc::clone(&window), underway));
        Ok(Self { batches, window, reading, encoder })
    }

    pub fn next_sequence(&self) -> u64 {
        self.window.next_sequence()
    }

    pub fn room(&self) -> u64 {
        self.window.room()
    }

    pub async fn ready(&mut self, count: u64) -> anyhow::Result<()> {
        self.window.ready(count).await
    }

    pub async fn send(&mut self, events: &[LoadEvent]) -> anyhow::Result<()> {
        self.window.ready(events.len() as u64).await?;
        let messages = events.iter().map(|event| self.encoder.message(event)).collect();
        let first_sequence = self.window.next_sequence();
        self.window.sent(events.len() as u64);
        let batch = IngestBatch { hello: None, first_sequence, events: messages };
        self.batches.send(batch).await.map_err(|_| anyhow!("the stream has ended"))
    }

    pub async fn finish(self) -> anyhow::Result<()> {
        self.window.settled().await?;
        drop(self.batches);
        self.reading.await?
    }
}

/// Takes acknowledgements until the stream ends.
async fn read(mut acks: Streaming<IngestAck>, window: Arc<Window>, underway: Arc<Underway>) -> anyhow::Result<()> {
    let read = async {
        while let Some(ack) = acks.message().await? {
            ensure!(ack.rejected.is_empty(), "events were rejected: {:?}", ack.rejected);
            underway.acknowledged(ack.sequence);
            window.answered(ack.sequence);
        }
        Ok(())
    };
    let ended = read.await;
    window.fail(match &ended {
        Ok(()) => "the server closed the stream".to_owned(),
        Err(error) => format!("the stream was lost: {error}"),
    });
    ended
}
