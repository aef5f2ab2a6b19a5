//! One shard with one partition, its journal on a disk in memory, stepped by hand: what `serve` runs, without its threads.
//!
//! INVARIANT: after every call everything decided is durable, every message was taken by a channel and reported as
//! sent, and every call was answered. So time never passes a message that is still on its way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::domain::apply::{Calls, Firing};
use crate::domain::catalog::Catalog;
use crate::domain::effect::{CallAnswer, CallStatus, DeliveryOutcome, DeliveryReport};
use crate::domain::event::Event;
use crate::domain::ids::{HashKey, Millis, PartitionId, ProfileKey, SandboxId, ShardId};
use crate::domain::limits::BLOCK_BYTES_MAX;
use crate::domain::profile::Profile;
use crate::runtime::api::{Deferral, EventStatus, Origin as Source, Patience, Refusal, Submission};
use crate::runtime::delivery::{CallJob, Job};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::DecideConfig;
use crate::runtime::ports::{LANE, Peers};
use crate::runtime::router::{Room, Router};
use crate::runtime::shard::input::{Origin, ReportBatch, ShardInput};
use crate::runtime::shard::{PAGES_PER_TURN, Shard, ShardConfig};
use crate::runtime::stepped::{Post, Queues, SteppedPorts};
use crate::store::disk::Disk;
use crate::store::error::{JournalError, StoreError};
use crate::store::journal::{Journal, JournalConfig, Lane};
use crate::store::memory::MemoryDisk;
use crate::wire::cursor::WireError;
use crate::wire::record;

/// Its one shard.
const SHARD: ShardId = ShardId(0);
/// Its one partition.
const PARTITION: PartitionId = PartitionId(0);
/// The key of its profiles.
const HASH_KEY: HashKey = HashKey::FIXED;
/// Identity of its data directory, which nobody opens again.
const DIRECTORY_ID: u128 = 0x7e57;
/// Bytes of a segment: most tests fit into one, and preparing it is most of what a start costs.
const SEGMENT_BYTES: u64 = 32 << 10;
/// How long an event's id is known, as on HTTP.
const ID_WINDOW_MS: i64 = 3_600_000;

/// The machine.
#[expect(missing_debug_implementations, reason = "shards hold closures")]
pub struct Machine {
    shard: Shard,
    post: Post,
    router: Arc<Router<Post>>,
    queues: Arc<Mutex<Queues>>,
    lane: Lane,
    /// What custom actions answer, by name, call after call; the last answer repeats.
    answers: BTreeMap<SmolStr, Vec<CallAnswer>>,
}

/// What a machine tells while it works.
pub trait Witness {
    /// These records are durable.
    fn durable(&mut self, block: &[u8]) -> Result<(), MachineError>;
    /// This message left.
    fn sent(&mut self, job: &Job);
    /// This call was made.
    fn called(&mut self, job: &CallJob);
}

/// Why a machine stopped: an error of Sojourn itself, or memory is full.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The journal could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record or row can't be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An event was refused with everything around it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// State can't be trusted.
    #[error("{0}")]
    Corrupt(String),
}

/// The key of the profile `namespace:value`.
pub fn key_of(identity: &str) -> ProfileKey {
    HASH_KEY.key_of(SandboxId::DEFAULT, identity)
}

/// Without bounds that a test could come to, and without channels that anybody waits for.
fn decide_config() -> DecideConfig {
    DecideConfig {
        id_window_ms: ID_WINDOW_MS,
        ids_max: usize::MAX,
        outbox_rows_max: usize::MAX,
        held_max: 100_000,
        entrants_max: 100_000,
        firing: Firing::Due,
        calls: Calls::Made,
        partitions: 1,
        hash_key: HASH_KEY,
    }
}

impl Machine {
    /// An empty one with what `catalog` publishes.
    ///
    /// # Errors
    /// [`MachineError::Store`]
    pub fn start(catalog: &Arc<Catalog>) -> Result<Self, MachineError> {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let config = JournalConfig { segment_bytes: SEGMENT_BYTES, ..JournalConfig::default() };
        let (journal, _) = Journal::open(disk, DIRECTORY_ID, config, record::spans)?;
        let lane = journal.take_lane(LANE).expect("a journal opened just now has its lane");
        let router = Arc::new(Router::new(HASH_KEY, 1));
        let post = Post::new(usize::MAX);
        let queues = Arc::new(Mutex::new(Queues { held_max: usize::MAX, ..Queues::default() }));
        let ports = SteppedPorts {
            peers: Peers { shard: SHARD, router: Arc::downgrade(&router) },
            queues: Arc::clone(&queues),
            post: post.clone(),
        };
        let config = ShardConfig {
            id: SHARD,
            partitions: router.partition_count(),
            decide: decide_config(),
            block_bytes_max: BLOCK_BYTES_MAX,
            pages_per_turn: PAGES_PER_TURN,
        };
        let shard = Shard::new(config, Arc::clone(catalog), Box::new(ports));
        router.start(vec![post.clone()]);
        router.send(PARTITION, ShardInput::Arrive(Box::new(Partition::new(PARTITION)), Origin::Opened));
        Ok(Self { shard, post, router, queues, lane, answers: BTreeMap::new() })
    }

