//! A directory of the timer index, damaged: opened in a child process with a time-out, it answers rightly or is thrown
//! away and written anew from the rows. Never a lost or a wrong timer, a hang or a dead process.
//!
//! `cargo test` tries a dozen; many more: `SOJOURN_SLED_DAMAGES=1000 cargo test --release --test damage sled -- --nocapture`,
//! with `SOJOURN_SEED` to begin at another seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sojourn::domain::ids::{Millis, PartitionId, ProfileKey};
use sojourn::runtime::horizon::{Horizon, Verdict};
use sojourn::store::timers::{
    MemoryTimers, Opened, SLOT_MS, SledTimers, SlotNo, TimerEntry, TimerIndex, TimerIndexConfig, TimerIndexError,
};

use crate::dice::{Dice, asked_for};

/// The directory that a child is to open.
const CHILD_DIRECTORY: &str = "SOJOURN_SLED_CHILD";
const CHILD_TEST: &str = "sled_directory::child";
/// Longest time of a child: the index gives up opening after a part of it.
const CHILD_LIMIT: Duration = Duration::from_secs(60);
const OPEN_LIMIT: Duration = Duration::from_secs(10);

const PARTITIONS: u16 = 6;
const FIRST_SLOT: i64 = 100;
const SLOTS: i64 = 4;
/// Checkpoints of each partition, one after another.
const EPOCHS: u64 = 5;

/// What the rows say: the timers of one partition.
fn rows(partition: PartitionId) -> Vec<TimerEntry> {
    (1..=EPOCHS).flat_map(|epoch| rows_of(partition, epoch)).collect()
}

/// Those set between two checkpoints.
fn rows_of(partition: PartitionId, epoch: u64) -> Vec<TimerEntry> {
    let mut dice = Dice(u64::from(partition.0) << 32 | epoch);
    (0..160)
        .map(|number| TimerEntry {
            key: ProfileKey(u128::from(dice.throw()) << 64 | u128::from(dice.throw())),
            ordinal: number,
            generation: epoch as u32,
            due: Millis((FIRST_SLOT + dice.below(SLOTS as u64) as i64) * SLOT_MS + dice.below(SLOT_MS as u64) as i64),
        })
        .collect()
}

fn config(directory: &Path) -> TimerIndexConfig {
    TimerIndexConfig { cache_bytes: 8 << 20, open_timeout: OPEN_LIMIT, ..TimerIndexConfig::new(directory.to_owned()) }
}

fn slots() -> impl Iterator<Item = SlotNo> {
    (FIRST_SLOT..FIRST_SLOT + SLOTS).map(SlotNo)
}

fn partitions() -> impl Iterator<Item = PartitionId> {
    (0..PARTITIONS).map(PartitionId)
}

/// Writes all checkpoints and closes the index.
fn fill(directory: &Path) {
    let (mut index, opened) = SledTimers::open(config(directory)).expect("opens");
    assert_eq!(opened, Opened::Fresh);
    for epoch in 1..=EPOCHS {
        for partition in partitions() {
            index.write(partition, epoch, &rows_of(partition, epoch)).expect("writes");
        }
        index.sync().expect("syncs");
    }
}

/// What the wheel gets of each slot, and whether the index had to be mended.
type Answers = BTreeMap<(PartitionId, SlotNo), Vec<TimerEntry>>;

/// What shards and keeper do with an index: each slot is opened with what was loaded, the bookkeeping that lies in the
/// snapshot says whether that is all, and where it is not the rows answer and the partition is written anew. An error
/// breaks the index for good.
fn serve(index: &mut SledTimers) -> Result<(Answers, Vec<PartitionId>), TimerIndexError> {
    let (mut answers, mut mended) = (Answers::new(), Vec::new());
    for partition in partitions() {
        let rows = rows(partition);
        let named: BTreeSet<TimerEntry> = rows.iter().copied().collect();
        let mut horizon = Horizon::new(SlotNo(FIRST_SLOT));
        for timer in &rows {
            horizon.set(*timer);
        }
        horizon.take_for_checkpoint(1);
        horizon.checkpoint_done(1);
        let mut suspect = index.latest_epoch(partition)?.unwrap_or(0) < EPOCHS;
        for slot in slots() {
            assert_eq!(horizon.next_to_open(slot.next()), Some(slot));
            let loaded = match index.load(partition, slot) {
                Err(TimerIndexError::Damaged { .. }) => Vec::new(),
                loaded => loaded?,
            };
            let opened = horizon.open_slot(slot, loaded, |timer| named.contains(timer));
            let timers = match opened.verdict {
                Verdict::Complete => opened.timers,
                Verdict::Mismatch { .. } => {
                    suspect = true;
                    named.iter().filter(|timer| timer.slot() == slot).copied().collect()
                }
            };
            answers.insert((partition, slot), timers);
        }
        if suspect {
            index.forget_partition(partition)?;
            index.write(partition, EPOCHS, &rows)?;
            mended.push(partition);
        }
    }
    index.sync()?;
    Ok((answers, mended))
}

