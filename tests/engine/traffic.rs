//! Moves, publishing and stopping while events flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sojourn::domain::ids::Millis;
use sojourn::domain::value::Value;
use sojourn::runtime::api::{Deferral, EventStatus, Origin, Patience, ProducerId, Submission};
use sojourn::runtime::engine::Engine;
use sojourn::runtime::engine::past::PastQuery;
use sojourn::store::memory::MemoryDisk;

use crate::crashes::busy;
use crate::harness::{event, start};
use crate::journeys::{CART, cart_add};

const LONG: Duration = Duration::from_secs(10);
const PROFILES: i64 = 40;

/// Streams numbered updates and entries over all profiles until told to stop; how many rounds.
async fn stream(engine: Engine, producer: u64, stop: Arc<AtomicBool>) -> i64 {
    let mut round = 0;
    while !stop.load(Ordering::Acquire) {
        round += 1;
        let events: Vec<_> = (0..PROFILES)
            .map(|profile| {
                let (id, who) = (format!("{producer}-{round}-{profile}"), format!("crm:{producer}-{profile}"));
                match round {
                    1 => cart_add(&id, &who, "2024-01-01T00:00:00Z", 60.0),
                    _ => event(&id, "profile.update", &who, "2024-01-01T00:00:00Z", &[("round", Value::Int(round))]),
                }
            })
            .collect();
        let first_sequence = ((round - 1) * PROFILES + 1) as u64;
        let submission = Submission {
            engine_times: vec![Millis::parse_iso("2024-01-01T00:00:00Z").expect("parses"); events.len()],
            events,
            origin: Origin::Stream { producer: ProducerId(producer), epoch: 1, first_sequence },
            patience: Patience::Unbounded,
            deferral: Deferral::default(),
        };
        let statuses = engine.submit(submission).await.expect("taken").await.expect("durable");
        assert!(statuses.iter().all(|status| *status == EventStatus::Accepted), "{statuses:?}");
    }
    round
}

/// Runs two streams beside `change`; their rounds.
async fn beside(engine: &Engine, change: impl Future<Output = ()>) -> [i64; 2] {
    let stop = Arc::new(AtomicBool::new(false));
    let streams = [1, 2].map(|producer| tokio::spawn(stream(engine.clone(), producer, Arc::clone(&stop))));
    change.await;
    stop.store(true, Ordering::Release);
    let [first, second] = streams;
    [first.await.expect("streams"), second.await.expect("streams")]
}

async fn check(engine: &Engine, rounds: [i64; 2]) {
    let report = engine.report(None).await.expect("reports");
    assert_eq!(report.events as i64, (rounds[0] + rounds[1]) * PROFILES);
    for (producer, rounds) in [1, 2].into_iter().zip(rounds).filter(|(_, rounds)| *rounds > 1) {
        for profile in 0..PROFILES {
            let view =
                engine.profile(&format!("crm:{producer}-{profile}"), &PastQuery::default()).await.expect("is known");
            assert_eq!(view.document["round"], serde_json::json!(rounds), "order of {producer}-{profile}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_change_under_load_without_loss_repeats_or_disorder() {
    let disk = MemoryDisk::tracked();
    let (engine, _) = start(&busy(1), Arc::new(disk.clone()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    let rounds = beside(&engine, async {
        for count in [4, 2, 3, 1, 4, 2] {
            assert_eq!(engine.set_shards(count).await.expect("moves").count, count);
            engine.report(None).await.expect("reports");
        }
    })
    .await;
    check(&engine, rounds).await;
    let before = engine.report(None).await.expect("reports");
    let left = disk.crash(7);
    engine.stop(LONG).await;
    let (engine, _) = start(&busy(3), Arc::new(left));
    assert_eq!(engine.report(None).await.expect("reports"), before);
    check(&engine, rounds).await;
    engine.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_changes_of_shards_and_catalogs_are_carried_out() {
    let (engine, _) = start(&busy(1), Arc::new(MemoryDisk::new()));
    let rounds = beside(&engine, async {
        for count in [4, 1, 3, 2] {
            // The client goes away at once.
            let asked = engine.set_shards(count);
            let _ = tokio::time::timeout(Duration::ZERO, asked).await;
            let published = engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]);
            let _ = tokio::time::timeout(Duration::ZERO, published).await;
        }
        assert_eq!(engine.set_shards(2).await.expect("moves").count, 2);
    })
    .await;
    check(&engine, rounds).await;
    assert!(engine.catalog().journey_id("cart").is_some());
    engine.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journey_stopped_under_load_ends_everyone_once() {
    let (engine, sink) = start(&busy(2), Arc::new(MemoryDisk::new()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    let rounds = beside(&engine, async {
        while engine.report(None).await.expect("reports").journeys["cart"].entered < PROFILES as u64 {}
        engine.stop_journey("cart", None).await.expect("stops");
        engine.set_shards(3).await.expect("moves");
        while engine.report(None).await.expect("reports").journeys["cart"].active > 0 {}
    })
    .await;
    check(&engine, rounds).await;
    let report = engine.report(None).await.expect("reports");
    let cart = &report.journeys["cart"];
    assert!(cart.entered >= PROFILES as u64);
    assert_eq!((cart.exited["stopped"], cart.active), (cart.entered, 0));
    engine.advance_clock(None).await.expect("time moves");
    engine.drain().await;
    assert!(sink.sent.lock().is_empty());
    engine.stop(LONG).await;
}
