//! Damage that no crash makes: a bit that flips, a block that is as it was before, on the disk or in one read of it. A copy
//! of the disk is damaged in one place and a process is started on it. What holds then is what `docs/durability.md`
//! promises: it refuses to start, or all is as its durable records make it, save what the last group held, which can't be
//! told from a torn one. The world goes on with the undamaged disk.

use std::collections::VecDeque;

use crate::runtime::partition::Partition;
use crate::sim::Violation;
use crate::sim::dice::Dice;
use crate::sim::history::{History, Seen};
use crate::sim::machine::Machine;
use crate::sim::simulation::Simulation;
use crate::store::disk::{Disk as _, read_all};
use crate::store::memory::{MemoryDisk, ReadFault, SECTOR};
use crate::wire::record::records;

/// Unit in which blocks of the journal go stale, beside a sector (bytes).
const PAGE: usize = 4096;
/// Copies of files kept to take stale blocks from.
const OLD_COPIES: usize = 3;

/// What a damaged disk may have to answer for, and what it takes to judge it.
#[derive(Debug, Default)]
pub struct Damage {
    /// The blocks of the last group that was written: nothing says of it yet that it was durable.
    unproven: Vec<Vec<u8>>,
    /// The disk as it was some time ago.
    before: VecDeque<MemoryDisk>,
}

impl Damage {
    /// A group is durable: it proves those before.
    pub fn group(&mut self, blocks: impl Iterator<Item = Vec<u8>>) {
        self.unproven = blocks.collect();
    }

    /// A start has found a block that nobody was told of.
    pub fn found(&mut self, block: &[u8]) {
        self.unproven.push(block.to_vec());
    }

    /// Remembers the disk as it is.
    fn remember(&mut self, disk: &MemoryDisk) {
        if self.before.len() >= OLD_COPIES {
            self.before.pop_front();
        }
        self.before.push_back(disk.crash_keep_all());
    }
}

/// What came of a start on a damaged disk.
enum End {
    Refused(String),
    /// All is there.
    Whole,
    /// All but records of the last group.
    Cut,
}

impl Simulation {
    /// Damages a copy of the disk and starts a process on it.
    pub fn try_damage(&mut self) -> Result<(), Violation> {
        if self.machine.as_ref().is_none_or(|machine| machine.failure.is_raised() || machine.has_blocks()) {
            return Ok(());
        }
        let disk = self.disk.crash_keep_all();
        let mut dice = Dice::new(self.dice.throw());
        let (kind, what) = match dice.below(3) {
            0 => ("disk: wrong read", damage_a_read(&disk, &mut dice)),
            _ => damage_a_file(&disk, self.damage.before.front(), &mut dice),
        };
        self.damage.remember(&self.disk);
        let Some(what) = what else { return Ok(()) };
        self.fault(kind);
        self.note(|| format!("a copy of the disk is damaged: {what}"));
        let end = self.start_on(&disk, &mut dice).map_err(|violation| violation.at(&what))?;
        for (struck, times) in disk.take_struck() {
            *self.tally.faults.entry(struck).or_default() += times;
        }
        match end {
            End::Refused(error) => {
                self.fault("damage: refused");
                self.note(|| format!("the start is refused: {error}"));
            }
            End::Whole => self.fault("damage: made good"),
            End::Cut => {
                self.fault("damage: last group cut");
                self.note(|| "records of the last group are gone".to_owned());
            }
        }
        Ok(())
    }

    fn start_on(&mut self, disk: &MemoryDisk, dice: &mut Dice) -> Result<End, Violation> {
        let index = self.index.crash(dice);
        let (history, unproven) = (&self.history, &self.damage.unproven);
        let known = std::cell::RefCell::new(Ok(()));
        let started = Machine::start(
            &self.plan.machine,
            (disk, &index),
            1,
            (self.wall(), self.steady),
            |block| {
                let so_far = known.replace(Ok(()));
                *known.borrow_mut() = so_far.and_then(|()| history.knows(block));
            },
            |_| (),
        );
        known.into_inner()?;
        let machine = match started {
            Ok(machine) => machine,
            Err(error) => return Ok(End::Refused(error.to_string())),
        };
        let mut end = End::Whole;
        for id in history.books.keys() {
            match machine.read(*id) {
                Err(error) => return Ok(End::Refused(error.to_string())),
                Ok(partition) => {
                    if is_cut(history, unproven, partition)? {
                        end = End::Cut;
                    }
                }
            }
        }
        Ok(end)
    }
}

