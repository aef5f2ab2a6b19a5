//! A client of the TCP feed, for the command line, `loadtest` and other producers in Rust. Keeps what is not yet
//! acknowledged (at most the server's window), honours credit, and after a lost connection sends that again.
//!
//! One task, the [`driver`], owns the connection; what both know is [`shared`].

mod config;
mod connection;
mod driver;
mod error;
mod shared;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub use self::config::{ClientConfig, Reconnect};
use self::connection::connect_within;
use self::driver::drive;
pub use self::error::ClientError;
pub use self::shared::Progress;
use self::shared::{Shared, State, Unacknowledged};
use crate::domain::event::Event;
use crate::domain::limits;
use crate::wire::frame::{Rejection, encode_batch};

/// Bytes of a frame that [`Client::send`] aims at: large enough to amortise a system call, small enough to ack often.
const FRAME_BYTES_AIM: usize = 256 << 10;
/// Bytes of an event's heads at most, beside its texts and properties.
const EVENT_HEAD_BYTES: usize = 32;

/// A producer's end of the TCP feed.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    driver: Option<JoinHandle<()>>,
    progress: watch::Receiver<Progress>,
    next_sequence: u64,
    clock: String,
}

impl Client {
    /// Connects to `address` (`host:port`) and greets the server.
    ///
    /// # Errors
    /// No connection, or the server refuses the hello.
    pub async fn connect(address: impl Into<String>, config: ClientConfig) -> Result<Self, ClientError> {
        let address = address.into();
        let connection = connect_within(&address, &config, config.engine_time).await?;
        let first = Progress {
            sequence: config.first_sequence.saturating_sub(1),
            engine_time: config.engine_time,
            connections: 1,
            ..Progress::default()
        };
        let (sender, progress) = watch::channel(first);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            work: Notify::new(),
            room: Notify::new(),
            progress: sender,
        });
        let clock = connection.welcome.clock.clone();
        let next_sequence = config.first_sequence;
        shared.welcomed(&connection.welcome, &config);
        let driver = tokio::spawn(drive(Arc::clone(&shared), address, config, connection));
        Ok(Self { shared, driver: Some(driver), progress, next_sequence, clock })
    }

    /// The server's clock: `wall` or `events`.
    pub fn clock(&self) -> &str {
        &self.clock
    }

    /// Sequence of the next event to be sent.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Sends events in order, in as many batches as it takes; waits for acks where the window is full. Returns when they
    /// are on their way, not when they are durable.
    ///
    /// # Errors
    /// The client is at its end; what [`Progress::sequence`] does not cover may or may not be durable.
    pub async fn send(&mut self, events: &[Event]) -> Result<(), ClientError> {
        let mut rest = events;
        while !rest.is_empty() {
            let (batch_events_max, events_max) = {
                let state = self.shared.state.lock();
                (state.batch_events_max, state.events_max)
            };
            let count = batch_length(rest, batch_events_max.min(events_max as usize))?;
            let (batch, behind) = rest.split_at(count);
            self.send_batch(batch).await?;
            rest = behind;
        }
        Ok(())
    }

    /// Waits until `count` events more have room in the window.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn ready(&mut self, count: u64) -> Result<(), ClientError> {
        self.wait_until(|state| state.queue.is_empty() || state.events + count <= state.events_max).await
    }

    async fn send_batch(&mut self, batch: &[Event]) -> Result<(), ClientError> {
        let mut frame = Vec::with_capacity(batch.iter().map(size_of_event).sum::<usize>() + EVENT_HEAD_BYTES);
        encode_batch(&mut frame, self.next_sequence, batch);
        let unacknowledged = Unacknowledged {
            first_sequence: self.next_sequence,
            last_sequence: self.next_sequence + batch.len() as u64 - 1,
            frame: frame.into(),
        };
        self.ready(batch.len() as u64).await?;
        let mut state = self.shared.state.lock();
        state.events += unacknowledged.count();
        state.queue.push_back(unacknowledged);
        drop(state);
        self.next_sequence += batch.len() as u64;
        self.shared.work.notify_one();
        Ok(())
    }

    /// Progress as it happens.
    pub fn acknowledged(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Takes the rejections that came since the last call; at most 10,000 are kept, the count goes on.
    pub fn take_rejections(&self) -> Vec<Rejection> {
        std::mem::take(&mut self.shared.state.lock().rejections)
    }

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<Progress, ClientError> {
        self.wait_until(|state| state.queue.is_empty()).await?;
        Ok(*self.progress.borrow())
    }

    /// Waits until everything sent is acknowledged, then says goodbye and closes.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn finish(mut self) -> Result<Progress, ClientError> {
        let progress = self.flush().await?;
        self.shared.state.lock().is_leaving = true;
        self.shared.work.notify_one();
        if let Some(driver) = self.driver.take() {
            driver.await.map_err(|error| ClientError::Lost(error.to_string()))?;
        }
        Ok(progress)
    }

    async fn wait_until(&mut self, is_met: impl Fn(&State) -> bool) -> Result<(), ClientError> {
        loop {
            {
                let state = self.shared.state.lock();
                if let Some(error) = &state.failed {
                    return Err(error.clone());
                }
                if is_met(&state) {
                    return Ok(());
                }
            }
            // A permit given between the look and this line is kept, so no wake-up is lost.
            self.shared.room.notified().await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

fn size_of_event(event: &Event) -> usize {
    EVENT_HEAD_BYTES + event.id.len() + event.kind.len() + event.profile.len() + event.properties.len()
}

/// How many events from the head make the next batch.
fn batch_length(events: &[Event], events_max: usize) -> Result<usize, ClientError> {
    let mut bytes = 0;
    for (index, event) in events.iter().enumerate().take(events_max.max(1)) {
        let size = size_of_event(event);
        if event.properties.len() > limits::EVENT_BYTES_MAX {
            return Err(ClientError::EventTooLarge { id: event.id.to_string(), bytes: size });
        }
        bytes += size;
        if bytes > FRAME_BYTES_AIM && index > 0 {
            return Ok(index);
        }
    }
    Ok(events.len().min(events_max.max(1)))
}
