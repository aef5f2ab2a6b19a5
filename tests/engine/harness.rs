//! An engine on a memory disk, with a sink that remembers what it was given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use sojourn::domain::effect::{DeliveryOutcome, DeliveryReport};
use sojourn::domain::event::Event;
use sojourn::domain::guardrails::Guardrails;
use sojourn::domain::ids::{HashKey, Millis};
use sojourn::domain::value::{Map, Value};
use sojourn::runtime::admission::Rate;
use sojourn::runtime::api::{Deferral, EventStatus, Origin, Patience, Submission};
use sojourn::runtime::clock::Clock;
use sojourn::runtime::delivery::{DeliverySink, Job, ReportSink};
use sojourn::runtime::engine::start::{EngineConfig, EngineParts};
use sojourn::runtime::engine::{ClockMode, Engine};
use sojourn::runtime::keeper::KeeperConfig;
use sojourn::runtime::projection::{NoProjection, Projection};
use sojourn::store::disk::Disk;
use sojourn::store::journal::JournalConfig;
use sojourn::store::timers::{MemoryTimers, TimerIndex};
use sojourn::wire::value::put_map;

/// Accepts every message and reports it sent.
#[derive(Default)]
pub struct Sink {
    engine: OnceLock<Engine>,
    pub sent: Mutex<Vec<String>>,
    /// Keeps what it is offered and reports nothing.
    pub silent: AtomicBool,
    /// Has no room.
    pub full: AtomicBool,
}

impl DeliverySink for Sink {
    fn offer(&self, job: Job) -> Result<(), Job> {
        if self.full.load(Ordering::Acquire) {
            return Err(job);
        }
        // An engine offers what it found at its start before anybody knows it: nobody could report it.
        let Some(engine) = self.engine.get() else { return Err(job) };
        if !self.silent.load(Ordering::Acquire) {
            // The report counts as submitted when the call returns: who sees the message below and then drains has both.
            drop(ReportSink::report(engine, DeliveryReport { id: job.row.id, outcome: DeliveryOutcome::Sent }));
        }
        self.sent.lock().push(job.row.id.to_string());
        Ok(())
    }

    fn call(&self, job: sojourn::runtime::delivery::CallJob) -> Result<(), sojourn::runtime::delivery::CallJob> {
        Err(job)
    }

    fn room(&self, _: Option<&str>, _: sojourn::domain::journey::program::Channel) -> usize {
        usize::MAX
    }
}

/// A wall clock that the test moves.
#[derive(Debug)]
pub struct Hand(pub Mutex<Millis>);

impl Clock for Hand {
    fn now(&self) -> Millis {
        *self.0.lock()
    }
}

pub fn config(shards: u16) -> EngineConfig {
    EngineConfig {
        shards,
        partitions: 16,
        directory_id: 7,
        hash_key: HashKey::FIXED,
        calls: sojourn::domain::apply::Calls::Made,
        clock: ClockMode::Events,
        rate: Rate::Unlimited,
        id_window_ms: 86_400_000,
        ids_max: 1 << 20,
        guardrails: Guardrails::DEFAULT,
        outbox_rows_max: 1 << 20,
        journal: JournalConfig { segment_bytes: 1 << 20, ..JournalConfig::default() },
        keeper: KeeperConfig { tail_bytes: 4 << 20, interval: Duration::from_secs(60) },
    }
}

pub fn start(config: &EngineConfig, disk: Arc<dyn Disk>) -> (Engine, Arc<Sink>) {
    start_with(config, disk, Arc::new(NoProjection))
}

pub fn start_with(config: &EngineConfig, disk: Arc<dyn Disk>, projection: Arc<dyn Projection>) -> (Engine, Arc<Sink>) {
    let (sink, parts) = parts(disk, projection, Box::new(MemoryTimers::default()));
    let engine = Engine::start(config, parts).expect("starts");
    let _ = sink.engine.set(engine.clone());
    (engine, sink)
}

/// On a clock and with a timer index of the test's.
pub fn start_on(
    clock: Arc<dyn Clock>,
    config: &EngineConfig,
    disk: Arc<dyn Disk>,
    timers: Box<dyn TimerIndex>,
) -> (Engine, Arc<Sink>) {
    let (sink, parts) = parts(disk, Arc::new(NoProjection), timers);
    let engine = Engine::start_on(clock, config, parts).expect("starts");
    let _ = sink.engine.set(engine.clone());
    (engine, sink)
}

fn parts(
    disk: Arc<dyn Disk>,
    projection: Arc<dyn Projection>,
    timers: Box<dyn TimerIndex>,
) -> (Arc<Sink>, EngineParts) {
    let sink = Arc::new(Sink::default());
    let parts = EngineParts { disk, timers, sink: sink.clone(), projection, history: Arc::new(NoProjection) };
    (sink, parts)
}

pub fn event(id: &str, kind: &str, profile: &str, time: &str, properties: &[(&str, Value)]) -> Event {
    let map = Map(properties.iter().map(|(k, v)| ((*k).into(), v.clone())).collect());
    let mut bytes = Vec::new();
    put_map(&mut bytes, &map);
    Event {
        id: id.into(),
        kind: kind.into(),
        profile: profile.into(),
        time: Millis::parse_iso(time),
        properties: bytes.into(),
    }
}

pub async fn submit(engine: &Engine, events: Vec<Event>) -> Vec<EventStatus> {
    let mut latest = Millis::MIN;
    let engine_times = events
        .iter()
        .map(|e| {
            latest = latest.max(e.time.unwrap_or(latest));
            latest
        })
        .collect();
    let submission = Submission {
        events,
        origin: Origin::Unsequenced,
        engine_times,
        patience: Patience::Unbounded,
        deferral: Deferral::default(),
    };
    engine.submit(submission).await.expect("taken").await.expect("durable")
}
