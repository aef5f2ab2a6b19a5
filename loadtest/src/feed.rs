//! Sends events over the TCP feed and takes the time of every acknowledgement.
//!
//! At a rate, events have intended times, and latency counts from those: a server that stalls is charged for all that
//! should have been sent meanwhile (no coordinated omission). Intended times lie on a grid of [`TICK`]. In the closed
//! loop latency counts from the sending of the event's batch, and depends on how much is kept in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use sojourn::transport::client::{Client, ClientConfig, Progress};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::machine::{Usage, nanoseconds};
use crate::scenario::Source;
use crate::server::Child;
use crate::{Pace, Run};

/// Grid of intended times.
const TICK: Duration = Duration::from_millis(1);

/// What feeding came to.
#[derive(Clone, Debug)]
pub struct Fed {
    /// Events sent; all are acknowledged.
    pub events: u64,
    /// From the first event to the last acknowledgement.
    pub elapsed: Duration,
    /// Latencies of events, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// Batches on their way: the last sequence, how many events, since when.
type Underway = Arc<Mutex<VecDeque<(u64, u64, Instant)>>>;

/// Feeds for as long as the run says, and waits for the last acknowledgement.
pub async fn feed(child: &Child, run: &Run) -> anyhow::Result<Fed> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0..u64::from(run.connections) {
        let source = Source::new(run.scenario, number, u64::from(run.connections), run.profiles);
        let config =
            ClientConfig { events_in_flight_max: run.in_flight, ..ClientConfig::new(format!("load-{number}"), 1) };
        let client = Client::connect(&child.tcp, config).await?;
        connections.spawn(connection(client, source, run.clone(), started, Arc::clone(&acknowledged)));
    }
    let telling = tokio::spawn(tell(child.id(), Arc::clone(&acknowledged)));
    let mut latency = Histogram::new(3)?;
    while let Some(ended) = connections.join_next().await {
        latency.add(ended??)?;
    }
    let elapsed = started.elapsed();
    telling.abort();
    let events = acknowledged.load(Ordering::Relaxed);
    ensure!(latency.len() == events, "{} latencies for {events} events", latency.len());
    Ok(Fed { events, elapsed, latency })
}

/// One connection from its first event to its last acknowledgement.
async fn connection(
    mut client: Client,
    mut source: Source,
    run: Run,
    started: Instant,
    acknowledged: Arc<AtomicU64>,
) -> anyhow::Result<Histogram<u64>> {
    let underway = Underway::default();
    let timing = tokio::spawn(time(client.acknowledged(), Arc::clone(&underway), acknowledged));
    let sent = match run.rate {
        Pace::Max => closed_loop(&mut client, &mut source, &run, started, &underway).await,
        Pace::PerSecond(rate) => {
            let rate = rate as f64 / f64::from(run.connections);
            open_loop(&mut client, &mut source, rate, &run, started, &underway).await
        }
    };
    sent.context("sending")?;
    let progress = client.finish().await.context("waiting for the last acknowledgement")?;
    ensure!(progress.rejected == 0, "{} events were rejected", progress.rejected);
    timing.await?
}

async fn closed_loop(
    client: &mut Client,
    source: &mut Source,
    run: &Run,
    started: Instant,
    underway: &Underway,
) -> anyhow::Result<()> {
    while started.elapsed() < run.duration() {
        let events = source.next(run.batch);
        let last = client.next_sequence() + run.batch - 1;
        // Waiting for room is the client's own doing, and no latency of the server: the time starts as the batch goes in.
        client.ready(run.batch).await?;
        underway.lock().push_back((last, run.batch, Instant::now()));
        client.send(&events).await?;
    }
    Ok(())
}

async fn open_loop(
    client: &mut Client,
    source: &mut Source,
    rate: f64,
    run: &Run,
    started: Instant,
    underway: &Underway,
) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut tick, mut sent) = (0_u32, 0_u64);
    loop {
        ticks.tick().await;
        let intended = TICK * tick;
        if intended >= run.duration() {
            return Ok(());
        }
        tick += 1;
        let due = (rate * (TICK * tick).as_secs_f64()) as u64;
        let count = due - sent;
        if count > 0 {
            let events = source.next(count);
            underway.lock().push_back((client.next_sequence() + count - 1, count, started + intended));
            client.send(&events).await?;
            sent = due;
        }
    }
}

/// Notes when acknowledgements come. Ends with the client.
async fn time(
    mut progress: watch::Receiver<Progress>,
    underway: Underway,
    acknowledged: Arc<AtomicU64>,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency = Histogram::new(3)?;
    loop {
        let is_over = progress.changed().await.is_err();
        let sequence = progress.borrow_and_update().sequence;
        let now = Instant::now();
        let mut underway = underway.lock();
        while let Some((_, count, since)) = underway.front().copied().filter(|(last, ..)| *last <= sequence) {
            underway.pop_front();
            acknowledged.fetch_add(count, Ordering::Relaxed);
            latency.record_n(nanoseconds(now.saturating_duration_since(since)), count)?;
        }
        if is_over {
            return Ok(latency);
        }
    }
}

/// A line each second.
async fn tell(id: u32, acknowledged: Arc<AtomicU64>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.tick().await;
    let mut before = (acknowledged.load(Ordering::Relaxed), Usage::of(id).map_or(0.0, |usage| usage.cpu_s));
    for second in 1.. {
        ticks.tick().await;
        let Ok(usage) = Usage::of(id) else { return };
        let events = acknowledged.load(Ordering::Relaxed);
        eprintln!(
            "{second:>4} s  {:>9} events/s  server: {:>4.0} % CPU, {:>6} MiB",
            events - before.0,
            (usage.cpu_s - before.1) * 100.0,
            usage.rss_bytes >> 20,
        );
        before = (events, usage.cpu_s);
    }
}
