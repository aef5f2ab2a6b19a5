//! One life of the simulated process: the production shards, journal, keeper and recovery, wired as
//! [`Engine::start`](crate::runtime::engine::Engine::start) wires them, each stepped by the scheduler instead of a thread.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::apply::Firing;
use crate::domain::catalog::Catalog;
use crate::domain::ids::{HashKey, Millis, PartitionId, ShardId};
use crate::runtime::clock::Belief;
use crate::runtime::engine::start::StartError;
use crate::runtime::failure::Failure;
use crate::runtime::keeper::work::Work;
use crate::runtime::keeper::{KeeperConfig, KeeperParts};
use crate::runtime::opener::{OpenError, TailIndex, TimerEpochs, open_partition, suspect_lost_timers, timer_epochs};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::DecideConfig;
use crate::runtime::ports::{LANE, Peers};
use crate::runtime::projection::NoProjection;
use crate::runtime::router::{Owners, Router};
use crate::runtime::shard::input::{Origin, ShardInput};
use crate::runtime::shard::{Shard, ShardConfig};
use crate::runtime::stepped::{Post, Queues, SteppedPorts};
use crate::sim::index::IndexModel;
use crate::store::disk::Disk;
use crate::store::journal::{Block, Journal, JournalConfig, Lane};
use crate::store::memory::MemoryDisk;
use crate::store::reserve::Reserve;
use crate::store::snapshot_store::SnapshotStore;
use crate::wire::record;

/// Identity of the simulated data directory.
const DIRECTORY_ID: u128 = 0x5051;
/// Space set aside for snapshots on a full disk.
const RESERVE_BYTES: u64 = 64 << 10;
/// The key of its profiles.
pub const HASH_KEY: HashKey = HashKey::FIXED;

/// Settings of a process.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// Partitions of the data directory.
    pub partitions: u16,
    /// How partitions decide.
    pub decide: DecideConfig,
    /// The journal.
    pub journal: JournalConfig,
    /// Checkpoints.
    pub keeper: KeeperConfig,
    /// Bytes at which a block is full.
    pub block_bytes_max: usize,
    /// Pages copied in one turn for each cut in progress.
    pub pages_per_turn: usize,
    /// Weight of events in one mailbox.
    pub mailbox_weight_max: usize,
    /// Deliveries that one channel holds.
    pub channel_held_max: usize,
}

/// A running process.
#[expect(missing_debug_implementations, reason = "shards hold closures")]
pub struct Machine {
    config: MachineConfig,
    /// By number; `None` never: shards come and go at the end.
    pub shards: Vec<Shard>,
    /// Their mailboxes.
    pub posts: Vec<Post>,
    /// Owners of partitions.
    pub router: Arc<Router<Post>>,
    /// What waits for a step.
    pub queues: Arc<Mutex<Queues>>,
    /// The journal.
    pub journal: Journal,
    /// Its writer.
    pub lane: Lane,
    /// The keeper.
    pub keeper: Work,
    /// Raised when the process must end.
    pub failure: Failure,
    /// The catalog as requests see it.
    pub catalog: Arc<Catalog>,
    /// What it believes of its clock.
    pub belief: Belief,
    /// When it started, by the steady clock.
    pub started: Duration,
    snapshots: Arc<SnapshotStore>,
    tail: TailIndex,
    epochs: TimerEpochs,
    opening_catalog: Arc<Catalog>,
    /// Partitions are on their way to other shards.
    pub is_moving: bool,
    /// Partitions that still have to be opened.
    pub unopened: BTreeSet<PartitionId>,
}

