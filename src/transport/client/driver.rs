//! Drives a client's connections: reads and writes side by side, so that acks are taken while a write waits, and connects
//! again where the config says so. Decides nothing about events.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;

use super::config::{ClientConfig, Reconnect};
use super::connection::{CONNECT_TIMEOUT, Connection, connect_within, read_frame};
use super::error::ClientError;
use super::shared::{Shared, WRITE_BYTES_AIM};
use crate::transport::code::Code;
use crate::wire::frame::ServerFrame;

/// First and longest rest between attempts to connect again.
const RECONNECT_REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Keeps the connection, and makes new ones where the config says so, until the client leaves or fails.
pub(super) async fn drive(shared: Arc<Shared>, address: String, config: ClientConfig, first: Connection) {
    let mut connection = first;
    loop {
        let Err(error) = exchange(&shared, connection).await else { return };
        if shared.state.lock().is_leaving {
            // Everything is acknowledged: how the other side closed no longer matters.
            return;
        }
        match reconnect(&shared, &address, &config, error).await {
            Ok(next) => {
                shared.welcomed(&next.welcome, &config);
                if shared.is_stuck() {
                    let message = "its window is now smaller than a batch that is to be sent again";
                    return shared.fail(ClientError::Protocol(message.to_owned()));
                }
                shared.progress.send_modify(|progress| progress.connections += 1);
                shared.work.notify_one();
                connection = next;
            }
            Err(error) => return shared.fail(error),
        }
    }
}

async fn reconnect(
    shared: &Shared,
    address: &str,
    config: &ClientConfig,
    lost: ClientError,
) -> Result<Connection, ClientError> {
    let Reconnect::For(patience) = config.reconnect else { return Err(lost) };
    let (first, longest) = RECONNECT_REST;
    let mut rests = ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build();
    let engine_time = shared.progress.borrow().engine_time;
    let attempts = async {
        let mut error = lost.clone();
        while error.is_transient() {
            tokio::time::sleep(rests.next().unwrap_or(longest)).await;
            match connect_within(address, config, engine_time).await {
                Ok(connection) => return Ok(connection),
                Err(next) => error = next,
            }
        }
        Err(error)
    };
    tokio::time::timeout(patience, attempts).await.unwrap_or(Err(lost.clone()))
}

/// Reads and writes side by side until the connection is lost (an error) or both sides said goodbye.
async fn exchange(shared: &Shared, connection: Connection) -> Result<(), ClientError> {
    let Connection { mut frames, mut write, .. } = connection;
    let reading = async {
        loop {
            match read_frame(&mut frames).await? {
                ServerFrame::Ack(ack) => {
                    shared.acknowledge(ack)?;
                    shared.work.notify_one();
                }
                ServerFrame::Credit(events) => {
                    shared.state.lock().credit += events;
                    shared.work.notify_one();
                }
                ServerFrame::Ping(token) => {
                    shared.state.lock().pongs.push(token);
                    shared.work.notify_one();
                }
                ServerFrame::Pong(_) => {}
                ServerFrame::Goodbye(_) if shared.state.lock().is_leaving => return Ok(()),
                ServerFrame::Goodbye(message) => return Err(ClientError::Lost(message)),
                ServerFrame::Error { code, message } => {
                    return Err(ClientError::Refused { code: Code::from_byte(code), message });
                }
                ServerFrame::Welcome(_) => return Err(ClientError::Protocol("a second welcome".to_owned())),
            }
        }
    };
    let writing = async {
        let mut out = BytesMut::with_capacity(WRITE_BYTES_AIM);
        loop {
            out.clear();
            let more = shared.gather(&mut out);
            if !out.is_empty() {
                write.write_all(&out).await?;
            } else if more.is_some() {
                shared.work.notified().await;
            }
            if more.is_none() {
                return Ok::<(), std::io::Error>(());
            }
        }
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        biased;
        end = &mut reading => end,
        written = &mut writing => match written {
            Ok(()) => reading.await,
            // The server's last word says more than a broken pipe does.
            Err(error) => match tokio::time::timeout(CONNECT_TIMEOUT, reading).await {
                Ok(Err(end @ (ClientError::Refused { .. } | ClientError::Protocol(_)))) => Err(end),
                _ => Err(ClientError::Lost(error.to_string())),
            },
        },
    }
}
