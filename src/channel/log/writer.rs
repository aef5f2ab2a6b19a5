//! The one task that writes the log: batches from the queue, reports after the sync, the confirmed offset after the
//! reports.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::file::LogFile;
use crate::channel::metrics::DeliveryMetrics;
use crate::channel::queue::{Queue, Queued, queue};
use crate::domain::effect::{DeliveryOutcome, DeliveryReport};
use crate::domain::ids::DeliveryId;
use crate::domain::limits::{LOG_BATCH_BYTES_MAX, LOG_QUEUE_MAX};
use crate::runtime::delivery::{Job, Recorded, ReportSink};

/// Deliveries taken from the queue at once.
const BATCH_LINES_MAX: usize = 4_096;
/// Bytes confirmed before the mark is moved: what a start reads and rewrites in some ten milliseconds.
const MARK_EVERY_BYTES: u64 = 4 << 20;
/// A batch begins no earlier than this after the one before: each is a sync, which the disk must not do for a line or two
/// a thousand times a second while events wait for theirs.
const BATCH_PAUSE: Duration = Duration::from_millis(10);
/// Pause after a failed write, e.g. on a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    time: String,
    channel: &'a str,
    profile: &'a str,
    journey: &'a str,
    version: u32,
    node: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    body: String,
}

/// Which lines are not confirmed yet.
#[derive(Debug)]
struct Confirmation {
    /// Offsets (of a batch or a recovered line) whose reports are not durable.
    open: BTreeSet<u64>,
    /// Where recovered lines begin, as long as some may still be asked for.
    recovered_from: Option<u64>,
    /// End of what was written.
    end: u64,
}

impl Confirmation {
    fn offset(&self) -> u64 {
        let first_open = self.open.first().copied().unwrap_or(self.end);
        self.recovered_from.map_or(first_open, |from| from.min(first_open))
    }
}

/// The channel.
pub struct LogChannel {
    queue: Queue,
    confirmed: Arc<AtomicU64>,
    forget: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for LogChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogChannel").field("confirmed_offset", &self.confirmed_offset()).finish_non_exhaustive()
    }
}

impl LogChannel {
    /// Starts the writer on `runtime`. `stop` is set to a deadline when the server stops.
    pub(in crate::channel) fn start(
        runtime: &Handle,
        file: LogFile,
        reports: Arc<dyn ReportSink>,
        metrics: DeliveryMetrics,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self::start_with(runtime, file, reports, metrics, (RETRY_PAUSE, stop))
    }

    pub(in crate::channel) fn start_with(
        runtime: &Handle,
        file: LogFile,
        reports: Arc<dyn ReportSink>,
        metrics: DeliveryMetrics,
        (retry_pause, stop): (Duration, watch::Receiver<Option<Instant>>),
    ) -> Self {
        let (queue, jobs) = queue(LOG_QUEUE_MAX);
        let confirmed = Arc::new(AtomicU64::new(file.confirmed));
        let forget = Arc::new(Notify::new());
        let confirmation = Confirmation {
            open: BTreeSet::new(),
            recovered_from: (!file.recovered.is_empty()).then_some(file.confirmed),
            end: file.end,
        };
        confirmed.store(confirmation.offset(), Ordering::Release);
        let confirming = Confirming {
            reports,
            metrics,
            confirmation: Arc::new(Mutex::new(confirmation)),
            published: Arc::clone(&confirmed),
        };
        let writer = Writer {
            jobs,
            file,
            confirming,
            forget: Arc::clone(&forget),
            unconfirmed: JoinSet::new(),
            retry_pause,
            stop,
        };
        Self { queue, confirmed, forget, task: Mutex::new(Some(runtime.spawn(writer.run()))) }
    }

    pub(in crate::channel) fn offer(&self, job: Job) -> Result<(), Job> {
        self.queue.offer(job)
    }

    pub(in crate::channel) fn room(&self) -> usize {
        self.queue.room()
    }

