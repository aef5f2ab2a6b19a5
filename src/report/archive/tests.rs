//! Tests of the archive: feeding, reading, restarts, what a crash leaves, damage and retention.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::ids::{Millis, NodeNo, PartitionId, ProfileKey, Pseq, VersionId};
use crate::domain::step::{Entrance, Step, StepKind};

const DAY_MS: i64 = 86_400_000;

fn config(directory: &Path) -> ArchiveConfig {
    ArchiveConfig { flush_age: Duration::MAX, ..ArchiveConfig::new(directory.to_owned()) }
}

fn open(directory: &TempDir) -> Archive {
    Archive::open(config(directory.path())).expect("opens")
}

/// Record `pseq` of a partition, at that millisecond, of the profile `pseq % 3`. Every fifth has nothing to show.
fn entry(partition: u16, pseq: u64) -> Entry {
    let key = ProfileKey(u128::from(pseq % 3) * 0x1234_5678_9ABC_DEF0_1357_9BDF_0246_8ACE + u128::from(partition));
    let step = Step {
        version: VersionId(1),
        node: NodeNo(pseq as u16),
        ordinal: 1,
        kind: StepKind::Entered(Entrance::First),
        due: Millis::NEVER,
    };
    let event = ArchivedEvent {
        id: format!("e-{pseq}").into(),
        kind: "purchase".into(),
        time: None,
        properties: Bytes::from(vec![0x80; 1 + pseq as usize % 40]),
    };
    let (event, steps) = if pseq.is_multiple_of(5) { (None, vec![]) } else { (Some(event), vec![step]) };
    Entry {
        partition: PartitionId(partition),
        pseq: Pseq(pseq),
        at: Millis(pseq as i64),
        key,
        event,
        steps,
        notes: vec![],
    }
}

fn entries(partition: u16, pseqs: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    pseqs.map(|pseq| entry(partition, pseq)).collect()
}

fn feed(archive: &Archive, entries: &[Entry]) -> Result<(), ArchiveError> {
    let happened: Vec<Vec<u8>> = entries.iter().map(Entry::happened).collect();
    let told: Vec<Told<'_>> = entries.iter().zip(&happened).map(|(entry, happened)| entry.told(happened)).collect();
    archive.append(&told)
}

fn key_of(partition: u16, pseq: u64) -> ProfileKey {
    entry(partition, pseq).key
}

fn timeline(archive: &Archive, partition: u16, key: ProfileKey) -> Vec<u64> {
    archive.timeline(PartitionId(partition), key, usize::MAX, None).iter().map(|entry| entry.pseq.0).collect()
}

fn export(archive: &Archive, range: std::ops::Range<i64>) -> Vec<(u16, u64)> {
    let mut all = Vec::new();
    archive.export(Millis(range.start)..Millis(range.end), None, |entry| {
        all.push((entry.partition.0, entry.pseq.0));
        ControlFlow::Continue(())
    });
    all
}

/// What should be there of the profile of record `like`, newest first.
fn expected(partition: u16, like: u64, pseqs: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    pseqs.rev().filter(|p| !p.is_multiple_of(5) && key_of(partition, *p) == key_of(partition, like)).collect()
}

fn files(directory: &TempDir) -> Vec<PathBuf> {
    let found = fs::read_dir(directory.path()).expect("readable").map(|entry| entry.expect("entry").path());
    found.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn timelines_are_newest_first_and_see_what_is_not_flushed() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    feed(&archive, &entries(1, 1..=10)).expect("takes");
    archive.flush().expect("flushes");
    feed(&archive, &entries(1, 11..=20)).expect("takes");
    feed(&archive, &entries(2, 1..=20)).expect("takes");
    assert_eq!(timeline(&archive, 1, key_of(1, 4)), expected(1, 4, 1..=20));
    assert_eq!(timeline(&archive, 2, key_of(2, 5)), expected(2, 5, 1..=20));
    assert_eq!(timeline(&archive, 2, key_of(1, 1)), [0; 0]);
    let page = archive.timeline(PartitionId(1), key_of(1, 4), 3, Some(Pseq(16)));
    assert_eq!(page, [entry(1, 13), entry(1, 7), entry(1, 4)]);
    assert!(archive.timeline(PartitionId(1), key_of(1, 4), 0, None).is_empty());
}

