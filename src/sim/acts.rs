//! The steps of the scheduler, one by one. Steps with I/O may be cut short between two operations of the disk, or meet a
//! disk that fails.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::effect::OutboxState;
use crate::domain::ids::DeliveryId;
use crate::domain::journey::program::Reentry;
use crate::runtime::handle::Mailbox as _;
use crate::runtime::partition::Partition;
use crate::runtime::shard::input::{Answer, ShardInput};
use crate::runtime::view::Resolution;
use crate::sim::Violation;
use crate::sim::client::Stamps;
use crate::sim::history::Seen;
use crate::sim::index::IndexFault;
use crate::sim::simulation::Simulation;
use crate::store::error::JournalError;
use crate::store::memory::Times;

impl Simulation {
    /// Draws events and puts some into mailboxes.
    pub fn send_some(&mut self) {
        if self.events_left > 0 && self.client.pending() < 60 {
            let most = if self.plan.is_wide { 24 } else { 4 };
            let count = 1 + self.dice.index(most) as u64;
            for _ in 0..count.min(self.events_left) {
                self.draw_event();
            }
        }
        if self.dice.chance(5) {
            self.client.try_again();
        }
        if self.dice.below(1_000) < 8 {
            self.repeat_at_the_edge();
        }
        if self.dice.below(1_000) < 30 {
            self.race_for_reentry();
        }
        if self.dice.below(1_000) < 20 {
            self.pause_before_it_acts();
        }
        if !self.calm && self.dice.below(1_000) < 15 && self.client.lose_answer(&mut self.dice) {
            self.note(|| "a producer's connection ends before its answer".to_owned());
        }
        let Some(machine) = &self.machine else { return };
        if let Some(told) = self.client.submit(machine, &mut self.dice) {
            self.note(|| told);
        }
    }

    /// An id comes again just when it is forgotten, or just before.
    fn repeat_at_the_edge(&mut self) {
        let now = self.now();
        if self.firing() == Firing::Due || self.client.known().is_empty() {
            return;
        }
        let known = self.client.known();
        let key = known[known.len() - 1 - self.dice.index(known.len().min(4))];
        let Some(applied) = self.history.applied.get(&key) else { return };
        let left = applied.expires.0.saturating_sub(self.wall().0);
        if applied.expires <= now || left <= 0 {
            return;
        }
        let early = i64::from(self.dice.chance(70)).min(left);
        self.steady += Duration::from_millis((left - early) as u64);
        self.client.repeat(key);
        self.note(|| format!("{left} ms pass, {early} short of when an id is forgotten"));
    }

    /// Two events that would enter come just when a profile may enter again, or just before.
    fn race_for_reentry(&mut self) {
        let now = self.now();
        if self.firing() == Firing::Due || self.events_left < 2 || self.history.books.is_empty() {
            return;
        }
        let place = self.dice.index(self.history.books.len());
        let Some(book) = self.history.books.values().nth(place) else { return };
        let catalog = self.history.catalog();
        let opening = book.shadow.table.profiles().take(20).map_while(Result::ok).find_map(|profile| {
            profile.last_entries.iter().find_map(|entry| {
                catalog.entries.iter().find_map(|(kind, versions)| {
                    let program = versions
                        .iter()
                        .map(|id| catalog.program(*id))
                        .find(|program| program.journey == entry.journey)?;
                    let Reentry::After(period_ms) = program.reentry else { return None };
                    let left = entry.at.plus(period_ms).0.saturating_sub(now.0);
                    (1..400_000_000).contains(&left).then(|| (profile.identity.to_string(), kind.to_string(), left))
                })
            })
        });
        let Some((profile, kind, left)) = opening else { return };
        let wait = (left - self.dice.between(0, 1)).max(0);
        self.steady += Duration::from_millis(wait as u64);
        let now_ms = self.wall().0;
        for _ in 0..2 {
            self.events_left -= 1;
            let event = self.workload.event_of(&mut self.dice, now_ms, &kind, &profile);
            self.client.add(&event, None, Stamps::Wall);
        }
        self.fault("load: race for a re-entry");
        self.note(|| format!("{wait} ms pass, and {profile} races for a re-entry that opens in {} ms", left - wait));
    }

