//! The production decision path in one process, without shards and disks, held against the oracle: drawn journeys, drawn
//! events, publishes and stops between them, late timers, reports, restarts from records and from snapshots.
//!
//! `SOJOURN_ORACLE_SEEDS=from..to` runs those seeds; a failing seed prints itself, and with `SOJOURN_ORACLE_TRACE=1` all it
//! did.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;

use super::*;
use crate::domain::apply::{Calls, Firing};
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::effect::{CallStatus, DeliveryOutcome, DeliveryReport};
use crate::domain::event::Event;
use crate::domain::ids::{HashKey, Millis, PartitionId, ProfileKey, SandboxId, stable_hash};
use crate::domain::journey::program::Channel;
use crate::domain::limits::TICK_MS;
use crate::domain::value::{Map, Value};
use crate::runtime::api::EventStatus;
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::{Circumstances, DecideConfig, Draught};
use crate::runtime::partition::mail::{Parcel, ParcelName};
use crate::runtime::partition::outbox::Hand;
use crate::runtime::partition::table::Extent;
use crate::runtime::report::{Tally, report};
use crate::sim::channels::answer;
use crate::sim::dice::Dice;
use crate::sim::observe::{Names, decode};
use crate::sim::workload::{Closing, ScriptEvent, Workload, terms};
use crate::wire::asleep::Place;
use crate::wire::record::{Mark, records};
use crate::wire::value::put_map;

const START_MS: i64 = 1_767_225_600_000;
/// Set, it prints what a failing seed published and did.
const TRACE: &str = "SOJOURN_ORACLE_TRACE";
/// Messages of one surface on their way, where surfaces are full so soon.
const ROWS_MAX: usize = 2;
const ID_WINDOW_MS: i64 = 86_400_000;

/// A partition, its history, and the oracle that watches it.
struct Bench {
    catalog: Catalog,
    config: DecideConfig,
    partition: Partition,
    history: Vec<u8>,
    names: Names,
    now_ms: i64,
    oracle: Oracle,
    traced: bool,
    log: Vec<String>,
    /// How often each step was seen, by its reason.
    reasons: BTreeMap<String, u64>,
}

impl Bench {
    fn new(workload: &Workload, clock: Clock, parking: Parking) -> Self {
        let (catalog, _) = Catalog::default().apply(&file(&workload.resources), Millis(START_MS)).expect("is valid");
        let config = DecideConfig {
            id_window_ms: ID_WINDOW_MS,
            ids_max: 1 << 20,
            outbox_rows_max: if parking == Parking::Never { usize::MAX } else { ROWS_MAX },
            held_max: 100_000,
            entrants_max: 100_000,
            firing: if clock == Clock::Wall { Firing::Engine } else { Firing::Due },
            partitions: 1,
            calls: if clock == Clock::Wall { Calls::Made } else { Calls::Assumed },
            hash_key: HashKey::FIXED,
        };
        let oracle = Oracle::new(&workload.resources).expect("the oracle reads what was published");
        Self {
            catalog,
            config,
            partition: Partition::new(PartitionId(0)),
            history: Vec::new(),
            names: Names::new(HashKey::FIXED, &workload.profiles),
            now_ms: START_MS,
            oracle: oracle
                .on_clock(clock)
                .with_parking(parking)
                .with_calls_assumed(clock == Clock::Events)
                .with_ids_known_for(ID_WINDOW_MS),
            traced: std::env::var_os(TRACE).is_some(),
            log: Vec::new(),
            reasons: BTreeMap::new(),
        }
    }

    fn note(&mut self, observed: &Observed) {
        if self.traced {
            self.log.push(format!("{observed:?}"));
        }
    }

