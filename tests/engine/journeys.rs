//! Journeys walked end to end on the events' clock.

use std::sync::Arc;
use std::time::Duration;

use sojourn::domain::guardrails::Guardrails;
use sojourn::domain::ids::Millis;
use sojourn::domain::value::Value;
use sojourn::runtime::api::EventStatus;
use sojourn::runtime::engine::RequestError;
use sojourn::runtime::engine::start::EngineConfig;
use sojourn::store::memory::MemoryDisk;

use crate::harness::{config, event, start, submit};

pub const CART: &str = r#"
kind: event
name: cart_add
schema: { total: number }
---
kind: event
name: purchase
schema: {}
---
kind: message
name: reminder
channel: log
subject: "You left something"
body: "Your cart holds {{ event.total }} EUR."
---
kind: journey
name: cart
entry: { event: cart_add, when: "event.total >= 50" }
reentry: { after: 1d }
exit: [ { event: purchase } ]
timeout: 14d
start: wait_an_hour
nodes:
  wait_an_hour: { wait: 1h, then: remind }
  remind: { message: reminder, then: bought }
  bought: { event: purchase, within: 2d, then: done, on_timeout: done }
  done: { end: true }
"#;

pub fn cart_add(id: &str, profile: &str, time: &str, total: f64) -> sojourn::domain::event::Event {
    event(id, "cart_add", profile, time, &[("total", Value::Float(total))])
}

#[tokio::test]
async fn a_cart_is_reminded_after_an_hour_and_a_purchase_ends_it() {
    for shards in [1, 3] {
        let (engine, sink) = start(&config(shards), Arc::new(MemoryDisk::default()));
        engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
        let statuses = submit(
            &engine,
            vec![
                cart_add("1", "crm:a", "2024-01-01T00:00:00Z", 60.0),
                cart_add("2", "crm:b", "2024-01-01T00:10:00Z", 70.0),
                cart_add("3", "crm:c", "2024-01-01T00:20:00Z", 10.0),
                cart_add("4", "crm:a", "2024-01-01T00:30:00Z", 80.0),
                event("5", "purchase", "crm:b", "2024-01-01T00:40:00Z", &[]),
                cart_add("6", "crm:b", "2024-01-01T03:00:00Z", 90.0),
                cart_add("6", "crm:b", "2024-01-01T03:00:00Z", 90.0),
            ],
        )
        .await;
        assert_eq!(statuses[6], EventStatus::Duplicate);
        assert!(statuses[..6].iter().all(|s| *s == EventStatus::Accepted), "{statuses:?}");
        engine.advance_clock(None).await.expect("time moves");
        engine.drain().await;
        let report = engine.report(None).await.expect("reports");
        let cart = &report.journeys["cart"];
        assert_eq!(report.events, 6);
        assert_eq!((cart.entered, cart.active, cart.errors), (2, 0, 0));
        assert_eq!((cart.exited["criteria"], cart.exited["completed"]), (1, 1));
        assert_eq!(cart.discarded["already_in_journey"], 1);
        assert_eq!(cart.discarded["reentrance_not_allowed"], 1);
        assert_eq!(cart.messages["reminder"].sent, 1);
        assert_eq!(sink.sent.lock().len(), 1);
        engine.stop(Duration::from_secs(10)).await;
    }
}