    pub(in crate::channel) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().take()
    }

    /// Start of the oldest line whose report is not durable (the end of the file if there is none), for the engine to
    /// store and to give to [`LogFile::open`]. Storing an older one is safe: more lines are read at the next start.
    pub fn confirmed_offset(&self) -> u64 {
        self.confirmed.load(Ordering::Acquire)
    }

    /// To be called once every row that was in the outbox at recovery has been offered. The lines found at the start
    /// are forgotten as soon as the queue is empty, and the confirmed offset moves on.
    pub fn recovered_rows_offered(&self) {
        self.forget.notify_one();
    }
}

/// The side that waits for durable reports.
#[derive(Clone)]
struct Confirming {
    reports: Arc<dyn ReportSink>,
    metrics: DeliveryMetrics,
    confirmation: Arc<Mutex<Confirmation>>,
    published: Arc<AtomicU64>,
}

impl Confirming {
    fn update(&self, change: impl FnOnce(&mut Confirmation)) {
        let mut confirmation = self.confirmation.lock();
        change(&mut confirmation);
        self.published.store(confirmation.offset(), Ordering::Release);
    }

    /// Reports every line as sent; once all reports are durable, the lines from `offset` on are confirmed and their
    /// slots free. If the engine takes no more reports they stay unconfirmed, which the next start sorts out.
    async fn confirm(self, offset: u64, lines: Vec<Written>) {
        let reports = lines.iter().map(|line| sent(line.id)).collect();
        let Ok(recorded) = self.reports.report_all(reports).await else { return };
        for (line, recorded) in lines.iter().zip(recorded) {
            if recorded == Recorded::Applied {
                self.metrics.sent_after(line.offered_at.elapsed());
            }
        }
        self.update(|confirmation| {
            confirmation.open.remove(&offset);
        });
    }

    async fn fail(self, id: DeliveryId, reason: String, slot: OwnedSemaphorePermit) {
        let recorded = self.reports.report(DeliveryReport { id, outcome: DeliveryOutcome::Failed { reason } }).await;
        if recorded == Ok(Recorded::Applied) {
            self.metrics.failed.increment(1);
        }
        drop(slot);
    }
}

fn sent(id: DeliveryId) -> DeliveryReport {
    DeliveryReport { id, outcome: DeliveryOutcome::Sent }
}

/// A line in the file whose report is on its way.
struct Written {
    id: DeliveryId,
    offered_at: Instant,
    _slot: OwnedSemaphorePermit,
}

struct Writer {
    jobs: mpsc::Receiver<Queued>,
    file: LogFile,
    confirming: Confirming,
    forget: Arc<Notify>,
    /// One task a batch; as many lines as the queue has slots.
    unconfirmed: JoinSet<()>,
    retry_pause: Duration,
    stop: watch::Receiver<Option<Instant>>,
}