    fn draw_event(&mut self) {
        self.events_left -= 1;
        let now_ms = match self.firing() {
            Firing::Engine => self.wall().0,
            Firing::Due => {
                let gap = self.workload.next_gap_ms(&mut self.dice);
                let last = if self.client.greatest.0 == i64::MIN { self.wall() } else { self.client.greatest };
                last.0 + gap
            }
        };
        let held = if self.dice.chance(20) { self.somebody_held() } else { None };
        let event = match (held, self.channels.recent(&mut self.dice)) {
            (Some((profile, kind)), _) => {
                self.fault("load: event for somebody held");
                self.workload.event_of(&mut self.dice, now_ms, kind, &profile)
            }
            (None, Some(delivery)) => self.workload.feedback(&mut self.dice, now_ms, delivery),
            (None, None) => self.workload.next_event(&mut self.dice, now_ms),
        };
        if event.time_ms.is_some_and(|time_ms| time_ms < now_ms - 60_000) {
            self.fault("load: late event");
        }
        if self.workload.is_hot(&event) {
            self.fault("load: event of a hot profile");
        }
        let choices = self.client.stream_count() + usize::from(self.firing() == Firing::Engine);
        let choice = self.dice.index(choices);
        let stream = (choice < self.client.stream_count()).then_some(choice);
        if let Some(stream) = stream
            && self.dice.chance(1)
            && self.client.begin_epoch(stream)
        {
            self.note(|| format!("stream {stream} begins an epoch"));
        }
        let stamps = self.stamps();
        self.client.add(&event, stream, stamps);
    }

    /// One shard takes an input, or has a turn without one.
    pub fn shard_step(&mut self) -> Result<(), Violation> {
        self.spend()?;
        let count = self.machine.as_ref().map_or(0, |m| m.shards.len());
        if count == 0 {
            return Ok(());
        }
        let index = self.dice.index(count);
        let times = if self.dice.chance(20) { 1 + self.dice.index(6) } else { 1 };
        for _ in 0..times {
            self.shard_turn(index);
        }
        Ok(())
    }

    /// An input and a turn, as the shard's actor does it. Whether there was an input.
    pub fn shard_turn(&mut self, index: usize) -> bool {
        let now = self.now();
        let Some(machine) = &mut self.machine else { return false };
        let input = machine.posts[index].pop();
        let what = input.as_ref().map(name_of);
        let had_input = input.is_some();
        if let Some(input) = input {
            machine.shards[index].take(input);
            // Mostly its mailbox holds more, which it takes in before its turn.
            if self.dice.chance(30) {
                let more = 1 + self.dice.index(5);
                (0..more).map_while(|_| machine.posts[index].pop()).for_each(|input| machine.shards[index].take(input));
            }
        }
        machine.shards[index].turn(now);
        if let Some(what) = what {
            self.note(|| format!("shard {index} takes {what}"));
        }
        had_input
    }

    /// Arms what may go wrong in a step with I/O.
    fn arm(&mut self, operations: u64) {
        if self.calm {
            return;
        }
        // What the system may do at any time, on a good disk too.
        if self.dice.chance(2) {
            let nth = 1 + self.dice.below(operations / 2);
            self.disk.shorten_write(nth);
        }
        if self.dice.chance(self.plan.stop_percent) {
            let after = self.dice.below(operations);
            self.disk.stop_after(after);
        }
        if self.dice.below(1_000) < self.plan.fault_rate {
            match self.dice.below(5) {
                0 => self.disk.fail_sync(1, Times::Once),
                1 => self.disk.fail_sync(1 + self.dice.below(3), Times::Once),
                2 => self.disk.fail_sync(1, Times::Forever),
                3 => self.disk.fail_write(1 + self.dice.below(2)),
                _ => {
                    let room = *self.dice.pick(&[0, 5_000, 40_000, 200_000]);
                    self.disk.set_capacity(Some(self.disk.used_bytes() + room));
                    self.note(|| format!("the disk has {room} bytes left"));
                }
            }
        }
        if self.dice.chance(5) {
            self.disk.set_capacity(None);
        }
    }

