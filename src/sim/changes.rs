//! Changes of what is published and of how many shards there are, while everything runs. Each is the sequence of inputs
//! that [`Engine`](crate::runtime::engine::Engine) sends for it, a step at a time; a crash gives it up half way.

use std::sync::Arc;

use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::domain::apply::Firing;
use crate::domain::catalog::{Catalog, SourceFile};
use crate::domain::guardrails::Guardrails;
use crate::domain::ids::{Millis, PartitionId};
use crate::runtime::handle::Mailbox as _;
use crate::runtime::partition::Partition;
use crate::runtime::router::owner_among;
use crate::runtime::shard::Shard;
use crate::runtime::shard::input::{Answer, ShardInput};
use crate::runtime::stepped::Post;
use crate::sim::Violation;
use crate::sim::machine::Machine;
use crate::sim::observe::{Cause, DraftAct};
use crate::sim::simulation::Simulation;
use crate::sim::workload::Closing;

/// A change under way.
#[derive(Debug)]
pub enum Change {
    /// The catalog is being made durable.
    Writing(Arc<Catalog>, oneshot::Receiver<()>),
    /// Shards swap it one after the other; the number of the one that does now.
    Swapping(Arc<Catalog>, usize, oneshot::Receiver<()>),
    /// Partitions move until so many shards own them: those left to move, and those on their way.
    Moving(u16, Vec<PartitionId>, Vec<oneshot::Receiver<()>>),
}

/// How long waits last in a test, in milliseconds.
const WAITS_IN_TESTS_MS: [i64; 4] = [1_000, 10_000, 60_000, 3_600_000];
/// Partitions moved at once.
const MOVES_AT_ONCE: usize = 3;

impl Simulation {
    /// Begins a change, if none is under way.
    pub fn begin_change(&mut self) {
        if self.change.is_some() || self.machine.is_none() {
            return;
        }
        // On the events' clock decisions must not depend on when a change came.
        let may_publish = !self.published || self.firing() == Firing::Engine;
        if may_publish && self.dice.chance(25) && self.resume_one() {
            return;
        }
        match self.dice.below(10) {
            0..4 => self.begin_moving(),
            4..7 if may_publish => {
                if let Some(text) = self.workload.next_publish(&mut self.dice) {
                    self.publish(text);
                }
            }
            7 | 8 if may_publish => match self.dice.chance(50) {
                true => self.act_on_drafts(),
                false => self.pause_one(),
            },
            _ if may_publish => self.close_or_stop(),
            _ => self.begin_moving(),
        }
    }

    /// Begins to publish resources.
    pub fn publish(&mut self, text: String) {
        let now = self.now().max(Millis(0));
        let Some(machine) = &self.machine else { return };
        let resources = text.clone();
        let file = SourceFile { name: "drawn.yaml".to_owned(), text };
        match machine.catalog.settled(now).apply(&[file], now) {
            Ok((catalog, _)) if catalog.version != machine.catalog.version => {
                self.note(|| format!("publishes\n{resources}"));
                self.install(catalog, Cause::Publish(resources), now);
            }
            Ok(_) => self.published = true,
            Err(findings) => self.note(|| format!("not published: {findings:?}")),
        }
    }

    fn close_or_stop(&mut self) {
        let now = self.now().max(Millis(0));
        let (Some(machine), Some(closing)) = (&self.machine, self.workload.next_closing(&mut self.dice)) else {
            return;
        };
        let catalog = machine.catalog.settled(now);
        let (changed, cause) = match &closing {
            Closing::Stop(name) => (catalog.stop(name, None, now), Cause::Stop(name.clone())),
            Closing::Close(name) => (catalog.close(name, None), Cause::Close(name.clone())),
        };
        let changed = changed.ok().filter(|catalog| catalog.version != machine.catalog.version);
        self.note(|| format!("{closing:?}"));
        if let Some(catalog) = changed {
            self.install(catalog, cause, now);
        }
    }

