//! The message log over a restart: a delivery stands in it once, however late its row is offered.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use sojourn::channel::CallTls;
use sojourn::channel::dispatch::Dispatcher;
use sojourn::channel::log::LogFile;
use sojourn::channel::reports::LateReports;
use sojourn::domain::ids::Millis;
use sojourn::domain::journey::program::Channel;
use sojourn::report::archive::{Archive, ArchiveConfig};
use sojourn::runtime::delivery::{DeliverySink, Job, ReportSink};
use sojourn::runtime::engine::Engine;
use sojourn::runtime::engine::start::EngineParts;
use sojourn::runtime::projection::NoProjection;
use sojourn::server::Upkeep;
use sojourn::store::memory::MemoryDisk;
use sojourn::store::timers::MemoryTimers;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::harness::{config, start, submit};
use crate::journeys::{CART, cart_add};

const ROWS: usize = 500;
/// Offers that find no room after the restart: a turn gives up after a few, so they take many turns.
const REFUSALS: usize = 400;

/// Has no room at first, as a queue that is full.
struct Reluctant {
    dispatcher: Arc<Dispatcher>,
    refusals_left: AtomicUsize,
}

impl DeliverySink for Reluctant {
    fn offer(&self, job: Job) -> Result<(), Job> {
        let refused = self.refusals_left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        if refused.is_ok() { Err(job) } else { self.dispatcher.offer(job) }
    }

    fn call(&self, job: sojourn::runtime::delivery::CallJob) -> Result<(), sojourn::runtime::delivery::CallJob> {
        Err(job)
    }

    fn room(&self, surface: Option<&str>, channel: Channel) -> usize {
        self.dispatcher.room(surface, channel)
    }
}

/// Decides [`ROWS`] messages that are offered and never answered for; their delivery ids.
async fn decide_and_die(disk: &Arc<MemoryDisk>) -> Vec<String> {
    let (engine, sink) = start(&config(2), disk.clone());
    sink.silent.store(true, Ordering::Release);
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    let entries =
        (0..ROWS).map(|i| cart_add(&i.to_string(), &format!("crm:{i}"), "2024-01-01T00:00:00Z", 60.0)).collect();
    submit(&engine, entries).await;
    engine.advance_clock(None).await.expect("time moves");
    engine.drain().await;
    engine.stop(Duration::from_secs(60)).await;
    let offered = sink.sent.lock().clone();
    assert_eq!(offered.len(), ROWS);
    offered
}

/// Starts again on the log at `path`, with everything that a server has around it, until every message is sent.
async fn restart(disk: Arc<MemoryDisk>, directory: &Path, path: &Path) {
    let reports = LateReports::new();
    let file = LogFile::open_with_mark(path).expect("opens");
    let sink: Arc<dyn ReportSink> = Arc::clone(&reports) as _;
    let dispatcher =
        Dispatcher::start(&Handle::current(), file, &sink, &(Arc::new(|| Millis::MIN) as _), 1, CallTls::default());
    let parts = EngineParts {
        disk,
        timers: Box::new(MemoryTimers::default()),
        sink: Arc::new(Reluctant { dispatcher: Arc::clone(&dispatcher), refusals_left: AtomicUsize::new(REFUSALS) }),
        projection: Arc::new(NoProjection),
        history: Arc::new(NoProjection),
    };
    let engine = Engine::start(&config(2), parts).expect("starts");
    reports.connect(Arc::new(engine.clone()));
    let ends = CancellationToken::new();
    let upkeep = Upkeep {
        engine: engine.clone(),
        dispatcher: Arc::clone(&dispatcher),
        archive: Arc::new(Archive::open(ArchiveConfig::new(directory.join("archive"))).expect("opens")),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
    };
    let upkeep = tokio::spawn(upkeep.run(ends.clone()));
    while engine.report(None).await.expect("reports").journeys["cart"].messages["reminder"].sent < ROWS as u64 {}
    ends.cancel();
    upkeep.await.expect("ends");
    dispatcher.stop(Duration::from_secs(60)).await;
    engine.stop(Duration::from_secs(60)).await;
    reports.cut();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_written_before_a_kill_are_not_written_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Arc::new(MemoryDisk::default());
    let ids = decide_and_die(&disk).await;
    let log = directory.path().join("messages.ndjson");
    // The lines were written, the process was killed before their results were durable.
    let mut file = std::fs::File::create(&log).expect("a file");
    for id in &ids {
        writeln!(file, r#"{{"id":"{id}"}}"#).expect("writes");
    }
    drop(file);
    restart(disk, directory.path(), &log).await;

    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).expect("the log").lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        *lines.entry(line["id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    let twice = lines.values().filter(|count| **count > 1).count();
    assert_eq!((lines.len(), twice), (ROWS, 0), "deliveries in the log, and those that stand there twice");
}
