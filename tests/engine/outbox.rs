//! The outbox: bounded, and what a start may do with its rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sojourn::domain::ids::Millis;
use sojourn::runtime::api::{Deferral, Origin, Patience, Refusal, Submission};
use sojourn::runtime::engine::start::EngineConfig;
use sojourn::runtime::engine::{DeliveryFilter, Engine};
use sojourn::store::memory::MemoryDisk;

use crate::harness::{config, start};
use crate::journeys::{CART, cart_add};

const LONG: Duration = Duration::from_secs(10);

/// An entry every two minutes, each of another profile: each reminds an hour later.
fn submission(n: i64, patience: Patience) -> Submission {
    let time = Millis::parse_iso("2024-01-01T00:00:00Z").expect("parses").plus(n * 120_000);
    let mut event = cart_add(&format!("e{n}"), &format!("crm:{n}"), "2024-01-01T00:00:00Z", 60.0);
    event.time = Some(time);
    Submission {
        events: vec![event],
        origin: Origin::Unsequenced,
        engine_times: vec![time],
        patience,
        deferral: Deferral::default(),
    }
}

async fn rows(engine: &Engine) -> usize {
    engine.deliveries(DeliveryFilter::All, usize::MAX).await.expect("answers").len()
}

/// The hash of a run of 300 events; with `rows_max`, past a channel that has no room until the feed waits.
async fn check_feed(rows_max: Option<usize>) -> String {
    let config = EngineConfig { outbox_rows_max: rows_max.unwrap_or(usize::MAX), ..config(2) };
    let (engine, sink) = start(&config, Arc::new(MemoryDisk::default()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    sink.full.store(rows_max.is_some(), Ordering::Release);
    for n in 0..300 {
        let patience = match rows_max {
            Some(_) => Patience::UpTo(Duration::ZERO),
            None => Patience::Unbounded,
        };
        match engine.submit(submission(n, patience)).await {
            Ok(receipt) => drop(receipt.await.expect("durable")),
            Err(Refusal::Overloaded { .. }) if sink.full.load(Ordering::Acquire) => {
                let waiting = rows(&engine).await;
                let max = rows_max.expect("no bound, no refusal");
                // The last event taken moved its shard over what was due there.
                assert!((max + 1..2 * max).contains(&waiting), "{waiting} rows");
                // Time goes on without events, and nothing of it waits for the channel.
                engine.drain().await;
                sink.full.store(false, Ordering::Release);
                let receipt =
                    engine.submit(submission(n, Patience::Unbounded)).await.expect("taken once there is room");
                receipt.await.expect("durable");
            }
            Err(Refusal::Overloaded { .. }) => {
                // The channel is still working its backlog off.
                let receipt =
                    engine.submit(submission(n, Patience::Unbounded)).await.expect("taken once there is room");
                receipt.await.expect("durable");
            }
            Err(refusal) => panic!("{refusal}"),
        }
    }
    assert!(!sink.full.load(Ordering::Acquire), "the feed has waited");
    engine.advance_clock(None).await.expect("time moves");
    while rows(&engine).await > 0 {
        tokio::task::yield_now().await;
    }
    let report = engine.report(None).await.expect("reports");
    assert_eq!((report.events, report.journeys["cart"].messages["reminder"].sent), (300, 300));
    engine.stop(LONG).await;
    report.hash
}

#[tokio::test]
async fn on_the_events_clock_the_feed_waits_for_channels_and_decides_the_same() {
    assert_eq!(check_feed(Some(20)).await, check_feed(None).await);
}

#[tokio::test]
async fn a_feed_that_waits_ends_with_the_engine() {
    let config = EngineConfig { outbox_rows_max: 3, ..config(1) };
    let (engine, sink) = start(&config, Arc::new(MemoryDisk::default()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    sink.full.store(true, Ordering::Release);
    for n in 0..10 {
        engine.submit(submission(n, Patience::Unbounded)).await.expect("taken").await.expect("durable");
    }
    // Time is not held up by a channel, however many rows come of it.
    engine.advance_clock(None).await.expect("time moves");
    assert_eq!(rows(&engine).await, 10);
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.submit(submission(11, Patience::Unbounded)).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    engine.stop(LONG).await;
    assert_eq!(waiting.await.expect("no panic"), Err(Refusal::Stopping));
}
