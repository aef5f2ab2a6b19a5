//! The one door for events, as transports see it: the engine behind it, or a stand-in in their tests.

use std::future::Future;

use crate::runtime::api::{Refusal, Submission};
use crate::runtime::engine::{Engine, Receipt};

/// Takes submissions. Await [`submit`](Self::submit) to keep order and feel backpressure, the [`Receipt`] for durability.
///
/// A submission whose future is dropped may have been taken in part; its sender sends it again, and what was taken
/// is recognised by its sequence or ids.
pub trait Ingest: Clone + Send + Sync + 'static {
    /// Puts a submission into the mailboxes.
    ///
    /// # Errors
    /// Why nothing of it was taken.
    fn submit(&self, submission: Submission) -> impl Future<Output = Result<Receipt, Refusal>> + Send;
}

impl Ingest for Engine {
    async fn submit(&self, submission: Submission) -> Result<Receipt, Refusal> {
        Engine::submit(self, submission).await
    }
}
