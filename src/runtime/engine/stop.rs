//! Stopping an engine: nothing new comes in, what was taken becomes durable, then the threads end from the top down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::runtime::engine::Engine;
use crate::runtime::handle::Mailbox as _;
use crate::runtime::shard::input::ShardInput;

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything taken is durable, and the journal has its end mark.
    Clean,
    /// The journal had failed, or the deadline passed first; what was acknowledged is durable all the same.
    Short,
}

impl Engine {
    /// Takes nothing more in from now on.
    pub fn close(&self) {
        self.core.stopping.store(true, Ordering::Release);
        // The journal's thread may be waiting there for a full disk, and all that drains waits for the journal.
        self.core.projection.stopping();
    }

    /// Waits until everything taken in is durable and answered.
    pub async fn drain(&self) {
        for shard in self.core.router.shards() {
            let (told, done) = tokio::sync::oneshot::channel();
            let question = Box::new(|_: &mut dyn Iterator<Item = &crate::runtime::partition::Partition>| {
                Box::new(move || {
                    // Who asked may have stopped waiting.
                    let _ = told.send(());
                }) as Box<dyn FnOnce() + Send>
            });
            shard.send(ShardInput::Ask(None, question));
            // A shard that failed drops the question.
            let _ = done.await;
        }
    }

    /// Closes, drains within `deadline`, ends all threads, writes the journal's end mark. Blocks; a second call does nothing.
    pub async fn stop(&self, deadline: Duration) -> Ended {
        self.close();
        let drained = tokio::time::timeout(deadline, self.drain()).await.is_ok();
        let Some(mut machinery) = self.core.machinery.lock().take() else { return Ended::Short };
        let failed = self.core.failure.is_raised();
        let ended = tokio::task::spawn_blocking(move || {
            machinery.opener.join();
            machinery.keeper.stop();
            machinery.hatchery.stop();
            machinery.lane.stop().is_ok()
        });
        let marked = ended.await.unwrap_or(false);
        if drained && marked && !failed { Ended::Clean } else { Ended::Short }
    }
}
