//! Rest: faults are over, everything is driven until nothing is left to do, and then what must hold holds.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::apply::Firing;
use crate::domain::effect::OutboxState;
use crate::domain::ids::Millis;
use crate::runtime::handle::Mailbox as _;
use crate::runtime::partition::Partition;
use crate::runtime::shard::input::{Answer, ShardInput};
use crate::sim::Violation;
use crate::sim::channels::Mood;
use crate::sim::history::Seen;
use crate::sim::laws;
use crate::sim::simulation::Simulation;

/// Rounds in which everything has a turn before rest is given up.
const ROUNDS_MAX: u32 = 1_000_000;
/// Rounds with faults, where they are on.
const FAULTY_ROUNDS_MAX: u32 = 2_000;
/// Longer than a shard lets pass before it looks for due timers again.
const LOOKS_APART: Duration = Duration::from_millis(5);
/// More turns than a shard lets pass while time stands.
const LOOK_TURNS: u32 = 70;
/// Waits followed to their end at the end of a seed.
const WAITS_MAX: u32 = 24;

impl Simulation {
    /// Runs the seed to its end.
    pub fn run(&mut self) -> Result<(), Violation> {
        let resources = self.workload.resources.clone();
        self.start()?;
        self.calm = true;
        self.publish(resources);
        self.settle()?;
        if !self.published {
            return Err(Violation::new("the drawn resources were not published"));
        }
        self.pause_ahead()?;
        self.test_ahead()?;
        self.calm = false;
        let most = 60_000;
        while (self.events_left > 0 || !self.client.is_done()) && self.tally.steps < most {
            if std::mem::take(&mut self.rest_soon) || self.dice.below(2_000) == 0 {
                self.rest()?;
            }
            self.step()?;
        }
        self.rest()?;
        self.follow_waits()?;
        if self.plan.damage_rate > 0 {
            self.try_damage()?;
        }
        self.restart_cleanly()
    }

    /// Follows waits into the future.
    fn follow_waits(&mut self) -> Result<(), Violation> {
        for _ in 0..WAITS_MAX {
            let Some(due) = self.history.next_due() else { break };
            let beyond = *self.dice.pick(&[0, 1, 1_000, 2_000_000, 3_600_000, 40_000_000, 300_000_000]);
            match self.firing() {
                Firing::Engine => {
                    // Half of the way first, so that slots are opened before their time.
                    let ahead = (due.0 - self.wall().0).max(0);
                    if ahead > 3_000_000 && self.dice.chance(70) {
                        self.steady += Duration::from_millis((ahead - 3_000_000) as u64);
                        self.settle()?;
                    }
                    let ahead = (due.0 - self.wall().0).max(0) + beyond;
                    self.steady += Duration::from_millis(ahead as u64);
                }
                Firing::Due => self.client.add_advance(due.plus(beyond)),
            }
            self.note(|| format!("on to {due} and {beyond} ms beyond"));
            self.rest()?;
        }
        Ok(())
    }

    /// A clean stop and a start: all is as it was.
    fn restart_cleanly(&mut self) -> Result<(), Violation> {
        self.rest()?;
        let Some(mut machine) = self.machine.take() else { return Ok(()) };
        machine.keeper.finish();
        machine.lane.finish().map_err(|error| Violation::new(format!("a clean stop failed: {error}")))?;
        drop(machine);
        self.note(|| "a clean stop".to_owned());
        let seed = self.dice.throw();
        self.disk = self.disk.crash(seed);
        self.start()?;
        self.rest()
    }

    /// Comes to rest with faults off, checks what must hold then, and goes on as before.
    pub fn rest(&mut self) -> Result<(), Violation> {
        let before = self.calm;
        self.calm = true;
        self.client.is_calm = true;
        self.mend();
        (self.channels.mood, self.channels.mood_until) = (Mood::Well, None);
        self.skew_ms = 0;
        self.note(|| "to rest".to_owned());
        if self.firing() == Firing::Due && self.client.greatest > Millis::MIN {
            let greatest = self.client.greatest;
            self.client.add_advance(greatest);
        }
        self.settle()?;
        self.check_rest()?;
        self.calm = before;
        self.client.is_calm = before;
        Ok(())
    }

