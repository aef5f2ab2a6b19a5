//! The keeper: the thread that writes checkpoints (snapshots and timer chunks), reads slots of the timer index, and
//! lets the journal recycle what has been passed. The shards' threads do no I/O; this one does. What it does is in
//! [`work`]; here is when: the thread, its queue, its pace.

pub mod work;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::domain::ids::PartitionId;
use crate::runtime::failure::Failure;
use crate::runtime::projection::Projection;
use crate::runtime::router::Owners;
use crate::runtime::shard::input::CheckpointMessage;
use crate::store::journal::Journal;
use crate::store::reserve::Reserve;
use crate::store::snapshot_store::SnapshotStore;
use crate::store::timers::{SlotNo, TimerIndex};

use work::Work;

/// How often the keeper looks at the length of the tail, at least.
const TICK: Duration = Duration::from_millis(200);

/// What the keeper is told.
#[derive(Debug)]
pub enum KeeperMessage {
    /// A shard's cut.
    Cut(CheckpointMessage),
    /// Read a slot of the timer index.
    LoadSlot(PartitionId, SlotNo),
    /// Publish what is finished and end.
    Stop,
}

/// When checkpoints are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperConfig {
    /// A tail of the journal longer than this is shortened, oldest partitions first.
    pub tail_bytes: u64,
    /// Every partition that changed is cut this often.
    pub interval: Duration,
}

/// What the keeper works with.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct KeeperParts {
    /// Settings.
    pub config: KeeperConfig,
    /// To the shards.
    pub router: Arc<dyn Owners>,
    /// What may be recycled.
    pub journal: Journal,
    /// Snapshots.
    pub snapshots: Arc<SnapshotStore>,
    /// Space for one of them when the disk is full.
    pub reserve: Reserve,
    /// Timers.
    pub timers: Box<dyn TimerIndex>,
    /// What else must have passed a record.
    pub projection: Arc<dyn Projection>,
    /// Raised if it can't go on.
    pub failure: Failure,
}

/// The running keeper.
#[derive(Debug)]
pub struct Keeper {
    messages: Sender<KeeperMessage>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts it on `received`, whose other end is `messages`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        parts: KeeperParts,
        messages: Sender<KeeperMessage>,
        received: Receiver<KeeperMessage>,
    ) -> std::io::Result<Self> {
        let thread =
            std::thread::Builder::new().name("keeper".to_owned()).spawn(move || run(Work::new(parts), &received))?;
        Ok(Self { messages, thread: Some(thread) })
    }

    /// Publishes what is finished, and ends.
    pub fn stop(&mut self) {
        // A keeper that panicked no longer receives; joining says why.
        let _ = self.messages.send(KeeperMessage::Stop);
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "pacing is real time, not engine time")]
fn run(mut work: Work, received: &Receiver<KeeperMessage>) {
    let started = Instant::now();
    let tick = TICK.min(work.interval());
    let mut scheduled = Instant::now();
    loop {
        let message = if work.has_finished() {
            // Something is ready: publish as soon as nothing more comes at once.
            received.try_recv().map_err(|_| RecvTimeoutError::Timeout)
        } else {
            match tick.saturating_sub(scheduled.elapsed()) {
                // A steady stream of messages must not put the tail off.
                Duration::ZERO => Err(RecvTimeoutError::Timeout),
                left => received.recv_timeout(left),
            }
        };
        match message {
            Ok(KeeperMessage::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(message) => work.take(message),
            Err(RecvTimeoutError::Timeout) => {
                work.turn(started.elapsed());
                scheduled = Instant::now();
            }
        }
        if work.must_end() {
            return;
        }
    }
    work.finish();
}
