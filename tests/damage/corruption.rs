//! Data at rest that is no longer what was written: a start refuses it and says where, or serves what was there before.
//! Never another answer, never a panic.
//!
//! `cargo test` tries a few hundred corruptions; many more:
//! `SOJOURN_CORRUPTIONS=100000 cargo test --release --test damage corruption -- --nocapture`, with `SOJOURN_SEED` to begin
//! at another seed. One corruption alone: `SOJOURN_CORRUPTIONS=1 SOJOURN_SEED=<seed>`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sojourn::store::disk::{Disk as _, read_all};
use sojourn::store::journal::MARKS_FILE;
use sojourn::store::memory::MemoryDisk;

use crate::dice::{Dice, asked_for};
use crate::world::{Opened, Prints, Recording, World};

/// Workloads that are corrupted in turn: the odd ones were stopped in order, the even ones killed.
const WORKLOADS: u64 = 6;
const STEPS: u64 = 153;
/// Old images of the disk, for what comes back stale.
const IMAGES: u64 = 5;
const SECTOR: u64 = 512;
const BLOCK: u64 = 4096;

/// Files by path.
type Files = BTreeMap<String, Vec<u8>>;

/// Where a group lies: its file, and the bytes of header, table and block.
type Place = (String, Range<usize>);

/// One workload, done.
struct Base {
    disk: MemoryDisk,
    files: Files,
    images: Vec<Files>,
    /// State after each group, and where the group lies if it does and is not written again by a start.
    states: Vec<(Prints, Option<Place>)>,
    /// The state that was noted beside the journal: what comes before it is never served while the note holds.
    noted: usize,
}

impl Base {
    fn of(seed: u64) -> Self {
        let disk = MemoryDisk::tracked();
        let mut world = World::new(disk.clone(), seed, Recording::On);
        let mut images = Vec::new();
        world.begin().expect("nothing stops it");
        let mut since_start = 0;
        for step in 0..STEPS {
            world.step().expect("nothing stops it");
            if step % 5 == 4 {
                world.checkpoint().expect("nothing stops it");
            }
            if step % (STEPS / IMAGES) == STEPS / IMAGES / 2 {
                images.push(files_of(&disk));
            }
            if step == STEPS / 3 || step == STEPS * 3 / 4 {
                world.restart().expect("nothing stops it");
                since_start = world.groups.len();
            }
        }
        let in_order = seed % 2 == 1;
        if in_order {
            world.finish();
        }
        let files = files_of(&disk);
        assert!(files.keys().filter(|path| path.ends_with(".seg")).count() >= 4, "several segments");
        let place = |index: usize, written: &crate::world::Written| {
            let offset = written.place.expect("written").offset as usize;
            (index >= since_start).then(|| place_of(&files, offset, &written.block)).flatten()
        };
        let groups = world.groups.iter().enumerate();
        let mut states: Vec<_> =
            groups.map(|(index, written)| (written.state.clone(), place(index, written))).collect();
        assert!(states.last().expect("groups").1.is_some(), "the last group is where it was written");
        if in_order {
            let state = states.last().expect("groups").0.clone();
            let mark = end_mark(&files, &states);
            states.push((state, mark));
        }
        Self { disk: at_rest(&disk, &files), files, images, states, noted: world.noted - 1 }
    }

    /// The first of the states that may be served: the last, and those before it as far back as every later group is damaged itself,
    /// so that nothing is left that could tell a loss from a write that never was; but none before the one that was noted.
    fn oldest_allowed(&self, damaged: &Files) -> usize {
        let last = self.states.len() - 1;
        let lost = self.states.iter().rev().take_while(|(_, place)| {
            let Some((path, range)) = place else { return false };
            damaged.get(path).is_none_or(|bytes| bytes.get(range.clone()) != Some(&self.files[path][range.clone()]))
        });
        let noted = if damaged.get(MARKS_FILE) == self.files.get(MARKS_FILE) { self.noted } else { 0 };
        last.saturating_sub(lost.count()).max(noted)
    }
}

fn files_of(disk: &MemoryDisk) -> Files {
    let mut files = Files::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let path = |name: &String| if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        for name in disk.list(&directory).expect("lists") {
            files.insert(path(&name), read_all(disk, &path(&name)).expect("reads"));
        }
        directories.extend(disk.list_directories(&directory).expect("lists").iter().map(path));
    }
    files
}