    /// The disk is whole and has room.
    fn mend(&mut self) {
        self.disk.calm();
        self.disk.set_capacity(None);
        self.index.fail(None);
    }

    /// Drives everything until nothing is left to do. A process that dies again and again leaves no call time to be answered:
    /// after many rounds faults stay off.
    pub fn settle(&mut self) -> Result<(), Violation> {
        let before = self.calm;
        let settled = self.drive();
        self.calm = before;
        settled
    }

    fn drive(&mut self) -> Result<(), Violation> {
        let idle_rounds_due = u32::from(self.plan.machine.partitions) + 4;
        let (mut idle_rounds, mut has_looked) = (0, self.firing() == Firing::Due);
        for round in 0..ROUNDS_MAX {
            if round == FAULTY_ROUNDS_MAX && !self.calm {
                self.calm = true;
                self.mend();
            }
            let busy = self.round()?;
            self.look()?;
            if busy {
                (idle_rounds, has_looked) = (0, self.firing() == Firing::Due);
                continue;
            }
            idle_rounds += 1;
            if idle_rounds < idle_rounds_due {
                continue;
            }
            idle_rounds = 0;
            if self.is_at_rest() {
                if has_looked {
                    return Ok(());
                }
                // Shards look for due timers a few milliseconds apart, or turns where time stands: once more, when all
                // of them do.
                self.steady += LOOKS_APART;
                for index in 0..self.machine.as_ref().map_or(0, |machine| machine.shards.len()) {
                    for _ in 0..LOOK_TURNS {
                        self.shard_turn(index);
                    }
                }
                has_looked = true;
                continue;
            }
            self.wait_for_something(round);
        }
        let text = self.unrest();
        Err(Violation::new(format!("it does not come to rest: {text}")))
    }

    /// Nothing moves without time: a retry, a checkpoint at intervals, ids to be forgotten.
    fn wait_for_something(&mut self, round: u32) {
        // A process that started with a clock ahead stands still until the right time has come there; so do partitions
        // that were decided about by such a clock, in every later life and whatever that believes.
        let ahead = if self.firing() == Firing::Engine {
            let now = self.now();
            let decided = self.history.books.values().map(|book| book.shadow.engine_time).max();
            (now.0 - self.wall().0).max(decided.unwrap_or(now).0.saturating_sub(now.0))
        } else {
            0
        };
        if ahead > 0 {
            self.steady += Duration::from_millis(ahead as u64);
        }
        let retry = self.channels.next_due().map(|due| due.saturating_sub(self.steady));
        let ids = Duration::from_millis(self.client.id_window_ms as u64 / 2);
        let step = match retry {
            Some(retry) if retry > Duration::ZERO => retry,
            _ if !self.client.is_done() && round.is_multiple_of(2) => ids,
            _ => self.plan.machine.keeper.interval.max(Duration::from_millis(10)),
        };
        self.steady += step;
        self.client.try_again();
    }

    /// Everything has a turn; whether anything had something to do.
    fn round(&mut self) -> Result<bool, Violation> {
        if self.machine.is_none() {
            self.start()?;
            return Ok(true);
        }
        if self.machine.as_ref().is_some_and(|m| m.failure.is_raised()) {
            self.crash();
            return Ok(true);
        }
        let mut busy = false;
        while self.open_step()? {
            busy = true;
        }
        for index in 0..self.machine.as_ref().map_or(0, |m| m.shards.len()) {
            while self.shard_turn(index) {
                self.spend()?;
                busy = true;
            }
        }
        self.look()?;
        while self.group_step()? {
            busy = true;
        }
        while self.keeper_step() {
            self.spend()?;
            busy = true;
        }
        busy |= self.machine.as_ref().is_some_and(|m| m.keeper.has_finished());
        self.keeper_turn();
        self.look()?;
        while self.channel_step()? {
            busy = true;
        }
        if let Some(machine) = &self.machine
            && let Some(told) = self.client.submit(machine, &mut self.dice)
        {
            busy = true;
            self.note(|| told);
        }
        Ok(busy)
    }

