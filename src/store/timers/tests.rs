//! Tests of both indexes: the laws they share, and what sled's directory can suffer.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::chunk::{self, ChunkKey};
use super::opening::{blobs_empty, open};
use super::*;
use crate::domain::ids::{Millis, PartitionId, ProfileKey};

fn config(directory: &Path) -> TimerIndexConfig {
    TimerIndexConfig { cache_bytes: 8 << 20, ..TimerIndexConfig::new(directory.to_owned()) }
}

fn open_in(directory: &TempDir) -> (SledTimers, Opened) {
    SledTimers::open(config(directory.path())).expect("opens")
}

fn timer(slot: i64, number: u32) -> TimerEntry {
    let offset = i64::from(number.wrapping_mul(2_654_435_761) % 3_600_000);
    TimerEntry {
        key: ProfileKey(u128::from(number)),
        ordinal: 1,
        generation: number,
        due: Millis(slot * SLOT_MS + offset),
    }
}

fn timers(slot: i64, numbers: std::ops::Range<u32>) -> Vec<TimerEntry> {
    numbers.map(|number| timer(slot, number)).collect()
}

fn sorted(mut entries: Vec<TimerEntry>) -> Vec<TimerEntry> {
    entries.sort_unstable();
    entries
}

/// Runs `steps` on a fresh index in sled and on the model.
fn check(steps: impl Fn(&mut dyn TimerIndex)) {
    let directory = TempDir::new().expect("temporary directory");
    let (mut index, opened) = open_in(&directory);
    assert_eq!(opened, Opened::Fresh);
    steps(&mut index);
    steps(&mut MemoryTimers::new());
}

const P: PartitionId = PartitionId(5);
const Q: PartitionId = PartitionId(9);

#[test]
fn timers_read_back_by_slot_merged_over_epochs() {
    check(|index| {
        let first = [timers(100, 0..300), timers(101, 0..1)].concat();
        let written = index.write(P, 1, &first).expect("writes");
        let slots: Vec<_> = written.iter().map(|w| (w.slot.0, w.timer_count)).collect();
        assert_eq!(slots, [(100, 300), (101, 1)]);
        // Overlaps the first epoch, as after a rebuild: repeats are merged away.
        index.write(P, 2, &timers(100, 250..400)).expect("writes");
        index.write(Q, 1, &timers(100, 900..901)).expect("writes");
        index.sync().expect("syncs");
        assert_eq!(index.load(P, SlotNo(100)).expect("loads"), sorted(timers(100, 0..400)));
        assert_eq!(index.load(P, SlotNo(101)).expect("loads"), timers(101, 0..1));
        assert_eq!(index.load(Q, SlotNo(100)).expect("loads"), timers(100, 900..901));
        assert_eq!(index.load(P, SlotNo(99)).expect("loads"), []);
        assert_eq!(index.stats().chunks_written, 3 + 1 + 2 + 1);
        assert_eq!(index.stats().chunks_read, 5 + 1 + 1);
    });
}

#[test]
fn an_epoch_written_again_replaces_what_a_crash_left() {
    check(|index| {
        index.write(P, 1, &timers(100, 0..10)).expect("writes");
        index.write(P, 2, &timers(100, 10..400)).expect("writes");
        index.write(P, 2, &[timers(100, 10..20), timers(102, 0..1)].concat()).expect("writes");
        assert_eq!(index.load(P, SlotNo(100)).expect("loads"), sorted(timers(100, 0..20)));
        assert_eq!(index.load(P, SlotNo(102)).expect("loads").len(), 1);
        // Back to an older snapshot: epochs after it go too.
        index.write(P, 1, &timers(100, 0..1)).expect("writes");
        assert_eq!(index.load(P, SlotNo(100)).expect("loads"), timers(100, 0..1));
        assert_eq!(index.load(P, SlotNo(102)).expect("loads"), []);
    });
}

