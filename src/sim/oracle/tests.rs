//! The production decision path in one process, without shards and disks, held against the oracle: drawn journeys, drawn
//! events, publishes and stops between them, late timers, reports, restarts from records and from snapshots.
//!
//! `SOJOURN_ORACLE_SEEDS=from..to` runs those seeds; a failing seed prints itself, and with `SOJOURN_ORACLE_TRACE=1` all it
//! did.

mod bench;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;

use super::*;
use crate::runtime::api::EventStatus;
use crate::sim::dice::Dice;
use crate::sim::observe::decode;
use crate::sim::workload::{ScriptEvent, Workload};

use bench::*;

/// One seed from the first event to the end of every journey.
fn run(seed: u64, bench_out: &mut Option<Bench>) {
    let mut dice = Dice::new(seed);
    let mut workload = Workload::generate(&mut dice);
    let clock = if seed.is_multiple_of(2) { Clock::Wall } else { Clock::Events };
    let parking = match dice.below(8) {
        0..2 if clock == Clock::Wall => Parking::At(ROWS_MAX),
        2 if clock == Clock::Wall => Parking::Possible,
        _ => Parking::Never,
    };
    let bench = bench_out.insert(Bench::new(&workload, clock, parking));
    let punctual = dice.chance(60);
    for _ in 0..dice.between(20, 250) {
        let sent_ms = bench.now_ms + workload.next_gap_ms(&mut dice);
        let event = workload.next_event(&mut dice, sent_ms);
        let until_ms = match clock {
            Clock::Wall => sent_ms,
            Clock::Events => event.time_ms.unwrap_or(bench.now_ms).max(bench.now_ms),
        };
        // On the wall clock the server may have been down, and finds timers due with the next event.
        if clock == Clock::Events || punctual || dice.chance(60) {
            bench.fire_due(until_ms, &mut dice, if punctual { 0 } else { until_ms - bench.now_ms });
        }
        bench.now_ms = until_ms;
        let status = bench.event(&event);
        assert!(matches!(status, EventStatus::Accepted | EventStatus::Duplicate), "{status:?} of {event:?}");
        match dice.below(40) {
            0..8 => bench.report(&mut dice),
            8..10 => bench.change(&mut workload, &mut dice),
            10 => bench.restart(&mut dice),
            _ => {}
        }
    }
    bench.sweep();
    // Every instance ends by its timeout.
    let end_ms = bench.now_ms + 92 * 86_400_000;
    bench.fire_due(end_ms, &mut dice, 0);
    bench.oracle.finish(end_ms).unwrap_or_else(|error| panic!("{error}"));
    bench.compare_reports();
}

fn seeds(or_else: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("SOJOURN_ORACLE_SEEDS") else { return or_else };
    let (from, to) = text.split_once("..").expect("SOJOURN_ORACLE_SEEDS=from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// All seeds; what they came to, by reason of step. Fails with the seeds that failed, and why the first few did.
fn run_all(seeds: Range<u64>) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    let mut failed: Vec<(u64, String)> = Vec::new();
    for seed in seeds {
        let mut bench = None;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut bench)));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned();
            eprintln!("failing seed: {seed}");
            failed.push((seed, text.unwrap_or_else(|| "see above".to_owned())));
            if std::env::var_os(TRACE).is_some() {
                eprintln!("{}", Workload::generate(&mut Dice::new(seed)).resources);
                eprintln!("{}", bench.iter().flat_map(|bench| &bench.log).cloned().collect::<Vec<_>>().join("\n"));
            }
            continue;
        }
        for (reason, n) in bench.into_iter().flat_map(|bench| bench.reasons) {
            *sum.entry(reason).or_default() += n;
        }
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    let why: Vec<String> = failed.iter().take(5).map(|(seed, why)| format!("seed {seed}: {why}")).collect();
    assert!(failed.is_empty(), "{} seeds failed: {seeds:?}\n{}", failed.len(), why.join("\n"));
    sum
}

