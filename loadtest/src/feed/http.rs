//! A connection of the HTTP feed: batches of NDJSON, one request at a time, so that a profile's events stay in order.
//! What comes while a request is under way goes into the next.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::event::{Encoder, LoadEvent};
use crate::target::{self, Target};

use super::link::{LinkConfig, Overflow};
use super::underway::Underway;
use super::window::Window;

/// Batches that one connection may have unanswered: one under way, and the next being written meanwhile.
const BATCHES_IN_FLIGHT: u64 = 2;
/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait after a refusal that does not say how long.
const RETRY: Duration = Duration::from_secs(1);

/// Events as lines, up to a sequence.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
    last: u64,
}

/// A connection.
#[derive(Debug)]
pub struct HttpLink {
    lines: mpsc::UnboundedSender<Lines>,
    window: Arc<Window>,
    sending: JoinHandle<anyhow::Result<()>>,
    batch: u64,
    encoder: Encoder,
}

/// What the load test reads of an answer.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    #[serde(default)]
    results: Vec<EventAnswer>,
}

#[derive(Debug, Deserialize)]
struct EventAnswer {
    status: String,
}

impl HttpLink {
    /// Makes the client; the connection is made with the first request.
    pub fn connect(target: &Target, config: LinkConfig, underway: Arc<Underway>) -> anyhow::Result<Self> {
        let LinkConfig { in_flight, batch, overflow, encoder, .. } = config;
        let client =
            target::client(target.api_key())?.timeout(PATIENCE).pool_max_idle_per_host(1).tcp_nodelay(true).build()?;
        let (lines, waiting) = mpsc::unbounded_channel();
        let window = Window::new(in_flight.min(BATCHES_IN_FLIGHT * batch));
        let poster = Poster { client, url: format!("http://{}/v1/events", target.http()), batch, overflow, underway };
        let sending = tokio::spawn(post_all(poster, waiting, Arc::clone(&window)));
        Ok(Self { lines, window, sending, batch, encoder })
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
        for events in events.chunks(self.batch as usize) {
            self.window.ready(events.len() as u64).await?;
            let mut lines = Lines { count: events.len() as u64, ..Lines::default() };
            for event in events {
                self.encoder.line(&mut lines.bytes, event);
            }
            lines.last = self.window.sent(lines.count);
            // The task has failed: its window says why at the next wait.
            let _ = self.lines.send(lines);
        }
        Ok(())
    }

    pub async fn finish(self) -> anyhow::Result<()> {
        self.window.settled().await?;
        drop(self.lines);
        self.sending.await?
    }
}

/// Sends requests.
#[derive(Debug)]
struct Poster {
    client: Client,
    url: String,
    batch: u64,
    overflow: Overflow,
    underway: Arc<Underway>,
}

/// Sends what waits, until nothing more can come.
async fn post_all(
    poster: Poster,
    mut waiting: mpsc::UnboundedReceiver<Lines>,
    window: Arc<Window>,
) -> anyhow::Result<()> {
    let mut kept = None;
    loop {
        let next = match kept.take() {
            Some(lines) => Some(lines),
            None => waiting.recv().await,
        };
        let Some(mut lines) = next else { return Ok(()) };
        while let Ok(more) = waiting.try_recv() {
            if lines.count + more.count > poster.batch {
                kept = Some(more);
                break;
            }
            lines.bytes.extend_from_slice(&more.bytes);
            lines.count += more.count;
            lines.last = more.last;
        }
        let last = lines.last;
        if let Err(error) = poster.post(lines).await {
            window.fail(format!("over HTTP: {error:#}"));
            return Err(error);
        }
        window.answered(last);
    }
}

impl Poster {
    async fn post(&self, lines: Lines) -> anyhow::Result<()> {
        let body = Bytes::from(lines.bytes);
        loop {
            let asked = Instant::now();
            let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/x-ndjson").body(body.clone());
            let response = request.send().await.context("sending a batch")?;
            let status = response.status();
            if status == StatusCode::OK {
                check_answer(&response.bytes().await?, lines.count)?;
                self.underway.acknowledged(lines.last);
                return Ok(());
            }
            if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                bail!("a batch was answered {status}: {}", response.text().await?);
            }
            let pause = retry_after(&response);
            // Read to its end, so that the connection can be used again.
            response.bytes().await?;
            match self.overflow {
                Overflow::Shed => {
                    self.underway.refused(lines.last, asked);
                    return Ok(());
                }
                Overflow::Wait => sleep(pause).await,
            }
        }
    }
}

/// Every event must be durable: by this request, or by an earlier try of it.
fn check_answer(body: &[u8], count: u64) -> anyhow::Result<()> {
    let answer: Answer = serde_json::from_slice(body)?;
    let duplicates = answer.results.iter().filter(|result| result.status == "duplicate").count() as u64;
    ensure!(
        answer.accepted + duplicates == count,
        "of {count} events {} were accepted and {duplicates} were there",
        answer.accepted
    );
    Ok(())
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(RETRY, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_must_be_durable() {
        let check = |text: &str, count| check_answer(text.as_bytes(), count).is_ok();
        assert!(check(
            r#"{"accepted":2,"results":[{"id":"1","status":"accepted"},{"id":"2","status":"accepted"}]}"#,
            2
        ));
        assert!(check(r#"{"accepted":1,"results":[{"status":"accepted"},{"status":"duplicate"}]}"#, 2));
        assert!(!check(r#"{"accepted":1,"results":[{"status":"accepted"},{"status":"rejected"}]}"#, 2));
    }
}
