//! The streaming feeds in front of the real engine: what is sent again after a restart is recognised.

use std::sync::Arc;
use std::time::Duration;

use sojourn::domain::event::Event;
use sojourn::runtime::engine::Engine;
use sojourn::store::memory::MemoryDisk;
use sojourn::transport::client::{Client, ClientConfig, Progress};
use sojourn::transport::stream::Streams;
use sojourn::transport::tcp::{TcpOptions, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{config, event, start};

fn visits(count: u64) -> Vec<Event> {
    (0..count)
        .map(|i| {
            let time = format!("2024-01-01T00:{:02}:{:02}Z", i / 60 % 60, i % 60);
            event(&format!("v{i}"), "visit", &format!("crm:{}", i % 50), &time, &[])
        })
        .collect()
}

/// Sends `events` from sequence 1 over a TCP feed of its own and returns what was acknowledged.
async fn feed(engine: &Engine, events: &[Event]) -> Progress {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let shutdown = CancellationToken::new();
    let mut options = TcpOptions::new(Arc::new(|_: Option<&str>| true), Streams::new(4));
    options.clock = engine.clock_mode().into();
    let serving = tokio::spawn(serve(listener, engine.clone(), options, shutdown.clone()));
    let mut client = Client::connect(address, ClientConfig::new("shop", 1)).await.expect("welcome");
    assert_eq!(client.clock(), "events");
    client.send(events).await.expect("sent");
    let progress = client.finish().await.expect("acknowledged");
    shutdown.cancel();
    serving.await.expect("no panic").expect("served");
    progress
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_a_duplicate_after_a_restart() {
    let disk = Arc::new(MemoryDisk::default());
    let (engine, _) = start(&config(2), disk.clone());
    let events = visits(3_000);
    let first = feed(&engine, &events[..2_000]).await;
    assert_eq!((first.sequence, first.duplicates, first.rejected), (2_000, 0, 0));
    assert_eq!(first.engine_time, events[1_999].time);
    engine.stop(Duration::from_secs(10)).await;
    let (engine, _) = start(&config(2), disk);
    let second = feed(&engine, &events).await;
    assert_eq!((second.sequence, second.duplicates, second.rejected), (3_000, 2_000, 0));
    engine.stop(Duration::from_secs(10)).await;
}
