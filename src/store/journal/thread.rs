//! The thread of a lane: takes what has queued as one group, writes and syncs it, tells the listener.
//!
//! While a sync runs the queue fills, so the groups grow with the load and one sync pays for many shards. Small groups
//! are spaced: each costs two context switches and a wake-up of every shard in it, which at a few events a group is more than
//! the events themselves do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};

use super::JournalConfig;
use super::block::{Block, Position};
use super::lane::Lane;
use super::shared::LaneShared;
use crate::store::error::{JournalError, Operation};

/// How long a lane waits for space before it looks again (retired segments wake it earlier).
const SPACE_RETRY: Duration = Duration::from_millis(200);

/// A group begins no earlier than this after the one before, unless its first block is worth a sync by itself.
const GROUP_SPACING: Duration = Duration::from_micros(200);
/// Bytes of a block that is.
const SPACED_BYTES_MAX: usize = 64 << 10;

/// Told on the lane's thread what became of blocks.
pub trait Listener: Send + 'static {
    /// These blocks are durable, in this order. Their buffers may be used again.
    fn durable(&mut self, blocks: Vec<(Block, Position)>);
    /// The lane has stopped for good; blocks not reported durable may be or not. Called once.
    fn failed(&mut self, error: &JournalError);
}

/// Why a block was not queued; it comes back.
#[derive(Debug)]
pub enum AppendError {
    /// The queue is full: wait for blocks in flight.
    Full(Block),
    /// The lane has stopped or failed.
    Stopped(Block),
}

enum Message {
    Append(Block),
    Stop,
}

/// Queues blocks for one lane. Clone freely.
#[derive(Clone, Debug)]
pub struct Appender {
    messages: Sender<Message>,
}

impl Appender {
    /// Queues a block without waiting.
    pub fn try_append(&self, block: Block) -> Result<(), AppendError> {
        self.messages.try_send(Message::Append(block)).map_err(|error| match error {
            TrySendError::Full(Message::Append(block)) => AppendError::Full(block),
            TrySendError::Disconnected(Message::Append(block)) => AppendError::Stopped(block),
            TrySendError::Full(Message::Stop) | TrySendError::Disconnected(Message::Stop) => {
                unreachable!("the message sent holds a block")
            }
        })
    }

    /// Queues a block, waiting for room. Not for the thread of a shard.
    pub fn append(&self, block: Block) -> Result<(), AppendError> {
        self.messages.send(Message::Append(block)).map_err(|error| match error.0 {
            Message::Append(block) => AppendError::Stopped(block),
            Message::Stop => unreachable!("the message sent holds a block"),
        })
    }
}

/// A running lane.
#[derive(Debug)]
pub struct LaneThread {
    messages: Sender<Message>,
    shared: Arc<LaneShared>,
    thread: JoinHandle<Result<(), JournalError>>,
}

impl LaneThread {
    /// Starts a lane. `queue_blocks` bounds its queue: the sum of what all shards may have in flight.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(mut lane: Lane, queue_blocks: usize, listener: impl Listener) -> std::io::Result<Self> {
        let (messages, received) = bounded(queue_blocks);
        let shared = Arc::clone(&lane.shared);
        let name = format!("journal-{}", lane.number());
        lane.prewrite_ahead();
        let thread = std::thread::Builder::new().name(name).spawn(move || run_guarded(lane, &received, listener))?;
        Ok(Self { messages, shared, thread })
    }

    /// A sender of blocks.
    pub fn appender(&self) -> Appender {
        Appender { messages: self.messages.clone() }
    }

    /// Writes what is queued, then an end mark, and ends the thread.
    ///
    /// # Errors
    /// Why the lane had failed. [`JournalError::DiskFull`]: queued blocks found no room; they were never durable.
    pub fn stop(self) -> Result<(), JournalError> {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.space.notify_all();
        // A lane that has failed no longer receives; its result says why.
        drop(self.messages.send(Message::Stop));
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Runs the lane; a panic ends it as a failed write does, or everybody would wait for a thread that is gone.
fn run_guarded(lane: Lane, messages: &Receiver<Message>, mut listener: impl Listener) -> Result<(), JournalError> {
    let path = format!("lane {}", lane.number());
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| run(lane, messages, &mut listener)));
    ran.unwrap_or_else(|_| {
        let message = "its thread panicked".to_owned();
        let error = JournalError::Poisoned { operation: Operation::Write, path, message };
        listener.failed(&error);
        Err(error)
    })
}

enum Next {
    Continue,
    Stop,
}

#[expect(clippy::disallowed_methods, reason = "pacing is real time, not engine time")]
fn run(mut lane: Lane, messages: &Receiver<Message>, listener: &mut impl Listener) -> Result<(), JournalError> {
    let mut blocks = Vec::new();
    let mut not_before = Instant::now();
    loop {
        let patience = lane.wants_space().then_some(SPACE_RETRY);
        let next = collect(messages, &mut blocks, &lane.config, not_before, patience);
        not_before = Instant::now() + GROUP_SPACING;
        if !blocks.is_empty() {
            let written = write(&mut lane, &blocks);
            match written {
                Ok(position) => listener.durable(blocks.drain(..).map(|block| (block, position)).collect()),
                Err(error) => {
                    listener.failed(&error);
                    return Err(error);
                }
            }
        }
        let ended = match next {
            Next::Stop => Some(lane.finish()),
            Next::Continue => lane.look_for_space().err().map(Err),
        };
        if let Some(ended) = ended {
            return ended.inspect_err(|error| listener.failed(error));
        }
    }
}

/// Waits for a block, `patience` at most, and for `not_before`; then takes what else has queued, up to the limits of a
/// group.
#[expect(clippy::disallowed_methods, reason = "pacing is real time, not engine time")]
fn collect(
    messages: &Receiver<Message>,
    blocks: &mut Vec<Block>,
    config: &JournalConfig,
    not_before: Instant,
    patience: Option<Duration>,
) -> Next {
    let mut bytes = 0;
    let mut message = match patience {
        None => messages.recv().map_err(|_| TryRecvError::Disconnected),
        Some(patience) => messages.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        }),
    };
    if matches!(&message, Ok(Message::Append(block)) if block.bytes.len() < SPACED_BYTES_MAX) {
        std::thread::sleep(not_before.saturating_duration_since(Instant::now()));
    }
    loop {
        match message {
            Ok(Message::Append(block)) => {
                bytes += block.bytes.len();
                blocks.push(block);
            }
            Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return Next::Stop,
            Err(TryRecvError::Empty) => return Next::Continue,
        }
        if bytes >= config.group_bytes_max || blocks.len() >= config.group_blocks_max {
            return Next::Continue;
        }
        message = messages.try_recv();
    }
}

/// Writes a group; on a full disk waits until space returns or the journal stops.
fn write(lane: &mut Lane, blocks: &[Block]) -> Result<Position, JournalError> {
    loop {
        match lane.write_group(blocks) {
            Err(JournalError::DiskFull) => {
                let shared = Arc::clone(&lane.shared);
                let mut ledger = shared.ledger.lock();
                if shared.stopping.load(Ordering::Acquire) {
                    return Err(JournalError::DiskFull);
                }
                shared.space.wait_for(&mut ledger, SPACE_RETRY);
            }
            written => return written,
        }
    }
}
