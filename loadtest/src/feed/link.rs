//! One connection of any feed: sends in order, and tells [`Underway`] of answers. Knows nothing about when to send.

use std::sync::Arc;

use crate::event::{Encoder, LoadEvent};
use crate::options::Feed;
use crate::target::Target;

use super::grpc::GrpcLink;
use super::http::HttpLink;
use super::tcp::TcpLink;
use super::underway::Underway;

/// What becomes of events that the server has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// They wait, and are sent again where they were refused.
    Wait,
    /// They are dropped, and counted.
    Shed,
}

/// How a connection behaves.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// How it sends.
    pub feed: Feed,
    /// Its name among all producers.
    pub producer: String,
    /// Events unacknowledged at most.
    pub in_flight: u64,
    /// Events of one request over HTTP at most.
    pub batch: u64,
    /// What becomes of what there is no room for.
    pub overflow: Overflow,
    /// How its events are written.
    pub encoder: Encoder,
}

/// One connection.
#[derive(Debug)]
pub enum Link {
    /// Over TCP.
    Tcp(TcpLink),
    /// Over gRPC.
    Grpc(Box<GrpcLink>),
    /// Over HTTP.
    Http(HttpLink),
}

impl Link {
    /// Connects.
    pub async fn connect(target: &Target, config: LinkConfig, underway: Arc<Underway>) -> anyhow::Result<Self> {
        Ok(match config.feed {
            Feed::Tcp => Self::Tcp(TcpLink::connect(target, config, underway).await?),
            Feed::Grpc => Self::Grpc(Box::new(GrpcLink::connect(target, config, underway).await?)),
            Feed::Http => Self::Http(HttpLink::connect(target, config, underway)?),
        })
    }

    /// Sequence of the next event.
    pub fn next_sequence(&self) -> u64 {
        match self {
            Self::Tcp(link) => link.next_sequence(),
            Self::Grpc(link) => link.next_sequence(),
            Self::Http(link) => link.next_sequence(),
        }
    }

    /// Events more that may be sent without waiting.
    pub fn room(&self) -> u64 {
        match self {
            Self::Tcp(link) => link.room(),
            Self::Grpc(link) => link.room(),
            Self::Http(link) => link.room(),
        }
    }

    /// Waits until so many events more have room.
    pub async fn ready(&mut self, count: u64) -> anyhow::Result<()> {
        match self {
            Self::Tcp(link) => link.ready(count).await,
            Self::Grpc(link) => link.ready(count).await,
            Self::Http(link) => link.ready(count).await,
        }
    }

    /// Sends events; returns when they are on their way.
    pub async fn send(&mut self, events: &[LoadEvent]) -> anyhow::Result<()> {
        match self {
            Self::Tcp(link) => link.send(events).await,
            Self::Grpc(link) => link.send(events).await,
            Self::Http(link) => link.send(events).await,
        }
    }

    /// Waits for the last answer and closes. An event that was rejected for what it is, is an error.
    pub async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Tcp(link) => link.finish().await,
            Self::Grpc(link) => link.finish().await,
            Self::Http(link) => link.finish().await,
        }
    }
}
