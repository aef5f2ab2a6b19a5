//! Starting an engine: journal, catalog, shards, opener, keeper, in the order in which each needs the one before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize};
use std::thread::JoinHandle;

use actix::prelude::{Arbiter, Supervisor, System};
use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, unbounded};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::domain::apply::{Calls, Firing};
use crate::domain::catalog::{Catalog, CatalogError};
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{HashKey, PartitionId, ShardId};
use crate::domain::limits::{BLOCK_BYTES_MAX, BLOCKS_IN_FLIGHT_MAX};
use crate::runtime::actor::ShardActor;
use crate::runtime::admission::{Admission, Rate};
use crate::runtime::clock::{Clock, EventsClock, WallClock};
use crate::runtime::delivery::DeliverySink;
use crate::runtime::engine::{ClockMode, Core, Engine};
use crate::runtime::failure::Failure;
use crate::runtime::handle::ShardHandle;
use crate::runtime::keeper::{Keeper, KeeperConfig, KeeperMessage, KeeperParts};
use crate::runtime::opener::{OpenError, Opener, OpenerSource, TailIndex, open_partition, timer_epochs};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::DecideConfig;
use crate::runtime::ports::{BufferPool, DurableListener, POOLED_BUFFERS, Peers, ThreadPorts};
use crate::runtime::projection::{History, Projection};
use crate::runtime::router::{Owners, Router};
use crate::runtime::shard::acks::Acks;
use crate::runtime::shard::input::{Origin, ShardInput};
use crate::runtime::shard::{PAGES_PER_TURN, Shard, ShardConfig};
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::journal::{Appender, Journal, JournalConfig, LaneThread, SyncMode};
use crate::store::reserve::Reserve;
use crate::store::snapshot_store::SnapshotStore;
use crate::store::timers::TimerIndex;
use crate::wire::record;

/// Shards at most: more threads than any machine this is meant for has cores.
pub const SHARDS_MAX: u16 = 256;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Shards at the start.
    pub shards: u16,
    /// Partitions of the data directory.
    pub partitions: u16,
    /// Identity of the data directory.
    pub directory_id: u128,
    /// Keys profiles.
    pub hash_key: HashKey,
    /// Which clock decides.
    pub clock: ClockMode,
    /// What becomes of calls of custom actions.
    pub calls: Calls,
    /// Events a second that are let in.
    pub rate: Rate,
    /// How long ids of unsequenced events are known, in milliseconds.
    pub id_window_ms: i64,
    /// Ids kept at most, over all partitions.
    pub ids_max: usize,
    /// Limits on what is published.
    pub guardrails: Guardrails,
    /// Outbox rows of one surface at most, over all partitions; on the events' clock, rows with which the feed waits.
    pub outbox_rows_max: usize,
    /// The journal.
    pub journal: JournalConfig,
    /// Checkpoints.
    pub keeper: KeeperConfig,
}