impl Machine {
    /// Opens what is on disk. `each` sees every block of the tail, before anything else sees it; `system` the opened
    /// system partition.
    pub fn start(
        config: &MachineConfig,
        (disk, index): (&MemoryDisk, &IndexModel),
        shards: u16,
        (wall, steady): (Millis, Duration),
        mut each: impl FnMut(&[u8]),
        mut system: impl FnMut(&Partition),
    ) -> Result<Self, StartError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut timers: Box<dyn crate::store::timers::TimerIndex> = Box::new(index.clone());
        let reserved = Arc::clone(&disk);
        let snapshots = Arc::new(SnapshotStore::open(Arc::clone(&disk))?);
        let (journal, tail) = Journal::open(disk, DIRECTORY_ID, config.journal.clone(), record::spans)?;
        let tail = TailIndex::build(&tail, &mut each)?;
        let opened = open_partition(PartitionId::SYSTEM, &snapshots, &tail, &Catalog::default())?;
        system(&opened);
        let catalog = if opened.catalog_record.is_empty() {
            Arc::new(Catalog::default())
        } else {
            Arc::new(Catalog::from_record(&opened.catalog_record)?)
        };
        let epochs = timer_epochs(timers.as_mut(), config.partitions)?;
        let failure = Failure::default();
        let router = Arc::new(Router::new(HASH_KEY, config.partitions));
        let queues = Arc::new(Mutex::new(Queues { held_max: config.channel_held_max, ..Queues::default() }));
        let lane = journal.take_lane(LANE).expect("a journal opened just now has its lane");
        let tail_bytes = config.keeper.tail_bytes.min(journal.tail_bytes_max() / 2);
        let keeper = Work::new(KeeperParts {
            config: KeeperConfig { tail_bytes, ..config.keeper },
            router: Arc::clone(&router) as Arc<dyn Owners>,
            journal: journal.clone(),
            snapshots: Arc::clone(&snapshots),
            reserve: Reserve::new(reserved, RESERVE_BYTES),
            timers,
            projection: Arc::new(NoProjection),
            failure: failure.clone(),
        });
        let mut machine = Self {
            config: config.clone(),
            shards: Vec::new(),
            posts: Vec::new(),
            router,
            queues,
            journal,
            lane,
            keeper,
            failure,
            opening_catalog: Arc::clone(&catalog),
            catalog,
            belief: Belief::new(wall, steady),
            started: steady,
            snapshots,
            tail,
            epochs,
            is_moving: false,
            unopened: (0..config.partitions).map(PartitionId).collect(),
        };
        let posts: Vec<Post> = (0..shards).map(|_| machine.hatch()).collect();
        machine.router.start(posts);
        machine.router.send_to(ShardId(0), ShardInput::Arrive(Box::new(opened), Origin::Opened));
        for index in 0..config.partitions {
            machine.router.send(PartitionId(index), ShardInput::Expect(PartitionId(index)));
        }
        Ok(machine)
    }

    /// Which clock decides.
    pub fn firing(&self) -> Firing {
        self.config.decide.firing
    }

    /// Makes one more shard.
    pub fn hatch(&mut self) -> Post {
        let id = ShardId(self.shards.len() as u16);
        let post = Post::new(self.config.mailbox_weight_max);
        let ports = SteppedPorts {
            peers: Peers { shard: id, router: Arc::downgrade(&self.router) },
            queues: Arc::clone(&self.queues),
            post: post.clone(),
        };
        let MachineConfig { partitions, decide, block_bytes_max, pages_per_turn, .. } = self.config.clone();
        let config = ShardConfig { id, partitions, decide, block_bytes_max, pages_per_turn };
        self.shards.push(Shard::new(config, Arc::clone(&self.catalog), Box::new(ports)));
        self.posts.push(post.clone());
        post
    }

    /// Ends shards beyond `count`: they own nothing.
    pub fn retire(&mut self, count: u16) {
        drop(self.router.truncate_shards(count));
        self.shards.truncate(usize::from(count));
        self.posts.truncate(usize::from(count));
    }

    /// Reads the clocks; the time that counts.
    pub fn now(&mut self, wall: Millis, steady: Duration) -> Millis {
        self.belief.follow(wall, steady)
    }

    /// The partition to be opened next: one that somebody waits for, else the one at `place`.
    pub fn next_to_open(&mut self, place: usize) -> Option<PartitionId> {
        let wanted = self.queues.lock().wanted.pop_front();
        if let Some(wanted) = wanted.filter(|id| self.unopened.contains(id)) {
            return Some(wanted);
        }
        let count = self.unopened.len();
        if count == 0 { None } else { self.unopened.iter().nth(place % count).copied() }
    }

    /// Opens a partition and sends it to its owner. `each` sees it before.
    pub fn open(&mut self, id: PartitionId, each: impl FnOnce(&Partition)) -> Result<(), OpenError> {
        let mut partition = self.read(id)?;
        self.unopened.remove(&id);
        each(&partition);
        suspect_lost_timers(&mut partition, &self.epochs);
        self.router.send(id, ShardInput::Arrive(Box::new(partition), Origin::Opened));
        Ok(())
    }

    /// Reads a partition from the disk.
    pub fn read(&self, id: PartitionId) -> Result<Partition, OpenError> {
        open_partition(id, &self.snapshots, &self.tail, &self.opening_catalog)
    }

    /// The next blocks for one group, at most `count`.
    pub fn next_group(&mut self, count: usize) -> Vec<Block> {
        self.queues.lock().next_group(count)
    }

    /// Blocks that wait for the journal.
    pub fn has_blocks(&self) -> bool {
        !self.queues.lock().blocks.is_empty()
    }

    /// Tells the shards that these blocks are durable, as the journal's listener does.
    pub fn durable(&self, blocks: &[Block]) {
        self.router.all_durable(blocks);
    }

    /// Tells everyone that the journal has failed.
    pub fn failed(&self, reason: &str) {
        self.failure.raise(reason);
        for post in &self.posts {
            crate::runtime::handle::Mailbox::send(post, ShardInput::Failed);
        }
    }
}
