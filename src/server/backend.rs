//! Everything behind the listeners: data directory, archive, channels, engine, opened in the order in which each needs
//! the one before, and stopped in the reverse.
//!
//! The channels report to the engine and the engine hands deliveries to the channels, so one of them must exist first:
//! the channels do, and [`LateReports`] holds their first reports until the engine is there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::channel::dispatch::{Dispatcher, EngineClock};
use crate::channel::log::LogFile;
use crate::config::{Clock, Config, Rate};
use crate::domain::effect::DeliveryReport;
use crate::domain::ids::Millis;
use crate::report::archive::{Archive, ArchiveConfig};
use crate::report::follow::FollowingArchive;
use crate::runtime::admission;
use crate::runtime::clock::{Clock as _, WallClock};
use crate::runtime::delivery::{Recorded, ReportSink, Stopped};
use crate::runtime::engine::start::{EngineConfig, EngineParts};
use crate::runtime::engine::stop::Ended;
use crate::runtime::engine::{ClockMode, Engine};
use crate::runtime::keeper::KeeperConfig;
use crate::server::StartError;
use crate::store::directory::{CreatedBy, DataDirectory, DirectoryOptions};
use crate::store::journal::JournalConfig;
use crate::store::timers::{SledTimers, TimerIndexConfig};

/// What the `log` channel writes, inside the data directory.
const MESSAGES_FILE: &str = "messages.ndjson";
/// How far it is confirmed, as of the last stop. Only saves reading: an old or missing one is as good.
const CONFIRMED_FILE: &str = "messages.confirmed";
/// Shares of what is left of a stop's deadline: shards, then channels. The rest is for the last checkpoint.
const SHARDS_SHARE: f32 = 0.5;
const CHANNELS_SHARE: f32 = 0.5;

/// An engine with its channels, its history and its data directory.
#[derive(Debug)]
pub struct Backend {
    engine: Engine,
    dispatcher: Arc<Dispatcher>,
    archive: Arc<Archive>,
    path: PathBuf,
    /// Holds the lock; dropped last.
    _directory: DataDirectory,
}

impl Backend {
    /// Opens or makes the data directory and starts everything on it. `runtime` runs the channels. Blocks.
    pub fn open(config: &Config, command: CreatedBy, runtime: &Handle) -> Result<Self, StartError> {
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
        let messages = LogFile::open(&path.join(MESSAGES_FILE), read_confirmed(&path))?;
        let reports = Arc::new(LateReports::default());
        let sink: Arc<dyn ReportSink> = Arc::clone(&reports) as _;
        let clock = channel_clock(config.engine.clock);
        let dispatcher = Dispatcher::start(runtime, messages, &sink, &clock, config.outbox.in_flight_max);
        let history = Arc::new(FollowingArchive(Arc::clone(&archive)));
        let parts = EngineParts {
            disk: directory.disk(),
            timers: Box::new(timers),
            sink: Arc::clone(&dispatcher) as _,
            projection: Arc::clone(&history) as _,
            history,
        };
        let engine = Engine::start(&engine_config(config, &directory), parts)?;
        reports.0.send_replace(Some(engine.clone()));
        Ok(Self { engine, dispatcher, archive, path, _directory: directory })
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
        if tokio::time::timeout(left().mul_f32(SHARDS_SHARE), self.engine.drain()).await.is_err() {
            tracing::warn!("shards did not finish in time");
        }
        self.dispatcher.stop(left().mul_f32(CHANNELS_SHARE)).await;
        write_confirmed(&self.path, self.dispatcher.log().confirmed_offset());
        let ended = self.engine.stop(left()).await;
        let archive = Arc::clone(&self.archive);
        match tokio::task::spawn_blocking(move || archive.flush()).await {
            Ok(Ok(())) => {}
            // What is not in a file is fed again from the journal.
            Ok(Err(error)) => tracing::warn!(%error, "the archive is not flushed"),
            Err(panic) => tracing::error!(%panic, "the archive failed"),
        }
        ended
    }
}

/// What the engine is told, from the settings and from what the directory is.
fn engine_config(config: &Config, directory: &DataDirectory) -> EngineConfig {
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
        outbox_rows_max: config.outbox.rows_max,
        journal: JournalConfig {
            segment_bytes: config.journal.segment_bytes.0,
            tail_bytes_max,
            lanes: header.lanes,
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

fn read_confirmed(path: &Path) -> u64 {
    std::fs::read_to_string(path.join(CONFIRMED_FILE)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn write_confirmed(path: &Path, offset: u64) {
    let written = path.join(format!("{CONFIRMED_FILE}.tmp"));
    let replace = || -> io::Result<()> {
        std::fs::write(&written, format!("{offset}\n"))?;
        std::fs::rename(&written, path.join(CONFIRMED_FILE))
    };
    if let Err(error) = replace() {
        tracing::warn!(%error, "can't note how far messages.ndjson is confirmed; the next start reads more of it");
    }
}

/// Reports to an engine that comes later.
#[derive(Debug)]
struct LateReports(watch::Sender<Option<Engine>>);

impl Default for LateReports {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl ReportSink for LateReports {
    fn report(&self, report: DeliveryReport) -> BoxFuture<'static, Result<Recorded, Stopped>> {
        if let Some(engine) = &*self.0.borrow() {
            return ReportSink::report(engine, report);
        }
        let mut engine = self.0.subscribe();
        Box::pin(async move {
            let engine = engine.wait_for(Option::is_some).await.map_err(|_| Stopped)?.clone();
            ReportSink::report(&engine.ok_or(Stopped)?, report).await
        })
    }
}
