//! The journal against a disk that loses, tears and keeps. Each test is one way to lose or invent work.

mod crashes;
mod damage;
mod real;
mod space;
mod threads;

use std::sync::Arc;

use super::segment::HEADERS_BYTES;
use super::*;
use crate::domain::ids::{PartitionId, Pseq, ShardId};
use crate::store::disk::Disk;
use crate::store::error::{JournalError, StoreError};
use crate::store::memory::MemoryDisk;

const ID: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
const PARTITIONS: u64 = 5;
const SEGMENT: u64 = 64 << 10;

fn config() -> JournalConfig {
    JournalConfig { segment_bytes: SEGMENT, tail_bytes_max: 8 * SEGMENT, ..JournalConfig::default() }
}

/// The test's record: its number names partition and pseq.
fn block(number: u64, bytes: usize) -> Block {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + bytes, (number % 251) as u8 + 1);
    let spans = spans_of(&payload);
    Block::new(ShardId(3), number, 0, payload, spans)
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("a block of the test"))
}

fn span_of(number: u64) -> (PartitionId, Pseq) {
    (PartitionId((number % PARTITIONS) as u16), Pseq(number / PARTITIONS + 1))
}

fn spans_of(bytes: &[u8]) -> Vec<(PartitionId, Pseq)> {
    vec![span_of(number_of(bytes))]
}

fn try_open(disk: &MemoryDisk) -> Result<(Journal, Lane, Vec<u64>), StoreError> {
    let (journal, tail) = Journal::open(Arc::new(disk.clone()), ID, config(), spans_of)?;
    let lane = journal.take_lane(0).expect("first take");
    let numbers = numbers(&tail)?;
    Ok((journal, lane, numbers))
}

fn open(disk: &MemoryDisk) -> (Journal, Lane, Vec<u64>) {
    try_open(disk).expect("opens")
}

fn numbers(tail: &Tail) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    let reader = tail.reader();
    tail.for_each_block(|at, bytes| {
        assert_eq!(reader.read(at)?, bytes);
        let number = number_of(bytes);
        assert!(bytes[8..].iter().all(|byte| *byte == (number % 251) as u8 + 1), "no byte is mixed");
        numbers.push(number);
        Ok::<_, StoreError>(())
    })?;
    Ok(numbers)
}

/// Writes blocks `from..to` of 5,000 bytes, one a group.
fn write(lane: &mut Lane, from: u64, to: u64) {
    for number in from..to {
        lane.write_group(&[block(number, 5000)]).expect("writes");
    }
}

/// Passes everything before `number`.
fn pass_until(journal: &Journal, number: u64) {
    for number in number.saturating_sub(PARTITIONS)..number {
        let (partition, pseq) = span_of(number);
        journal.passed(partition, pseq);
    }
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..to).collect()
}

fn segment_files(disk: &MemoryDisk) -> usize {
    disk.list("journal/lane-00").expect("lists").len()
}

/// Where the error points: file and offset.
fn place(result: Result<(Journal, Lane, Vec<u64>), StoreError>) -> (String, u64) {
    match result {
        Err(StoreError::Corrupt { path, offset, .. }) => (path, offset),
        Err(error) => panic!("another error: {error}"),
        Ok((_, _, numbers)) => panic!("opened with {} blocks", numbers.len()),
    }
}

#[test]
fn what_was_written_is_read_back_in_order() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, found) = open(&disk);
    assert_eq!(found, range(0, 0));
    write(&mut lane, 0, 30);
    lane.write_group(&[block(30, 10), block(31, 0), block(32, 9000)]).expect("writes");
    drop(lane);
    assert_eq!(open(&disk).2, range(0, 33));
    assert_eq!(open(&disk.crash(1)).2, range(0, 33));
}

#[test]
fn positions_grow_over_restarts() {
    let disk = MemoryDisk::tracked();
    let mut last = Position::default();
    for round in 0..5 {
        let (_, mut lane, _) = open(&disk);
        for number in 0..20 {
            let position = lane.write_group(&[block(round * 20 + number, 4000)]).expect("writes");
            assert!(position > last && position.segment >= last.segment);
            last = position;
        }
    }
    assert_eq!(open(&disk).2, range(0, 100));
}