    /// Custom actions answer so, by name, call after call. The last answer repeats, and others answer 200 with nothing.
    #[must_use]
    pub fn answering(self, answers: BTreeMap<SmolStr, Vec<CallAnswer>>) -> Self {
        Self { answers, ..self }
    }

    /// Handles an event at engine time `at`, through every timer that is due by then.
    ///
    /// # Errors
    /// The machine is of no more use.
    pub fn submit(
        &mut self,
        event: Event,
        at: Millis,
        witness: &mut impl Witness,
    ) -> Result<EventStatus, MachineError> {
        let submission = Submission {
            events: vec![event],
            origin: Source::Unsequenced,
            engine_times: vec![at],
            patience: Patience::UpTo(Duration::ZERO),
            deferral: Deferral::default(),
        };
        let mut verdict = self.router.submit_now(submission, || Ok(Room::Now))?;
        self.settle(witness)?;
        match verdict.try_recv() {
            Ok(verdict) => Ok(verdict?.pop().expect("one event, one answer")),
            Err(_) => Err(MachineError::Corrupt("an event was not answered".to_owned())),
        }
    }

    /// Moves time to `to`.
    ///
    /// # Errors
    /// The machine is of no more use.
    pub fn advance(&mut self, to: Millis, witness: &mut impl Witness) -> Result<(), MachineError> {
        self.router.send(PARTITION, ShardInput::Advance(to, None));
        self.settle(witness)
    }

    /// When the next timer of any instance is due.
    ///
    /// # Errors
    /// The machine is of no more use.
    pub fn next_due(&mut self, witness: &mut impl Witness) -> Result<Option<Millis>, MachineError> {
        let earliest = |partition: &Partition| partition.table.timers().map(|timer| timer.due).min();
        let due = self.ask(earliest, witness)?;
        Ok(due.filter(|due| *due < Millis::NEVER))
    }

    /// All profiles as they are now.
    ///
    /// # Errors
    /// The machine is of no more use.
    pub fn profiles(&mut self, witness: &mut impl Witness) -> Result<Vec<Profile>, MachineError> {
        let awake = |partition: &Partition| partition.table.profiles().collect::<Result<Vec<_>, _>>();
        Ok(self.ask(awake, witness)??)
    }

    /// Asks the partition, once everything decided is durable.
    ///
    /// # Errors
    /// The machine is of no more use.
    pub fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&Partition) -> T + Send + 'static,
        witness: &mut impl Witness,
    ) -> Result<T, MachineError> {
        let (told, mut answer) = oneshot::channel();
        let asked = ShardInput::Ask(
            Some(PARTITION),
            Box::new(move |partitions| {
                let found = partitions.next().map(question);
                Box::new(move || drop(told.send(found)))
            }),
        );
        self.router.send(PARTITION, asked);
        self.settle(witness)?;
        match answer.try_recv() {
            Ok(Some(found)) => Ok(found),
            _ => Err(MachineError::Corrupt("the partition is not there".to_owned())),
        }
    }

    /// What comes of a call: the next answer of its action, unless the call can't be made.
    fn answer_to(&mut self, call: &CallJob) -> CallAnswer {
        if let Err(error) = call.action.request(&call.row.input.action, call.row.decided_at) {
            return CallAnswer::because(CallStatus::InternalError, error.to_string());
        }
        match self.answers.get_mut(&call.action.name) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) if !answers.is_empty() => answers[0].clone(),
            _ => CallAnswer::empty(CallStatus::Http(200)),
        }
    }

    /// Works until nothing is left to do now.
    fn settle(&mut self, witness: &mut impl Witness) -> Result<(), MachineError> {
        loop {
            while let Some(input) = self.post.pop() {
                self.shard.take(input);
            }
            self.shard.turn(Millis::MIN);
            let (blocks, jobs, calls) = {
                let queues = &mut *self.queues.lock();
                if let Some(corrupt) = queues.corrupt.first() {
                    return Err(MachineError::Corrupt(corrupt.clone()));
                }
                let (jobs, calls) = (std::mem::take(&mut queues.offered), std::mem::take(&mut queues.calls));
                (queues.next_group(usize::MAX), jobs, calls)
            };
            let is_idle = self.shard.backlog() == 0 && self.post.is_empty();
            if blocks.is_empty() && jobs.is_empty() && calls.is_empty() && is_idle {
                return Ok(());
            }
            if !blocks.is_empty() {
                self.lane.write_group(&blocks)?;
                blocks.iter().try_for_each(|block| witness.durable(&block.bytes))?;
                self.router.all_durable(&blocks);
            }
            for call in calls {
                witness.called(&call);
                let answer = Box::new(self.answer_to(&call));
                let outcome = DeliveryOutcome::Answered(answer);
                let (batch, _) = ReportBatch::of_one(DeliveryReport { id: call.row.id, outcome });
                self.router.report(batch);
            }
            for job in jobs {
                witness.sent(&job);
                let (batch, _) = ReportBatch::of_one(DeliveryReport { id: job.row.id, outcome: DeliveryOutcome::Sent });
                self.router.report(batch);
            }
        }
    }
}
