//! A connection of the TCP feed, by the client that producers use.

use std::sync::Arc;

use anyhow::ensure;
use sojourn::transport::client::{Client, ClientConfig, Progress};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::event::{Encoder, LoadEvent};
use crate::target::Target;

use super::link::LinkConfig;
use super::underway::Underway;

/// A connection.
#[derive(Debug)]
pub struct TcpLink {
    client: Client,
    progress: watch::Receiver<Progress>,
    in_flight_max: u64,
    timing: JoinHandle<()>,
    encoder: Encoder,
}

impl TcpLink {
    /// Connects.
    pub async fn connect(target: &Target, config: LinkConfig, underway: Arc<Underway>) -> anyhow::Result<Self> {
        let LinkConfig { producer, in_flight, encoder, .. } = config;
        let client_config = ClientConfig {
            api_key: target.api_key().map(str::to_owned),
            events_in_flight_max: in_flight,
            ..ClientConfig::new(producer, 1)
        };
        let client = Client::connect(target.tcp(), client_config).await?;
        let timing = tokio::spawn(time(client.acknowledged(), underway));
        Ok(Self { progress: client.acknowledged(), client, in_flight_max: in_flight, timing, encoder })
    }

    pub fn next_sequence(&self) -> u64 {
        self.client.next_sequence()
    }

    pub fn room(&self) -> u64 {
        let unanswered = self.client.next_sequence() - 1 - self.progress.borrow().sequence;
        self.in_flight_max.saturating_sub(unanswered)
    }

    pub async fn ready(&mut self, count: u64) -> anyhow::Result<()> {
        Ok(self.client.ready(count).await?)
    }

    pub async fn send(&mut self, events: &[LoadEvent]) -> anyhow::Result<()> {
        let events: Vec<_> = events.iter().map(|event| self.encoder.event(event)).collect();
        Ok(self.client.send(&events).await?)
    }

    pub async fn finish(self) -> anyhow::Result<()> {
        let progress = self.client.finish().await?;
        ensure!(progress.rejected == 0, "{} events were rejected", progress.rejected);
        self.timing.await?;
        Ok(())
    }
}

/// Notes when acknowledgements come. Ends with the client.
async fn time(mut progress: watch::Receiver<Progress>, underway: Arc<Underway>) {
    loop {
        let is_over = progress.changed().await.is_err();
        let sequence = progress.borrow_and_update().sequence;
        underway.acknowledged(sequence);
        if is_over {
            return;
        }
    }
}
