//! Full disks and recycled segments.

use super::*;

#[test]
fn steady_load_keeps_the_number_of_segments_bounded() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    let mut most = 0;
    for number in 0..2000 {
        lane.write_group(&[block(number, 5000)]).expect("writes");
        if number % 10 == 0 {
            pass_until(&journal, number.saturating_sub(20));
        }
        most = most.max(segment_files(&disk));
    }
    // 30 blocks are needed at most: 4 segments; beside them the free ones.
    assert!(most <= 8, "{most} segments");
    let (_, _, found) = open(&disk.crash(5));
    assert_eq!(found, range(found[0], 2000));
    assert!(found[0] <= 1970);
}

#[test]
fn an_idle_partition_holds_back_the_oldest_segment_and_is_named() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    assert_eq!(journal.oldest_needed(), []);
    write(&mut lane, 0, 60);
    for number in (0..60).filter(|number| number % PARTITIONS != 2) {
        let (partition, pseq) = span_of(number);
        journal.passed(partition, pseq);
    }
    let held = journal.oldest_needed();
    assert_eq!(held.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [PartitionId(2)]);
    let bytes = journal.tail_bytes();
    journal.passed(held[0].0, held[0].1);
    assert!(journal.tail_bytes() < bytes);
    pass_until(&journal, 60);
    assert_eq!((journal.oldest_needed(), journal.segment_count()), (vec![], 1));
}

#[test]
fn a_long_tail_makes_ingest_wait_until_snapshots_have_passed_it() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    let mut number = 0;
    while !journal.must_wait() {
        lane.write_group(&[block(number, 5000)]).expect("writes");
        number += 1;
        assert!(number < 1000);
    }
    assert!(journal.tail_bytes() >= config().tail_bytes_max);
    pass_until(&journal, number);
    assert!(!journal.must_wait());
}

#[test]
fn a_full_disk_refuses_groups_and_resumes() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    disk.set_capacity(Some(3 * SEGMENT + SEGMENT / 2));
    let mut number = 0;
    while lane.write_group(&[block(number, 5000)]).map_err(|error| assert_eq!(error, JournalError::DiskFull)).is_ok() {
        number += 1;
    }
    assert!(journal.is_full());
    assert_eq!(lane.write_group(&[block(number, 5000)]), Err(JournalError::DiskFull));
    let (_, _, found) = open(&disk.crash(2));
    assert_eq!(found, range(0, number), "nothing acknowledged is lost");
    // More space, and later recycling instead of more space: both resume.
    disk.set_capacity(Some(4 * SEGMENT + SEGMENT / 2));
    while lane.write_group(&[block(number, 5000)]).is_ok() {
        number += 1;
    }
    assert!(journal.is_full());
    pass_until(&journal, number - 2);
    for _ in 0..100 {
        lane.write_group(&[block(number, 5000)]).expect("resumes");
        number += 1;
        pass_until(&journal, number - 2);
    }
    assert!(!journal.is_full());
    for seed in 0..20 {
        assert_eq!(open(&disk.crash(seed)).2.last(), Some(&(number - 1)));
    }
}

#[test]
fn a_start_on_a_full_disk_recovers_and_waits_for_space() {
    let disk = MemoryDisk::tracked();
    write(&mut open(&disk).1, 0, 40);
    let full = disk.crash_keep_all();
    full.set_capacity(Some(full.used_bytes() + 24_000));
    let (journal, mut lane, found) = open(&full);
    assert_eq!(found, range(0, 40), "the tail fits a small segment");
    while lane.write_group(&[block(40, 5000)]).is_ok() {}
    assert!(journal.is_full());
    let fuller = full.crash_keep_all();
    fuller.set_capacity(Some(fuller.used_bytes()));
    lane.finish().expect("marks the end");
    let clean = full.crash_keep_all();
    clean.set_capacity(Some(clean.used_bytes()));
    let (journal, mut lane, found) = open(&clean);
    assert_eq!(found.len(), open(&clean.crash_keep_all()).2.len());
    assert!(journal.is_full());
    assert_eq!(lane.write_group(&[block(41, 10)]), Err(JournalError::DiskFull));
    clean.set_capacity(None);
    lane.write_group(&[block(41, 10)]).expect("resumes");
    assert!(!journal.is_full());
}

#[test]
fn a_lane_without_a_segment_finds_space_without_a_group() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    write(&mut lane, 0, 3);
    lane.finish().expect("marks the end");
    let full = disk.crash_keep_all();
    full.set_capacity(Some(full.used_bytes()));
    let (journal, mut lane, _) = open(&full);
    assert!(journal.is_full() && lane.wants_space());
    lane.look_for_space().expect("a full disk is no failure");
    assert!(journal.is_full() && lane.wants_space());
    full.set_capacity(None);
    lane.look_for_space().expect("opens a segment");
    assert!(!journal.is_full() && !lane.wants_space());
    write(&mut lane, 3, 6);
    assert_eq!(open(&full.crash(1)).2, range(0, 6));
}

#[test]
fn ingest_waits_at_the_bound_but_never_for_the_segment_being_written() {
    let disk = MemoryDisk::new();
    let config = JournalConfig { segment_bytes: SEGMENT, tail_bytes_max: 10_000, ..JournalConfig::default() };
    let (journal, _) = Journal::open(Arc::new(disk), ID, config, spans_of).expect("opens");
    let mut lane = journal.take_lane(0).expect("first take");
    write(&mut lane, 0, 4);
    assert!(journal.tail_bytes() > 10_000);
    assert!(!journal.must_wait(), "no snapshot could let go of anything");
    write(&mut lane, 4, 20);
    assert!(journal.must_wait());
    pass_until(&journal, 20);
    assert!(!journal.must_wait());
}
