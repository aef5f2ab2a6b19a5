//! How much one connection has unanswered, and waiting for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::bail;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Events sent and answered, and how many may be between.
#[derive(Debug)]
pub struct Window {
    /// Sequence of the last event that was sent; 0 = none.
    sent: AtomicU64,
    answered: AtomicU64,
    events_max: u64,
    /// Something was answered, or failed.
    moved: Notify,
    failed: Mutex<Option<String>>,
}

impl Window {
    /// Room for so many.
    pub fn new(events_max: u64) -> Arc<Self> {
        Arc::new(Self {
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            events_max: events_max.max(1),
            moved: Notify::new(),
            failed: Mutex::default(),
        })
    }

    /// Sequence of the next event.
    pub fn next_sequence(&self) -> u64 {
        self.sent.load(Ordering::Acquire) + 1
    }

    /// So many more are sent; gives the sequence of the last.
    pub fn sent(&self, count: u64) -> u64 {
        self.sent.fetch_add(count, Ordering::AcqRel) + count
    }

    /// Everything up to this sequence is answered.
    pub fn answered(&self, sequence: u64) {
        self.answered.fetch_max(sequence, Ordering::AcqRel);
        self.moved.notify_one();
    }

    /// The connection is at its end.
    pub fn fail(&self, reason: String) {
        self.failed.lock().get_or_insert(reason);
        self.moved.notify_one();
    }

    fn unanswered(&self) -> u64 {
        self.sent.load(Ordering::Acquire) - self.answered.load(Ordering::Acquire)
    }

    /// Events more that have room.
    pub fn room(&self) -> u64 {
        self.events_max.saturating_sub(self.unanswered())
    }

    /// Waits until so many more have room; more than the window holds, when it is empty.
    pub async fn ready(&self, count: u64) -> anyhow::Result<()> {
        self.wait_until(|window| window.unanswered() == 0 || window.room() >= count).await
    }

    /// Waits until everything is answered.
    pub async fn settled(&self) -> anyhow::Result<()> {
        self.wait_until(|window| window.unanswered() == 0).await
    }

    async fn wait_until(&self, is_met: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        loop {
            if let Some(reason) = &*self.failed.lock() {
                bail!("{reason}");
            }
            if is_met(self) {
                return Ok(());
            }
            // A permit given since the look is kept, so no wake-up is lost.
            self.moved.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sender_waits_for_room_and_hears_of_the_end() {
        let window = Window::new(10);
        window.ready(25).await.expect("an empty window takes any batch");
        assert_eq!((window.next_sequence(), window.sent(10), window.room()), (1, 10, 0));
        let waiting = tokio::spawn({
            let window = Arc::clone(&window);
            async move { window.ready(4).await }
        });
        window.answered(4);
        waiting.await.expect("runs").expect("has room");
        window.fail("it is gone".to_owned());
        assert_eq!(window.settled().await.expect_err("failed").to_string(), "it is gone");
    }
}
