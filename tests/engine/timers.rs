//! The timer index between two starts: gone, empty or failing. Rows are the truth, so every wait fires once, at its time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sojourn::domain::ids::{Millis, PartitionId};

use sojourn::runtime::engine::start::EngineConfig;
use sojourn::runtime::engine::{ClockMode, Engine};
use sojourn::store::memory::MemoryDisk;
use sojourn::store::timers::{
    MemoryTimers, SlotNo, SlotWritten, TimerEntry, TimerIndex, TimerIndexError, TimerIndexStats,
};

use crate::crashes::busy;
use crate::harness::{Hand, Sink, event, start_on, submit};

const LONG: Duration = Duration::from_secs(10);
const HOUR_MS: i64 = 3_600_000;
const START: Millis = Millis(1_700_000_000_000);

const WAITS: &str = r#"
kind: event
name: go
schema: { hours: number }
---
kind: message
name: hello
channel: log
body: "hello"
---
kind: journey
name: waits
entry: { event: go }
start: wait
nodes:
  wait: { wait: { until: "meta.time + duration(string(int(event.hours * 60.0)) + 'm')" }, then: say }
  say: { message: hello, then: done }
  done: { end: true }
"#;

/// An index that can do nothing but start over.
struct Failing;

fn broken<T>() -> Result<T, TimerIndexError> {
    Err(TimerIndexError::Broken { reason: "as the test wants it".to_owned() })
}

impl TimerIndex for Failing {
    fn write(&mut self, _: PartitionId, _: u64, _: &[TimerEntry]) -> Result<Vec<SlotWritten>, TimerIndexError> {
        broken()
    }

    fn latest_epoch(&mut self, _: PartitionId) -> Result<Option<u64>, TimerIndexError> {
        broken()
    }

    fn replace_slot(&mut self, _: PartitionId, _: SlotNo, _: u64, _: &[TimerEntry]) -> Result<(), TimerIndexError> {
        broken()
    }

    fn load(&mut self, _: PartitionId, _: SlotNo) -> Result<Vec<TimerEntry>, TimerIndexError> {
        broken()
    }

    fn drop_slots(&mut self, _: PartitionId, _: SlotNo) -> Result<(), TimerIndexError> {
        broken()
    }

    fn forget_partition(&mut self, _: PartitionId) -> Result<(), TimerIndexError> {
        broken()
    }

    fn sync(&mut self) -> Result<(), TimerIndexError> {
        broken()
    }

    fn start_over(&mut self) -> Result<(), TimerIndexError> {
        Ok(())
    }

    fn stats(&self) -> TimerIndexStats {
        TimerIndexStats::default()
    }
}

/// Everything the clock made due has been decided and has left.
async fn settle(engine: &Engine) {
    for _ in 0..3 {
        engine.drain().await;
    }
}

/// Waits of one hour to ten, one each half hour and 16 of each; the index is `lost` after the first hours.
async fn check_lost(lost: impl FnOnce() -> Box<dyn TimerIndex>) {
    let config = EngineConfig { clock: ClockMode::Wall, ..busy(2) };
    let clock = Arc::new(Hand(Mutex::new(START)));
    let disk = MemoryDisk::default();
    let start = |timers: Box<dyn TimerIndex>| -> (Engine, Arc<Sink>) {
        start_on(clock.clone(), &config, Arc::new(disk.clone()), timers)
    };
    let (engine, mut sink) = start(Box::<MemoryTimers>::default());
    let mut engine = engine;
    engine.apply(vec![("waits.yaml".to_owned(), WAITS.to_owned())]).await.expect("publishes");
    let mut due: Vec<Millis> = Vec::new();
    let mut events = Vec::new();
    for n in 0..19 * 16 {
        let hours = 1.0 + 0.5 * f64::from(n % 19);
        let properties = [("hours", sojourn::domain::value::Value::Float(hours))];
        let mut event = event(&format!("e{n}"), "go", &format!("crm:{n}"), "2024-01-01T00:00:00Z", &properties);
        event.time = Some(START);
        events.push(event);
        due.push(START.plus((hours * HOUR_MS as f64) as i64));
    }
    submit(&engine, events).await;
    due.sort_unstable();
    due.dedup();
    let mut lost = Some(lost);
    let mut fired_before = 0;
    for (index, due) in due.iter().enumerate() {
        if index == 5 {
            engine.stop(LONG).await;
            fired_before = sink.sent.lock().len();
            let timers = lost.take().expect("once")();
            (engine, sink) = start(timers);
            engine.report(None).await.expect("all partitions are open");
        }
        *clock.0.lock() = due.plus(-1);
        settle(&engine).await;
        assert_eq!(fired_before + sink.sent.lock().len(), index * 16, "none fires before its time");
        *clock.0.lock() = *due;
        while fired_before + sink.sent.lock().len() < (index + 1) * 16 {
            tokio::task::yield_now().await;
        }
    }
    *clock.0.lock() = START.plus(20 * HOUR_MS);
    settle(&engine).await;
    let report = engine.report(None).await.expect("reports");
    let waits = &report.journeys["waits"];
    assert_eq!(
        (waits.entered, waits.active, waits.exited["completed"], waits.messages["hello"].sent),
        (304, 0, 304, 304)
    );
    engine.stop(LONG).await;
}

#[tokio::test]
async fn an_index_that_is_gone_is_made_again_from_the_rows() {
    check_lost(|| Box::new(MemoryTimers::default())).await;
}

#[tokio::test]
async fn an_index_that_fails_delays_no_wait() {
    check_lost(|| Box::new(Failing)).await;
}
