//! The simulated world and its scheduler: one life of the process after the other on one disk, one step at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::ids::{Millis, PartitionId};
use crate::sim::Violation;
use crate::sim::changes::Change;
use crate::sim::channels::{Channels, LONG_OUTAGE, Mood};
use crate::sim::client::{Client, Stamps};
use crate::sim::damage::Damage;
use crate::sim::dice::Dice;
use crate::sim::history::{History, Seen};
use crate::sim::index::IndexModel;
use crate::sim::machine::Machine;
use crate::sim::plan::Plan;
use crate::sim::witness::Witness;
use crate::sim::workload::{Given, Workload};
use crate::store::disk::Disk as _;
use crate::store::memory::MemoryDisk;

/// When worlds begin: an instant within a slot, not at its edge.
const BEGINNING: Millis = Millis(1_767_225_600_000 + 1_234_567);
/// A start that fails this often without a fault of its own is one too many.
const STARTS_MAX: u32 = 20;
/// Steps of shards, journal, keeper and channels after which a world does not come to rest any more: ten times what the
/// longest takes.
const CALLS_MAX: u64 = 3_000_000;

/// What was done and suffered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Steps of the scheduler.
    pub steps: u64,
    /// Everything that was stepped, at rest too.
    pub calls: u64,
    /// Profiles seen.
    pub profiles: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

/// A reader's question on its way: what it saw of each partition.
pub type Reading = oneshot::Receiver<Vec<(PartitionId, u64)>>;

/// The world of one seed.
#[expect(missing_debug_implementations, reason = "shards hold closures")]
pub struct Simulation {
    /// What it is about.
    pub plan: Plan,
    /// Chance.
    pub dice: Dice,
    /// The disk.
    pub disk: MemoryDisk,
    /// The timer index.
    pub index: IndexModel,
    /// The process, if it runs.
    pub machine: Option<Machine>,
    /// What is durable.
    pub history: History,
    /// Who sends.
    pub client: Client,
    /// Who delivers.
    pub channels: Channels,
    /// What is sent.
    pub workload: Workload,
    /// Events still to be drawn.
    pub events_left: u64,
    /// What the wall clock shows at first.
    pub beginning: Millis,
    /// The steady clock.
    pub steady: Duration,
    /// How far the wall clock is off, in milliseconds.
    pub skew_ms: i64,
    /// A change under way.
    pub change: Option<Change>,
    /// Questions under way.
    pub readings: Vec<Reading>,
    /// Shards to start with.
    pub shards: u16,
    /// Whether faults are over.
    pub calm: bool,
    /// A change is done, and what it brings is to be looked at before anything else comes.
    pub rest_soon: bool,
    /// Throws of the scheduler that mostly come to nothing now.
    pub slow: Option<(u64, u64)>,
    /// Directories with a damaged snapshot: one is what two points are for.
    pub damaged: std::collections::BTreeSet<String>,
    /// What a damaged disk may have to answer for.
    pub damage: Damage,
    /// Whether the drawn resources were published.
    pub published: bool,
    /// What is drawn before anything happens.
    pub ahead: Dice,
    /// Counters.
    pub tally: Tally,
    /// Lines of the trace, if wanted.
    pub trace: Option<Vec<String>>,
}