    /// Lets the partition decide something, and the oracle judge what it wrote.
    fn decide<T>(&mut self, decide: impl FnOnce(&mut Partition, Circumstances<'_>, &mut Draught) -> T) -> T {
        let mut draught = Draught::default();
        let about = Circumstances { config: &self.config, catalog: &self.catalog, now: Millis(self.now_ms) };
        let decided = decide(&mut self.partition, about, &mut draught);
        let about_nobody = |observed: &Observed| observed.profile == format!("{:?}", ProfileKey::default());
        for observed in decode(&draught.bytes, &self.catalog, &self.names).expect("records can be read") {
            if about_nobody(&observed) {
                continue;
            }
            self.note(&observed);
            if observed.cause == Cause::Timers && observed.steps.is_empty() {
                *self.reasons.entry("still parked".to_owned()).or_default() += 1;
            }
            for step in &observed.steps {
                let reason = step.reason.split(" message").next().unwrap_or_default();
                *self.reasons.entry(reason.to_owned()).or_default() += 1;
            }
            if let Err(error) = self.oracle.observe(&observed) {
                panic!("{error}");
            }
        }
        self.history.extend_from_slice(&draught.bytes);
        decided
    }

    /// Its one partition is every counter's home: it tells itself what it has to say. On the events' clock nobody is told
    /// before `until_ms` has come to the tick after the arrival; whether anybody was told.
    fn pass_mail(&mut self, until_ms: i64) -> bool {
        let mut told = false;
        let until = if self.config.firing == Firing::Due { Millis(until_ms) } else { Millis::NEVER };
        loop {
            let parcel = self.partition.mail.parcels().next();
            if let Some((to, pseq)) = parcel {
                let name = ParcelName { from: to, to, pseq };
                let bodies = self.partition.mail.parcel(to, pseq).expect("listed just now").clone();
                let parcel = Parcel { name, bodies };
                self.decide(|partition, about, draught| partition.decide_parcel(&parcel, about, draught));
                self.decide(|partition, about, draught| partition.decide_acknowledged(to, pseq, about, draught));
                continue;
            }
            let due = self.partition.mail.lines().find(|(_, tick)| *tick <= until);
            if let Some((counter, tick)) = due.filter(|_| self.config.firing == Firing::Due) {
                self.decide(|partition, about, draught| partition.decide_tick(counter, tick, about, draught));
                continue;
            }
            let hold = self.partition.mail.waits_since().map(|since| since.plus(TICK_MS));
            let Some(hold) = hold.filter(|hold| *hold <= until) else { return told };
            let tell = |partition: &mut Partition, about: Circumstances<'_>, draught: &mut Draught| {
                partition.decide_waiter(if until == Millis::NEVER { until } else { hold }, about, draught)
            };
            if !self.decide(tell).expect("state can be read") {
                return told;
            }
            told = true;
            self.now_ms = self.now_ms.max(self.partition.engine_time.0);
        }
    }

    fn event(&mut self, event: &ScriptEvent) -> EventStatus {
        let map = Map(event.properties.iter().map(|(k, v)| (k.as_str().into(), Value::from_json(v))).collect());
        let mut properties = Vec::new();
        put_map(&mut properties, &map);
        let event = Event {
            id: event.id.as_str().into(),
            kind: event.kind.as_str().into(),
            profile: event.profile.as_str().into(),
            time: event.time_ms.map(Millis),
            properties: properties.into(),
        };
        event.validate().expect("drawn events are valid");
        let hash = stable_hash(&[event.profile.as_bytes(), event.id.as_bytes()]);
        let mark = Mark::Id { hash, expires: Millis(self.now_ms + ID_WINDOW_MS) };
        let key = key(&event.profile);
        let decided =
            self.decide(|partition, about, draught| partition.decide_event(&event, key, mark, about, draught));
        self.pass_mail(self.now_ms);
        decided.expect("state can be read")
    }

