//! Receivers of messages on this machine: real HTTP and real SMTP over loopback sockets. They count what comes by the
//! delivery's id and accept it.

mod smtp;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::verify::{Ids, Received};

/// What one receiver got, and when.
#[derive(Debug, Default)]
struct Inbox {
    ids: Ids,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// Counts deliveries.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Mutex<Inbox>>);

impl Counter {
    fn add(&self, id: &str) {
        let now = Instant::now();
        let mut inbox = self.0.lock();
        inbox.ids.add(id);
        inbox.first.get_or_insert(now);
        inbox.last = Some(now);
    }

    /// So far.
    pub fn received(&self) -> Received {
        self.0.lock().ids.received()
    }

    /// Deliveries a second between the first and the last; none for fewer than two.
    pub fn per_second(&self) -> Option<f64> {
        let inbox = self.0.lock();
        rate(inbox.ids.received().all, inbox.last?.duration_since(inbox.first?))
    }
}

/// Things a second, of which the first opened the span and the last closed it.
fn rate(count: u64, span: Duration) -> Option<f64> {
    (count > 1 && !span.is_zero()).then(|| (count - 1) as f64 / span.as_secs_f64())
}

/// A receiver that runs; ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it got.
    pub counter: Counter,
    _serving: AbortOnDropHandle<()>,
}

impl Sink {
    /// One for webhooks.
    pub async fn webhook() -> anyhow::Result<Self> {
        webhook::start().await
    }

    /// One for mails.
    pub async fn smtp() -> anyhow::Result<Self> {
        smtp::start().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two() {
        assert_eq!(rate(101, Duration::from_secs(2)), Some(50.0));
        assert_eq!((rate(1, Duration::from_secs(1)), rate(5, Duration::ZERO)), (None, None));
    }
}