#[test]
fn the_watermark_advances_when_a_file_is_durable() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    feed(&archive, &entries(1, 1..=9)).expect("takes");
    assert_eq!(archive.passed(PartitionId(1)), Pseq(0));
    assert!(archive.stats().lag_bytes > 0);
    archive.flush().expect("flushes");
    assert_eq!(archive.passed(PartitionId(1)), Pseq(9));
    assert_eq!((archive.stats().lag_bytes, archive.stats().lag_ms, archive.stats().file_count), (0, 0, 1));
    // An entry with nothing to show moves the watermark too, and survives a restart.
    feed(&archive, &[entry(1, 10)]).expect("takes");
    archive.flush().expect("flushes");
    archive.flush().expect("nothing to flush");
    drop(archive);
    let archive = open(&directory);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(10));
    assert_eq!(archive.stats().file_count, 2);
}

#[test]
fn it_is_fed_again_from_its_watermark() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    feed(&archive, &entries(1, 1..=10)).expect("takes");
    archive.flush().expect("flushes");
    feed(&archive, &entries(1, 11..=20)).expect("takes, and loses them with the crash");
    drop(archive);
    let archive = open(&directory);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(10));
    assert_eq!(timeline(&archive, 1, key_of(1, 1)), expected(1, 1, 1..=10));
    feed(&archive, &entries(1, 6..=30)).expect("takes");
    assert_eq!(timeline(&archive, 1, key_of(1, 1)), expected(1, 1, 1..=30));
    archive.flush().expect("flushes");
    assert_eq!(export(&archive, 0..100).len(), 24);
}

#[test]
fn a_gap_is_a_counted_hole_and_holds_nothing_up() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    feed(&archive, &entries(1, 100..=104)).expect("the journal may have forgotten what was before");
    assert_eq!(archive.stats().damage_count, 0);
    feed(&archive, &[entry(2, 1), entry(1, 106)]).expect("105 is missing");
    feed(&archive, &entries(1, 103..=110)).expect("what is known is passed over");
    archive.flush().expect("flushes");
    assert_eq!(archive.stats().damage_count, 1);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(110));
    assert_eq!(archive.passed(PartitionId(2)), Pseq(1));
}

