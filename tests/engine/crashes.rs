//! Power cuts, kills and failed syncs at any moment: nothing acknowledged is lost, nothing counts twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sojourn::domain::event::Event;
use sojourn::domain::ids::Millis;
use sojourn::runtime::api::{Deferral, EventStatus, Origin, Patience, Submission};
use sojourn::runtime::engine::Engine;
use sojourn::runtime::engine::start::EngineConfig;
use sojourn::runtime::keeper::KeeperConfig;
use sojourn::store::disk::Disk;
use sojourn::store::journal::JournalConfig;
use sojourn::store::memory::{MemoryDisk, Times};

use crate::harness::{config, start, submit};
use crate::journeys::{CART, cart_add};

/// Small segments, and checkpoints all the time.
pub fn busy(shards: u16) -> EngineConfig {
    EngineConfig {
        journal: JournalConfig { segment_bytes: 32 << 10, ..JournalConfig::default() },
        keeper: KeeperConfig { tail_bytes: 64 << 10, interval: Duration::from_millis(2) },
        ..config(shards)
    }
}

const LONG: Duration = Duration::from_secs(10);

/// The `n`th entry of the run: each of another profile, each inside the same hour.
fn entry(n: usize) -> Event {
    let time = format!("2024-01-01T00:{:02}:{:02}Z", n / 60 % 60, n % 60);
    cart_add(&format!("e{n}"), &format!("crm:{n}"), &time, 60.0)
}