/// What an engine works with.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct EngineParts {
    /// Where journal and snapshots live.
    pub disk: Arc<dyn Disk>,
    /// Timers.
    pub timers: Box<dyn TimerIndex>,
    /// How messages leave.
    pub sink: Arc<dyn DeliverySink>,
    /// What follows the journal.
    pub projection: Arc<dyn Projection>,
    /// What is remembered of the past.
    pub history: Arc<dyn History>,
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Journal or snapshots.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Their content.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The catalog.
    #[error("the catalog can't be read: {0}")]
    Catalog(#[from] CatalogError),
    /// The timer index.
    #[error(transparent)]
    Timers(#[from] crate::store::timers::TimerIndexError),
    /// No thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Threads and what stops them.
#[derive(Debug)]
pub(super) struct Machinery {
    pub(super) lane: LaneThread,
    pub(super) keeper: Keeper,
    pub(super) opener: Opener,
    pub(super) hatchery: Hatchery,
}

impl Engine {
    /// Opens what is on disk and starts serving, on the clock that `config` names. Partitions go on being opened behind it.
    ///
    /// # Errors
    /// Nothing runs then, and nothing on disk was lost.
    pub fn start(config: &EngineConfig, parts: EngineParts) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = match config.clock {
            ClockMode::Wall => Arc::new(WallClock::default()),
            ClockMode::Events => Arc::new(EventsClock),
        };
        Self::start_on(clock, config, parts)
    }

    /// As [`start`](Self::start), with a clock of the caller's in the place of the system's.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_on(clock: Arc<dyn Clock>, config: &EngineConfig, parts: EngineParts) -> Result<Self, StartError> {
        assert!((1..=SHARDS_MAX).contains(&config.shards), "the configuration checks the count of shards");
        let EngineParts { disk, mut timers, sink, projection, history } = parts;
        let reserve = Reserve::new(Arc::clone(&disk), reserve_bytes(config));
        let found = Found::read(config, disk, timers.as_mut(), projection.as_ref())?;
        let Found { snapshots, journal, tail, system, catalog, timer_epochs } = found;
        let failure = Failure::default();
        let router = Arc::new(Router::new(config.hash_key, config.partitions));
        let buffers: Arc<BufferPool> = Arc::new(BufferPool::new(POOLED_BUFFERS));
        let lane = start_lane(&journal, &router, &projection, &buffers, &failure)?;
        let (keeper_messages, keeper_received) = unbounded();
        let (wanted, wanted_received) = unbounded();
        let outbox_rows = Arc::new(AtomicIsize::new(0));
        let hatchery = Hatchery::start(Egg {
            decide: decide_config(config),
            partitions: config.partitions,
            appender: lane.appender(),
            buffers,
            keeper: keeper_messages.clone(),
            sink,
            router: Arc::clone(&router),
            wanted,
            clock: Arc::clone(&clock),
            outbox_rows: Arc::clone(&outbox_rows),
            failure: failure.clone(),
        })?;
        start_shards(config, &hatchery, &router, &catalog, system)?;
        let source = OpenerSource {
            snapshots: Arc::clone(&snapshots),
            tail,
            catalog: Arc::clone(&catalog),
            router: Arc::clone(&router),
            failure: failure.clone(),
            timer_epochs,
        };
        let opener = Opener::start(source, wanted_received)?;
        let keeper_parts = KeeperParts {
            config: keeper_config(config, &journal),
            router: Arc::clone(&router) as Arc<dyn Owners>,
            journal: journal.clone(),
            snapshots,
            reserve,
            timers,
            projection: Arc::clone(&projection),
            failure: failure.clone(),
        };
        let keeper = Keeper::start(keeper_parts, keeper_messages, keeper_received)?;
        let core = Core {
            router,
            admission: Admission::new(config.rate),
            catalog: ArcSwap::new(catalog),
            changing: tokio::sync::Mutex::new(()),
            moving: tokio::sync::RwLock::new(()),
            journal,
            clock,
            mode: config.clock,
            history,
            projection,
            failure,
            ack_latency: Arc::default(),
            outbox_rows,
            guardrails: config.guardrails,
            outbox_rows_max: config.outbox_rows_max,
            stopping: AtomicBool::new(false),
            all_open: opener.complete(),
            machinery: Mutex::new(Some(Machinery { lane, keeper, opener, hatchery })),
        };
        Ok(Self { core: Arc::new(core) })
    }
}

/// What is on disk, as far as it is read before anything runs.
struct Found {
    snapshots: Arc<SnapshotStore>,
    journal: Journal,
    tail: TailIndex,
    system: Partition,
    catalog: Arc<Catalog>,
    timer_epochs: HashMap<PartitionId, u64>,
}

impl Found {
    fn read(
        config: &EngineConfig,
        disk: Arc<dyn Disk>,
        timers: &mut dyn TimerIndex,
        projection: &dyn Projection,
    ) -> Result<Self, StartError> {
        let snapshots = Arc::new(SnapshotStore::open(Arc::clone(&disk))?);
        let (journal, tail) = Journal::open(disk, config.directory_id, config.journal.clone(), record::spans)?;
        let tail = TailIndex::build(&tail, |block| projection.follow(block))?;
        let system = open_partition(PartitionId::SYSTEM, &snapshots, &tail, &Catalog::default())?;
        let catalog = match system.catalog_record.as_slice() {
            [] => Arc::default(),
            record => Arc::new(Catalog::from_record(record)?),
        };
        let timer_epochs = timer_epochs(timers, config.partitions)?;
        Ok(Self { snapshots, journal, tail, system, catalog, timer_epochs })
    }
}