/// A copy on which everything is durable.
fn at_rest(disk: &MemoryDisk, files: &Files) -> MemoryDisk {
    let copy = disk.crash_keep_all();
    for path in files.keys() {
        copy.open_write(path).and_then(|mut file| file.sync()).expect("syncs");
    }
    copy
}

/// Where a group with this block lies: its header, table and block.
fn place_of(files: &Files, offset: usize, block: &[u8]) -> Option<Place> {
    const HEADER_AND_ENTRY: usize = 80 + 24;
    let range = offset..offset + HEADER_AND_ENTRY + block.len();
    let holds = |bytes: &Vec<u8>| bytes.get(range.clone()).is_some_and(|group| &group[HEADER_AND_ENTRY..] == block);
    let segments = files.iter().filter(|(path, _)| path.ends_with(".seg"));
    segments.filter(|(_, bytes)| holds(bytes)).map(|(path, _)| (path.clone(), range.clone())).next()
}

/// The empty group behind the last one, which a stop in order leaves if there is room.
fn end_mark(files: &Files, states: &[(Prints, Option<Place>)]) -> Option<Place> {
    let (path, range) = states.last()?.1.clone()?;
    let from = range.end.next_multiple_of(BLOCK as usize);
    let mark = files[&path].get(from..from + 80)?;
    mark.starts_with(b"SJG1").then_some((path, from..from + 80))
}

/// What was done to the files.
#[derive(Debug)]
struct Corruption {
    how: &'static str,
    path: String,
    files: Files,
}

fn kind_of(path: &str) -> &'static str {
    match path {
        _ if path.ends_with(".seg") => "journal",
        _ if path.ends_with(".snap") => "snapshot",
        _ if path.contains("manifest") => "manifest",
        MARKS_FILE => "marks",
        _ => "header",
    }
}

fn corrupt(base: &Base, dice: &mut Dice) -> Corruption {
    // Kinds of files are tried alike often, whatever their number.
    let kind = *dice.pick(&["journal", "journal", "snapshot", "snapshot", "manifest", "header", "marks"]);
    let paths: Vec<&String> = base.files.keys().filter(|path| kind_of(path) == kind).collect();
    let path = (*dice.pick(&paths)).clone();
    loop {
        let mut files = base.files.clone();
        let how = damage(base, &mut files, &path, dice);
        if files != base.files {
            return Corruption { how, path, files };
        }
    }
}

/// Damages a file in one way; may come to nothing.
fn damage(base: &Base, files: &mut Files, path: &str, dice: &mut Dice) -> &'static str {
    let before = base.files[path].clone();
    let used = before.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1) as u64;
    let length = before.len() as u64;
    // Mostly where something was written, and often near its end.
    let at = match dice.below(4) {
        0 => dice.below(length),
        1 => used - 1 - dice.below(used.min(3 * BLOCK)),
        _ => dice.below(used),
    } as usize;
    let run_max = *dice.pick(&[16, SECTOR, BLOCK, 4 * BLOCK]);
    let run = 1 + dice.below(run_max) as usize;
    let range = at..(at + run).min(before.len());
    let bytes = files.get_mut(path).expect("there");
    match dice.below(10) {
        0 | 1 => {
            for _ in 0..=dice.below(4) {
                let near = (at + dice.index(64)).min(before.len() - 1);
                bytes[near] ^= 1 << dice.below(8);
            }
            "bits flipped"
        }
        2 => {
            bytes[range].fill(0);
            "zeros"
        }
        3 => {
            bytes[range].fill_with(|| dice.throw() as u8);
            "garbage"
        }
        4 => {
            let others: Vec<&String> = base.files.keys().collect();
            let other = &base.files[*dice.pick(&others)];
            let length = range.len().min(other.len());
            let from = dice.index(other.len() - length + 1) / SECTOR as usize * SECTOR as usize;
            bytes[at..at + length].copy_from_slice(&other[from..from + length]);
            "another place's bytes"
        }
        5 => stale_block(base, bytes, path, at, dice),
        6 => {
            if let Some(old) = dice.pick(&base.images).get(path) {
                *bytes = old.clone();
            }
            "stale file"
        }
        7 => {
            bytes.truncate(if dice.below(4) == 0 { 0 } else { at });
            "truncated"
        }
        8 => {
            files.remove(path);
            if kind_of(path) == "manifest" && dice.below(2) == 0 {
                files.retain(|path, _| kind_of(path) != "manifest");
                return "both removed";
            }
            "removed"
        }
        _ => {
            let others: Vec<&String> = base.files.keys().filter(|other| kind_of(other) == kind_of(path)).collect();
            let other = (*dice.pick(&others)).clone();
            files.insert(path.to_owned(), base.files[&other].clone());
            if dice.below(2) == 0 {
                files.insert(other, before);
                "swapped"
            } else {
                "another file's bytes"
            }
        }
    }
}