#[test]
fn many_chunks_and_files_make_one_history() {
    let directory = TempDir::new().expect("temporary directory");
    let mut config = config(directory.path());
    config.flush_bytes = 700 << 10;
    let archive = Archive::open(config).expect("opens");
    for from in (1..20_000).step_by(1_000) {
        for partition in [1, 2] {
            feed(&archive, &entries(partition, from..=from + 999)).expect("takes");
        }
    }
    for _ in 0..2 {
        assert_eq!(timeline(&archive, 1, key_of(1, 1)), expected(1, 1, 1..=20_000));
        let exported = export(&archive, 0..i64::MAX);
        assert_eq!(exported.len(), 2 * 16_000);
        for partition in [1, 2] {
            assert!(exported.iter().filter(|(p, _)| *p == partition).is_sorted());
        }
        archive.flush().expect("flushes");
    }
    let mut visited = 0;
    archive.export(Millis(10_000)..Millis(15_000), None, |_| {
        visited += 1;
        if visited == 500 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(visited, 500);
    assert_eq!(export(&archive, 10_001..10_011).len(), 2 * 8);
    assert!(archive.stats().file_count > 2);
    assert_eq!(archive.stats().damage_count, 0);
}

/// A file of format 1, kept: whatever the writer does later, this must be readable.
#[test]
fn the_golden_file_is_readable() {
    let directory = TempDir::new().expect("temporary directory");
    let golden = include_bytes!("testdata/archive-0000000000000001.soj");
    fs::write(directory.path().join("archive-0000000000000001.soj"), golden).expect("writes");
    let archive = open(&directory);
    assert_eq!(timeline(&archive, 1, key_of(1, 1)), expected(1, 1, 1..=7));
    let all = archive.timeline(PartitionId(1), key_of(1, 7), 1, None);
    assert_eq!(all, [entry(1, 7)]);
    assert_eq!(export(&archive, 0..100), [(1, 1), (1, 2), (1, 3), (1, 4), (1, 6), (1, 7), (9, 1)]);
    assert_eq!((archive.passed(PartitionId(1)), archive.passed(PartitionId(9))), (Pseq(7), Pseq(1)));
    assert_eq!(archive.stats().damage_count, 0);
}

/// The steps of writing a file are: content, sync, name, sync. A crash between leaves an unfinished file.
#[test]
fn unfinished_files_are_deleted() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    feed(&archive, &entries(1, 1..=10)).expect("takes");
    archive.flush().expect("flushes");
    drop(archive);
    let whole = fs::read(&files(&directory)[0]).expect("readable");
    for length in [0, 7, whole.len() / 2, whole.len()] {
        let unfinished = directory.path().join("archive-0000000000000002.tmp");
        fs::write(&unfinished, &whole[..length]).expect("writes");
        let archive = open(&directory);
        assert!(!unfinished.exists());
        assert_eq!(archive.passed(PartitionId(1)), Pseq(10));
        assert_eq!((archive.stats().file_count, archive.stats().damage_count), (1, 0));
    }
}

/// Any damage of any file: no panic, no wrong entry, the rest of history is there, and it is counted.
#[test]
fn damage_is_reported_and_skipped() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    for (partition, pseqs) in [(1, 1..=10), (2, 1..=10), (1, 11..=20)] {
        feed(&archive, &entries(partition, pseqs)).expect("takes");
        archive.flush().expect("flushes");
    }
    drop(archive);
    let path = files(&directory)[2].clone();
    let whole = fs::read(&path).expect("readable");
    let mut damaged_ones: Vec<Vec<u8>> = vec![vec![], whole[..50].to_vec(), whole[..whole.len() - 1].to_vec()];
    for position in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x41;
        damaged_ones.push(damaged);
    }
    for damaged in damaged_ones {
        fs::write(&path, damaged).expect("writes");
        let archive = open(&directory);
        for like in 1..=3 {
            let found = timeline(&archive, 1, key_of(1, like));
            let (all, least) = (expected(1, like, 1..=20), expected(1, like, 1..=10));
            assert!(found == all || found == least, "{found:?}");
        }
        assert_eq!(timeline(&archive, 2, key_of(2, 1)), expected(2, 1, 1..=10));
        let exported = export(&archive, 0..100);
        assert!(exported.len() == 16 || exported.len() == 24, "{exported:?}");
        assert!(archive.stats().damage_count > 0);
        // It goes on: what the watermark does not cover is fed again, without repeats.
        feed(&archive, &entries(1, archive.passed(PartitionId(1)).0 + 1..=30)).expect("takes");
        let after = timeline(&archive, 1, key_of(1, 1));
        assert!(after.is_sorted_by(|a, b| a > b) && after[0] == 28, "{after:?}");
    }
}

#[test]
fn old_files_are_deleted_whole() {
    let directory = TempDir::new().expect("temporary directory");
    let at_day = |partition, pseq: u64, day: i64| Entry { at: Millis(day * DAY_MS), ..entry(partition, pseq) };
    let archive = open(&directory);
    for pseq in 1..=4 {
        feed(&archive, &[at_day(1, pseq, pseq as i64)]).expect("takes");
        archive.flush().expect("flushes");
    }
    feed(&archive, &[at_day(2, 1, 32)]).expect("takes");
    archive.flush().expect("flushes");
    assert_eq!(export(&archive, 0..i64::MAX), [(1, 2), (1, 3), (1, 4), (2, 1)], "day 1 is over 30 days before day 32");
    assert_eq!(files(&directory).len(), 4);
    feed(&archive, &[at_day(2, 2, 80)]).expect("takes");
    archive.flush().expect("flushes");
    drop(archive);
    let archive = open(&directory);
    assert_eq!(export(&archive, 0..i64::MAX), [(2, 2)]);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(4), "the watermark outlives the file");
}