/// The same value in another namespace is somebody else.
#[tokio::test]
async fn trap_1_uniqueness_is_that_of_namespace_and_value() {
    let (engine, _) = start(&config(2), Arc::new(MemoryDisk::default()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    let adds = [("1", "crm:1"), ("2", "web:1"), ("3", "crm:1"), ("4", "web:1")];
    let adds = adds.map(|(id, profile)| cart_add(id, profile, "2024-01-01T00:00:00Z", 60.0));
    submit(&engine, adds.to_vec()).await;
    let report = engine.report(None).await.expect("reports");
    let cart = &report.journeys["cart"];
    assert_eq!((cart.entered, cart.active, cart.discarded["already_in_journey"]), (2, 2, 2));
    engine.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_restart_finds_everything_where_it_was() {
    let disk = Arc::new(MemoryDisk::default());
    let (engine, _) = start(&config(2), disk.clone());
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    submit(&engine, vec![cart_add("1", "crm:a", "2024-01-01T00:00:00Z", 60.0)]).await;
    let before = engine.report(None).await.expect("reports");
    engine.stop(Duration::from_secs(10)).await;

    let (engine, sink) = start(&config(3), disk);
    assert_eq!(engine.report(None).await.expect("reports"), before);
    let again = submit(&engine, vec![cart_add("1", "crm:a", "2024-01-01T00:00:00Z", 60.0)]).await;
    assert_eq!(again, [EventStatus::Duplicate]);
    engine.advance_clock(None).await.expect("time moves");
    engine.drain().await;
    let report = engine.report(None).await.expect("reports");
    assert_eq!(report.journeys["cart"].exited["completed"], 1);
    assert_eq!(sink.sent.lock().len(), 1);
    engine.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn partitions_move_between_shards_of_a_running_engine() {
    let (engine, _) = start(&config(1), Arc::new(MemoryDisk::default()));
    engine.apply(vec![("cart.yaml".to_owned(), CART.to_owned())]).await.expect("publishes");
    for (round, shards) in [4, 2, 3].into_iter().enumerate() {
        let events = (0..50)
            .map(|i| cart_add(&format!("{round}-{i}"), &format!("crm:{round}-{i}"), "2024-01-01T00:00:00Z", 60.0))
            .collect();
        submit(&engine, events).await;
        let view = engine.set_shards(shards).await.expect("moves");
        assert_eq!((view.count, view.shards.iter().map(|s| s.partitions).sum::<u16>()), (shards, 16));
    }
    engine.advance_clock(None).await.expect("time moves");
    engine.drain().await;
    let cart = &engine.report(None).await.expect("reports").journeys["cart"];
    assert_eq!((cart.entered, cart.exited["completed"], cart.messages["reminder"].sent), (150, 150, 150));
    engine.stop(Duration::from_secs(10)).await;
}

/// Spec §14: active journeys are live, paused, and closed ones that somebody is still in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_journeys_count_until_they_are_empty() {
    let rails = Guardrails { journeys_max: 1, ..Guardrails::DEFAULT };
    let (engine, _) = start(&EngineConfig { guardrails: rails, ..config(1) }, Arc::new(MemoryDisk::new()));
    let files = |name: &str| {
        let text = format!(
            "kind: event\nname: go\nschema: {{}}\n---\nkind: journey\nname: {name}\nentry: {{ event: go }}\nstart: a\nnodes:\n  \
             a: {{ wait: 1h, then: b }}\n  b: {{ end: true }}\n"
        );
        vec![("j.yaml".to_owned(), text)]
    };
    engine.apply(files("old")).await.expect("publishes");
    submit(&engine, vec![event("1", "go", "crm:1", "2026-01-01T00:00:00Z", &[])]).await;
    engine.close_journey("old", None).await.expect("closes");
    let Err(RequestError::Findings(found)) = engine.apply(files("new")).await else {
        panic!("somebody is still inside")
    };
    assert!(found[0].message.contains("2 active journeys, counting 1 that is closed and not yet empty"), "{found:?}");
    assert!(found[0].suggestion.as_deref().is_some_and(|text| text.contains("`guardrails.journeys_max`")), "{found:?}");
    engine.advance_clock(Millis::parse_iso("2026-01-01T02:00:00Z")).await.expect("time moves");
    engine.apply(files("new")).await.expect("everybody is out");
    engine.stop_journey("new", None).await.expect("stops");
    let listed: Vec<_> =
        engine.journeys().await.expect("lists").into_iter().map(|mut journey| journey.versions.remove(0)).collect();
    let told: Vec<_> = listed.iter().map(|version| (version.status.as_str(), version.finished_as.as_deref())).collect();
    assert_eq!(told, [("finished", Some("closed")), ("finished", Some("stopped"))]);
    engine.stop(Duration::from_secs(30)).await;
}