impl Writer {
    /// Every arm is cancel safe. ORDER: what was recovered is forgotten when the queue is empty after `forget`, so every
    /// delivery offered before it was looked up among the recovered lines.
    async fn run(mut self) {
        let mut batch = Vec::new();
        let mut stop = self.stop.clone();
        let forget = Arc::clone(&self.forget);
        let (mut next_batch, mut is_to_forget) = (Instant::now(), false);
        loop {
            if is_to_forget && self.jobs.is_empty() {
                is_to_forget = false;
                self.forget_recovered();
            }
            let paced = async {
                tokio::time::sleep_until(next_batch).await;
                self.jobs.recv_many(&mut batch, BATCH_LINES_MAX).await
            };
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                Some(_) = self.unconfirmed.join_next() => self.move_mark(MARK_EVERY_BYTES).await,
                count = paced => {
                    next_batch = Instant::now() + BATCH_PAUSE;
                    if count == 0 || !self.write_batch(&mut batch).await {
                        break;
                    }
                }
                () = forget.notified() => is_to_forget = true,
            }
        }
        let deadline = self.stop.borrow().unwrap_or_else(Instant::now);
        let confirmed = async { while self.unconfirmed.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, confirmed).await.is_err() {
            tracing::warn!("the stop deadline passed before every line of the message log was confirmed");
        }
        self.unconfirmed.shutdown().await;
        self.move_mark(1).await;
    }

    /// Keeps the confirmed offset beside the file once it has moved by `bytes`.
    async fn move_mark(&mut self, bytes: u64) {
        let offset = self.confirming.published.load(Ordering::Acquire);
        let Some(mark) = self.file.mark.clone().filter(|_| offset >= self.file.confirmed.saturating_add(bytes)) else {
            return;
        };
        self.file.confirmed = offset;
        let written = tokio::task::spawn_blocking(move || mark.write(offset)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "confirmed offset of the message log not kept; the next start reads more");
        }
    }

    fn forget_recovered(&mut self) {
        self.file.recovered = HashMap::new();
        self.confirming.update(|confirmation| confirmation.recovered_from = None);
    }

    /// Renders, writes and syncs; then lets the reports go. False if the server stops before the disk took it.
    async fn write_batch(&mut self, batch: &mut Vec<Queued>) -> bool {
        let mut bytes = Vec::new();
        let mut lines = Vec::new();
        for queued in batch.drain(..) {
            let Queued { job, offered_at, slot } = queued;
            let written = Written { id: job.row.id, offered_at, _slot: slot };
            if let Some(offset) = self.file.recovered.remove(&job.row.id) {
                self.confirming.update(|confirmation| {
                    confirmation.open.insert(offset);
                });
                self.unconfirmed.spawn(self.confirming.clone().confirm(offset, vec![written]));
                continue;
            }
            match render(&job, &mut bytes) {
                Ok(()) => lines.push(written),
                Err(reason) => {
                    self.unconfirmed.spawn(self.confirming.clone().fail(written.id, reason, written._slot));
                }
            }
            if bytes.len() >= LOG_BATCH_BYTES_MAX {
                let full = (std::mem::take(&mut bytes), std::mem::take(&mut lines));
                if !self.write_lines(full.0, full.1).await {
                    return false;
                }
            }
        }
        if self.file.recovered.is_empty() {
            self.confirming.update(|confirmation| confirmation.recovered_from = None);
        }
        lines.is_empty() || self.write_lines(bytes, lines).await
    }

    async fn write_lines(&mut self, bytes: Vec<u8>, lines: Vec<Written>) -> bool {
        let offset = self.file.end;
        let end = offset + bytes.len() as u64;
        if !self.write_until_durable(bytes, offset).await {
            return false;
        }
        self.file.end = end;
        self.confirming.update(|confirmation| {
            confirmation.open.insert(offset);
            confirmation.end = end;
        });
        self.unconfirmed.spawn(self.confirming.clone().confirm(offset, lines));
        true
    }

    /// Repeats write and sync until both succeed. A failed sync is not repeated by itself: the bytes are cut off and
    /// written again, since the kernel may have dropped them and called them clean.
    async fn write_until_durable(&mut self, bytes: Vec<u8>, offset: u64) -> bool {
        let bytes = Arc::new(bytes);
        let mut is_failing = false;
        loop {
            let (disk, to_write) = (Arc::clone(&self.file.disk), Arc::clone(&bytes));
            let written = tokio::task::spawn_blocking(move || disk.write_and_sync(&to_write, offset)).await;
            let error = match written {
                Ok(Ok(())) => {
                    if is_failing {
                        tracing::info!(path = %self.file.path.display(), "message log written again");
                    }
                    return true;
                }
                Ok(Err(error)) => error,
                Err(error) => std::io::Error::other(error),
            };
            if !is_failing {
                tracing::error!(path = %self.file.path.display(), %error, "can't write the message log; will retry");
            }
            is_failing = true;
            tokio::select! {
                biased;
                _ = self.stop.changed() => return false,
                () = tokio::time::sleep(self.retry_pause) => {}
            }
        }
    }
}

/// Appends the line of `job`, or says why it can't be rendered.
fn render(job: &Job, bytes: &mut Vec<u8>) -> Result<(), String> {
    let (row, message) = (&job.row, &job.message);
    let render = |template: &crate::domain::content::Template| {
        template.render(&row.input).map_err(|error| format!("can't render message '{}': {error}", message.name))
    };
    let line = Line {
        id: row.id.to_string(),
        time: row.decided_at.to_iso(),
        channel: "log",
        profile: &row.profile,
        journey: &job.sender.journey,
        version: job.sender.version,
        node: &job.sender.node,
        message: &message.name,
        subject: message.subject.as_ref().map(render).transpose()?,
        body: render(&message.body)?,
    };
    serde_json::to_writer(&mut *bytes, &line).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(())
}