impl Simulation {
    /// The world of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice.fork("plan"));
        let ahead = dice.fork("pauses");
        let mut workload = Workload::generate(&mut dice.fork("workload"));
        let profiles = workload.profiles.len();
        workload.profiles.extend((profiles..plan.profiles).map(|n| format!("shop:{n}")));
        workload.hot_percent = plan.hot_percent;
        if plan.is_wide {
            workload.unvisited = (0..plan.profiles).rev().collect();
        }
        dice.throw();
        let decide = &plan.machine.decide;
        let mut history = History::new(plan.machine.partitions, decide.firing);
        let witness = Witness::new(&workload.resources, &workload.profiles, decide);
        history.witness = Some(witness.expect("the oracle reads what the workload draws"));
        let mut simulation = Self {
            history,
            client: Client::new(plan.machine.partitions, decide.id_window_ms, plan.streams),
            channels: Channels::new(),
            disk: MemoryDisk::tracked(),
            index: IndexModel::default(),
            machine: None,
            events_left: plan.events,
            beginning: BEGINNING,
            steady: Duration::ZERO,
            skew_ms: 0,
            change: None,
            readings: Vec::new(),
            shards: plan.shards,
            calm: false,
            rest_soon: false,
            slow: None,
            damaged: std::collections::BTreeSet::new(),
            damage: Damage::default(),
            published: false,
            ahead,
            tally: Tally::default(),
            trace: None,
            workload,
            dice,
            plan,
        };
        simulation.client.greatest = simulation.wall();
        simulation
    }

    /// The same world for resources that are given: laws hold whatever they say, but nobody knows what journeys have to do.
    pub fn given(seed: u64, given: Given) -> Self {
        let mut simulation = Self::new(seed);
        simulation.workload.resources.clone_from(&given.resources);
        simulation.beginning = given.starts_at.unwrap_or(BEGINNING).max(BEGINNING);
        simulation.workload.given = Some(given);
        simulation.history.witness = None;
        simulation
    }

    /// Which clock decides.
    pub fn firing(&self) -> Firing {
        self.plan.machine.decide.firing
    }

    /// How events are stamped.
    pub fn stamps(&self) -> Stamps {
        match self.firing() {
            Firing::Engine => Stamps::Wall,
            Firing::Due => Stamps::Events,
        }
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> Millis {
        self.beginning.plus(self.steady.as_millis() as i64 + self.skew_ms)
    }

    /// What the process takes for the time now; the wall clock if none runs.
    pub fn now(&mut self) -> Millis {
        let (wall, steady) = (self.wall(), self.steady);
        let now = match (&mut self.machine, self.plan.machine.decide.firing) {
            (Some(machine), Firing::Engine) => machine.now(wall, steady),
            (None, Firing::Engine) => wall,
            (_, Firing::Due) => Millis::MIN,
        };
        let most = if self.firing() == Firing::Due { self.client.greatest } else { now };
        self.history.time_max = self.history.time_max.max(most);
        now
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.is_none() {
            return;
        }
        let lines = self.history.lines.replace(Vec::new()).unwrap_or_default();
        let at = self.beginning.plus(self.steady.as_millis() as i64);
        let text = format!("{:>6} {} {}", self.tally.steps, at, line());
        if let Some(trace) = &mut self.trace {
            trace.extend(lines);
            trace.push(text);
        }
    }

    /// Counts a fault.
    pub fn fault(&mut self, kind: &'static str) {
        *self.tally.faults.entry(kind).or_default() += 1;
    }

    /// Counts what the disk did wrong since it was asked last.
    pub fn count_struck(&mut self) {
        for (kind, times) in self.disk.take_struck() {
            *self.tally.faults.entry(kind).or_default() += times;
        }
    }

    /// Counts one call of whatever is stepped. A world in which one thing leads to the next for ever ends here.
    pub fn spend(&mut self) -> Result<(), Violation> {
        self.tally.calls += 1;
        if self.tally.calls < CALLS_MAX {
            return Ok(());
        }
        Err(Violation::new(format!("it does not come to rest in {CALLS_MAX} steps: {}", self.unrest())))
    }

    /// Starts the process on what is on disk. May crash on the way; tries again then.
    pub fn start(&mut self) -> Result<(), Violation> {
        for _ in 0..STARTS_MAX {
            let stop = !self.calm && self.dice.chance(self.plan.stop_percent * 5);
            if stop {
                let after = self.dice.below(30);
                self.disk.stop_after(after);
            }
            let failing = !self.calm && self.plan.fault_rate > 0 && self.dice.chance(5);
            if failing {
                let nth = 1 + self.dice.below(4);
                self.disk.fail_sync(nth, crate::store::memory::Times::Forever);
            }
            let started = self.start_once();
            let stopped = self.disk.is_stopped();
            self.disk.calm();
            self.count_struck();
            match started {
                Ok(Ok(machine)) if !stopped => {
                    self.machine = Some(machine);
                    self.history.new_life();
                    self.client.new_life();
                    self.channels.new_life();
                    let (catalog, tail) =
                        self.machine.as_ref().map_or((0, 0), |m| (m.catalog.version.0, m.journal.tail_bytes()));
                    self.note(|| format!("START catalog {catalog}, tail {tail} bytes"));
                    return Ok(());
                }
                Ok(Ok(_)) => self.note(|| "the machine stopped at the end of a start".to_owned()),
                Ok(Err(error)) => {
                    let text = error.to_string();
                    self.note(|| format!("the start failed: {text}"));
                    let space = self.disk.free_bytes_left();
                    if !stopped && !failing && space > 1 << 20 {
                        return Err(Violation::new(format!("the start failed: {text}")));
                    }
                    if space <= 1 << 20 {
                        self.disk.set_capacity(None);
                    }
                }
                Err(violation) => return Err(violation),
            }
            self.after_crash();
        }
        Err(Violation::new("the process does not start"))
    }

    fn start_once(&mut self) -> Result<Result<Machine, crate::runtime::engine::start::StartError>, Violation> {
        let wall = self.wall();
        self.history.time_max =
            self.history.time_max.max(if self.firing() == Firing::Due { self.client.greatest } else { wall });
        let (mut violation, mut found, count) = (None, Vec::new(), self.history.record_count);
        let (history, client) = (std::cell::RefCell::new(&mut self.history), &self.client);
        let broken = std::cell::RefCell::new(&mut violation);
        let started = Machine::start(
            &self.plan.machine,
            (&self.disk, &self.index),
            self.shards,
            (wall, self.steady),
            |block| {
                if broken.borrow().is_none() {
                    let before = history.borrow().record_count;
                    **broken.borrow_mut() = history.borrow_mut().take(block, client).err();
                    if history.borrow().record_count > before {
                        found.push(block.to_vec());
                    }
                }
            },
            |system| {
                if broken.borrow().is_none() {
                    **broken.borrow_mut() =
                        history.borrow().compare("opened at a start", &Seen::of(system, wall)).err();
                }
            },
        );
        if !found.is_empty() {
            let records = self.history.record_count - count;
            self.note(|| format!("{records} records that nobody was told of are durable"));
        }
        found.iter().for_each(|block| self.damage.found(block));
        match violation {
            Some(violation) => Err(violation),
            None => Ok(started),
        }
    }

    /// The process dies: its memory is gone, and of the disk what a power cut or a kill leaves.
    pub fn crash(&mut self) {
        self.machine = None;
        match self.change.take() {
            Some(Change::Moving(..)) => self.fault("change: crash while partitions move"),
            Some(_) => self.fault("change: crash during a publish"),
            None => {}
        }
        self.readings.clear();
        self.after_crash();
        self.shards = if self.dice.chance(20) { 1 + self.dice.below(3) as u16 } else { self.shards };
        if self.dice.chance(20) {
            // Down for a while.
            let ms = *self.dice.pick(&[1_000, 600_000, 7_200_000, 200_000_000]);
            self.steady += Duration::from_millis(ms);
        }
    }

    /// What of the disk is left.
    fn after_crash(&mut self) {
        if self.dice.chance(50) {
            self.fault("process: power cut");
            let seed = self.dice.throw();
            self.disk = self.disk.crash(seed);
            self.note(|| "POWER CUT".to_owned());
        } else {
            self.fault("process: kill");
            self.disk = self.disk.crash_keep_all();
            self.note(|| "KILL".to_owned());
        }
        if self.plan.fault_rate > 0 && self.dice.chance(20) {
            self.damage_a_snapshot();
        }
        self.index = self.index.crash(&mut self.dice);
        if self.dice.chance(5) {
            self.fault("disk: timer index lost");
            self.index.lose_all();
        }
    }

    /// A bit flips in the newest snapshot of a partition that has an older one: that and more journal must do.
    fn damage_a_snapshot(&mut self) {
        let directories = self.disk.list_directories("snapshots").unwrap_or_default();
        if directories.is_empty() {
            return;
        }
        let directory = format!("snapshots/{}", self.dice.pick(&directories));
        let names: Vec<String> = self.disk.list(&directory).unwrap_or_default();
        let number = |name: &String| name.strip_suffix(".snap").and_then(|n| n.parse::<u64>().ok());
        let Some(newest) = names.iter().filter(|name| number(name).is_some()).max_by_key(|name| number(name)) else {
            return;
        };
        if self.damaged.contains(&directory) || names.iter().filter(|name| number(name).is_some()).count() < 2 {
            return;
        }
        let path = format!("{directory}/{newest}");
        let Ok(bytes) = self.disk.open_read(&path).and_then(|file| file.len()) else { return };
        if bytes == 0 {
            return;
        }
        let (offset, bit) = (self.dice.below(bytes), self.dice.below(8));
        self.disk.corrupt(&path, offset, 1 << bit);
        self.damaged.insert(directory);
        self.fault("disk: flipped bit in the newest snapshot");
        self.note(|| format!("bit {bit} of byte {offset} in {path} flips"));
    }

    /// One step of the scheduler.
    pub fn step(&mut self) -> Result<(), Violation> {
        self.tally.steps += 1;
        if self.machine.is_none() {
            return self.start();
        }
        if self.machine.as_ref().is_some_and(|m| m.failure.is_raised()) && self.dice.chance(30) {
            self.crash();
            return Ok(());
        }
        let rate = |rate: u64, dice: &mut Dice| dice.below(10_000) < rate;
        // What is half changed is where a crash finds most to break.
        let urge = if self.change.is_some() { 8 } else { 1 };
        if rate(self.plan.crash_rate * urge, &mut self.dice) {
            self.crash();
            return Ok(());
        }
        if rate(self.plan.change_rate, &mut self.dice) {
            self.begin_change();
        }
        self.moods();
        if self.plan.damage_rate > 0 && rate(self.plan.damage_rate, &mut self.dice) {
            self.try_damage()?;
        }
        let throw = self.dice.below(100);
        if self.slow.is_some_and(|(from, to)| (from..to).contains(&throw)) && self.dice.chance(95) {
            return self.look();
        }
        match throw {
            0..10 => self.send_some(),
            10..48 => self.shard_step()?,
            48..64 => drop(self.group_step()?),
            64..74 => drop(self.keeper_step()),
            74..78 => self.keeper_turn(),
            78..82 => drop(self.open_step()?),
            82..93 => drop(self.channel_step()?),
            93..95 => self.read(),
            95 => self.resolve(),
            _ => self.pass_time(),
        }
        self.look()
    }

    /// What can be seen from outside after every step.
    pub fn look(&mut self) -> Result<(), Violation> {
        let now = self.now();
        let Some(machine) = &mut self.machine else { return Ok(()) };
        if let Some(corrupt) = machine.queues.lock().corrupt.first() {
            return Err(Violation::new(format!("state can't be trusted: {corrupt}")));
        }
        let heard = self.client.listen(&self.history)?;
        let taken = self.channels.take_offered(machine, &mut self.history, &mut self.dice, (now, self.steady))?;
        for line in heard.into_iter().chain(taken) {
            self.note(|| line);
        }
        self.hear_readings()?;
        self.change_step()
    }

    fn hear_readings(&mut self) -> Result<(), Violation> {
        for mut reading in std::mem::take(&mut self.readings) {
            match reading.try_recv() {
                Ok(seen) => {
                    for (id, pseq) in seen {
                        let durable = self.history.book(id).shadow.pseq.0;
                        if pseq > durable {
                            return Err(Violation::new(format!(
                                "a reader was shown record {pseq} of partition {id}; {durable} are durable"
                            )));
                        }
                    }
                }
                Err(oneshot::error::TryRecvError::Empty) => self.readings.push(reading),
                Err(oneshot::error::TryRecvError::Closed) => {}
            }
        }
        Ok(())
    }

    fn moods(&mut self) {
        if self.dice.below(1_000) < 6 {
            // Somebody is slow for a while: a shard's thread, the journal's disk, the keeper, the opener, the providers.
            self.slow = *self.dice.pick(&[
                None,
                Some((10, 48)),
                Some((48, 64)),
                Some((48, 64)),
                Some((64, 78)),
                Some((82, 93)),
            ]);
        }
        if self.channels.mood_until.is_some_and(|until| self.steady < until) || self.dice.below(1_000) >= 3 {
            return;
        }
        self.channels.mood_until = None;
        self.channels.mood = *self.dice.pick(&[Mood::Well, Mood::Moody, Mood::Moody, Mood::Out]);
        let mood = self.channels.mood;
        if mood == Mood::Out {
            self.fault("provider: outage");
            if self.dice.chance(25) {
                self.fault("provider: outage of 25 hours");
                self.channels.mood_until = Some(self.steady + LONG_OUTAGE);
            }
        }
        self.note(|| format!("providers are {mood:?}"));
    }
}