/// Starts the journal's writer, which tells shards and projection what is durable.
fn start_lane(
    journal: &Journal,
    router: &Arc<Router>,
    projection: &Arc<dyn Projection>,
    buffers: &Arc<BufferPool>,
    failure: &Failure,
) -> std::io::Result<LaneThread> {
    let listener = DurableListener {
        router: Arc::downgrade(router),
        projection: Arc::clone(projection),
        buffers: Arc::clone(buffers),
        failure: failure.clone(),
    };
    let lane = journal.take_lane(crate::runtime::ports::LANE).expect("a journal opened just now has its lane");
    LaneThread::start(lane, usize::from(SHARDS_MAX) * BLOCKS_IN_FLIGHT_MAX, listener)
}

/// Starts the shards. Each expects its partitions; the first has the system partition at once.
fn start_shards(
    config: &EngineConfig,
    hatchery: &Hatchery,
    router: &Router,
    catalog: &Arc<Catalog>,
    system: Partition,
) -> std::io::Result<()> {
    let handles = (0..config.shards).map(|id| hatchery.hatch(ShardId(id), catalog)).collect::<Result<_, _>>()?;
    router.start(handles);
    router.send_to(ShardId(0), ShardInput::Arrive(Box::new(system), Origin::Opened));
    for index in 0..config.partitions {
        router.send(PartitionId(index), ShardInput::Expect(PartitionId(index)));
    }
    Ok(())
}

/// Space set aside for a snapshot: far more than one partition's, and less than a segment, so that the journal can't take it
/// for its next one when it is given back. A journal that is not synced is one of memory, which has nothing to reserve.
fn reserve_bytes(config: &EngineConfig) -> u64 {
    match config.journal.sync {
        SyncMode::Always => config.journal.segment_bytes / 2,
        SyncMode::Off => 0,
    }
}

/// ORDER: the tail is shortened before it is so long that ingest waits for that.
fn keeper_config(config: &EngineConfig, journal: &Journal) -> KeeperConfig {
    KeeperConfig { tail_bytes: config.keeper.tail_bytes.min(journal.tail_bytes_max() / 2), ..config.keeper }
}

fn decide_config(config: &EngineConfig) -> DecideConfig {
    let partitions = usize::from(config.partitions);
    DecideConfig {
        id_window_ms: config.id_window_ms,
        ids_max: config.ids_max.div_ceil(partitions),
        outbox_rows_max: match config.clock {
            ClockMode::Wall => config.outbox_rows_max.div_ceil(partitions),
            // Parking would make decisions depend on how fast channels are; here the feed waits instead (`feed_waits`).
            ClockMode::Events => usize::MAX,
        },
        held_max: config.guardrails.held_profiles_max.div_ceil(partitions) as u64,
        entrants_max: config.guardrails.held_entrants_max.div_ceil(partitions) as u64,
        firing: match config.clock {
            ClockMode::Wall => Firing::Engine,
            ClockMode::Events => Firing::Due,
        },
        calls: config.calls.clone(),
        partitions: config.partitions,
        hash_key: config.hash_key,
    }
}

/// What every shard is made of.
struct Egg {
    decide: DecideConfig,
    partitions: u16,
    appender: Appender,
    buffers: Arc<BufferPool>,
    keeper: Sender<KeeperMessage>,
    sink: Arc<dyn DeliverySink>,
    router: Arc<Router>,
    wanted: Sender<PartitionId>,
    clock: Arc<dyn Clock>,
    outbox_rows: Arc<AtomicIsize>,
    failure: Failure,
}

enum Order {
    Hatch(ShardId, Arc<Catalog>, oneshot::Sender<ShardHandle>),
    Retire(ShardId, oneshot::Sender<()>),
}