#[test]
fn files_beyond_the_bytes_are_deleted() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    feed(&archive, &entries(1, 1..=100)).expect("takes");
    archive.flush().expect("flushes");
    let one = archive.stats().file_bytes;
    drop(archive);
    fs::write(directory.path().join("archive-0000000000000000.soj"), vec![0; one as usize]).expect("writes");
    let mut config = config(directory.path());
    config.retention_bytes = one * 7 / 2;
    let archive = Archive::open(config).expect("opens");
    for from in (101..=901).step_by(100) {
        feed(&archive, &entries(1, from..=from + 99)).expect("takes");
        archive.flush().expect("flushes");
        assert!(archive.stats().file_bytes <= one * 9 / 2, "one file may come on top until the next");
    }
    assert!(!directory.path().join("archive-0000000000000000.soj").exists(), "the unreadable one went first");
    assert_eq!(export(&archive, 0..i64::MAX).last(), Some(&(1, 999)));
    assert!(export(&archive, 0..i64::MAX)[0].1 > 400);
}

#[test]
fn a_disk_that_fails_loses_nothing() {
    let directory = TempDir::new().expect("temporary directory");
    let place = directory.path().join("archive");
    let archive = Archive::open(config(&place)).expect("opens");
    fs::remove_dir_all(&place).expect("removes");
    feed(&archive, &entries(1, 1..=10)).expect("takes");
    assert!(matches!(archive.flush(), Err(ArchiveError::WriteFailed(_))));
    assert!(archive.stats().fault.is_some() && archive.stats().failure_count > 0);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(0));
    assert_eq!(timeline(&archive, 1, key_of(1, 1)), expected(1, 1, 1..=10));
    fs::create_dir_all(&place).expect("mends");
    while archive.flush().is_err() {}
    assert_eq!(archive.stats().fault, None);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(10));
    fs::remove_dir_all(&place).expect("removes");
    feed(&archive, &entries(1, 11..=20)).expect("takes");
    assert!(archive.flush().is_err());
    drop(archive);
}

#[test]
fn what_is_open_for_long_is_written() {
    let directory = TempDir::new().expect("temporary directory");
    let mut config = config(directory.path());
    config.flush_age = Duration::ZERO;
    let archive = Archive::open(config).expect("opens");
    feed(&archive, &entries(1, 1..=10)).expect("takes, and seals at once");
    archive.flush().expect("flushes");
    assert_eq!(archive.passed(PartitionId(1)), Pseq(10));
}

#[test]
fn the_thread_writes_what_nobody_flushes() {
    let directory = TempDir::new().expect("temporary directory");
    let mut config = config(directory.path());
    config.flush_age = Duration::from_millis(1);
    let archive = Archive::open(config).expect("opens");
    feed(&archive, &entries(1, 1..=10)).expect("takes");
    let mut state = archive.shared.state.lock();
    while state.durable.is_empty() {
        archive.shared.changed.wait(&mut state);
    }
    drop(state);
    assert_eq!(archive.passed(PartitionId(1)), Pseq(10));
}

#[test]
fn a_flush_that_is_only_begun_ends_by_itself() {
    let directory = TempDir::new().expect("temporary directory");
    let archive = open(&directory);
    archive.begin_flush();
    feed(&archive, &entries(1, 1..=10)).expect("takes");
    archive.begin_flush();
    let mut state = archive.shared.state.lock();
    while state.durable.is_empty() {
        archive.shared.changed.wait(&mut state);
    }
    assert_eq!(state.files.len(), 1);
}

/// While one thread feeds and files come into being, every timeline and export is whole up to some record.
#[test]
fn readers_always_see_whole_histories() {
    let directory = TempDir::new().expect("temporary directory");
    let mut config = config(directory.path());
    config.flush_bytes = 2_000;
    let archive = Archive::open(config).expect("opens");
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            for from in (1..3_000).step_by(10) {
                feed(&archive, &entries(1, from..=from + 9)).expect("takes");
            }
        });
        while !feeder.is_finished() {
            let found = timeline(&archive, 1, key_of(1, 1));
            let newest = found.first().copied().unwrap_or(0);
            assert_eq!(found, expected(1, 1, 1..=newest));
            let exported = export(&archive, 0..i64::MAX);
            let newest = exported.last().map_or(0, |(_, pseq)| *pseq);
            assert_eq!(exported.len() as u64, newest - newest / 5);
        }
    });
    assert_eq!(timeline(&archive, 1, key_of(1, 1)), expected(1, 1, 1..=3_000));
}

#[test]
fn a_directory_that_cannot_be_used_is_the_operators() {
    let directory = TempDir::new().expect("temporary directory");
    let file = directory.path().join("file");
    fs::write(&file, b"").expect("writes");
    let error = Archive::open(config(&file)).expect_err("not a directory");
    assert!(matches!(error, ArchiveError::Directory { .. }), "{error}");
}