/// What an index that lost nothing answers.
fn expected() -> Answers {
    let mut model = MemoryTimers::new();
    let mut answers = BTreeMap::new();
    for partition in partitions() {
        model.write(partition, EPOCHS, &rows(partition)).expect("writes");
        for slot in slots() {
            answers.insert((partition, slot), model.load(partition, slot).expect("loads"));
        }
    }
    answers
}

/// The child's part; nothing unless a parent asks. It ends with a word on its standard output.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY).map(PathBuf::from) else { return };
    let (mut index, opened) = SledTimers::open(config(&directory)).expect("an index opens, whatever its files hold");
    let mut word = match opened {
        Opened::Recovered => "served",
        Opened::Fresh => "lost",
        Opened::Rebuilt { .. } => "rebuilt",
    };
    let expected = expected();
    for round in 0..3 {
        match serve(&mut index) {
            Ok((answers, mended)) => {
                assert!(answers == expected, "a timer is lost or wrong");
                if mended.is_empty() {
                    break;
                }
                assert!(round < 2, "{mended:?} were written anew and still lack timers");
                word = if word == "served" { "partitions rebuilt" } else { word };
            }
            Err(error) => {
                println!("broken: {error}");
                assert!(word != "started over", "a fresh index breaks");
                word = "started over";
                index.start_over().expect("starts over");
            }
        }
    }
    println!("outcome: {word}");
    // As a server that stops: closing a database on damaged files may hang or panic, and nobody needs it.
    std::process::exit(0);
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copies");
        }
    }
}

/// Damages one file; says how.
fn damage(directory: &Path, dice: &mut Dice) -> String {
    let mut paths = Vec::new();
    files(directory, &mut paths);
    // Nearly everything stands in one file.
    let main = directory.join("db/db");
    let path = if dice.below(3) == 0 { dice.pick(&paths).clone() } else { main };
    let mut bytes = fs::read(&path).expect("reads");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let name = path.strip_prefix(directory).expect("inside").display().to_string();
    if bytes.is_empty() || dice.below(12) == 0 {
        fs::remove_file(&path).expect("removes");
        return format!("{name} removed");
    }
    let at = dice.index(used.max(1));
    let run_max = *dice.pick(&[8, 512, 4096, 65_536]);
    let end = (at + 1 + dice.index(run_max)).min(bytes.len());
    let how = match dice.below(6) {
        0 | 1 => {
            for _ in 0..=dice.below(4) {
                let near = (at + dice.index(64)).min(bytes.len() - 1);
                bytes[near] ^= 1 << dice.below(8);
            }
            "bits flipped"
        }
        2 => {
            bytes[at..end].fill(0);
            "zeros"
        }
        3 => {
            bytes[at..end].fill_with(|| dice.throw() as u8);
            "garbage"
        }
        4 => {
            let from = dice.index(used.max(1)).min(bytes.len() - (end - at));
            bytes.copy_within(from..from + (end - at), at);
            "another place's bytes"
        }
        _ => {
            bytes.truncate(at);
            "truncated"
        }
    };
    fs::write(&path, bytes).expect("writes");
    format!("{name} {how} at {at}")
}

/// Runs the child; its last word, or what became of it.
#[expect(clippy::disallowed_methods, reason = "a time-out is real time")]
fn outcome_of(directory: &Path) -> Result<String, String> {
    let log = directory.with_extension("log");
    let out = fs::File::create(&log).expect("makes");
    let program = std::env::current_exe().expect("this test");
    let mut command = Command::new(program);
    command.args([CHILD_TEST, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD_DIRECTORY, directory);
    let errors = out.try_clone().expect("clones");
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn().expect("starts");
    let deadline = Instant::now() + CHILD_LIMIT;
    let status = loop {
        match child.try_wait().expect("waits") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().and_then(|()| child.wait()).expect("ends");
                return Err("it hung".to_owned());
            }
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    let said = fs::read(&log).expect("reads");
    let said = String::from_utf8_lossy(&said);
    let word = said.lines().find_map(|line| line.split_once("outcome: ")).map(|(_, word)| word.to_owned());
    let told = |line: &&str| !line.starts_with("   ") && !line.is_empty();
    word.filter(|_| status.success())
        .ok_or_else(|| format!("{status}: {}", said.lines().filter(told).collect::<Vec<_>>().join(" | ")))
}

#[test]
fn a_damaged_timer_index_is_rebuilt_from_the_rows() {
    let count = asked_for("SOJOURN_SLED_DAMAGES", 12);
    let seed = asked_for("SOJOURN_SEED", 1);
    let root = tempfile::tempdir().expect("a directory");
    let sound = root.path().join("sound");
    fill(&sound);
    let (mut outcomes, mut wrong): (BTreeMap<String, u64>, Vec<String>) = Default::default();
    for seed in seed..seed + count {
        let directory = root.path().join("damaged");
        copy(&sound, &directory);
        let how = damage(&directory, &mut Dice(seed));
        match outcome_of(&directory) {
            Ok(word) => *outcomes.entry(word).or_default() += 1,
            Err(what) => wrong.push(format!("seed {seed}: {how}: {what}")),
        }
        fs::remove_dir_all(&directory).expect("removes");
        if seed % 100 == 0 {
            println!("seed {seed}: {outcomes:?}, {} wrong", wrong.len());
        }
    }
    println!("{count} damaged directories: {outcomes:?}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
