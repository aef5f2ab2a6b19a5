//! Everything behind the listeners: data directory, archive, channels, engine, opened in the order in which each needs
//! the one before, and stopped in the reverse.
//!
//! The channels report to the engine and the engine hands deliveries to the channels, so one of them must exist first:
//! the channels do, and [`LateReports`] holds their first reports until the engine is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::channel::CallBounds;
use crate::channel::dispatch::{Dispatcher, EngineClock};
use crate::channel::log::LogFile;
use crate::channel::reports::LateReports;
use crate::config::{Clock, Config, Rate};
use crate::domain::ids::Millis;
use crate::report::archive::{Archive, ArchiveConfig};
use crate::report::history::ArchivedHistory;
use crate::runtime::admission;
use crate::runtime::clock::{Clock as _, WallClock};
use crate::runtime::delivery::ReportSink;
use crate::runtime::engine::start::{EngineConfig, EngineParts};
use crate::runtime::engine::stop::Ended;
use crate::runtime::engine::{ClockMode, Engine};
use crate::runtime::keeper::KeeperConfig;
use crate::server::{StartError, call_tls};
use crate::store::directory::{CreatedBy, DataDirectory, DirectoryOptions};
use crate::store::journal::{JournalConfig, SyncMode};
use crate::store::timers::{SledTimers, TimerIndexConfig};

/// What the `log` channel writes, inside the data directory.
const MESSAGES_FILE: &str = "messages.ndjson";
/// Shares of what is left of a stop's deadline: shards, then channels. The rest is for the last checkpoint.
const SHARDS_SHARE: f32 = 0.5;
const CHANNELS_SHARE: f32 = 0.5;

/// An engine with its channels, its history and its data directory.
#[derive(Debug)]
pub struct Backend {
    engine: Engine,
    dispatcher: Arc<Dispatcher>,
    archive: Arc<Archive>,
    reports: Arc<LateReports>,
    /// Holds the lock; dropped last.
    _directory: DataDirectory,
}

impl Backend {
    /// Opens or makes the data directory and starts everything on it. `runtime` runs the channels. Blocks.
    pub fn open(config: &Config, command: CreatedBy, runtime: &Handle) -> Result<Self, StartError> {
        Self::open_with(config, command, runtime, SyncMode::Always)
    }

    /// The same with a journal that may not sync: for measurements of what syncing costs. No setting leads here, so no
    /// server that someone relies on can be started so.
    pub fn open_with(
        config: &Config,
        command: CreatedBy,
        runtime: &Handle,
        sync: SyncMode,
    ) -> Result<Self, StartError> {
        let call_tls = call_tls(config)?;
        let path = config.engine.data.clone();
        let options =
            DirectoryOptions { partition_count: config.engine.partitions, command, ..DirectoryOptions::default() };
        let directory = DataDirectory::open(&path, options)?;
        let (timers, opened) = SledTimers::open(TimerIndexConfig::new(path.join("timers")))?;
        tracing::info!(data = %path.display(), timers = ?opened, "data directory is open");
        let archive = Archive::open(ArchiveConfig {
            retention_ms: config.archive.retention.as_millis(),
            retention_bytes: config.archive.bytes_max.0,
            ..ArchiveConfig::new(path.join("archive"))
        })?;
        let archive = Arc::new(archive);
        let messages = LogFile::open_with_mark(&path.join(MESSAGES_FILE))?;
        let reports = LateReports::new();
        let sink: Arc<dyn ReportSink> = Arc::clone(&reports) as _;
        let clock = channel_clock(config.engine.clock);
        let dispatcher = Dispatcher::start(runtime, messages, &sink, &clock, config.outbox.in_flight_max, call_tls);
        let rails = config.guardrails.limits();
        dispatcher.bound_calls(CallBounds {
            per_host: rails.calls_per_host_max,
            per_slow_action: rails.calls_per_slow_action_max,
            retries: rails.call_retries_max,
        });
        let history = Arc::new(ArchivedHistory::new(Arc::clone(&archive)));
        let parts = EngineParts {
            disk: directory.disk(),
            timers: Box::new(timers),
            sink: Arc::clone(&dispatcher) as _,
            projection: Arc::clone(&history) as _,
            history,
        };
        let engine = Engine::start(&engine_config(config, &directory, sync), parts)?;
        reports.connect(Arc::new(engine.clone()));
        Ok(Self { engine, dispatcher, archive, reports, _directory: directory })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The channels.
    pub fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// The history.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Phases 3 to 6 of a stop: shards finish, channels end, the last checkpoint and the end mark are written, all
    /// within `patience`.
    ///
    /// ORDER: channels end while the engine still takes their reports; the engine ends last.
    pub async fn stop(&self, patience: Duration) -> Ended {
        let ends_at = Instant::now() + patience;
        let left = || ends_at.saturating_duration_since(Instant::now());
        self.engine.close();
        if tokio::time::timeout(left().mul_f32(SHARDS_SHARE), self.engine.drain()).await.is_err() {
            tracing::warn!("shards did not finish in time");
        }
        self.dispatcher.stop(left().mul_f32(CHANNELS_SHARE)).await;
        let ended = self.engine.stop(left()).await;
        self.reports.cut();
        ended
    }
}

/// What the engine is told, from the settings and from what the directory is.
fn engine_config(config: &Config, directory: &DataDirectory, sync: SyncMode) -> EngineConfig {
    let header = directory.header();
    if header.partition_count != config.engine.partitions {
        let (has, asked) = (header.partition_count, config.engine.partitions);
        tracing::warn!(has, asked, "an existing data directory keeps its number of partitions");
    }
    let tail_bytes_max = config.journal.tail_bytes_max.0;
    EngineConfig {
        shards: config.engine.shards.resolve(),
        partitions: header.partition_count,
        directory_id: header.id,
        hash_key: header.hash_key,
        calls: crate::domain::apply::Calls::Made,
        clock: match config.engine.clock {
            Clock::Wall => ClockMode::Wall,
            Clock::Events => ClockMode::Events,
        },
        rate: match config.limits.events_per_second {
            Rate::PerSecond(rate) => admission::Rate::PerSecond(rate),
            Rate::Unlimited => admission::Rate::Unlimited,
        },
        id_window_ms: config.dedup.window.as_millis(),
        ids_max: usize::try_from(config.dedup.ids_max).unwrap_or(usize::MAX),
        guardrails: config.guardrails.limits(),
        outbox_rows_max: config.outbox.rows_max,
        journal: JournalConfig {
            segment_bytes: config.journal.segment_bytes.0,
            tail_bytes_max,
            lanes: header.lanes,
            sync,
            ..JournalConfig::default()
        },
        // Half of where ingest would have to wait: snapshots get the other half as a head start.
        keeper: KeeperConfig { tail_bytes: tail_bytes_max / 2, interval: config.checkpoint.interval.0 },
    }
}

/// Tells the age of a first attempt. On the events' clock a message of 1997 may leave today: no age can be told, and
/// each process counts its own attempts only.
fn channel_clock(clock: Clock) -> EngineClock {
    match clock {
        Clock::Wall => {
            let clock = WallClock::default();
            Arc::new(move || clock.now())
        }
        Clock::Events => Arc::new(|| Millis::MIN),
    }
}