    /// The keeper gives up what it could not write, and goes on: its disk may fail more often.
    fn arm_for_keeper(&mut self) {
        if !self.calm && self.plan.fault_rate > 0 && self.dice.chance(2) {
            match self.dice.below(2) {
                0 => self.disk.fail_write(1),
                _ => self.disk.fail_sync(1, Times::Once),
            }
        }
    }

    /// After a step with I/O: whether the machine has stopped in it; then it is gone.
    fn disarm(&mut self) -> bool {
        let stopped = self.disk.is_stopped();
        self.disk.calm();
        self.count_struck();
        if stopped {
            self.fault("process: stop between two I/Os");
            self.note(|| "the machine stops between two I/Os".to_owned());
            self.crash();
        }
        stopped
    }

    /// The journal writes a group.
    pub fn group_step(&mut self) -> Result<bool, Violation> {
        self.spend()?;
        self.arm(4);
        let most = if self.dice.chance(70) { 64 } else { 1 + self.dice.index(3) };
        let Some(machine) = &mut self.machine else { return Ok(false) };
        if machine.failure.is_raised() {
            self.disarm();
            return Ok(false);
        }
        let blocks = machine.next_group(most);
        if blocks.is_empty() {
            return Ok(self.look_for_space());
        }
        let written = machine.lane.write_group(&blocks);
        if self.disk.is_stopped() {
            self.note(|| format!("a group of {} blocks is under way", blocks.len()));
            self.disarm();
            return Ok(true);
        }
        self.disarm();
        match written {
            Ok(position) => {
                let bytes: usize = blocks.iter().map(|block| block.bytes.len()).sum();
                self.note(|| {
                    format!("group {} of {} blocks, {bytes} bytes, is durable", position.sequence, blocks.len())
                });
                self.now();
                self.damage.group(blocks.iter().map(|block| block.bytes.clone()));
                for block in &blocks {
                    self.history.take(&block.bytes, &self.client)?;
                }
                if let Some(machine) = &self.machine {
                    machine.durable(&blocks);
                }
            }
            Err(JournalError::DiskFull) => {
                self.note(|| "the disk is full: the group waits".to_owned());
                if let Some(machine) = &self.machine {
                    let queues = &mut *machine.queues.lock();
                    for block in blocks.into_iter().rev() {
                        queues.blocks.push_front(block);
                    }
                }
                return Ok(false);
            }
            Err(error) => self.journal_failed(&error),
        }
        Ok(true)
    }

    /// A journal that started on a full disk looks whether there is space. Whether anything has changed.
    fn look_for_space(&mut self) -> bool {
        let Some(machine) = self.machine.as_mut().filter(|machine| machine.lane.wants_space()) else {
            self.disk.calm();
            return false;
        };
        let looked = machine.lane.look_for_space();
        let found = !machine.lane.wants_space();
        let is_stopped = self.disk.is_stopped();
        self.disarm();
        match looked {
            Err(error) if !is_stopped => self.journal_failed(&error),
            _ => self.note(|| format!("the journal looks for space, and has a segment: {found}")),
        }
        found || is_stopped
    }

    fn journal_failed(&mut self, error: &JournalError) {
        self.fault("process: journal failed");
        self.note(|| format!("the journal fails: {error}"));
        if let Some(machine) = &self.machine {
            machine.failed("the journal failed");
        }
    }