/// A write that never reached the disk: blocks are as they were some time before.
fn stale_block(base: &Base, bytes: &mut [u8], path: &str, at: usize, dice: &mut Dice) -> &'static str {
    let unit = *dice.pick(&[SECTOR, BLOCK]) as usize;
    let from = at / unit * unit;
    if let Some(old) = dice.pick(&base.images).get(path) {
        let to = (from + unit * (1 + dice.index(3))).min(bytes.len()).min(old.len());
        if from < to {
            bytes[from..to].copy_from_slice(&old[from..to]);
        }
    }
    "stale block"
}

/// The base's disk with the corruption on it, durable.
fn corrupted(base: &Base, corruption: &Corruption) -> MemoryDisk {
    let disk = base.disk.crash_keep_all();
    for (path, before) in &base.files {
        match corruption.files.get(path) {
            None => disk.remove(path).expect("removes"),
            Some(after) if after == before => {}
            Some(after) => {
                let mut file = disk.open_write(path).expect("opens");
                if after.len() != before.len() {
                    file.set_len(after.len() as u64).expect("cuts");
                }
                file.write_at(after, 0).and_then(|()| file.sync()).expect("writes");
            }
        }
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        disk.sync_dir(directory).expect("syncs");
    }
    disk
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Not opened; the error says where.
    Refused,
    /// The same state.
    Harmless,
    /// The same state, from an older snapshot and a longer tail.
    FellBack,
    /// The last groups are gone, and with them all that could tell.
    TailLost,
}

/// Opens what is left, twice: a start must not make a refused disk acceptable, nor change what it shows.
fn judge(base: &Base, corruption: &Corruption, disk: &MemoryDisk) -> Result<Outcome, String> {
    let first = catch_unwind(AssertUnwindSafe(|| judge_start(base, corruption, disk))).map_err(|_| "a panic")??;
    let again = disk.crash(1);
    let second = catch_unwind(AssertUnwindSafe(|| judge_start(base, corruption, &again))).map_err(|_| "a panic")??;
    let same = match first {
        Outcome::Refused => second == Outcome::Refused,
        Outcome::TailLost => second == Outcome::TailLost,
        Outcome::Harmless | Outcome::FellBack => matches!(second, Outcome::Harmless | Outcome::FellBack),
    };
    if same { Ok(first) } else { Err(format!("first {first:?}, after another start {second:?}")) }
}

fn judge_start(base: &Base, corruption: &Corruption, disk: &MemoryDisk) -> Result<Outcome, String> {
    let mut opened = match Opened::of(disk) {
        Ok(opened) => opened,
        Err(error) if names_a_place(&error) => return Ok(Outcome::Refused),
        Err(error) => return Err(format!("the error names no place: {error}")),
    };
    let found = opened.prints();
    if found == base.states.last().expect("groups").0 {
        return Ok(if opened.fell_back() { Outcome::FellBack } else { Outcome::Harmless });
    }
    let oldest = base.oldest_allowed(&corruption.files);
    let allowed = &base.states[oldest..];
    let there_was = |(index, print): (usize, &u64)| allowed.iter().any(|(state, _)| state[index] == *print);
    if found.iter().enumerate().all(there_was) {
        return Ok(Outcome::TailLost);
    }
    let last = base.states.len() - 1;
    let group_of = |(index, print): (usize, &u64)| base.states.iter().position(|(state, _)| state[index] == *print);
    let groups: Vec<Option<usize>> = found.iter().enumerate().map(group_of).collect();
    Err(format!("another answer: partitions are as after groups {groups:?} of {last}, {oldest} and later were allowed"))
}

