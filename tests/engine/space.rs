//! The disk: full, and bounded under steady load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sojourn::domain::ids::{Millis, PartitionId, Pseq};
use sojourn::report::archive::{Archive, ArchiveConfig};
use sojourn::report::history::ArchivedHistory;
use sojourn::runtime::api::{Deferral, EventStatus, Origin, Patience, Refusal, Submission};
use sojourn::runtime::engine::start::EngineConfig;
use sojourn::runtime::engine::stop::Ended;
use sojourn::runtime::keeper::KeeperConfig;
use sojourn::runtime::projection::Projection;
use sojourn::store::journal::JournalConfig;
use sojourn::store::memory::MemoryDisk;

use crate::crashes::busy;
use crate::harness::{event, start, start_with, submit};

const LONG: Duration = Duration::from_secs(10);

/// An update of 10 KB of one of a few profiles.
fn update(n: usize) -> sojourn::domain::event::Event {
    let text = sojourn::domain::value::Value::Str("x".repeat(10_000).into());
    let count = sojourn::domain::value::Value::Int(n as i64);
    let properties = [("count", count), ("text", text)];
    event(&n.to_string(), "profile.update", &format!("crm:{}", n % 20), "2024-01-01T00:00:00Z", &properties)
}

#[tokio::test]
async fn a_full_disk_refuses_and_service_resumes_by_itself() {
    let disk = MemoryDisk::tracked();
    let (engine, _) = start(&busy(2), Arc::new(disk.clone()));
    submit(&engine, vec![update(0)]).await;
    disk.set_capacity(Some(disk.used_bytes()));
    let mut receipts = Vec::new();
    let mut taken = 1;
    let refusal = loop {
        let submission = Submission {
            events: vec![update(taken)],
            origin: Origin::Unsequenced,
            engine_times: vec![Millis::MIN],
            patience: Patience::UpTo(Duration::ZERO),
            deferral: Deferral::default(),
        };
        match engine.submit(submission).await {
            Ok(receipt) => receipts.push(receipt),
            Err(refusal) => break refusal,
        }
        taken += 1;
        tokio::task::yield_now().await;
    };
    assert!(matches!(refusal, Refusal::DiskFull | Refusal::Overloaded { .. }), "{refusal:?}");
    while engine.health().state != "disk_full" {
        tokio::task::yield_now().await;
    }
    assert!(!engine.failure().is_raised());
    disk.set_capacity(None);
    for receipt in receipts {
        assert_eq!(receipt.await.expect("durable after all"), [EventStatus::Accepted]);
    }
    assert_eq!(submit(&engine, vec![update(taken)]).await, [EventStatus::Accepted]);
    let left = disk.crash(1);
    engine.stop(LONG).await;
    let (engine, _) = start(&busy(1), Arc::new(left));
    assert_eq!(engine.report(None).await.expect("reports").events, taken as u64 + 1);
    engine.stop(LONG).await;
}

/// Is behind until it is told to hurry.
#[derive(Default)]
struct Lagging {
    seen: Mutex<BTreeMap<PartitionId, Pseq>>,
    passed: Mutex<BTreeMap<PartitionId, Pseq>>,
    /// Hurry or not.
    is_stuck: AtomicBool,
}

impl Projection for Lagging {
    fn follow(&self, block: &[u8]) {
        self.seen.lock().extend(sojourn::wire::record::spans(block));
    }

    fn passed(&self, partition: PartitionId) -> Pseq {
        self.passed.lock().get(&partition).copied().unwrap_or_default()
    }

    fn hurry(&self) {
        if self.is_stuck.load(Ordering::Acquire) {
            return;
        }
        self.passed.lock().clone_from(&self.seen.lock());
    }
}

#[tokio::test]
async fn steady_load_keeps_the_disk_bounded_even_behind_a_slow_projection() {
    let segment_bytes = 128 << 10;
    let disk = MemoryDisk::new();
    let config = EngineConfig {
        journal: JournalConfig { segment_bytes, tail_bytes_max: 8 * segment_bytes, ..JournalConfig::default() },
        keeper: KeeperConfig { tail_bytes: 2 * segment_bytes, interval: Duration::from_millis(5) },
        ..busy(2)
    };
    let (engine, _) = start_with(&config, Arc::new(disk.clone()), Arc::new(Lagging::default()));
    let mut most = 0;
    for n in 0..200 {
        submit(&engine, (0..10).map(|i| update(n * 10 + i)).collect()).await;
        most = most.max(disk.used_bytes());
    }
    // 20 MB went through it. The tail with what was in mailboxes, the segment being written and spares, and for each
    // partition two restorable points, each with changes up to its own size.
    assert!(most < 32 * segment_bytes, "{most} bytes");
    engine.stop(LONG).await;
}