    /// The keeper takes a message. Whether there was one.
    pub fn keeper_step(&mut self) -> bool {
        let Some(machine) = &mut self.machine else { return false };
        let message = machine.queues.lock().keeper.pop_front();
        let Some(message) = message else { return false };
        if machine.failure.is_raised() {
            return true;
        }
        // Pages of a large partition make a long text: only for somebody who reads it.
        let text = self.trace.is_some().then(|| format!("{message:?}"));
        self.index_faults();
        self.arm(12);
        self.arm_for_keeper();
        if let Some(machine) = &mut self.machine {
            machine.keeper.take(message);
        }
        self.note(|| {
            format!("the keeper takes {}", text.iter().flat_map(|text| text.chars()).take(60).collect::<String>())
        });
        self.disarm();
        true
    }

    /// The keeper publishes and asks for cuts.
    pub fn keeper_turn(&mut self) {
        self.index_faults();
        self.arm(40);
        self.arm_for_keeper();
        let steady = self.steady;
        if let Some(machine) = &mut self.machine
            && !machine.failure.is_raised()
        {
            let had = machine.keeper.has_finished();
            machine.keeper.turn(steady.saturating_sub(machine.started));
            if had {
                self.note(|| "the keeper publishes".to_owned());
            }
        }
        self.disarm();
    }

    fn index_faults(&mut self) {
        if self.calm || self.dice.below(1_000) >= self.plan.fault_rate {
            self.index.fail(None);
            return;
        }
        let fault = *self.dice.pick(&[IndexFault::DamagedChunk, IndexFault::Broken, IndexFault::Sync]);
        self.fault("disk: failing timer index");
        self.note(|| format!("the timer index may fail: {fault:?}"));
        self.index.fail(Some(fault));
    }

    /// The opener opens a partition. Whether there was one to open.
    pub fn open_step(&mut self) -> Result<bool, Violation> {
        self.spend()?;
        let place = self.dice.index(64);
        let Some(machine) = &mut self.machine else { return Ok(false) };
        if machine.failure.is_raised() {
            return Ok(false);
        }
        let Some(id) = machine.next_to_open(place) else { return Ok(false) };
        let mut compared = Ok(());
        let history = &self.history;
        let opened =
            machine.open(id, |partition| compared = history.compare("opened", &Seen::of(partition, history.time_max)));
        compared?;
        opened.map_err(|error| Violation::new(format!("partition {id} can't be opened: {error}")))?;
        self.note(|| format!("partition {id} is opened"));
        Ok(true)
    }

    /// A delivery takes a step. Whether one could.
    pub fn channel_step(&mut self) -> Result<bool, Violation> {
        self.spend()?;
        let Some(machine) = &self.machine else { return Ok(false) };
        let told = self.channels.step(machine, &self.history, &mut self.dice, self.steady)?;
        let any = told.is_some();
        if let Some(told) = told {
            self.note(|| told);
        }
        Ok(any)
    }

    /// Somebody asks what there is.
    pub fn read(&mut self) {
        let Some(machine) = &self.machine else { return };
        for post in &machine.posts {
            let (told, seen) = oneshot::channel();
            let question = Box::new(move |partitions: &mut dyn Iterator<Item = &Partition>| {
                let seen: Vec<_> = partitions.map(|p| (p.id, p.pseq.0)).collect();
                Box::new(move || {
                    // Who asked may be gone.
                    let _ = told.send(seen);
                }) as Answer
            });
            post.send(ShardInput::Ask(None, question));
            self.readings.push(seen);
        }
    }

    /// An operator decides about a delivery in doubt.
    pub fn resolve(&mut self) {
        let books = self.history.books.values();
        let doubtful: Vec<DeliveryId> = books
            .flat_map(|book| {
                book.shadow.outbox.rows().filter(|row| row.state == OutboxState::InDoubt).map(|row| row.id)
            })
            .collect();
        let Some(machine) = &self.machine else { return };
        if doubtful.is_empty() {
            return;
        }
        let id = *self.dice.pick(&doubtful);
        let resolution = *self.dice.pick(&[Resolution::Sent, Resolution::Drop, Resolution::Resend]);
        *self.channels.resent.entry(id).or_default() += u32::from(resolution == Resolution::Resend);
        let (told, _) = oneshot::channel();
        machine.router.send(id.partition, ShardInput::Resolve(id, resolution, told));
        self.note(|| format!("an operator decides: {id} {resolution:?}"));
    }