#[test]
fn the_engine_decides_as_the_documents_say() {
    let sum = run_all(seeds(0..160));
    eprintln!("{sum:?}");
    for reason in [
        "entered",
        "arrived",
        "then",
        "branch 0",
        "branch 3",
        "otherwise",
        "wait_ended",
        "event_received",
        "timed_out",
        "error",
        "failed expression",
        "failed jump",
        "failed visit_limit",
        "completed",
        "criteria",
        "timeout",
        "ended",
        "stopped",
        "already_in_journey",
        "reentrance_not_allowed",
        "entry_filter_error",
        "outside_dates",
        "requested",
        "excluded",
        "sent",
        "failed",
        "in_doubt",
        "resolved",
        "cancelled",
        "still parked",
    ] {
        assert!(sum.get(reason).is_some_and(|n| *n > 1), "hardly ever {reason}: {sum:?}");
    }
}

const SMALL: &str = "
kind: event
name: go
schema: { n: integer }
---
kind: message
name: hello
channel: log
body: 'hi {{ event.n }}'
---
kind: journey
name: j
entry: { event: go, when: event.n > 1 }
timeout: 2h
start: pause
nodes:
  pause: { wait: 30m, then: say }
  say: { message: hello, then: done }
  done: { end: true }
";

/// What the engine decided for a profile that enters at once and is written to half an hour later.
fn honest() -> Vec<Observed> {
    let mut workload = Workload::generate(&mut Dice::new(0));
    workload.resources = SMALL.to_owned();
    let mut bench = Bench::new(&workload, Clock::Wall, Parking::Never);
    let properties = serde_json::json!({ "n": 5 }).as_object().cloned().expect("an object");
    let event = ScriptEvent { id: "1".into(), kind: "go".into(), profile: "crm:0".into(), time_ms: None, properties };
    assert_eq!(bench.event(&event), EventStatus::Accepted);
    bench.fire_due(START_MS + 3_600_000, &mut Dice::new(0), 0);
    decode(&bench.history, &bench.catalog, &bench.names).expect("can be read")
}

fn judge_all(observed: &[Observed]) -> Result<(), String> {
    let mut oracle = Oracle::new(SMALL)?.with_ids_known_for(ID_WINDOW_MS);
    observed.iter().try_for_each(|observed| oracle.observe(observed))?;
    oracle.finish(START_MS + 3_600_000)
}

/// The judge must object to each of these, and say where.
#[test]
fn a_wrong_engine_is_found_out() {
    let honest = honest();
    judge_all(&honest).expect("nothing is wrong yet");
    let check = |what: &str, spoil: &dyn Fn(&mut Vec<Observed>)| {
        let mut spoiled = honest.clone();
        spoil(&mut spoiled);
        let error = judge_all(&spoiled).expect_err(what);
        assert!(error.contains(what), "{what}: {error}");
    };
    check("overdue", &|all| all.truncate(1));
    check("nothing was due", &|all| all[1].engine_time_ms -= 1);
    check("nothing was due", &|all| all.push(all[1].clone()));
    check("decided twice", &|all| all.insert(1, all[0].clone()));
    check("is missing", &|all| drop(all[1].steps.pop()));
    check("should not be", &|all| {
        let last = all[1].steps.last().cloned().expect("has steps");
        all[1].steps.push(last);
    });
    check("should be due at", &|all| all[0].steps[1].due_ms = Some(0));
    check("not in the outbox", &|all| all[1].messages.clear());
    check("nobody requested", &|all| {
        let again = all[1].messages[0].clone();
        all[1].messages.push(again);
    });
    check("should be 5", &|all| all[1].messages[0].input["event"]["n"] = Json::from(6));
    check("`entered` of entry 1", &|all| all[0].steps[0].version = 2);
    check("engine time went back", &|all| all[1].engine_time_ms = 0);
    check("nobody published catalog 2", &|all| all[1].catalog = 2);
    check("should not be", &|all| {
        if let Cause::Event(event) = &mut all[0].cause {
            event.properties["n"] = Json::from(1);
        }
    });
}