    /// Keeps a draft, starts its test, ends it or publishes it, or flags others.
    fn act_on_drafts(&mut self) {
        let Some(machine) = &self.machine else { return };
        let catalog = Arc::clone(&machine.catalog);
        let drafts: Vec<String> = catalog.drafts.keys().map(ToString::to_string).collect();
        let choice = self.dice.below(10);
        let act = match choice {
            0..3 => DraftAct::Keep(self.workload.next_draft(&mut self.dice)),
            3 => DraftAct::Flag(self.workload.next_flagged(&mut self.dice)),
            _ if drafts.is_empty() => DraftAct::Keep(self.workload.next_draft(&mut self.dice)),
            _ => {
                let name = self.dice.pick(&drafts).clone();
                let is_in_test = catalog.drafts[name.as_str()].test.is_some();
                match self.dice.below(10) {
                    0..2 => DraftAct::Publish(name),
                    2..7 if is_in_test => DraftAct::Stop(name),
                    _ if catalog.test_profiles.is_empty() => DraftAct::Flag(self.workload.next_flagged(&mut self.dice)),
                    _ => DraftAct::Start(name, *self.dice.pick(&WAITS_IN_TESTS_MS)),
                }
            }
        };
        self.carry_out(act);
    }

    /// On the wall clock a test may run from the first event on: with profiles that are known in a few changes only, most
    /// would enter nothing.
    pub fn test_ahead(&mut self) -> Result<(), Violation> {
        let mut dice = self.ahead.clone();
        if self.firing() == Firing::Due || dice.chance(80) {
            return Ok(());
        }
        let draft = self.workload.next_draft(&mut dice);
        let flagged = self.workload.next_flagged(&mut dice);
        for act in [DraftAct::Keep(draft), DraftAct::Flag(flagged)] {
            self.carry_out(act);
            self.settle()?;
        }
        let Some(machine) = &self.machine else { return Ok(()) };
        let name = machine.catalog.drafts.keys().next().map(ToString::to_string);
        if let Some(name) = name {
            self.carry_out(DraftAct::Start(name, *dice.pick(&WAITS_IN_TESTS_MS)));
            self.settle()?;
        }
        Ok(())
    }

    /// Does it, if it can be done.
    fn carry_out(&mut self, act: DraftAct) {
        let now = self.now().max(Millis(0));
        let Some(machine) = &self.machine else { return };
        let catalog = Arc::new(machine.catalog.settled(now));
        let changed = match &act {
            DraftAct::Keep(text) => {
                let file = SourceFile { name: "draft.yaml".to_owned(), text: text.clone() };
                catalog.apply_draft_within(&[file], now, &Guardrails::DEFAULT).map(|(catalog, _)| catalog).ok()
            }
            DraftAct::Start(name, wait_ms) => catalog.start_test(name, *wait_ms, now).ok(),
            DraftAct::Stop(name) => catalog.stop_test(name).ok(),
            DraftAct::Publish(name) => catalog.publish_draft(name, now).ok(),
            DraftAct::Flag(profiles) => {
                let (add, gone): (Vec<SmolStr>, Vec<SmolStr>) =
                    (profiles.iter().map(SmolStr::from).collect(), catalog.test_profiles.iter().cloned().collect());
                let gone: Vec<SmolStr> = gone.into_iter().filter(|name| !add.contains(name)).collect();
                catalog.flag(&add, &gone).ok()
            }
        };
        if let Some(changed) = changed.filter(|changed| changed.version != catalog.version) {
            self.fault(match act {
                DraftAct::Keep(_) => "change: a draft is kept",
                DraftAct::Start(..) => "change: a test starts",
                DraftAct::Stop(_) => "change: a test ends",
                DraftAct::Publish(_) => "change: a draft is published",
                DraftAct::Flag(_) => "change: test profiles",
            });
            self.install(changed, Cause::Draft(act), now);
        }
    }

    pub(super) fn install(&mut self, catalog: Catalog, cause: Cause, now: Millis) {
        // What has failed writes nothing more; the catalog that it was about to write may be durable all the same.
        let Some(machine) = self.machine.as_ref().filter(|machine| !machine.failure.is_raised()) else { return };
        let version = catalog.version;
        if let Some(witness) = &mut self.history.witness {
            witness.propose(version, cause, now);
        }
        let (told, written) = oneshot::channel();
        let catalog = Arc::new(catalog);
        machine.router.send(PartitionId::SYSTEM, ShardInput::WriteCatalog(catalog.to_record(), told));
        self.change = Some(Change::Writing(catalog, written));
        if self.published {
            let is_inside = self.history.instance_count() > 0;
            self.fault(if is_inside { "change: catalog, with instances inside" } else { "change: catalog" });
        }
        self.note(|| format!("catalog {version} is written"));
    }