    /// Fires what is due by `until_ms`, each timer up to `late_ms` too late.
    fn fire_due(&mut self, until_ms: i64, dice: &mut Dice, late_ms: i64) {
        for _ in 0..100_000 {
            let next = self.partition.table.timers().filter(|timer| timer.due.0 <= until_ms).min_by_key(|t| t.due);
            if self.pass_mail(next.map_or(until_ms, |timer| timer.due.0)) {
                continue;
            }
            let Some(timer) = next else { return };
            let late_ms = if late_ms > 0 && dice.chance(10) { dice.between(0, late_ms) } else { 0 };
            self.now_ms = self.now_ms.max((timer.due.0 + late_ms).min(until_ms));
            if self.config.firing == Firing::Due {
                self.now_ms = timer.due.0;
            }
            self.decide(|partition, about, draught| partition.decide_timer(&timer, about, draught))
                .expect("state can be read");
            self.pass_mail(self.now_ms);
            // Where nothing is ever sent, instances without room try again every second for ever.
            if self.config.outbox_rows_max < 10 && dice.chance(30) {
                self.report(dice);
            }
        }
        panic!("timers without an end");
    }

    /// Channels do something with a message on its way.
    fn report(&mut self, dice: &mut Dice) {
        let rows: Vec<_> = self.partition.outbox.rows().map(|row| (row.id, row.channel)).collect();
        if rows.is_empty() {
            return;
        }
        let (id, channel) = *dice.pick(&rows);
        if dice.chance(50) {
            self.partition.outbox.set_hand(id, Hand::Channel);
        }
        let reason = || "because".to_owned();
        let outcome = match dice.below(8) {
            drawn if channel == Channel::Call => {
                let statuses = [CallStatus::TimedOut, CallStatus::Capped, CallStatus::Http(503), CallStatus::Http(404)];
                let status = statuses.get(drawn as usize).copied().unwrap_or(CallStatus::Http(200));
                DeliveryOutcome::Answered(Box::new(answer(id, status)))
            }
            0 => DeliveryOutcome::AttemptStarted,
            1 => DeliveryOutcome::AttemptFailed { reason: reason() },
            2 => DeliveryOutcome::Failed { reason: reason() },
            3 => DeliveryOutcome::InDoubt { reason: reason() },
            _ => DeliveryOutcome::Sent,
        };
        self.decide(|partition, about, draught| {
            partition.decide_report(&DeliveryReport { id, outcome }, about, draught).expect("can be read");
        });
    }

