//! What passes between the engine and the channels: deliveries out, reports back. Types only; the engine knows no
//! channel, and a channel knows no shard.
//!
//! INVARIANT: a [`Job`] is offered only after the commit that decided it is durable (decide, commit, act), and a row
//! leaves the outbox only by a [`DeliveryReport`] that became durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use smol_str::SmolStr;

use crate::domain::effect::{DeliveryReport, OutboxRow};
use crate::domain::endpoint::{Capping, Throttling};
use crate::domain::ids::CatalogVersion;
use crate::domain::journey::action::{Action, ActionDefinition};
use crate::domain::journey::program::{Channel, Message};
use crate::domain::surface::Surface;

/// A delivery handed to a channel after the commit that decided it is durable. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Job {
    /// The outbox row: recipient, frozen inputs, idempotency key.
    pub row: Arc<OutboxRow>,
    /// The message it renders.
    pub message: Arc<Message>,
    /// The surface it leaves by, as last published; `log` needs none.
    pub surface: Option<Arc<Surface>>,
    /// Who sends it: names for logs and receivers.
    pub sender: Sender,
    /// What is known of earlier attempts.
    pub standing: Standing,
}

/// A call handed over after the commit that decided it is durable. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct CallJob {
    /// The outbox row: parameters and idempotency key.
    pub row: Arc<OutboxRow>,
    /// The action as the version knows it.
    pub action: Arc<Action>,
    /// The action as last published, for where it calls.
    pub published: Option<Arc<ActionDefinition>>,
    /// Limits of calls, as last published.
    pub cappings: Arc<BTreeMap<SmolStr, Capping>>,
    /// The rate that calls wait for, as last published.
    pub throttling: Option<Arc<Throttling>>,
    /// The catalog that says so: the highest counts, for calls that wait too.
    pub catalog: CatalogVersion,
    /// Longest time of the call, its retries included, in milliseconds.
    pub timeout_ms: i64,
    /// Who calls: names for logs.
    pub sender: Sender,
}

/// The journey, version and node that decided a message, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Journey.
    pub journey: SmolStr,
    /// Number of the version within its journey, from 1.
    pub version: u32,
    /// Node.
    pub node: SmolStr,
}

/// What is known of earlier attempts of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No attempt is open: safe to send.
    Fresh,
    /// An attempt was journaled before a restart and has no result: it may have delivered.
    Resumed,
}

/// Takes deliveries. Implemented by the dispatcher of the channels.
pub trait DeliverySink: Send + Sync {
    /// Queues a delivery. Never blocks and never waits. The queue of each surface is bounded: an error gives the job
    /// back, and the instance parks at its message node.
    fn offer(&self, job: Job) -> Result<(), Job>;

    /// Queues a call, as [`DeliverySink::offer`] does a message.
    fn call(&self, job: CallJob) -> Result<(), CallJob>;

    /// How many more deliveries this surface (or, for `None`, this channel) would take now.
    fn room(&self, surface: Option<&str>, channel: Channel) -> usize;
}

/// How results come back: an input like any other.
pub trait ReportSink: Send + Sync {
    /// Submits a report; the future resolves once it is durable. The report counts as submitted when this returns,
    /// even if the future is dropped.
    fn report(&self, report: DeliveryReport) -> BoxFuture<'static, Result<Recorded, Stopped>>;

    /// Submits many reports at once, as [`ReportSink::report`] does one; resolves once all are durable, with what became
    /// of each in order. [`Stopped`] if one can't be.
    fn report_all(&self, reports: Vec<DeliveryReport>) -> BoxFuture<'static, Result<Vec<Recorded>, Stopped>>;
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The row took it.
    Applied,
    /// The outbox holds no such row: an exit cancelled it, or it was settled before. A channel that was about to
    /// send must not.
    RowGone,
}

/// The engine takes no more reports. What was not reported is offered again after the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine is stopping")]
pub struct Stopped;