    fn begin_moving(&mut self) {
        let count = 1 + self.dice.below(4) as u16;
        let Some(machine) = &mut self.machine else { return };
        if !machine.unopened.is_empty() {
            return;
        }
        while machine.shards.len() < usize::from(count) {
            let post = machine.hatch();
            machine.router.add_shard(post);
        }
        let partitions = (0..self.plan.machine.partitions).map(PartitionId).rev().collect();
        self.change = Some(Change::Moving(count, partitions, Vec::new()));
        self.fault("change: number of shards");
        self.note(|| format!("{count} shards shall own the partitions"));
    }

    /// Lets the change under way go on if it can.
    pub fn change_step(&mut self) -> Result<(), Violation> {
        let (Some(machine), Some(change)) = (&mut self.machine, self.change.take()) else { return Ok(()) };
        self.change = match change {
            Change::Writing(catalog, mut written) => match written.try_recv() {
                Ok(()) => {
                    if self.history.catalog().version != catalog.version {
                        return Err(Violation::new(format!(
                            "catalog {} is said to be written; {} is durable",
                            catalog.version,
                            self.history.catalog().version
                        )));
                    }
                    machine.catalog = Arc::clone(&catalog);
                    self.published = true;
                    let told = swap(machine, &catalog, 0);
                    Some(Change::Swapping(catalog, 0, told))
                }
                Err(oneshot::error::TryRecvError::Empty) => Some(Change::Writing(catalog, written)),
                Err(oneshot::error::TryRecvError::Closed) => None,
            },
            Change::Swapping(catalog, index, mut swapped) => match swapped.try_recv() {
                Ok(()) if index + 1 < machine.shards.len() => {
                    let told = swap(machine, &catalog, index + 1);
                    Some(Change::Swapping(catalog, index + 1, told))
                }
                Err(oneshot::error::TryRecvError::Empty) => Some(Change::Swapping(catalog, index, swapped)),
                Ok(()) => {
                    self.rest_soon = self.dice.chance(20);
                    None
                }
                Err(oneshot::error::TryRecvError::Closed) => None,
            },
            Change::Moving(count, partitions, arriving) if self.client.is_advancing() => {
                Some(Change::Moving(count, partitions, arriving))
            }
            Change::Moving(count, partitions, arriving) if !may_move(machine) => {
                Some(Change::Moving(count, partitions, arriving))
            }
            Change::Moving(count, partitions, arriving) => moving(machine, count, partitions, arriving),
        };
        machine.is_moving = matches!(self.change, Some(Change::Moving(..)));
        if let Some(machine) = &self.machine {
            self.shards = machine.shards.len() as u16;
        }
        Ok(())
    }
}

fn swap(machine: &Machine, catalog: &Arc<Catalog>, index: usize) -> oneshot::Receiver<()> {
    let (told, swapped) = oneshot::channel();
    machine.posts[index].send(ShardInput::Catalog(Arc::clone(catalog), told));
    swapped
}

/// As in the engine: on the events' clock nothing moves while time may wait for what partitions tell each other.
fn may_move(machine: &Machine) -> bool {
    let is_quiet = || machine.shards.iter().all(Shard::is_quiet) && machine.posts.iter().all(Post::is_empty);
    machine.firing() == Firing::Engine || !machine.catalog.counts_together() || is_quiet()
}

fn moving(
    machine: &mut Machine,
    count: u16,
    mut partitions: Vec<PartitionId>,
    mut arriving: Vec<oneshot::Receiver<()>>,
) -> Option<Change> {
    arriving.retain_mut(|arrived| matches!(arrived.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
    if !arriving.is_empty() {
        return Some(Change::Moving(count, partitions, arriving));
    }
    let batch: Vec<PartitionId> = partitions.split_off(partitions.len().saturating_sub(MOVES_AT_ONCE));
    if batch.is_empty() {
        if machine.failure.is_raised() {
            return None;
        }
        machine.retire(count);
        return None;
    }
    let moves: Vec<_> = batch.iter().map(|id| (*id, owner_among(id.0, count))).collect();
    let moved: Vec<PartitionId> =
        moves.iter().filter(|(id, to)| machine.router.owner(*id) != *to).map(|(id, _)| *id).collect();
    machine.router.reassign(&moves);
    for id in moved {
        let (told, arrived) = oneshot::channel();
        let question = Box::new(move |_: &mut dyn Iterator<Item = &Partition>| {
            Box::new(move || {
                // The change may have been given up.
                let _ = told.send(());
            }) as Answer
        });
        machine.router.send(id, ShardInput::Ask(Some(id), question));
        arriving.push(arrived);
    }
    Some(Change::Moving(count, partitions, arriving))
}