fn names_a_place(error: &str) -> bool {
    ["journal/", "snapshots/", "SOJOURN"].iter().any(|path| error.contains(path))
}

#[test]
fn corruption_is_refused_or_does_no_harm() {
    let count = asked_for("SOJOURN_CORRUPTIONS", 300);
    let seed = asked_for("SOJOURN_SEED", 1);
    let mut bases: BTreeMap<u64, Base> = BTreeMap::new();
    let mut table: BTreeMap<(&str, &str), BTreeMap<Outcome, u64>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in seed..seed + count {
        let base = bases.entry(seed % WORKLOADS).or_insert_with(|| Base::of(seed % WORKLOADS));
        let corruption = corrupt(base, &mut Dice(seed));
        let disk = corrupted(base, &corruption);
        match judge(base, &corruption, &disk) {
            Ok(outcome) => {
                let row = table.entry((kind_of(&corruption.path), corruption.how)).or_default();
                *row.entry(outcome).or_default() += 1;
            }
            Err(what) => wrong.push(format!("seed {seed}: {} of {}: {what}", corruption.how, corruption.path)),
        }
        if seed % 5_000 == 0 {
            println!("seed {seed}: {} wrong", wrong.len());
        }
    }
    println!("{:10} {:22} {:>9} {:>9} {:>9} {:>9}", "file", "damage", "refused", "harmless", "fell back", "tail lost");
    for ((kind, how), row) in &table {
        let of = |outcome| row.get(&outcome).copied().unwrap_or(0);
        let [refused, harmless, fell_back, lost] =
            [Outcome::Refused, Outcome::Harmless, Outcome::FellBack, Outcome::TailLost].map(of);
        println!("{kind:10} {how:22} {refused:>9} {harmless:>9} {fell_back:>9} {lost:>9}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} answered wrongly:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
}

/// How the last segment with groups goes.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Removed,
    Emptied,
    CutBehindHeader,
    Zeroed,
    ZeroedBehindHeader,
    /// With all others.
    Directory,
}

/// A process that was killed leaves no end mark: what is gone with the last segment was acknowledged, and only what is
/// noted beside the journal can tell.
#[test]
fn a_journal_without_its_end_is_refused_as_far_as_was_noted() {
    const HEADERS: usize = 2 * BLOCK as usize;
    let base = Base::of(0);
    let (last, _) = base.states.last().and_then(|(_, place)| place.clone()).expect("it is there");
    let losses = [Loss::Removed, Loss::Emptied, Loss::CutBehindHeader, Loss::Zeroed, Loss::ZeroedBehindHeader];
    for loss in losses.into_iter().chain([Loss::Directory]) {
        let mut files = base.files.clone();
        let bytes = files.get_mut(&last).expect("there");
        match loss {
            Loss::Removed => drop(files.remove(&last)),
            Loss::Emptied => bytes.clear(),
            Loss::CutBehindHeader => bytes.truncate(HEADERS),
            Loss::Zeroed => bytes.fill(0),
            Loss::ZeroedBehindHeader => bytes[HEADERS..].fill(0),
            Loss::Directory => files.retain(|path, _| kind_of(path) != "journal"),
        }
        let corruption = Corruption { how: "last segment", path: last.clone(), files };
        for _ in 0..2 {
            let disk = corrupted(&base, &corruption);
            assert_eq!(judge(&base, &corruption, &disk), Ok(Outcome::Refused), "{loss:?}");
            let error = Opened::of(&disk).expect_err("refused");
            assert!(error.contains(MARKS_FILE) || error.contains("is missing"), "{loss:?}: {error}");
        }
        // As the error says: who accepts the loss removes the note. What is left must still fit together.
        let mut files = corruption.files;
        files.remove(MARKS_FILE);
        let accepted = Corruption { how: "loss accepted", path: last.clone(), files };
        let disk = corrupted(&base, &accepted);
        assert!(Opened::of(&disk).is_ok() || matches!(loss, Loss::Directory), "{loss:?}");
    }
}
