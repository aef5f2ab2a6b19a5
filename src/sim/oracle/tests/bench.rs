//! A partition that is driven by hand, its history, and the oracle that watches it.

use std::collections::BTreeMap;

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
use crate::sim::oracle::*;
use crate::sim::workload::{Closing, ScriptEvent, Workload, terms};
use crate::wire::asleep::Place;
use crate::wire::record::{Mark, records};
use crate::wire::value::put_map;

pub(super) const START_MS: i64 = 1_767_225_600_000;
/// Set, it prints what a failing seed published and did.
pub(super) const TRACE: &str = "SOJOURN_ORACLE_TRACE";
/// Messages of one surface on their way, where surfaces are full so soon.
pub(super) const ROWS_MAX: usize = 2;
pub(super) const ID_WINDOW_MS: i64 = 86_400_000;

/// A partition, its history, and the oracle that watches it.
pub(super) struct Bench {
    pub(super) catalog: Catalog,
    pub(super) config: DecideConfig,
    pub(super) partition: Partition,
    pub(super) history: Vec<u8>,
    pub(super) names: Names,
    pub(super) now_ms: i64,
    pub(super) oracle: Oracle,
    pub(super) traced: bool,
    pub(super) log: Vec<String>,
    /// How often each step was seen, by its reason.
    pub(super) reasons: BTreeMap<String, u64>,
}

impl Bench {
    pub(super) fn new(workload: &Workload, clock: Clock, parking: Parking) -> Self {
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

    pub(super) fn note(&mut self, observed: &Observed) {
        if self.traced {
            self.log.push(format!("{observed:?}"));
        }
    }

    /// Lets the partition decide something, and the oracle judge what it wrote.
    pub(super) fn decide<T>(&mut self, decide: impl FnOnce(&mut Partition, Circumstances<'_>, &mut Draught) -> T) -> T {
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
    pub(super) fn pass_mail(&mut self, until_ms: i64) -> bool {
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

    pub(super) fn event(&mut self, event: &ScriptEvent) -> EventStatus {
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
    pub(super) fn fire_due(&mut self, until_ms: i64, dice: &mut Dice, late_ms: i64) {
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
    pub(super) fn report(&mut self, dice: &mut Dice) {
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
    pub(super) fn change(&mut self, workload: &mut Workload, dice: &mut Dice) {
        let now = Millis(self.now_ms);
        let settled = self.catalog.settled(now);
        let (catalog, cause) = if dice.chance(30) {
            let (name, order, resume) = workload.next_pausing(dice, now);
            match settled.resume(&name, now, resume.order()) {
                Ok(resumed) => (resumed, Cause::Resume(name, now.0, resume.word(), resume.window_ms)),
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

    pub(super) fn sweep(&mut self) {
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
    pub(super) fn restart(&mut self, dice: &mut Dice) {
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
    pub(super) fn compare_reports(&self) {
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
            assert_eq!(without_zeros(&engine.failed), ours.failed, "{name}");
            assert_eq!(engine.failed.values().sum::<u64>(), engine.errors, "{name}");
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

pub(super) fn file(text: &str) -> [SourceFile; 1] {
    [SourceFile { name: "drawn.yaml".to_owned(), text: text.to_owned() }]
}

pub(super) fn key(profile: &str) -> ProfileKey {
    let (namespace, value) = profile.split_once(':').expect("has a namespace");
    HashKey::FIXED.profile_key(SandboxId::DEFAULT, namespace, value)
}
