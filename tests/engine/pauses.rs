//! Pausing, forecasting and resuming a journey, over a restart.

use std::sync::Arc;
use std::time::Duration;

use sojourn::domain::event::Event;
use sojourn::domain::guardrails::Guardrails;
use sojourn::domain::ids::Millis;
use sojourn::domain::limits::PAUSE_MS_MAX;
use sojourn::domain::pause::{Overdue, PauseEnding, PauseMode};
use sojourn::runtime::engine::past::PastQuery;
use sojourn::runtime::engine::pauses::{PauseRequest, ResumeRequest};
use sojourn::runtime::engine::start::EngineConfig;
use sojourn::runtime::engine::{Engine, RequestError};
use sojourn::runtime::view::JourneySummary;
use sojourn::store::memory::MemoryDisk;

use crate::harness::{config, event, start, submit};

const ASKS: &str = "kind: event\nname: go\nschema: {}\n---\nkind: message\nname: hello\nchannel: log\nbody: hi\n---\n\
    kind: journey\nname: j\nentry: { event: go }\nstart: a\nnodes:\n  a: { wait: 1h, then: b }\n  \
    b: { message: hello, then: c }\n  c: { end: true }\n";
const LONG: Duration = Duration::from_secs(30);
const PROFILES: u64 = 40;

fn goes(time: &str, from: u64) -> Vec<Event> {
    (from..from + PROFILES).map(|n| event(&format!("{time}-{n}"), "go", &format!("crm:{n}"), time, &[])).collect()
}

fn at(time: &str) -> Option<Millis> {
    Some(Millis::parse_iso(time).expect("an instant"))
}

async fn journey(engine: &Engine) -> JourneySummary {
    engine.journeys().await.expect("tells").remove(0)
}

async fn status(engine: &Engine) -> (String, u64, u64, u64) {
    let version = journey(engine).await.versions.remove(0);
    (version.status, version.active, version.held, version.held_entrants)
}

/// Until nobody is held any more: the sweep takes turns.
async fn let_go(engine: &Engine) {
    loop {
        let (_, _, held, entrants) = status(engine).await;
        if held + entrants == 0 {
            return;
        }
        engine.advance_clock(at("2026-01-01T01:30:00Z")).await.expect("time stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_journey_keeps_everybody_over_a_restart() {
    let disk = Arc::new(MemoryDisk::new());
    let (engine, sink) = start(&config(2), disk.clone());
    engine.apply(vec![("j.yaml".to_owned(), ASKS.to_owned())]).await.expect("publishes");
    submit(&engine, goes("2026-01-01T00:00:00Z", 0)).await;
    let paused = engine.pause_journey("j", PauseRequest::default()).await.expect("pauses");
    let pause = paused.pause.expect("is paused");
    assert_eq!((pause.since.as_str(), pause.until.as_str()), ("2026-01-01T00:00:00.000Z", "2026-01-15T00:00:00.000Z"));
    submit(&engine, goes("2026-01-01T00:30:00Z", PROFILES)).await;
    engine.advance_clock(at("2026-01-01T01:30:00Z")).await.expect("time moves");
    assert_eq!(status(&engine).await, ("paused".to_owned(), PROFILES, PROFILES, PROFILES));
    assert!(sink.sent.lock().is_empty());
    let again = engine.pause_journey("j", PauseRequest::default()).await;
    assert!(matches!(again, Err(RequestError::Conflict(_))), "{again:?}");
    engine.stop(LONG).await;

    let (engine, sink) = start(&config(1), disk);
    let at_ten = ResumeRequest { rate: Some(10), ..ResumeRequest::default() };
    let forecast = engine.forecast("j", at_ten).await.expect("tells");
    assert_eq!((forecast.held, forecast.held_entrants), (PROFILES, PROFILES));
    let say = &forecast.nodes["b"];
    assert_eq!((say.waits.as_str(), say.channel.as_str(), say.held), ("hello", "log", PROFILES));
    let told = |word: &str| {
        let outcome = forecast.overdue[word];
        (outcome.sent, outcome.shifted, outcome.merged, outcome.dropped, outcome.takes_ms)
    };
    assert_eq!(told("send"), (PROFILES, 0, 0, 0, 8_000));
    assert_eq!(told("shift"), (0, PROFILES, 0, 0, 3_600_000), "an hour into the pause they were due");
    assert_eq!(told("merge"), (PROFILES, 0, 0, 0, 8_000));
    assert_eq!(told("drop"), (0, 0, 0, PROFILES, 8_000));

    let resumed = engine.resume_journey("j", ResumeRequest { overdue: Some(Overdue::Send), rate: Some(0) }).await;
    assert_eq!(resumed.expect("resumes").pause.expect("was paused").overdue, Overdue::Send);
    let_go(&engine).await;
    engine.drain().await;
    assert_eq!(sink.sent.lock().len() as u64, PROFILES);
    let report = engine.report(Some("j")).await.expect("reports").journeys.remove("j").expect("is there");
    assert_eq!((report.entered, report.active, report.exited["completed"]), (2 * PROFILES, PROFILES, PROFILES));
    assert_eq!(status(&engine).await.0, "live");
    engine.stop(LONG).await;
}

/// What is kept for those held is counted, over a restart, and no longer once they are let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_a_pause_keeps_are_counted() {
    let awaits = ASKS.replace("c: { end: true }", "c: { event: go, within: 1d, then: d }\n  d: { end: true }");
    let disk = Arc::new(MemoryDisk::new());
    let (engine, _) = start(&config(2), disk.clone());
    engine.apply(vec![("j.yaml".to_owned(), awaits)]).await.expect("publishes");
    submit(&engine, goes("2026-01-01T00:00:00Z", 0)).await;
    engine.pause_journey("j", PauseRequest::default()).await.expect("pauses");
    engine.advance_clock(at("2026-01-01T01:10:00Z")).await.expect("time moves");
    submit(&engine, goes("2026-01-01T01:20:00Z", 0).split_off(10)).await;
    let kept = |journey: JourneySummary| journey.versions[0].held_events;
    assert_eq!(kept(journey(&engine).await), PROFILES - 10);
    engine.stop(LONG).await;

    let (engine, _) = start(&config(1), disk);
    assert_eq!(kept(journey(&engine).await), PROFILES - 10);
    let forecast = engine.forecast("j", ResumeRequest::default()).await.expect("tells");
    assert_eq!((forecast.held, forecast.held_events), (PROFILES, PROFILES - 10));
    let of = |profile: &'static str| {
        let engine = engine.clone();
        async move {
            engine.profile(profile, &PastQuery::default()).await.expect("is there").instances.remove(0).held_events
        }
    };
    assert_eq!((of("crm:9").await, of("crm:10").await), (0, 1));
    engine.resume_journey("j", ResumeRequest { rate: Some(0), ..ResumeRequest::default() }).await.expect("resumes");
    let_go(&engine).await;
    assert_eq!(kept(journey(&engine).await), 0);
    let report = engine.report(Some("j")).await.expect("reports").journeys.remove("j").expect("is there");
    assert_eq!((report.active, report.exited["completed"]), (10, PROFILES - 10), "who had heard it is through");
    engine.stop(LONG).await;
}