/// Submits entries `from..to`; their fates if they became durable.
async fn try_submit(engine: &Engine, from: usize, to: usize) -> Option<Vec<EventStatus>> {
    let events: Vec<Event> = (from..to).map(entry).collect();
    let engine_times = events.iter().map(|e| e.time.unwrap_or(Millis::MIN)).collect();
    let submission = Submission {
        events,
        origin: Origin::Unsequenced,
        engine_times,
        patience: Patience::Unbounded,
        deferral: Deferral::default(),
    };
    engine.submit(submission).await.ok()?.await.ok()
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[tokio::test]
async fn a_power_cut_at_any_operation_loses_nothing_acknowledged_and_counts_nothing_twice() {
    for seed in 0..200 {
        check_power_cuts(seed).await;
    }
}

/// Two power cuts under load, then everything is sent again and runs its course.
async fn check_power_cuts(seed: u64) {
    const BATCH: usize = 20;
    const BATCHES: usize = 30;
    let mut dice = Dice(seed);
    let mut disk = MemoryDisk::tracked();
    let (engine, _) = start(&busy(1), Arc::new(disk.clone()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    engine.stop(LONG).await;
    let mut acknowledged = BTreeSet::new();
    let mut delivered: BTreeSet<String> = BTreeSet::new();
    for _ in 0..2 {
        let (engine, sink) = start(&busy(1 + dice.below(3) as u16), Arc::new(disk.clone()));
        disk.stop_after(dice.below(300));
        for batch in 0..BATCHES {
            let (from, to) = (batch * BATCH, (batch + 1) * BATCH);
            if try_submit(&engine, from, to).await.is_none() {
                break;
            }
            acknowledged.extend(from..to);
        }
        if dice.below(2) == 0 {
            // Some are on their way when the power goes.
            let _ = engine.advance_clock(Millis::parse_iso("2024-01-01T01:05:00Z")).await;
        }
        let left = disk.crash(dice.below(1 << 30));
        engine.stop(LONG).await;
        delivered.extend(sink.sent.lock().iter().cloned());
        disk = left;
    }
    let (engine, sink) = start(&busy(1 + dice.below(3) as u16), Arc::new(disk.clone()));
    let events = engine.report(None).await.expect("reports").events;
    assert!(events >= acknowledged.len() as u64, "seed {seed}: {events} of {} acknowledged", acknowledged.len());
    for batch in 0..BATCHES {
        let (from, to) = (batch * BATCH, (batch + 1) * BATCH);
        let fates = try_submit(&engine, from, to).await.expect("is taken");
        for (n, fate) in (from..to).zip(fates) {
            let known = acknowledged.contains(&n);
            assert!(
                fate == EventStatus::Duplicate || (fate == EventStatus::Accepted && !known),
                "seed {seed}: {n} {fate:?}"
            );
        }
    }
    engine.advance_clock(None).await.expect("time moves");
    engine.drain().await;
    let report = engine.report(None).await.expect("reports");
    let (all, cart) = ((BATCHES * BATCH) as u64, &report.journeys["cart"]);
    assert_eq!((report.events, cart.entered, cart.active, cart.errors), (all, all, 0, 0), "seed {seed}");
    assert_eq!(cart.exited["completed"], all, "seed {seed}");
    assert_eq!((cart.messages["reminder"].sent, cart.messages["reminder"].pending), (all, 0), "seed {seed}");
    assert!(
        cart.nodes.values().all(|node| node.in_node == 0 && node.entered == all),
        "seed {seed}: a timer fired twice"
    );
    let last: Vec<String> = sink.sent.lock().clone();
    delivered.extend(last.iter().cloned());
    assert_eq!(delivered.len() as u64, all, "seed {seed}: a message has one id for ever");
    assert_eq!(last.iter().collect::<BTreeSet<_>>().len(), last.len(), "seed {seed}: offered twice in one life");
    engine.stop(LONG).await;
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nothing_more_and_loses_nothing() {
    for nth in [1, 2, 3, 7, 20] {
        let disk = MemoryDisk::tracked();
        let (engine, _) = start(&config(2), Arc::new(disk.clone()));
        engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
        disk.fail_sync(nth, Times::Once);
        let mut acknowledged = 0;
        while try_submit(&engine, acknowledged, acknowledged + 5).await.is_some() {
            acknowledged += 5;
        }
        engine.failure().raised().await;
        assert!(try_submit(&engine, 900, 905).await.is_none(), "the disk works again; the engine must not trust it");
        assert_eq!(engine.health().state, "failed");
        engine.stop(LONG).await;
        for left in [disk.crash_keep_all(), disk.crash(nth)] {
            let (engine, _) = start(&config(1), Arc::new(left));
            for n in 0..acknowledged {
                assert_eq!(
                    try_submit(&engine, n, n + 1).await,
                    Some(vec![EventStatus::Duplicate]),
                    "sync {nth}, event {n}"
                );
            }
            let events = engine.report(None).await.expect("reports").events as usize;
            assert!((acknowledged..=acknowledged + 5).contains(&events), "sync {nth}: {events}");
            engine.stop(LONG).await;
        }
    }
}

/// The newest snapshot of the partition that has the most.
fn newest_generation(disk: &MemoryDisk) -> u64 {
    let of = |partition: String| disk.list(&format!("snapshots/{partition}")).unwrap_or_default();
    let files = disk.list_directories("snapshots").unwrap_or_default().into_iter().flat_map(of);
    files.filter_map(|name| name.strip_suffix(".snap")?.parse().ok()).max().unwrap_or(0)
}

#[tokio::test]
async fn a_delivery_pending_across_snapshots_and_a_kill_is_offered_again_once_and_counted_once() {
    let disk = MemoryDisk::tracked();
    let (engine, sink) = start(&EngineConfig { partitions: 1, ..busy(1) }, Arc::new(disk.clone()));
    sink.silent.store(true, Ordering::Release);
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    submit(&engine, vec![entry(0)]).await;
    engine.advance_clock(Millis::parse_iso("2024-01-01T01:05:00Z")).await.expect("time moves");
    engine.drain().await;
    assert_eq!(sink.sent.lock().len(), 1);
    let before = newest_generation(&disk);
    let mut more = 1;
    while newest_generation(&disk) < before + 3 {
        submit(&engine, vec![entry(more)]).await;
        more += 1;
    }
    let left = disk.crash_keep_all();
    engine.stop(LONG).await;

    let (engine, sink) = start(&EngineConfig { partitions: 1, ..busy(2) }, Arc::new(left));
    // The sink shows a message before it reports it.
    let reminder = loop {
        let report = engine.report(None).await.expect("all partitions are open");
        let reminder = report.journeys["cart"].messages["reminder"];
        if reminder.pending == 0 {
            break reminder;
        }
        tokio::task::yield_now().await;
    };
    engine.drain().await;
    assert_eq!(reminder.sent, 1);
    assert_eq!(sink.sent.lock().len(), 1);
    engine.stop(LONG).await;
}