    /// Time passes, the wall clock is set, or the process is paused.
    pub fn pass_time(&mut self) {
        let is_out = self.channels.mood_until.is_some_and(|until| self.steady < until);
        let ms = if is_out && self.dice.chance(30) {
            // A long outage is lived through, not slept through.
            self.dice.below(2 * 3_600_000)
        } else if self.dice.chance(self.plan.long_percent) {
            self.workload.next_gap_ms(&mut self.dice) as u64
        } else if self.dice.chance(self.plan.long_percent) {
            *self.dice.pick(&[1_800_000, 3_000_000, 3_600_000, 20_000_000, 86_400_000, 400_000_000])
        } else if self.dice.chance(10) {
            self.dice.below(400_000)
        } else {
            self.dice.below(40)
        };
        if ms > 10_000 {
            self.fault("process: pause of more than 10 s");
        }
        self.steady += Duration::from_millis(ms);
        if ms > 1_000_000 {
            self.note(|| format!("{ms} ms pass"));
        }
        if self.firing() == Firing::Engine && self.plan.fault_rate > 0 && self.dice.chance(2) {
            let jump = *self.dice.pick(&[-90_000_000, -5_000, 1_000, 3_500_000, 50_000_000]);
            // A clock that was wrong is put right some time.
            self.skew_ms = if self.skew_ms == 0 { jump } else { 0 };
            self.fault(match jump {
                _ if self.skew_ms == 0 => "process: clock put right",
                i64::MIN..0 => "process: clock set back",
                _ => "process: clock set ahead",
            });
            let skew_ms = self.skew_ms;
            self.note(|| format!("the wall clock is off by {skew_ms} ms"));
        }
    }
}

fn name_of(input: &ShardInput) -> String {
    match input {
        ShardInput::Events(batch) => format!("{} events", batch.events.len()),
        ShardInput::Reports(batch) => match &batch.reports[..] {
            [(_, report)] => format!("a report on {}: {:?}", report.id, report.outcome),
            reports => format!("{} reports", reports.len()),
        },
        ShardInput::Resolve(id, resolution, _) => format!("{resolution:?} of {id}"),
        ShardInput::Ask(partition, _) => format!("a question about {partition:?}"),
        ShardInput::Catalog(catalog, _) => format!("catalog {}", catalog.version),
        ShardInput::WriteCatalog(..) => "a catalog to write".to_owned(),
        ShardInput::Advance(to, _) => format!("time {to}"),
        ShardInput::Parcel(parcel) => format!("{parcel:?}"),
        ShardInput::Acknowledged(name) => format!("taken in: {name:?}"),
        ShardInput::Durable(number) => format!("durable {number}"),
        ShardInput::Failed => "the failure".to_owned(),
        ShardInput::Expect(id) => format!("expect {id}"),
        ShardInput::Arrive(partition, origin) => {
            format!("partition {}, {origin:?}, at {}", partition.id, partition.pseq)
        }
        ShardInput::Release(id, to) => format!("release {id} to {to}"),
        ShardInput::Checkpoint(id, extent, need) => format!("checkpoint {id} {extent:?} {need:?}"),
        ShardInput::SuspectTimers(id) => format!("suspect timers of {id}"),
        ShardInput::CheckpointDone(id, generation, result) => format!("checkpoint {generation} of {id} {result:?}"),
        ShardInput::SlotLoaded(id, slot, timers) => {
            format!("{slot:?} of {id}: {:?} timers", timers.as_ref().map(Vec::len))
        }
    }
}