/// Whether a partition lacks records. Those must be of the last group; with them it is what its durable records make.
fn is_cut(history: &History, unproven: &[Vec<u8>], mut partition: Partition) -> Result<bool, Violation> {
    let broken = |error| Violation::new(format!("a record of the last group can't be installed: {error}"));
    let found = partition.pseq;
    for block in unproven {
        for read in records(block) {
            let (_, record) = read.map_err(broken)?;
            if record.head.partition == partition.id && record.head.pseq > partition.pseq {
                partition.install(&record, history.catalog()).map_err(broken)?;
            }
        }
    }
    let is_cut = partition.pseq > found;
    history.compare("opened on a damaged disk", &Seen::of(&partition, history.time_max)).map(|()| is_cut)
}

/// One of the next reads gives something else than there is.
fn damage_a_read(disk: &MemoryDisk, dice: &mut Dice) -> Option<String> {
    let fault = *dice.pick(&[ReadFault::FlippedBit, ReadFault::StaleSector]);
    let nth = 1 + dice.below(40);
    disk.fail_read(nth, fault);
    Some(format!("{fault:?} in read {nth}"))
}

/// A bit of a file flips, or a block of it is what it was, or nothing.
fn damage_a_file(disk: &MemoryDisk, before: Option<&MemoryDisk>, dice: &mut Dice) -> (&'static str, Option<String>) {
    let (is_journal, path) = match dice.below(10) {
        0..6 => (true, pick_file(disk, "journal/lane-00", dice)),
        6..9 => {
            let directories = disk.list_directories("snapshots").unwrap_or_default();
            let directory = (!directories.is_empty()).then(|| format!("snapshots/{}", dice.pick(&directories)));
            (false, directory.and_then(|directory| pick_file(disk, &directory, dice)))
        }
        _ => (false, pick_file(disk, "snapshots", dice)),
    };
    let Some(path) = path else { return ("", None) };
    let bytes = read_all(disk, &path).unwrap_or_default();
    let used: Vec<usize> = (0..bytes.len())
        .step_by(PAGE)
        .filter(|at| bytes[*at..(*at + PAGE).min(bytes.len())].iter().any(|byte| *byte > 0))
        .collect();
    if used.is_empty() {
        return ("", None);
    }
    let page = *dice.pick(&used);
    let end = (page + PAGE).min(bytes.len());
    if dice.chance(50) {
        // Bytes that say something, rather than padding.
        let last = bytes[page..end].iter().rposition(|byte| *byte > 0).unwrap_or(0);
        let (offset, bit) = (page + dice.index(last + 1), dice.below(8));
        disk.corrupt(&path, offset as u64, 1 << bit);
        let kind = if is_journal { "disk: flipped bit in the journal" } else { "disk: flipped bit in snapshots" };
        return (kind, Some(format!("bit {bit} of byte {offset} in {path} flips")));
    }
    let unit = if dice.chance(50) { PAGE } else { SECTOR };
    let at = page + dice.index(PAGE / unit) * unit;
    let length = unit.min(bytes.len().saturating_sub(at));
    let old = before.and_then(|before| read_all(before, &path).ok()).unwrap_or_default();
    let mut stale = old.get(at..).unwrap_or_default().to_vec();
    stale.resize(length, 0);
    if length == 0 || stale == bytes[at..at + length] {
        return ("", None);
    }
    disk.replace(&path, at as u64, &stale);
    let kind = if is_journal { "disk: stale block in the journal" } else { "disk: stale block in snapshots" };
    (kind, Some(format!("{length} bytes at {at} in {path} are as they were")))
}

fn pick_file(disk: &MemoryDisk, directory: &str, dice: &mut Dice) -> Option<String> {
    let names = disk.list(directory).unwrap_or_default();
    (!names.is_empty()).then(|| format!("{directory}/{}", dice.pick(&names)))
}