#[test]
fn lanes_hold_their_own_partitions() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::tracked());
    let config = JournalConfig { lanes: 3, ..config() };
    for round in 0..2 {
        let (journal, tail) = Journal::open(Arc::clone(&disk), ID, config.clone(), spans_of).expect("opens");
        let mut per_lane = vec![Vec::new(); 3];
        tail.for_each_block(|at, bytes| {
            per_lane[usize::from(at.lane)].push(number_of(bytes));
            Ok::<_, StoreError>(())
        })
        .expect("reads");
        assert_eq!(per_lane.concat().len(), 10 * round);
        for lane in 0..3 {
            let mut writer = journal.take_lane(lane).expect("first take");
            assert!(journal.take_lane(lane).is_none());
            for number in 10 * round as u64..10 * round as u64 + 10 {
                let (partition, _) = span_of(number);
                if journal.lane_of(partition) == lane {
                    writer.write_group(&[Block { lane, ..block(number, 100) }]).expect("writes");
                }
            }
        }
        let in_order = |numbers: &Vec<u64>| numbers.is_sorted();
        assert!(per_lane.iter().all(in_order));
    }
}

#[test]
fn a_block_larger_than_a_segment_gets_a_segment_of_its_own() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    lane.write_group(&[block(0, 3 * SEGMENT as usize)]).expect("writes");
    write(&mut lane, 1, 10);
    pass_until(&journal, 10);
    write(&mut lane, 10, 60);
    pass_until(&journal, 60);
    write(&mut lane, 60, 90);
    let (_, _, found) = open(&disk.crash(3));
    assert_eq!(found.last(), Some(&89));
    assert!(disk.used_bytes() < 8 * SEGMENT, "the large file is gone");
}

#[test]
fn an_end_mark_leaves_nothing_to_rewrite() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    write(&mut lane, 0, 3);
    lane.finish().expect("marks the end");
    assert_eq!(lane.write_group(&[block(3, 1)]), Err(JournalError::Stopped));
    let clean = disk.crash_keep_all();
    let (_, lane, found) = open(&clean);
    assert_eq!(found, range(0, 3));
    assert_eq!(lane.segment.as_ref().expect("open").offset, HEADERS_BYTES, "nothing was rewritten");
    // Without the mark the last group is unproven and is rewritten.
    let (_, mut lane, _) = open(&clean);
    write(&mut lane, 3, 5);
    let (_, lane, found) = open(&clean.crash_keep_all());
    assert_eq!(found, range(0, 5));
    assert!(lane.segment.as_ref().expect("open").offset > HEADERS_BYTES);
}

#[test]
fn a_flipped_bit_before_an_end_mark_is_refused() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    write(&mut lane, 0, 2);
    let last = lane.write_group(&[block(2, 100)]).expect("writes");
    lane.finish().expect("marks the end");
    disk.corrupt("journal/lane-00/000001.seg", last.offset + 150, 1);
    assert_eq!(place(try_open(&disk)), ("journal/lane-00/000001.seg".to_owned(), last.offset));
}

#[test]
fn another_directory_s_segment_is_refused() {
    let disk = MemoryDisk::tracked();
    write(&mut open(&disk).1, 0, 3);
    let error = Journal::open(Arc::new(disk), ID + 1, config(), spans_of).expect_err("another id");
    assert!(error.to_string().contains("another data directory"), "{error}");
}

#[test]
fn segment_and_group_are_as_the_golden_file_has_them() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    lane.write_group(&[block(7, 20), block(8, 3)]).expect("writes");
    let bytes = crate::store::disk::read_all(&disk, "journal/lane-00/000001.seg").expect("reads");
    let mut shown = String::new();
    for (index, row) in bytes.chunks(16).enumerate().filter(|(_, row)| row.iter().any(|byte| *byte != 0)) {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        shown.push_str(&format!("{:06x}  {}\n", index * 16, hex.join(" ")));
    }
    insta::assert_snapshot!("segment_format_1", shown);
}
