//! Where the messages of a replay go: accepted, counted, reported as sent; nothing leaves the machine.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::effect::{DeliveryOutcome, DeliveryReport};
use crate::domain::journey::program::Channel;
use crate::runtime::delivery::{CallJob, DeliverySink, Job, ReportSink};
use crate::runtime::engine::Engine;

/// Accepts every message and reports it sent.
#[derive(Debug, Default)]
pub struct CountingSink {
    engine: OnceLock<Engine>,
    accepted: AtomicU64,
}

impl CountingSink {
    /// Tells it where reports go: before the first event is submitted.
    pub fn connect(&self, engine: &Engine) {
        // A second call changes nothing: there is one engine.
        let _ = self.engine.set(engine.clone());
    }

    /// Messages accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl DeliverySink for CountingSink {
    fn offer(&self, job: Job) -> Result<(), Job> {
        let Some(engine) = self.engine.get() else { return Err(job) };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        // The report counts as submitted when the call returns.
        drop(ReportSink::report(engine, DeliveryReport { id: job.row.id, outcome: DeliveryOutcome::Sent }));
        Ok(())
    }

    /// In a replay calls count as answered where they are decided, so that none leaves.
    fn call(&self, job: CallJob) -> Result<(), CallJob> {
        Err(job)
    }

    fn room(&self, _: Option<&str>, _: Channel) -> usize {
        usize::MAX
    }
}
