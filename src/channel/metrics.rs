//! Counters of deliveries, with handles resolved once: a macro per delivery would look its name up each time.

use std::time::Duration;

use metrics::{Counter, Histogram};

use crate::domain::journey::program::Channel;

/// Handles of one channel.
#[derive(Clone)]
pub(super) struct DeliveryMetrics {
    /// Accepted by the provider.
    pub(super) sent: Counter,
    /// Given up.
    pub(super) failed: Counter,
    /// Held in doubt.
    pub(super) in_doubt: Counter,
    /// Taken back by an exit before the first byte.
    pub(super) cancelled: Counter,
    /// Attempts that will be repeated.
    pub(super) retried: Counter,
    /// Given back because the queue was full.
    pub(super) refused: Counter,
    /// From hand-over to accepted by the provider, in seconds.
    seconds: Histogram,
}

impl DeliveryMetrics {
    pub(super) fn new(channel: Channel) -> Self {
        let name = match channel {
            Channel::Log => "log",
            Channel::Webhook => "webhook",
            Channel::Email => "email",
            Channel::Call => "call",
        };
        let outcome = |outcome: &'static str| {
            let labels = [("channel", name), ("outcome", outcome)];
            metrics::counter!("sojourn_deliveries_total", &labels)
        };
        Self {
            sent: outcome("sent"),
            failed: outcome("failed"),
            in_doubt: outcome("in_doubt"),
            cancelled: outcome("cancelled"),
            retried: metrics::counter!("sojourn_delivery_retries_total", "channel" => name),
            refused: metrics::counter!("sojourn_delivery_refusals_total", "channel" => name),
            seconds: metrics::histogram!("sojourn_delivery_seconds", "channel" => name),
        }
    }

    /// Counts a delivery accepted after `taken`.
    pub(super) fn sent_after(&self, taken: Duration) {
        self.sent.increment(1);
        self.seconds.record(taken.as_secs_f64());
    }
}
