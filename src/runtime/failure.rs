//! The one way down: after a failed sync, corruption or a panic nothing more is acknowledged, and the process exits
//! with a code that tells its supervisor to start it again.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Shared by all parts of an engine. Raised once; the first reason counts.
#[derive(Clone, Debug)]
pub struct Failure {
    reason: Arc<Mutex<Option<String>>>,
    raised: watch::Sender<bool>,
}

impl Default for Failure {
    fn default() -> Self {
        Self { reason: Arc::default(), raised: watch::Sender::new(false) }
    }
}

impl Failure {
    /// Raises it.
    pub fn raise(&self, reason: &str) {
        let mut first = self.reason.lock();
        if first.is_none() {
            tracing::error!(reason, "the engine stops");
            *first = Some(reason.to_owned());
            drop(first);
            self.raised.send_replace(true);
        }
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Why.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// Resolves once it is raised.
    pub async fn raised(&self) -> String {
        let mut watch = self.raised.subscribe();
        // The sender lives in self, so waiting ends only by the value.
        let _ = watch.wait_for(|raised| *raised).await;
        self.reason().unwrap_or_default()
    }
}