/// Who pauses chooses what is dropped; a resume that says nothing of it keeps to that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_resume_does_what_the_pause_says() {
    for (overdue, sent) in [(None, 0), (Some(Overdue::Send), PROFILES)] {
        let (engine, sink) = start(&config(2), Arc::new(MemoryDisk::new()));
        engine.apply(vec![("j.yaml".to_owned(), ASKS.to_owned())]).await.expect("publishes");
        submit(&engine, goes("2026-01-01T00:00:00Z", 0)).await;
        let request = PauseRequest { overdue: Overdue::Drop, rate: 0, ..PauseRequest::default() };
        engine.pause_journey("j", request).await.expect("pauses");
        engine.advance_clock(at("2026-01-01T01:30:00Z")).await.expect("time moves");
        let asked = ResumeRequest { overdue, rate: None };
        let forecast = engine.forecast("j", asked).await.expect("tells");
        let chosen = overdue.unwrap_or(Overdue::Drop);
        assert_eq!((forecast.chosen.as_str(), forecast.rate), (chosen.word(), 0));
        assert_eq!(forecast.overdue[&forecast.chosen].sent, sent);
        let pause = engine.resume_journey("j", asked).await.expect("resumes").pause.expect("was paused");
        assert_eq!((pause.overdue, pause.rate), (chosen, 0));
        let_go(&engine).await;
        engine.drain().await;
        assert_eq!(sink.sent.lock().len() as u64, sent);
        engine.stop(LONG).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_by_itself_or_stops_the_journey() {
    let (engine, sink) = start(&config(2), Arc::new(MemoryDisk::new()));
    engine.apply(vec![("j.yaml".to_owned(), ASKS.to_owned())]).await.expect("publishes");
    submit(&engine, goes("2026-01-01T00:00:00Z", 0)).await;
    let request = PauseRequest { for_ms: Some(7_200_000), rate: 0, ..PauseRequest::default() };
    engine.pause_journey("j", request).await.expect("pauses");
    engine.advance_clock(at("2026-01-01T02:00:00Z")).await.expect("time moves");
    engine.drain().await;
    assert_eq!(sink.sent.lock().len() as u64, PROFILES);
    assert_eq!(status(&engine).await, ("live".to_owned(), 0, 0, 0));

    submit(&engine, goes("2026-01-01T03:00:00Z", 0)).await;
    let request = PauseRequest { then: PauseEnding::Stop, ..request };
    engine.pause_journey("j", request).await.expect("pauses");
    engine.advance_clock(at("2026-01-01T06:00:00Z")).await.expect("time moves");
    assert_eq!(status(&engine).await, ("finished".to_owned(), 0, 0, 0));
    // What is published afterwards goes by that.
    let plan = engine.plan(vec![("j.yaml".to_owned(), ASKS.to_owned())]).await.expect("plans");
    let resources = plan["resources"].as_array().expect("a list");
    let planned = resources.iter().find(|resource| resource["name"] == "j").expect("is there");
    assert_eq!((&planned["change"], &planned["status"]), (&"unchanged".into(), &"finished".into()));
    let refused = engine.pause_journey("j", request).await.expect_err("is stopped");
    assert_eq!(refused.to_string(), "journey `j` has no live version, and only those can be paused");
    engine.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused() {
    let (engine, _) = start(&config(1), Arc::new(MemoryDisk::new()));
    engine.apply(vec![("j.yaml".to_owned(), ASKS.to_owned())]).await.expect("publishes");
    // Time begins with the first event.
    submit(&engine, vec![event("0", "tick", "crm:0", "2026-01-01T00:00:00Z", &[])]).await;
    assert_eq!(PAUSE_MS_MAX, 14 * 86_400_000);
    let long = PauseRequest { for_ms: Some(PAUSE_MS_MAX + 1), ..PauseRequest::default() };
    let told = engine.pause_journey("j", long).await.expect_err("is too long").to_string();
    assert_eq!(told, "a pause lasts at most 14d (`guardrails.pause_max`), and longer than nothing");
    let told = engine.resume_journey("j", ResumeRequest::default()).await.expect_err("is live").to_string();
    assert_eq!(told, "journey `j` is not paused");
    assert!(matches!(engine.forecast("k", ResumeRequest::default()).await, Err(RequestError::NotFound { .. })));
    let unpaused = engine.forecast("j", ResumeRequest::default()).await.expect_err("is refused");
    assert_eq!(unpaused.to_string(), "journey `j` is not paused; a forecast says what a resume would do");
    let discard = PauseRequest { mode: PauseMode::Discard, ..PauseRequest::default() };
    engine.pause_journey("j", discard).await.expect("pauses");
    submit(&engine, goes("2026-01-01T00:30:00Z", 0)).await;
    let report = engine.report(Some("j")).await.expect("reports").journeys.remove("j").expect("is there");
    assert_eq!((report.entered, report.discarded["paused"]), (0, PROFILES));
    engine.stop(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guardrails_bound_how_long_a_pause_lasts_and_whom_it_keeps() {
    // One place a partition.
    let rails = Guardrails {
        pause_max_ms: 7_200_000,
        held_profiles_max: usize::from(config(1).partitions),
        held_entrants_max: usize::from(config(1).partitions),
        ..Guardrails::DEFAULT
    };
    let (engine, _) = start(&EngineConfig { guardrails: rails, ..config(1) }, Arc::new(MemoryDisk::new()));
    engine.apply(vec![("j.yaml".to_owned(), ASKS.to_owned())]).await.expect("publishes");
    submit(&engine, goes("2026-01-01T00:00:00Z", 0)).await;
    let long = PauseRequest { for_ms: Some(7_200_001), ..PauseRequest::default() };
    let told = engine.pause_journey("j", long).await.expect_err("is too long").to_string();
    assert!(told.contains("at most 2h") && told.contains("`guardrails.pause_max`"), "{told}");
    let paused = engine.pause_journey("j", PauseRequest::default()).await.expect("pauses");
    assert_eq!(paused.pause.expect("is paused").until, "2026-01-01T02:00:00.000Z", "as long as it may");
    submit(&engine, goes("2026-01-01T00:30:00Z", PROFILES)).await;
    engine.advance_clock(at("2026-01-01T01:30:00Z")).await.expect("time moves");
    let (_, active, held, entrants) = status(&engine).await;
    assert!(held > 0 && held <= 16 && entrants > 0 && entrants <= 16, "{held} {entrants}");
    assert_eq!(active, held, "the others left");
    let report = engine.report(Some("j")).await.expect("reports").journeys.remove("j").expect("is there");
    assert_eq!((report.exited["forced"], report.discarded["paused"]), (PROFILES - held, PROFILES - entrants));
    engine.stop(LONG).await;
}