#[test]
fn compaction_leaves_only_the_live_ones() {
    check(|index| {
        for epoch in 1..=5 {
            let from = epoch as u32 * 200;
            index.write(P, epoch, &timers(100, from..from + 200)).expect("writes");
        }
        index.write(P, 6, &timers(100, 5_000..5_001)).expect("a checkpoint in flight");
        index.replace_slot(P, SlotNo(100), 5, &timers(100, 230..240)).expect("replaces");
        assert_eq!(index.stats().chunks_dropped, 10);
        let left = [timers(100, 230..240), timers(100, 5_000..5_001)].concat();
        assert_eq!(index.load(P, SlotNo(100)).expect("loads"), sorted(left));
        assert_eq!(index.stats().chunks_read, 2);
        index.replace_slot(P, SlotNo(100), 6, &[]).expect("replaces by nothing");
        assert_eq!(index.load(P, SlotNo(100)).expect("loads"), []);
    });
}

#[test]
fn slots_and_partitions_are_deleted_alone() {
    check(|index| {
        for slot in [-3, 99, 100, 101] {
            index.write(P, 1 + (slot + 3) as u64, &timers(slot, 0..5)).expect("writes");
            index.write(Q, 1 + (slot + 3) as u64, &timers(slot, 0..5)).expect("writes");
        }
        index.drop_slots(P, SlotNo(100)).expect("drops");
        let left = |index: &mut dyn TimerIndex, partition| {
            [-3, 99, 100, 101].map(|slot| index.load(partition, SlotNo(slot)).expect("loads").len())
        };
        assert_eq!(left(index, P), [0, 0, 5, 5]);
        assert_eq!(left(index, Q), [5, 5, 5, 5]);
        index.forget_partition(Q).expect("forgets");
        assert_eq!(left(index, P), [0, 0, 5, 5]);
        assert_eq!(left(index, Q), [0, 0, 0, 0]);
        index.start_over().expect("starts over");
        assert_eq!(left(index, P), [0, 0, 0, 0]);
    });
}

#[test]
fn everything_is_there_after_reopening() {
    let directory = TempDir::new().expect("temporary directory");
    let (mut index, _) = open_in(&directory);
    index.write(P, 7, &timers(100, 0..1_000)).expect("writes");
    index.sync().expect("syncs");
    drop(index);
    let (mut index, opened) = open_in(&directory);
    assert_eq!(opened, Opened::Recovered);
    assert_eq!(index.latest_epoch(P).expect("reads"), Some(7));
    assert_eq!(index.latest_epoch(Q).expect("reads"), None);
    assert_eq!(index.load(P, SlotNo(100)).expect("loads"), sorted(timers(100, 0..1_000)));
    index.write(P, 7, &timers(100, 0..1)).expect("the epoch that had begun is known");
    assert_eq!(index.load(P, SlotNo(100)).expect("loads"), timers(100, 0..1));
}

#[test]
fn values_stay_small_and_out_of_blobs() {
    let directory = TempDir::new().expect("temporary directory");
    let (mut index, _) = open_in(&directory);
    // Full chunks, side by side in one leaf: the largest leaves there can be.
    index.write(P, 1, &timers(100, 0..20_000)).expect("writes");
    index.sync().expect("syncs");
    assert!(blobs_empty(&config(directory.path()).db_path()).expect("readable"));
    drop(index);
    let (db, _) = open(&config(directory.path())).expect("opens");
    let longest = db.trees.iter().flat_map(sled::Tree::iter).map(|item| item.expect("item").1.len()).max();
    assert_eq!(longest, Some(8 + 124 * 32));
    assert!(longest <= Some(VALUE_BYTES_MAX));
}

#[test]
fn a_damaged_chunk_is_named() {
    let directory = TempDir::new().expect("temporary directory");
    let (mut index, _) = open_in(&directory);
    index.write(P, 3, &timers(100, 0..200)).expect("writes");
    drop(index);
    let (db, _) = open(&config(directory.path())).expect("opens");
    let tree = &db.trees[usize::from(P.0 % 4)];
    let (key, value) = tree.last().expect("reads").expect("there are two chunks");
    let mut damaged = value.to_vec();
    damaged[1_000] ^= 0x10;
    tree.insert(key, damaged).expect("inserts");
    db.db.flush().expect("flushes");
    drop(db);
    let (mut index, opened) = open_in(&directory);
    assert_eq!(opened, Opened::Recovered, "damage inside a value shows when it is read");
    let error = index.load(P, SlotNo(100)).expect_err("damaged");
    assert!(
        matches!(error, TimerIndexError::Damaged { partition: P, slot: SlotNo(100), epoch: 3, part: 1, .. }),
        "{error}"
    );
    // The way back: forget, and write anew from the rows.
    index.forget_partition(P).expect("forgets");
    index.write(P, 4, &timers(100, 0..200)).expect("writes");
    assert_eq!(index.load(P, SlotNo(100)).expect("loads").len(), 200);
}