#[derive(Clone, Debug)]
enum Operation {
    Append { partition: u16, again: u64, count: u64 },
    Flush,
    Reopen,
    Timeline { partition: u16, like: u64, limit: usize, before: u64 },
    Export { from: i64, length: i64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (0u16..4, 0u64..5, 1u64..60)
            .prop_map(|(partition, again, count)| Operation::Append { partition, again, count }),
        2 => Just(Operation::Flush),
        1 => Just(Operation::Reopen),
        3 => (0u16..4, 0u64..3, 0usize..40, 0u64..300)
            .prop_map(|(partition, like, limit, before)| Operation::Timeline { partition, like, limit, before }),
        2 => (0i64..200, 0i64..200).prop_map(|(from, length)| Operation::Export { from, length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_a_list(flush_bytes in 200usize..4_000, operations in prop::collection::vec(operation(), 1..40)) {
        let directory = TempDir::new().expect("temporary directory");
        let mut config = config(directory.path());
        config.flush_bytes = flush_bytes;
        let mut archive = Archive::open(config.clone()).expect("opens");
        let mut model: [Vec<Entry>; 4] = Default::default();
        for operation in operations {
            match operation {
                Operation::Append { partition, again, count } => {
                    let list = &mut model[usize::from(partition)];
                    let next = list.len() as u64 + 1;
                    let fed = entries(partition, next.saturating_sub(again).max(1)..=next + count - 1);
                    feed(&archive, &fed).expect("takes");
                    list.extend(entries(partition, next..=next + count - 1));
                }
                Operation::Flush => {
                    archive.flush().expect("flushes");
                    for (partition, list) in model.iter().enumerate() {
                        prop_assert_eq!(archive.passed(PartitionId(partition as u16)).0, list.len() as u64);
                    }
                }
                Operation::Reopen => {
                    drop(archive);
                    archive = Archive::open(config.clone()).expect("opens");
                    // What was not durable is fed again by the journal.
                    for (partition, list) in model.iter().enumerate() {
                        let passed = archive.passed(PartitionId(partition as u16)).0 as usize;
                        feed(&archive, &list[passed..]).expect("takes");
                    }
                }
                Operation::Timeline { partition, like, limit, before } => {
                    let (key, before) = (key_of(partition, like), Pseq(before));
                    let found = archive.timeline(PartitionId(partition), key, limit, Some(before));
                    let list = model[usize::from(partition)].iter().rev();
                    let wanted = list.filter(|e| e.key == key && e.pseq < before && !e.is_empty()).take(limit);
                    prop_assert_eq!(found, wanted.cloned().collect::<Vec<_>>());
                    let mut of_one = Vec::new();
                    archive.export(Millis::MIN..Millis::NEVER, Some((PartitionId(partition), key)), |entry| {
                        of_one.push(entry);
                        ControlFlow::Continue(())
                    });
                    let wanted = model[usize::from(partition)].iter().filter(|e| e.key == key && !e.is_empty());
                    prop_assert_eq!(of_one, wanted.cloned().collect::<Vec<_>>());
                }
                Operation::Export { from, length } => {
                    let mut exported = export(&archive, from..from + length);
                    exported.sort_by_key(|(partition, _)| *partition);
                    let range = Millis(from)..Millis(from + length);
                    let list = model.iter().flatten().filter(|e| range.contains(&e.at) && !e.is_empty());
                    let wanted: Vec<_> = list.map(|e| (e.partition.0, e.pseq.0)).collect();
                    prop_assert_eq!(exported, wanted);
                }
            }
        }
    }
}

/// Fuzz target: any bytes where the entries of a chunk should be.
#[test]
fn entries_of_chunks() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut seen = 0;
        let read = super::chunk::visit(PartitionId(1), bytes, None, |_| seen += 1);
        assert!(seen <= bytes.len(), "no entry without bytes");
        let mut of_one = 0;
        let looked_through = super::chunk::visit(PartitionId(1), bytes, Some(key_of(1, 4)), |_| of_one += 1);
        assert!(read.is_err() || looked_through.is_ok() && of_one <= seen);
    });
}
