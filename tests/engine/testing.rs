//! Drafts in test, beside what is live.

use std::sync::Arc;

use parking_lot::Mutex;
use sojourn::domain::ids::Millis;
use sojourn::domain::limits::TEST_IDLE_MS;
use sojourn::runtime::engine::start::EngineConfig;
use sojourn::runtime::engine::{ClockMode, Engine};
use sojourn::store::memory::MemoryDisk;
use sojourn::store::timers::MemoryTimers;

use crate::harness::{Hand, config, event, start, start_on, submit};

/// 2026-01-01.
const START: Millis = Millis(1_767_225_600_000);

const GREETS: &str = "kind: event\nname: go\nschema: {}\n---\nkind: message\nname: hello\nchannel: log\nbody: hi\n---\n\
    kind: journey\nname: j\nentry: { event: go }\nstart: a\nnodes:\n  a: { message: hello, then: b }\n  b: { end: true }\n";

const DAY_MS: i64 = 86_400_000;

/// So many days after the start; whether the draft is still in test then.
async fn in_test_after(engine: &Engine, clock: &Hand, days: i64) -> bool {
    *clock.0.lock() = START.plus(days * DAY_MS);
    engine.end_idle_tests().await.expect("looks");
    engine.catalog().drafts["j"].test.is_some()
}

async fn go(engine: &Engine, id: &str, clock: &Hand) {
    let at = clock.0.lock().to_iso();
    submit(engine, vec![event(id, "go", "crm:1", &at, &[])]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_nobody_uses_ends_after_a_week() {
    let clock = Arc::new(Hand(Mutex::new(START)));
    let config = EngineConfig { clock: ClockMode::Wall, ..config(2) };
    let disk = Arc::new(MemoryDisk::new());
    let (engine, _sink) = start_on(clock.clone(), &config, disk, Box::new(MemoryTimers::default()));
    engine.apply(vec![("j.yaml".to_owned(), GREETS.to_owned())]).await.expect("publishes");
    let draft = GREETS.replace("end: true", "wait: 1h, then: c }\n  c: { end: true");
    engine.apply_draft(vec![("j.yaml".to_owned(), draft)]).await.expect("is kept");
    engine.flag(vec!["crm:1".into()], Vec::new()).await.expect("is flagged");
    engine.start_test("j", 10_000).await.expect("starts");
    assert_eq!(TEST_IDLE_MS, 7 * DAY_MS);
    assert!(in_test_after(&engine, &clock, 6).await, "it began six days ago");

    // A test profile enters: a week begins anew.
    go(&engine, "in", &clock).await;
    assert_eq!(engine.test_log("j").await.expect("is in test").profiles.len(), 1);
    assert!(in_test_after(&engine, &clock, 12).await, "it was used in the last week");
    assert!(!in_test_after(&engine, &clock, 14).await);

    // The live version takes the profile again, as it takes everybody.
    go(&engine, "after", &clock).await;
    assert_eq!(engine.report(None).await.expect("tells").journeys["j"].versions["1"].entered, 1);
}

/// Who keeps a draft learns how many wait where it would let somebody go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_tells_how_many_wait() {
    let (engine, _) = start(&config(1), Arc::new(MemoryDisk::new()));
    let waits =
        |rest: &str| GREETS.replace("{ end: true }", &format!("{{ wait: 9d, then: c }}\n  c: {{ end: true }}\n{rest}"));
    engine.apply(vec![("j.yaml".to_owned(), waits(""))]).await.expect("publishes");
    submit(&engine, vec![event("1", "go", "crm:1", &START.to_iso(), &[])]).await;
    let draft = waits("migration: { nodes: { b: exit } }\n").replace("9d", "8d");
    let kept = engine.apply_draft(vec![("j.yaml".to_owned(), draft)]).await.expect("is kept");
    let resources = kept["resources"].as_array().expect("a list");
    let journey = resources.iter().find(|resource| resource["name"] == "j").expect("is there");
    let node = &journey["migration"]["nodes"][0];
    assert_eq!(
        (&node["node"], &node["choice"], &node["waiting"]),
        (&"b".into(), &"exit".into(), &1.into()),
        "{journey}"
    );
    engine.stop(std::time::Duration::from_secs(30)).await;
}
