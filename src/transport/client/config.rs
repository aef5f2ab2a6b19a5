//! Who a client is and how it behaves. Keys are never printed.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::{self, pki_types::ServerName};

use crate::domain::ids::Millis;
use crate::domain::limits;

/// What a lost connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// The end.
    Never,
    /// Try to connect again for this long, then the end.
    For(Duration),
}

/// Who the client is and how it behaves.
#[derive(Clone)]
pub struct ClientConfig {
    /// Its name: sequences count per producer and epoch.
    pub producer: String,
    /// One more each time it counts from 1 anew.
    pub epoch: u32,
    /// Sequence of the first event it will send: 1, or where an earlier run of this epoch stopped.
    pub first_sequence: u64,
    /// Its key, if the server asks for one.
    pub api_key: Option<String>,
    /// On the events' clock: [`Progress::engine_time`](super::Progress::engine_time) of an earlier run.
    pub engine_time: Option<Millis>,
    /// TLS and the name that the server's certificate is for.
    pub tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    /// What a lost connection means.
    pub reconnect: Reconnect,
    /// Events unacknowledged at most; the server's window may be smaller.
    pub events_in_flight_max: u64,
}

impl std::fmt::Debug for ClientConfig {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConfig")
            .field("producer", &self.producer)
            .field("epoch", &self.epoch)
            .field("first_sequence", &self.first_sequence)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

impl ClientConfig {
    /// A client that counts from 1, without key and TLS, and gives up with its connection.
    pub fn new(producer: impl Into<String>, epoch: u32) -> Self {
        Self {
            producer: producer.into(),
            epoch,
            first_sequence: 1,
            api_key: None,
            engine_time: None,
            tls: None,
            reconnect: Reconnect::Never,
            events_in_flight_max: limits::STREAM_EVENTS_IN_FLIGHT_MAX,
        }
    }
}
