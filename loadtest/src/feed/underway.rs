//! What one connection has sent and the server has not yet answered; tells the meter when it does.
//!
//! INVARIANT: batches are in order of sequences, and answers come in that order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::meter::Meter;

/// A batch: the sequence of its last event, how many there are, since when they are under way.
#[derive(Clone, Copy, Debug)]
struct Batch {
    last: u64,
    count: u64,
    since: Instant,
}

/// Batches under way on one connection.
#[derive(Debug)]
pub struct Underway {
    batches: Mutex<VecDeque<Batch>>,
    meter: Arc<Meter>,
}

impl Underway {
    /// Nothing is.
    pub fn new(meter: Arc<Meter>) -> Arc<Self> {
        Arc::new(Self { batches: Mutex::default(), meter })
    }

    /// Events up to the sequence `last` count as sent at `since`.
    pub fn begin(&self, last: u64, count: u64, since: Instant) {
        self.batches.lock().push_back(Batch { last, count, since });
    }

    /// Everything up to this sequence is acknowledged now.
    pub fn acknowledged(&self, sequence: u64) {
        let now = Instant::now();
        let mut batches = self.batches.lock();
        while let Some(batch) = batches.front().copied().filter(|batch| batch.last <= sequence) {
            batches.pop_front();
            self.meter.acknowledge(batch.count, now.saturating_duration_since(batch.since));
        }
    }

    /// Everything up to this sequence was refused now, after being asked at `asked`.
    pub fn refused(&self, sequence: u64, asked: Instant) {
        let took = asked.elapsed();
        let mut batches = self.batches.lock();
        while let Some(batch) = batches.front().copied().filter(|batch| batch.last <= sequence) {
            batches.pop_front();
            self.meter.refuse(batch.count, took);
        }
    }

    /// So many events were not even sent: there was no room.
    pub fn held_back(&self, count: u64) {
        self.meter.hold_back(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn latency_counts_from_when_events_should_have_been_sent() {
        let meter = Meter::new(None, None);
        let underway = Underway::new(Arc::clone(&meter));
        let late = Instant::now().checked_sub(std::time::Duration::from_secs(1)).expect("the machine runs longer");
        underway.begin(10, 10, late);
        underway.begin(20, 10, Instant::now());
        underway.acknowledged(9);
        assert_eq!(meter.events(), 0, "a batch counts when its last event is acknowledged");
        underway.acknowledged(20);
        meter.close();
        let latency = meter.latency();
        assert!(latency.len() == 20);
        assert!(latency.value_at_quantile(0.99) >= 1_000_000_000 && latency.min() < 500_000_000);
    }

    #[tokio::test]
    async fn what_is_refused_is_not_acknowledged() {
        let meter = Meter::new(None, None);
        let underway = Underway::new(Arc::clone(&meter));
        underway.begin(10, 10, Instant::now());
        underway.refused(10, Instant::now());
        underway.held_back(5);
        assert_eq!((meter.events(), meter.refused().0, meter.held_back()), (0, 10, 5));
    }
}