/// The thread of the actix system: starts one supervised shard actor per arbiter, each on a thread of its own.
#[derive(Debug)]
pub(super) struct Hatchery {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

impl Hatchery {
    fn start(egg: Egg) -> std::io::Result<Self> {
        let (orders, mut received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("actix-system".to_owned()).spawn(move || {
            System::new().block_on(async move {
                let mut arbiters: HashMap<ShardId, Arbiter> = HashMap::new();
                while let Some(order) = received.recv().await {
                    match order {
                        Order::Hatch(id, catalog, told) => {
                            let (arbiter, handle) = hatch(&egg, id, catalog);
                            arbiters.insert(id, arbiter);
                            // Whoever asked waits for it.
                            let _ = told.send(handle);
                        }
                        Order::Retire(id, told) => {
                            if let Some(arbiter) = arbiters.remove(&id) {
                                retire(arbiter).await;
                            }
                            let _ = told.send(());
                        }
                    }
                }
                for (_, arbiter) in arbiters {
                    retire(arbiter).await;
                }
            });
        })?;
        Ok(Self { orders, thread })
    }

    /// Starts a shard; waits for it.
    pub(super) fn hatch(&self, id: ShardId, catalog: &Arc<Catalog>) -> std::io::Result<ShardHandle> {
        let (told, handle) = oneshot::channel();
        // A system that has ended drops the sender, which the next line sees.
        let _ = self.orders.send(Order::Hatch(id, Arc::clone(catalog), told));
        blocking(handle).ok_or_else(|| std::io::Error::other("the actor system has ended"))
    }

    /// Ends a shard that owns nothing; waits for its thread.
    pub(super) fn retire(&self, id: ShardId) {
        let (told, done) = oneshot::channel();
        let _ = self.orders.send(Order::Retire(id, told));
        blocking(done);
    }

    /// Ends all shards and the system.
    pub(super) fn stop(self) {
        drop(self.orders);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits from a thread that may or may not belong to a runtime.
fn blocking<T: Send>(receiver: oneshot::Receiver<T>) -> Option<T> {
    std::thread::scope(|scope| scope.spawn(move || receiver.blocking_recv().ok()).join().ok().flatten())
}

async fn retire(arbiter: Arbiter) {
    arbiter.stop();
    // Joining blocks; nothing else runs on the system's thread.
    if arbiter.join().is_err() {
        tracing::error!("the thread of a shard panicked");
    }
}

fn hatch(egg: &Egg, id: ShardId, catalog: Arc<Catalog>) -> (Arbiter, ShardHandle) {
    let arbiter = Arbiter::new();
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if !cores.is_empty() {
        let core = cores[usize::from(id.0) % cores.len()];
        arbiter.spawn_fn(move || {
            // Where the system does not pin threads, they wander.
            let _ = core_affinity::set_for_current(core);
        });
    }
    let queued = Arc::new(AtomicUsize::new(0));
    let config = ShardConfig {
        id,
        partitions: egg.partitions,
        decide: egg.decide.clone(),
        block_bytes_max: BLOCK_BYTES_MAX,
        pages_per_turn: PAGES_PER_TURN,
    };
    let ports = ThreadPorts {
        peers: Peers { shard: id, router: Arc::downgrade(&egg.router) },
        appender: egg.appender.clone(),
        buffers: Arc::clone(&egg.buffers),
        keeper: egg.keeper.clone(),
        sink: Arc::clone(&egg.sink),
        wanted: egg.wanted.clone(),
        queued: Arc::clone(&queued),
        outbox_rows: Arc::clone(&egg.outbox_rows),
        failure: egg.failure.clone(),
    };
    let (clock, failure) = (Arc::clone(&egg.clock), egg.failure.clone());
    let acks = Arc::new(Acks::default());
    let for_shard = Arc::clone(&acks);
    let address = Supervisor::start_in_arbiter(&arbiter.handle(), move |_| {
        let shard = Shard::new(config, catalog, Box::new(ports)).with_acks(for_shard);
        ShardActor::new(shard, clock, failure)
    });
    (arbiter, ShardHandle::new(id, address, queued, acks))
}