/// Damages a directory with timers in it by `damage`; it must come up empty and usable.
fn check_rebuilt(damage: impl Fn(&Path)) {
    let directory = TempDir::new().expect("temporary directory");
    for round in 0..2 {
        let (mut index, _) = open_in(&directory);
        index.write(P, 1, &timers(100, 0..5_000)).expect("writes");
        index.sync().expect("syncs");
        drop(index);
        damage(&config(directory.path()).db_path());
        let (mut index, opened) = open_in(&directory);
        let Opened::Rebuilt { reason, moved_to } = opened else { panic!("round {round}: {opened:?}") };
        assert!(!reason.is_empty() && moved_to.join("db").exists());
        assert_eq!(index.load(P, SlotNo(100)).expect("loads"), []);
        index.write(P, 1, &timers(100, 0..3)).expect("writes");
        index.sync().expect("syncs");
        drop(index);
        let (mut index, opened) = open_in(&directory);
        assert_eq!(opened, Opened::Recovered);
        assert_eq!(index.load(P, SlotNo(100)).expect("loads").len(), 3);
    }
}

#[test]
fn a_directory_of_garbage_is_rebuilt() {
    check_rebuilt(|db| {
        let length = fs::metadata(db.join("db")).expect("file").len() as usize;
        let garbage: Vec<u8> =
            (0..length as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
        fs::write(db.join("db"), garbage).expect("writes");
    });
}

#[test]
fn an_emptied_file_is_rebuilt() {
    check_rebuilt(|db| fs::write(db.join("db"), b"").expect("writes"));
}

#[test]
fn a_damaged_settings_file_is_rebuilt() {
    check_rebuilt(|db| fs::write(db.join("conf"), b"no settings at all").expect("writes"));
}

#[test]
fn a_leaf_in_blobs_is_not_trusted() {
    check_rebuilt(|db| fs::write(db.join("blobs").join("77"), b"leaf").expect("writes"));
}

/// Reading a named pipe that nobody writes to hangs: as an open that never ends.
#[test]
fn an_open_that_hangs_is_cut_short() {
    let directory = TempDir::new().expect("temporary directory");
    let mut config = config(directory.path());
    fs::create_dir_all(config.db_path()).expect("makes");
    let pipe = config.db_path().join("conf");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    config.open_timeout = std::time::Duration::from_secs(2);
    let (mut index, opened) = SledTimers::open(config).expect("opens");
    assert!(matches!(opened, Opened::Rebuilt { .. }), "{opened:?}");
    index.write(P, 1, &timers(100, 0..3)).expect("writes");
    index.sync().expect("syncs");
}

#[test]
fn a_lock_held_elsewhere_is_no_damage() {
    let directory = TempDir::new().expect("temporary directory");
    let (mut index, _) = open_in(&directory);
    index.write(P, 1, &timers(100, 0..5)).expect("writes");
    let mut hasty = config(directory.path());
    hasty.open_timeout = std::time::Duration::ZERO;
    let error = SledTimers::open(hasty).expect_err("locked");
    assert!(matches!(error, TimerIndexError::Locked { .. }), "{error}");
    assert_eq!(index.load(P, SlotNo(100)).expect("the holder goes on").len(), 5);
}

#[test]
fn a_directory_that_cannot_be_used_is_the_operators() {
    let directory = TempDir::new().expect("temporary directory");
    let file = directory.path().join("file");
    fs::write(&file, b"").expect("writes");
    let error = SledTimers::open(config(&file)).expect_err("not a directory");
    assert!(matches!(error, TimerIndexError::Directory { .. }), "{error}");
}

#[test]
fn a_broken_index_says_so_until_it_starts_over() {
    let directory = TempDir::new().expect("temporary directory");
    let (mut index, _) = open_in(&directory);
    index.write(P, 1, &timers(100, 0..5)).expect("writes");
    fs::write(config(directory.path()).db_path().join("blobs").join("1"), b"leaf").expect("writes");
    assert!(matches!(index.sync(), Err(TimerIndexError::Broken { .. })));
    assert!(matches!(index.load(P, SlotNo(100)), Err(TimerIndexError::Broken { .. })));
    index.start_over().expect("starts over");
    assert_eq!(index.load(P, SlotNo(100)).expect("loads"), []);
    index.write(P, 2, &timers(100, 0..5)).expect("writes");
    index.sync().expect("syncs");
}

#[derive(Clone, Debug)]
enum Operation {
    Write { partition: u16, back: u64, slots: Vec<(i64, u32)> },
    Replace { partition: u16, slot: i64, back: u64, keep_from: u32 },
    Drop { partition: u16, before: i64 },
    Forget { partition: u16 },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let partition = 0u16..6;
    let slot = -2i64..4;
    prop_oneof![
        6 => (partition.clone(), 0u64..3, prop::collection::vec((slot.clone(), 0u32..600), 0..6))
            .prop_map(|(partition, back, slots)| Operation::Write { partition, back, slots }),
        2 => (partition.clone(), slot.clone(), 0u64..2, 0u32..600)
            .prop_map(|(partition, slot, back, keep_from)| Operation::Replace { partition, slot, back, keep_from }),
        1 => (partition.clone(), slot).prop_map(|(partition, before)| Operation::Drop { partition, before }),
        1 => partition.prop_map(|partition| Operation::Forget { partition }),
        1 => Just(Operation::Reopen),
    ]
}

fn apply(index: &mut dyn TimerIndex, operation: &Operation, epochs: &[u64; 6]) -> String {
    let epoch_of = |partition: u16, back: u64| (epochs[usize::from(partition)] + 1).saturating_sub(back);
    match operation {
        Operation::Write { partition, back, slots } => {
            let entries: Vec<_> = slots.iter().flat_map(|(slot, n)| timers(*slot, *n..n + 130)).collect();
            format!("{:?}", index.write(PartitionId(*partition), epoch_of(*partition, *back), &entries))
        }
        Operation::Replace { partition, slot, back, keep_from } => {
            let (partition, slot, epoch) = (PartitionId(*partition), SlotNo(*slot), epoch_of(*partition, *back));
            let mut live = index.load(partition, slot).expect("loads");
            live.retain(|entry| entry.generation >= *keep_from);
            format!("{:?}", index.replace_slot(partition, slot, epoch, &live))
        }
        Operation::Drop { partition, before } => {
            format!("{:?}", index.drop_slots(PartitionId(*partition), SlotNo(*before)))
        }
        Operation::Forget { partition } => format!("{:?}", index.forget_partition(PartitionId(*partition))),
        Operation::Reopen => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn sled_and_memory_answer_alike(operations in prop::collection::vec(operation(), 1..25)) {
        let directory = TempDir::new().expect("temporary directory");
        let (mut index, _) = open_in(&directory);
        let mut model = MemoryTimers::new();
        let mut epochs = [0u64; 6];
        for operation in operations {
            if matches!(operation, Operation::Reopen) {
                drop(index);
                let (reopened, opened) = open_in(&directory);
                prop_assert_eq!(opened, Opened::Recovered);
                index = reopened;
            }
            prop_assert_eq!(apply(&mut index, &operation, &epochs), apply(&mut model, &operation, &epochs));
            if let Operation::Write { partition, back, .. } = operation {
                let epoch = &mut epochs[usize::from(partition)];
                *epoch = (*epoch + 1).saturating_sub(back);
            }
        }
        index.sync().expect("syncs");
        for partition in (0..6).map(PartitionId) {
            for slot in (-3..5).map(SlotNo) {
                let (found, expected) = (index.load(partition, slot), model.load(partition, slot));
                prop_assert_eq!(found.expect("loads"), expected.expect("loads"));
            }
        }
    }
}

/// Fuzz target: any bytes behind a right checksum.
#[test]
fn chunks() {
    bolero::check!().for_each(|rest: &[u8]| {
        let key = ChunkKey::first(SlotNo(0), P, 1);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&key.encode());
        hasher.update(rest);
        let value = [&hasher.finalize().to_le_bytes(), rest].concat();
        let mut entries = timers(7, 0..1);
        match chunk::decode(key, &value, &mut entries) {
            Ok(()) => assert!(entries[1..].is_sorted() && entries[1..].iter().all(|entry| entry.slot() == key.slot)),
            Err(_) => assert_eq!(entries, timers(7, 0..1), "an error leaves nothing behind"),
        }
    });
}
