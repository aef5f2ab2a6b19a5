//! Producers that survive the server: each sends its script, remembers what was acknowledged, and after a kill sends
//! the rest again to the next server, over TCP (by sequence) or HTTP (by event id).

use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sojourn::domain::event::Event;
use sojourn::transport::client::{Client, ClientConfig, Progress};
use sojourn::wire::value::map_from;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::script::Script;
use crate::server::{Api, PATIENCE};

/// Events of one batch at most.
const BATCH_MAX: usize = 60;
/// Events sent in one round at most, so that many rounds stay bounded.
const ROUND_EVENTS_MAX: usize = 3_000;
/// Longest rest between two batches.
const REST_MS_MAX: u64 = 4;

/// How a producer reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The TCP feed.
    Tcp,
    /// `POST /v1/events`.
    Http,
}

/// Where the server of this round is.
#[derive(Clone)]
pub struct Target {
    /// Of its TCP feed.
    pub tcp: String,
    /// Its API.
    pub api: Api,
}

/// One producer, for the whole test.
pub struct Producer {
    /// Its place among all.
    pub number: usize,
    name: String,
    feed: Feed,
    random: StdRng,
    /// What it sends.
    pub script: Script,
    /// Acknowledged: every event up to this sequence (they count from 1).
    pub acknowledged: u64,
    /// Sent and not acknowledged, in order.
    pending: VecDeque<Event>,
    /// The last batch that HTTP acknowledged.
    latest: Vec<Event>,
    /// Events that were durable already when they were sent again.
    pub duplicates: u64,
}

/// Why a producer's round ended.
enum End {
    /// The server is gone.
    Lost,
    /// Everything asked for is done.
    Done,
}

impl Producer {
    /// A producer.
    pub fn new(number: usize, feed: Feed, seed: u64) -> Self {
        let name = format!("{feed:?}{number}").to_lowercase();
        Self {
            script: Script::new(name.clone(), seed),
            number,
            name,
            feed,
            random: StdRng::seed_from_u64(!seed),
            acknowledged: 0,
            pending: VecDeque::new(),
            latest: Vec::new(),
            duplicates: 0,
        }
    }

    /// Sends what is pending and then new events until the server dies or `stop` says so.
    pub async fn run(mut self, target: Target, stop: CancellationToken) -> Self {
        let round = async {
            match self.feed {
                Feed::Tcp => self.over_tcp(&target, Some(&stop)).await,
                Feed::Http => self.over_http(&target, Some(&stop)).await,
            }
        };
        timeout(PATIENCE, round).await.expect("a round of a producer ends in time");
        self
    }

    /// Sends everything there is to its end; all of it is acknowledged then.
    pub async fn finish(mut self, target: Target) -> Self {
        let rest = self.script.rest();
        self.pending.extend(rest);
        let ended = timeout(PATIENCE, async {
            match self.feed {
                Feed::Tcp => self.over_tcp(&target, None).await,
                Feed::Http => self.over_http(&target, None).await,
            }
        });
        assert!(matches!(ended.await.expect("the last round ends in time"), End::Done), "the last server stays up");
        assert!(self.pending.is_empty(), "everything is acknowledged");
        self
    }

    /// A few more events; none once the round has had its share, or in the last round.
    fn draw(&mut self, sent: usize, stop: Option<&CancellationToken>) -> Vec<Event> {
        let is_over = stop.is_none_or(CancellationToken::is_cancelled) || sent >= ROUND_EVENTS_MAX;
        let count = if is_over { 0 } else { self.random.random_range(1..=BATCH_MAX) };
        let events = self.script.next(count);
        self.pending.extend(events.iter().cloned());
        events
    }

    async fn rest(&mut self) {
        let rest = self.random.random_range(0..=REST_MS_MAX);
        if rest > 0 {
            sleep(Duration::from_millis(rest)).await;
        }
    }

    async fn over_tcp(&mut self, target: &Target, stop: Option<&CancellationToken>) -> End {
        let config = ClientConfig {
            first_sequence: self.acknowledged + 1,
            events_in_flight_max: 2_000,
            ..ClientConfig::new(self.name.clone(), 1)
        };
        let Ok(mut client) = Client::connect(&target.tcp, config).await else { return End::Lost };
        let end = self.feed_client(&mut client, stop).await;
        let progress = *client.acknowledged().borrow();
        self.note(progress);
        self.duplicates += progress.duplicates;
        end
    }

    async fn feed_client(&mut self, client: &mut Client, stop: Option<&CancellationToken>) -> End {
        let pending: Vec<Event> = self.pending.iter().cloned().collect();
        if client.send(&pending).await.is_err() {
            return End::Lost;
        }
        let mut sent = 0;
        loop {
            let events = self.draw(sent, stop);
            if events.is_empty() {
                break;
            }
            sent += events.len();
            if client.send(&events).await.is_err() {
                return End::Lost;
            }
            let progress = *client.acknowledged().borrow();
            self.note(progress);
            self.rest().await;
        }
        match client.flush().await {
            Ok(_) => End::Done,
            Err(_) => End::Lost,
        }
    }

    /// Forgets what the server has acknowledged: it will never be sent again.
    fn note(&mut self, progress: Progress) {
        assert_eq!(progress.rejected, 0, "all events are good");
        let count = progress.sequence - self.acknowledged;
        self.pending.drain(..count as usize);
        self.acknowledged = progress.sequence;
    }

    async fn over_http(&mut self, target: &Target, stop: Option<&CancellationToken>) -> End {
        let mut sent = 0;
        loop {
            let drawn = self.draw(sent, stop).len();
            sent += drawn;
            let batch: Vec<Event> = self.pending.iter().take(BATCH_MAX).cloned().collect();
            if batch.is_empty() {
                return End::Done;
            }
            let Some(statuses) = post(&target.api, &batch).await else { return End::Lost };
            self.duplicates += statuses.iter().filter(|status| *status == "duplicate").count() as u64;
            self.pending.drain(..batch.len());
            self.acknowledged += batch.len() as u64;
            self.latest = batch;
            if self.random.random_bool(0.05) {
                // What was acknowledged is known, also to a server that was killed and started since.
                let Some(statuses) = post(&target.api, &self.latest).await else { return End::Lost };
                assert!(
                    statuses.iter().all(|status| status == "duplicate"),
                    "acknowledged and forgotten: {statuses:?}"
                );
            }
            self.rest().await;
        }
    }
}

/// Sends a batch until it is taken; `None` if the server is gone.
async fn post(api: &Api, batch: &[Event]) -> Option<Vec<String>> {
    let body = Value::Array(batch.iter().map(as_json).collect());
    loop {
        match api.call(reqwest::Method::POST, "/v1/events", Some(&body)).await.ok()? {
            (200, answer) => {
                let results = answer["results"].as_array().expect("one result per event");
                let statuses: Vec<String> =
                    results.iter().map(|result| result["status"].as_str().expect("a status").to_owned()).collect();
                assert_eq!(statuses.len(), batch.len());
                assert!(statuses.iter().all(|s| s == "accepted" || s == "duplicate"), "{answer}");
                return Some(statuses);
            }
            (429 | 503, _) => sleep(Duration::from_millis(50)).await,
            (status, answer) => panic!("a batch was answered {status}: {answer}"),
        }
    }
}

fn as_json(event: &Event) -> Value {
    let properties = map_from(&event.properties).expect("a map");
    json!({
        "id": event.id.as_str(),
        "type": event.kind.as_str(),
        "profile": event.profile.as_str(),
        "properties": sojourn::domain::value::Value::Map(properties).to_json(),
    })
}
