//! The pool of one action: a bounded number of calls at once, behind a bounded queue. Calls begin in the order in which they
//! were decided, also after a restart, when they are offered in any other.
//!
//! INVARIANT: every call taken in ends in one durable answer, or (when the server stops) in nothing at all, so that its
//! row is offered again after the restart.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::caller::Caller;
use super::limits::Limits;
use super::tls::CallTls;
use crate::channel::pool::Context;
use crate::channel::queue::{Queue, Queued, queue};
use crate::domain::effect::{CallAnswer, CallStatus, DeliveryOutcome, DeliveryReport};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{DeliveryId, Millis};
use crate::domain::limits::CALL_QUEUE_MAX;
use crate::runtime::delivery::{CallJob, Recorded};

/// The offering end of an action's pool.
pub(in crate::channel) struct CallPool {
    queue: Queue<CallJob>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl CallPool {
    /// Starts the pool on `runtime`.
    pub(in crate::channel) fn start(runtime: &Handle, context: Context, limits: Arc<Limits>, tls: CallTls) -> Self {
        let (queue, jobs) = queue(CALL_QUEUE_MAX);
        let pool_loop = PoolLoop {
            jobs,
            waiting: BTreeMap::new(),
            in_flight: JoinSet::new(),
            current: None,
            context: Arc::new(context),
            limits,
            tls,
        };
        Self { queue, task: Mutex::new(Some(runtime.spawn(pool_loop.run()))) }
    }

    /// Queues `job`, or gives it back for want of room.
    pub(in crate::channel) fn offer(&self, job: CallJob) -> Result<(), CallJob> {
        self.queue.offer(job)
    }

    /// The task, for whoever joins it.
    pub(in crate::channel) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().take()
    }
}

/// A caller, or why there is none, and the endpoint it was built from.
struct Built {
    endpoint: Endpoint,
    caller: Result<Arc<Caller>, String>,
}

struct PoolLoop {
    jobs: mpsc::Receiver<Queued<CallJob>>,
    /// Calls that no worker has begun, the oldest first; as many as the queue has slots at most.
    waiting: BTreeMap<(Millis, DeliveryId), Queued<CallJob>>,
    in_flight: JoinSet<()>,
    current: Option<Built>,
    context: Arc<Context>,
    limits: Arc<Limits>,
    tls: CallTls,
}

impl PoolLoop {
    /// Every arm is cancel safe: a message not received stays in its channel, a task not joined in its set.
    async fn run(mut self) {
        let mut stop = self.context.stop.clone();
        loop {
            while self.in_flight.len() < self.context.in_flight_max
                && let Some((_, first)) = self.waiting.pop_first()
            {
                self.start_call(first);
            }
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                Some(ended) = self.in_flight.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a call ended abnormally; its row stays in the outbox");
                    }
                }
                queued = self.jobs.recv() => match queued {
                    Some(queued) => drop(self.waiting.insert((queued.job.row.decided_at, queued.job.row.id), queued)),
                    None => break,
                },
            }
        }
        self.wind_down().await;
    }

    fn start_call(&mut self, queued: Queued<CallJob>) {
        let caller = self.caller_for(&queued.job);
        let (context, limits) = (Arc::clone(&self.context), Arc::clone(&self.limits));
        let age_ms = u64::try_from((context.clock)().0.saturating_sub(queued.job.row.decided_at.0)).unwrap_or(0);
        let waited = Duration::from_millis(age_ms).max(queued.offered_at.elapsed());
        self.in_flight.spawn(async move {
            let answer = match caller {
                Ok(caller) => AssertUnwindSafe(caller.call(&queued.job, &limits, waited, context.pause))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| CallAnswer::because(CallStatus::InternalError, "the caller panicked")),
                Err(reason) => CallAnswer::because(CallStatus::InternalError, reason),
            };
            settle(queued, &context, answer).await;
        });
    }

    /// The caller of the action as it is published now, built anew when its settings changed.
    fn caller_for(&mut self, job: &CallJob) -> Result<Arc<Caller>, String> {
        let published = job.published.as_ref().and_then(|action| action.endpoint.as_ref());
        let Some(endpoint) = published else { return Err("the action is not published".to_owned()) };
        match &mut self.current {
            Some(built) if built.endpoint == *endpoint && built.caller.is_ok() => built.caller.clone(),
            current => {
                let caller = Caller::build(endpoint, &self.tls).map(Arc::new);
                if let Err(error) = &caller {
                    tracing::error!(action = %endpoint.name, %error, "action can't be called");
                }
                current.insert(Built { endpoint: endpoint.clone(), caller }).caller.clone()
            }
        }
    }

    /// Ends calls in flight by the deadline and abandons the rest: their rows are still in the outbox.
    async fn wind_down(mut self) {
        let deadline = self.context.stop.borrow().unwrap_or_else(Instant::now);
        let all = async { while self.in_flight.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            tracing::warn!(calls = self.in_flight.len(), "calls abandoned at the stop deadline");
        }
        self.in_flight.shutdown().await;
    }
}

/// Reports the answer and counts it once it is durable; only then the slot is free.
async fn settle(queued: Queued<CallJob>, context: &Context, answer: CallAnswer) {
    let Queued { job, offered_at, slot } = queued;
    let is_error = answer.status.is_error();
    let report = DeliveryReport { id: job.row.id, outcome: DeliveryOutcome::Answered(Box::new(answer)) };
    let recorded = context.reports.report(report).await;
    drop(slot);
    match recorded {
        Ok(Recorded::Applied) if is_error => context.metrics.failed.increment(1),
        Ok(Recorded::Applied) => context.metrics.sent_after(offered_at.elapsed()),
        Ok(Recorded::RowGone) | Err(_) => {}
    }
}
