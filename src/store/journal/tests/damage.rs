//! Damaged bytes: what is corruption and what a torn tail.

use super::*;
use crate::store::disk::read_all;

const FIRST: &str = "journal/lane-00/000001.seg";

/// Five groups in the first segment; where each begins.
fn five_groups(disk: &MemoryDisk) -> Vec<Position> {
    let (_, mut lane, _) = open(disk);
    (0..5).map(|number| lane.write_group(&[block(number, 5000)]).expect("writes")).collect()
}

#[test]
fn a_flipped_bit_before_a_proof_is_refused_with_its_place() {
    // Header, table, block; of the first group, and of the last but one.
    for group in [0, 3] {
        for within in [5, 36, 90, 200, 4096] {
            let disk = MemoryDisk::tracked();
            let positions = five_groups(&disk);
            disk.corrupt(FIRST, positions[group].offset + within, 0x40);
            let found = place(try_open(&disk));
            assert_eq!(found, (FIRST.to_owned(), positions[group].offset), "group {group} byte {within}");
        }
    }
}

#[test]
fn a_flipped_bit_in_the_torn_tail_is_cut() {
    for within in [5, 36, 90, 200, 4096] {
        let disk = MemoryDisk::tracked();
        let positions = five_groups(&disk);
        disk.corrupt(FIRST, positions[4].offset + within, 0x40);
        let (_, mut lane, found) = open(&disk);
        assert_eq!(found, range(0, 4), "byte {within}");
        write(&mut lane, 4, 30);
        assert_eq!(open(&disk.crash(within)).2, range(0, 30));
    }
}

#[test]
fn a_flipped_bit_in_padding_does_no_harm() {
    let disk = MemoryDisk::tracked();
    let positions = five_groups(&disk);
    disk.corrupt(FIRST, positions[1].offset - 1, 0xff);
    assert_eq!(open(&disk).2, range(0, 5));
}

#[test]
fn a_damaged_segment_in_the_middle_is_refused_with_its_place() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    let positions: Vec<Position> =
        (0..60).map(|number| lane.write_group(&[block(number, 5000)]).expect("writes")).collect();
    let last_of_first = positions.iter().rev().find(|position| position.segment == 1).expect("the first is full");
    disk.corrupt(FIRST, last_of_first.offset + 100, 1);
    assert_eq!(place(try_open(&disk)), (FIRST.to_owned(), last_of_first.offset));
}

#[test]
fn a_missing_segment_is_refused() {
    for missing in 1..=4 {
        let disk = MemoryDisk::tracked();
        let (_, mut lane, _) = open(&disk);
        write(&mut lane, 0, 60);
        assert!(segment_files(&disk) > 5);
        disk.remove(&format!("journal/lane-00/{missing:06}.seg")).expect("removes");
        let error = try_open(&disk).expect_err("a gap").to_string();
        assert!(error.contains("missing") && error.contains(&format!("{:06}.seg", missing + 1)), "{error}");
    }
}

#[test]
fn one_damaged_header_page_is_survived_and_two_are_refused() {
    for missing in [1, 2, 6] {
        let path = format!("journal/lane-00/{missing:06}.seg");
        let disk = MemoryDisk::tracked();
        let (_, mut lane, _) = open(&disk);
        write(&mut lane, 0, 60);
        drop(lane);
        disk.corrupt(&path, 30, 2);
        assert_eq!(open(&disk.crash_keep_all()).2, range(0, 60));
        disk.corrupt(&path, 4096 + 30, 2);
        assert_eq!(place(try_open(&disk)), (path, 0));
    }
}

#[test]
fn a_damaged_rewrite_that_was_served_from_is_refused_not_ignored() {
    let disk = MemoryDisk::tracked();
    five_groups(&disk);
    let (_, mut lane, found) = open(&disk);
    assert_eq!(found, range(0, 5));
    write(&mut lane, 5, 8);
    // The second segment begins with the rewritten group 4. Damaged, it looks like an interrupted rewrite.
    let second = "journal/lane-00/000002.seg";
    disk.corrupt(second, HEADERS_BYTES + 100, 1);
    assert_eq!(place(try_open(&disk)), (second.to_owned(), HEADERS_BYTES));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let disk = MemoryDisk::tracked();
    five_groups(&disk);
    disk.corrupt(FIRST, 4, JOURNAL_FORMAT as u8 ^ 9);
    let error = try_open(&disk).expect_err("format 9");
    assert!(matches!(error, StoreError::NewerFormat { found: 9, supported: 1, .. }), "{error}");
}

/// Puts the pages of the header back as they were: one write that the disk acknowledged and never did.
fn lose_header(disk: &MemoryDisk, path: &str, before: &[u8]) {
    let mut file = disk.open_write(path).expect("opens");
    file.write_at(&before[..HEADERS_BYTES as usize], 0).and_then(|()| file.sync()).expect("writes");
}

#[test]
fn a_lost_header_over_an_earlier_use_is_refused_not_taken_for_that_use() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    let incarnation = |bytes: &[u8]| u64::from_le_bytes(bytes[24..32].try_into().expect("eight"));
    let (mut number, mut before) = (0, Vec::new());
    // Until the first file is in use again, with a few groups in it.
    loop {
        write(&mut lane, number, number + 1);
        number += 1;
        pass_until(&journal, number - 1);
        let now = read_all(&disk, FIRST).expect("reads");
        if incarnation(&now) > 1 {
            break;
        }
        before = now;
    }
    write(&mut lane, number, number + 3);
    drop(lane);
    lose_header(&disk, FIRST, &before);
    assert_eq!(place(try_open(&disk)), (FIRST.to_owned(), 0));
}

#[test]
fn a_lost_header_of_a_fresh_segment_is_refused_not_taken_for_a_spare() {
    let disk = MemoryDisk::tracked();
    five_groups(&disk);
    let mut spare = b"SJSPARE\0".to_vec();
    spare.resize(HEADERS_BYTES as usize, 0);
    lose_header(&disk, FIRST, &spare);
    assert_eq!(place(try_open(&disk)), (FIRST.to_owned(), 0));
}