    fn is_at_rest(&self) -> bool {
        let Some(machine) = &self.machine else { return false };
        let shards = machine.shards.iter().all(|s| s.is_quiet() && !s.wants_another_turn() && !s.has_captures());
        let queues = machine.queues.lock();
        shards
            && machine.posts.iter().all(crate::runtime::stepped::Post::is_empty)
            && queues.blocks.is_empty()
            && queues.keeper.is_empty()
            && queues.offered.is_empty()
            && machine.unopened.is_empty()
            && self.client.is_done()
            && self.channels.is_idle()
            && self.change.is_none()
            && self.readings.is_empty()
    }

    /// What there is still to do.
    pub(super) fn unrest(&self) -> String {
        let Some(machine) = &self.machine else { return "no process".to_owned() };
        let queues = machine.queues.lock();
        format!(
            "posts {:?}, quiet {:?}, due {:?}, blocks {}, keeper {}, unopened {}, client done {} (pending {}), channels idle {}, \
             time to pass {}, change {}, moving {}, tail {} of {}, wait {}, full {}",
            machine.posts.iter().map(crate::runtime::stepped::Post::len).collect::<Vec<_>>(),
            machine.shards.iter().map(crate::runtime::shard::Shard::is_quiet).collect::<Vec<_>>(),
            machine.shards.iter().map(crate::runtime::shard::Shard::wants_another_turn).collect::<Vec<_>>(),
            queues.blocks.len(),
            queues.keeper.len(),
            machine.unopened.len(),
            self.client.is_done(),
            self.client.pending(),
            self.channels.is_idle(),
            self.client.is_advancing(),
            self.change.is_some(),
            machine.is_moving,
            machine.journal.tail_bytes(),
            machine.journal.tail_bytes_max(),
            machine.journal.must_wait(),
            machine.journal.is_full(),
        )
    }

    fn check_rest(&mut self) -> Result<(), Violation> {
        let now = match self.firing() {
            Firing::Engine => self.now(),
            Firing::Due => self.client.greatest,
        };
        self.history.check_nothing_overdue(now)?;
        if let Some(witness) = &self.history.witness {
            witness.at_rest(now)?;
        }
        laws::check_counts(&self.history)?;
        self.client.check_streams(&self.history)?;
        self.channels.check_fates(&self.history)?;
        for book in self.history.books.values() {
            let forgotten = book.shadow.outbox.rows().find(|row| row.state != OutboxState::InDoubt);
            if let Some(row) = forgotten {
                return Err(Violation::new(format!(
                    "all is at rest, and delivery {} of {} is nowhere",
                    row.id, row.profile
                )));
            }
        }
        self.check_running_state()
    }

    /// The running state is the durable one.
    fn check_running_state(&mut self) -> Result<(), Violation> {
        let Some(machine) = &self.machine else { return Ok(()) };
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let now = self.history.time_max;
        for post in &machine.posts {
            let seen = Arc::clone(&seen);
            let question = Box::new(move |partitions: &mut dyn Iterator<Item = &Partition>| {
                seen.lock().extend(partitions.map(|partition| Seen::of(partition, now)));
                Box::new(|| ()) as Answer
            });
            post.send(ShardInput::Ask(None, question));
        }
        for index in 0..machine.posts.len() {
            self.shard_turn(index);
        }
        let seen = std::mem::take(&mut *seen.lock());
        if seen.len() != self.history.books.len() {
            return Err(Violation::new(format!(
                "shards own {} partitions of {}",
                seen.len(),
                self.history.books.len()
            )));
        }
        seen.iter().try_for_each(|seen| self.history.compare("at rest", seen))
    }
}