#[tokio::test]
async fn ingest_waits_for_a_projection_that_does_not_pass() {
    let segment_bytes = 128 << 10;
    let config = EngineConfig {
        journal: JournalConfig { segment_bytes, tail_bytes_max: 4 * segment_bytes, ..JournalConfig::default() },
        ..busy(1)
    };
    let projection = Arc::new(Lagging::default());
    projection.is_stuck.store(true, Ordering::Release);
    let disk = MemoryDisk::new();
    let (engine, _) = start_with(&config, Arc::new(disk.clone()), projection.clone());
    let mut taken = 0;
    let refusal = loop {
        let submission = Submission {
            events: vec![update(taken)],
            origin: Origin::Unsequenced,
            engine_times: vec![Millis::MIN],
            patience: Patience::UpTo(Duration::ZERO),
            deferral: Deferral::default(),
        };
        match engine.submit(submission).await {
            Ok(receipt) => drop(receipt.await.expect("durable")),
            Err(refusal) => break refusal,
        }
        taken += 1;
    };
    assert!(matches!(refusal, Refusal::Overloaded { .. }), "{refusal:?}");
    assert!(disk.used_bytes() < 20 * segment_bytes);
    projection.is_stuck.store(false, Ordering::Release);
    assert_eq!(submit(&engine, vec![update(taken)]).await, [EventStatus::Accepted]);
    engine.stop(LONG).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_an_archive_that_cannot_write_and_history_is_complete_after_the_next_start() {
    let directory = tempfile::TempDir::new().expect("temporary directory");
    let path = directory.path().join("archive");
    let open = || {
        let config = ArchiveConfig { flush_bytes: 1, ..ArchiveConfig::new(path.clone()) };
        Arc::new(Archive::open(config).expect("opens"))
    };
    let disk = MemoryDisk::new();
    let config = EngineConfig { partitions: 1, ..busy(1) };
    let archive = open();
    let (engine, _) = start_with(&config, Arc::new(disk.clone()), Arc::new(ArchivedHistory::new(Arc::clone(&archive))));
    submit(&engine, vec![update(0)]).await;
    // From here on it can write nothing, and after a few blocks it holds the journal's thread.
    std::fs::remove_dir_all(&path).expect("removes");
    let mut receipts = Vec::new();
    for n in 1..20 {
        let submission = Submission {
            events: vec![update(n)],
            origin: Origin::Unsequenced,
            engine_times: vec![Millis::MIN],
            patience: Patience::Unbounded,
            deferral: Deferral::default(),
        };
        receipts.push(engine.submit(submission).await.expect("taken"));
    }
    while archive.stats().fault.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.stop(LONG).await, Ended::Clean);
    for receipt in receipts {
        assert_eq!(receipt.await.expect("durable"), [EventStatus::Accepted]);
    }
    drop(archive);

    let archive = open();
    let (engine, _) = start_with(&config, Arc::new(disk), Arc::new(ArchivedHistory::new(Arc::clone(&archive))));
    engine.report(None).await.expect("reports");
    archive.flush().expect("flushes");
    let of_all = (0..20).map(|n| archive.timeline(PartitionId(0), key(n), 100, None));
    let ids: std::collections::BTreeSet<String> =
        of_all.flatten().filter_map(|entry| Some(entry.event?.id.to_string())).collect();
    // The first may have been in the directory that is gone.
    assert!((1..20).all(|n| ids.contains(&n.to_string())), "{ids:?}");
    assert_eq!(archive.stats().damage_count, 0);
    engine.stop(LONG).await;
}

fn key(n: usize) -> sojourn::domain::ids::ProfileKey {
    sojourn::domain::ids::HashKey::FIXED.profile_key(sojourn::domain::ids::SandboxId::DEFAULT, "crm", &n.to_string())
}