    /// What is published changes. Instances of stopped versions are ended at once, or found later.
    fn change(&mut self, workload: &mut Workload, dice: &mut Dice) {
        let now = Millis(self.now_ms);
        let settled = self.catalog.settled(now);
        let (catalog, cause) = if dice.chance(30) {
            let (name, order, resume) = workload.next_pausing(dice, now);
            match settled.resume(&name, now, resume.overdue, resume.window_ms) {
                Ok(resumed) => {
                    let overdue = resume.overdue.word().to_owned();
                    (resumed, Cause::Resume(name, now.0, overdue, resume.window_ms))
                }
                Err(_) => match settled.pause(&name, order) {
                    Ok(paused) => (paused, Cause::Pause(name, terms(&order))),
                    Err(_) => return,
                },
            }
        } else if dice.chance(60) {
            let Some(text) = workload.next_publish(dice) else { return };
            (settled.apply(&file(&text), now).expect("is valid").0, Cause::Publish(text))
        } else {
            match workload.next_closing(dice) {
                None => return,
                Some(Closing::Stop(name)) => (settled.stop(&name, None, now).expect("is known"), Cause::Stop(name)),
                Some(Closing::Close(name)) => (settled.close(&name, None).expect("is known"), Cause::Close(name)),
            }
        };
        self.catalog = catalog;
        let observed = Observed {
            profile: String::new(),
            engine_time_ms: self.now_ms,
            catalog: self.catalog.version.0,
            place: (u16::MAX, 0),
            cause,
            steps: Vec::new(),
            messages: Vec::new(),
            gone: Vec::new(),
        };
        self.note(&observed);
        self.oracle.observe(&observed).expect("the oracle follows what is published");
        if dice.chance(70) {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let mut keys: Vec<ProfileKey> = Vec::new();
        let wanted = |place: &Place| {
            let version = self.catalog.get(place.version);
            version.lets_go(place.node) || self.catalog.pauses.contains_key(&version.program.journey)
        };
        let end = self.partition.table.inside(&wanted, 0, usize::MAX, &mut keys);
        assert!(end.is_none());
        for key in keys {
            self.decide(|partition, about, draught| partition.decide_due(key, about, draught)).expect("can be read");
        }
    }

    /// A restart: the partition from its records alone, or from a snapshot.
    fn restart(&mut self, dice: &mut Dice) {
        let before = (self.partition.hash_sum, self.partition.counts.clone(), self.partition.events);
        self.partition = if dice.chance(50) {
            let mut partition = Partition::new(PartitionId(0));
            for record in records(&self.history) {
                partition.install(&record.expect("can be read").1, &self.catalog).expect("can be installed");
            }
            partition
        } else {
            let (mut parts, mut pages) = (Vec::new(), Vec::new());
            self.partition.generation += 1;
            let generation = self.partition.generation;
            self.partition.horizon.take_for_checkpoint(generation);
            self.partition.horizon.checkpoint_done(generation);
            self.partition.table.begin_capture(Extent::Whole);
            while !self.partition.table.capture_some(8, &mut pages) {}
            self.partition.put_parts(&mut parts);
            pages.sort_by_key(|(page, _)| *page);
            let pages = pages.iter().map(|(page, bytes)| (*page, bytes.as_slice()));
            Partition::from_snapshot(PartitionId(0), &parts, pages, &self.catalog).expect("can be restored")
        };
        self.partition.outbox.take_all_back();
        let after = (self.partition.hash_sum, self.partition.counts.clone(), self.partition.events);
        assert_eq!(before, after, "a restart changes nothing");
    }

    /// The engine's own counters say the same.
    fn compare_reports(&self) {
        let tally = Tally {
            counts: self.partition.counts.clone(),
            events: self.partition.events,
            hash_sum: 0,
            now: self.partition.engine_time,
        };
        let report = report(&tally, &self.catalog, None);
        for (name, engine) in &report.journeys {
            let ours = self.oracle.counts().get(name).cloned().unwrap_or_default();
            let without_zeros = |map: &BTreeMap<String, u64>| -> BTreeMap<String, u64> {
                map.iter().filter(|(_, n)| **n > 0).map(|(k, n)| (k.clone(), *n)).collect()
            };
            assert_eq!(
                (engine.entered, engine.active, engine.errors),
                (ours.entered, ours.active(), ours.errors),
                "{name}"
            );
            assert_eq!(without_zeros(&engine.exited), ours.exited, "{name}");
            assert_eq!(without_zeros(&engine.discarded), ours.discarded, "{name}");
            for (message, engine) in &engine.messages {
                let ours = ours.messages.get(message).cloned().unwrap_or_default();
                let of = |outcome: &str| ours.get(outcome).copied().unwrap_or(0);
                let counted = (engine.sent, engine.failed, engine.excluded, engine.cancelled);
                assert_eq!(counted, (of("sent"), of("failed"), of("excluded"), of("cancelled")), "{name} {message}");
                assert_eq!(engine.in_doubt, of("in_doubt") - of("resolved"), "{name} {message}");
            }
        }
    }
}

fn file(text: &str) -> [SourceFile; 1] {
    [SourceFile { name: "drawn.yaml".to_owned(), text: text.to_owned() }]
}

fn key(profile: &str) -> ProfileKey {
    let (namespace, value) = profile.split_once(':').expect("has a namespace");
    HashKey::FIXED.profile_key(SandboxId::DEFAULT, namespace, value)
}

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
