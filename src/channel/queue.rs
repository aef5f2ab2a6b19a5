//! The bounded way into a channel: as many slots as deliveries it may hold, from the offer until the outcome is
//! durable. Offering never blocks.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::runtime::delivery::Job;

/// The offering end.
pub(super) struct Queue<T = Job> {
    jobs: mpsc::Sender<Queued<T>>,
    slots: Arc<Semaphore>,
}

/// A delivery inside a channel.
pub(super) struct Queued<T = Job> {
    /// What to deliver.
    pub(super) job: T,
    /// When it was handed over.
    pub(super) offered_at: Instant,
    /// Its place; dropped when the outcome is durable.
    pub(super) slot: OwnedSemaphorePermit,
}

/// A queue of `capacity` slots and its receiving end.
pub(super) fn queue<T>(capacity: usize) -> (Queue<T>, mpsc::Receiver<Queued<T>>) {
    let (jobs, receiver) = mpsc::channel(capacity);
    (Queue { jobs, slots: Arc::new(Semaphore::new(capacity)) }, receiver)
}

impl<T> Queue<T> {
    /// Queues `job`, or gives it back if every slot is taken or the channel has stopped.
    pub(super) fn offer(&self, job: T) -> Result<(), T> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return Err(job) };
        let queued = Queued { job, offered_at: Instant::now(), slot };
        self.jobs.try_send(queued).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(queued) | mpsc::error::TrySendError::Closed(queued) => queued.job,
        })
    }

    /// Slots that are free.
    pub(super) fn room(&self) -> usize {
        self.slots.available_permits()
    }
}
