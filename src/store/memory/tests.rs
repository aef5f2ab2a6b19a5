//! The disk in memory: what survives which crash.

use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::store::disk::{Disk as _, read_all, replace};

fn disk_with(path: &str, synced: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::tracked();
    let mut file = disk.create(path).expect("creates");
    file.write_at(synced, 0).expect("writes");
    file.sync().expect("syncs");
    disk.sync_dir("").expect("syncs");
    disk
}

#[test]
fn synced_bytes_survive_and_unsynced_ones_are_kept_lost_or_torn() {
    let disk = disk_with("a", &[1; 4 * SECTOR]);
    let mut file = disk.open_write("a").expect("opens");
    file.write_at(&[2; 4 * SECTOR], 0).expect("writes");
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let left = read_all(&disk.crash(seed), "a").expect("survives");
        assert_eq!(left.len(), 4 * SECTOR);
        let new = left.chunks(SECTOR).filter(|sector| sector.iter().all(|byte| *byte == 2)).count();
        let old = left.chunks(SECTOR).filter(|sector| sector.iter().all(|byte| *byte == 1)).count();
        assert_eq!(new + old, 4, "a sector is never mixed");
        match new {
            4 => kept += 1,
            0 => lost += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
    file.sync().expect("syncs");
    assert!((0..50).all(|seed| read_all(&disk.crash(seed), "a").expect("survives") == [2; 4 * SECTOR]));
}

#[test]
fn a_killed_process_leaves_bytes_that_are_not_yet_durable() {
    let disk = disk_with("a", b"old");
    disk.open_write("a").expect("opens").write_at(b"new", 0).expect("writes");
    let killed = disk.crash_keep_all();
    assert_eq!(read_all(&killed, "a").expect("there"), b"new");
    assert!((0..50).any(|seed| read_all(&killed.crash(seed), "a").expect("there") == b"old"));
}

#[test]
fn a_failed_sync_is_not_mended_by_another_sync_but_by_writing_again() {
    let disk = disk_with("a", b"old");
    let mut file = disk.open_write("a").expect("opens");
    disk.fail_sync(1, Times::Once);
    file.write_at(b"new", 0).expect("writes");
    assert!(file.sync().is_err());
    file.sync().expect("the second sync claims success");
    assert_eq!(read_all(&disk, "a").expect("there"), b"new");
    assert!((0..50).any(|seed| read_all(&disk.crash(seed), "a").expect("there") == b"old"));
    file.write_at(b"new", 0).expect("writes");
    file.sync().expect("syncs");
    assert!((0..50).all(|seed| read_all(&disk.crash(seed), "a").expect("there") == b"new"));
}

#[test]
fn entries_are_durable_after_the_directory_sync_only() {
    let disk = MemoryDisk::tracked();
    let mut file = disk.create("d/a").expect("creates");
    file.write_at(b"x", 0).expect("writes");
    file.sync().expect("syncs");
    assert!((0..50).any(|seed| disk.crash(seed).list("d").expect("lists").is_empty()));
    disk.sync_dir("d").expect("syncs");
    assert!((0..50).all(|seed| disk.crash(seed).list("d").expect("lists") == ["a"]));
    disk.rename("d/a", "d/b").expect("renames");
    let after: BTreeMap<_, _> = (0..50).map(|seed| (disk.crash(seed).list("d").expect("lists"), ())).collect();
    assert_eq!(after.into_keys().collect::<Vec<_>>(), [["a"], ["b"]]);
}

#[test]
fn a_replaced_file_is_old_or_new_wherever_the_machine_stops() {
    for stop in 0..8 {
        let disk = disk_with("a", b"old");
        disk.stop_after(stop);
        let done = replace(&disk, "", "a", b"newer").is_ok();
        for seed in 0..20 {
            let left = read_all(&disk.crash(seed), "a").expect("never gone");
            assert!(left == b"newer" || (!done && left == b"old"), "stop {stop} seed {seed}: {left:?}");
        }
    }
}

#[test]
fn a_full_disk_refuses_growth_and_a_short_write_reports_itself() {
    let disk = disk_with("a", b"12345678");
    disk.set_capacity(Some(16));
    assert_eq!(disk.free_bytes().expect("asks"), 8);
    let mut file = disk.open_write("a").expect("opens");
    assert_eq!(file.set_len(17).expect_err("too large").kind(), io::ErrorKind::StorageFull);
    file.set_len(16).expect("fits");
    disk.fail_write(1);
    assert!(file.write_at(b"abcd", 0).is_err());
    assert_eq!(&read_all(&disk, "a").expect("there")[..8], b"ab345678");
    disk.remove("a").expect("removes");
    assert_eq!(disk.free_bytes().expect("asks"), 16);
}

#[test]
fn what_a_short_write_leaves_over_is_written_after_it() {
    let disk = disk_with("a", b"12345678");
    disk.shorten_write(1);
    let before = disk.operations();
    disk.open_write("a").expect("opens").write_at(b"abcd", 2).expect("writes");
    assert_eq!(read_all(&disk, "a").expect("there"), b"12abcd78");
    assert_eq!(disk.operations(), before + 2, "one write that was short, one for the rest");
    assert_eq!(disk.take_struck(), Struck::from([("disk: short write", 1)]));
}

#[test]
fn a_read_that_a_fault_strikes_is_wrong_once() {
    let whole: Vec<u8> = (0..1_500).map(|n| (n / 7) as u8).collect();
    let disk = disk_with("a", &whole);
    for fault in [ReadFault::FlippedBit, ReadFault::StaleSector] {
        disk.fail_read(1, fault);
        assert_ne!(read_all(&disk, "a").expect("there"), whole, "{fault:?}");
        assert_eq!(read_all(&disk, "a").expect("there"), whole, "{fault:?}");
    }
    assert_eq!(disk.take_struck().len(), 2);
}

#[test]
fn a_cut_file_comes_back_whole_or_stays_cut() {
    let disk = disk_with("a", &[7; 1000]);
    disk.open_write("a").expect("opens").set_len(100).expect("cuts");
    for seed in 0..50 {
        let len = read_all(&disk.crash(seed), "a").expect("there").len();
        assert!(len == 100 || len == 1000);
    }
}

#[test]
fn threads_that_come_to_the_last_operation_together_share_it() {
    for operations in 0..200 {
        let disk = disk_with("a", b"12345678");
        disk.stop_after(operations % 4);
        let before = disk.operations();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let disk = disk.clone();
                std::thread::spawn(move || disk.open_write("a").and_then(|mut file| file.write_at(b"x", 0)).is_ok())
            })
            .collect();
        let written = writers.into_iter().map(|writer| writer.join().expect("no panic")).filter(|ok| *ok).count();
        assert_eq!((written as u64, disk.operations() - before), (operations % 4, operations % 4));
    }
}
