//! The engine's handle: everything transports and the command line may do. Cheap to clone.

use std::future::Future;
use std::pin::Pin;

use crate::domain::catalog::Catalog;
use crate::domain::finding::Finding;
use crate::domain::ids::DeliveryId;
use crate::runtime::api::{EventStatus, Refusal, Submission};
use crate::runtime::view::{DeliveryView, Health, JourneySummary, ProfileView, Report, Resolution, ShardsView};

/// The running engine.
#[derive(Clone, Debug)]
pub struct Engine {}

/// Resolves once the whole submission is durable: one status per event, in order.
pub type Receipt = Pin<Box<dyn Future<Output = Result<Vec<EventStatus>, Refusal>> + Send>>;

/// Why the engine refused a request that is no submission.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Resources have errors; nothing was published.
    #[error("{} findings; nothing was published", .0.len())]
    Findings(Vec<Finding>),
    /// No such journey, profile, delivery, ….
    #[error("{what} {name:?} is not known")]
    NotFound {
        /// `journey`, `profile`, `delivery`, `version`.
        what: &'static str,
        /// As asked.
        name: String,
    },
    /// The state of things forbids it.
    #[error("{0}")]
    Conflict(String),
    /// A value is out of range.
    #[error("{0}")]
    Invalid(String),
    /// The engine is not (or no longer) able to.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Engine {
    /// Puts a submission into the mailboxes. Await it to keep order; await the receipt for durability.
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, Refusal> {
        let _ = submission;
        Err(Refusal::Stopping)
    }

    /// Publishes resources; what was done per resource, as JSON (`ApplyReport`).
    pub async fn apply(&self, files: Vec<(String, String)>) -> Result<serde_json::Value, RequestError> {
        let _ = files;
        Err(Refusal::Stopping.into())
    }

    /// What `apply` would do.
    pub async fn plan(&self, files: Vec<(String, String)>) -> Result<serde_json::Value, RequestError> {
        let _ = files;
        Err(Refusal::Stopping.into())
    }

    /// The catalog in force.
    pub fn catalog(&self) -> std::sync::Arc<Catalog> {
        std::sync::Arc::default()
    }

    /// All journeys.
    pub async fn journeys(&self) -> Result<Vec<JourneySummary>, RequestError> {
        Err(Refusal::Stopping.into())
    }

    /// Stops a journey (everyone out), or one version of it.
    pub async fn stop_journey(&self, name: &str, version: Option<u32>) -> Result<JourneySummary, RequestError> {
        let _ = (name, version);
        Err(Refusal::Stopping.into())
    }

    /// Closes a journey to new entries, or one version of it.
    pub async fn close_journey(&self, name: &str, version: Option<u32>) -> Result<JourneySummary, RequestError> {
        let _ = (name, version);
        Err(Refusal::Stopping.into())
    }

    /// Report over all journeys, or one.
    pub async fn report(&self, journey: Option<&str>) -> Result<Report, RequestError> {
        let _ = journey;
        Err(Refusal::Stopping.into())
    }

    /// State and timeline of a profile.
    pub async fn profile(&self, identity: &str, timeline_max: usize) -> Result<ProfileView, RequestError> {
        let _ = (identity, timeline_max);
        Err(Refusal::Stopping.into())
    }

    /// Shards and partitions.
    pub async fn shards(&self) -> Result<ShardsView, RequestError> {
        Err(Refusal::Stopping.into())
    }

    /// Moves partitions so that `count` shards own them; returns when every move is durable.
    pub async fn set_shards(&self, count: u16) -> Result<ShardsView, RequestError> {
        let _ = count;
        Err(Refusal::Stopping.into())
    }

    /// Outbox rows, those in doubt only or all that are waiting.
    pub async fn deliveries(
        &self,
        in_doubt_only: DeliveryFilter,
        max: usize,
    ) -> Result<Vec<DeliveryView>, RequestError> {
        let _ = (in_doubt_only, max);
        Err(Refusal::Stopping.into())
    }

    /// Decides about a delivery in doubt.
    pub async fn resolve_delivery(&self, id: DeliveryId, resolution: Resolution) -> Result<(), RequestError> {
        let _ = (id, resolution);
        Err(Refusal::Stopping.into())
    }

    /// Whether it can serve.
    pub fn health(&self) -> Health {
        Health { ready: false, state: "stopping".to_owned(), detail: String::new() }
    }
}

/// Which outbox rows to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFilter {
    /// All rows.
    All,
    /// Those in doubt.
    InDoubt,
}
