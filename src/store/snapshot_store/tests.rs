//! Snapshots: publishing, generations, damage.

use super::*;
use crate::domain::ids::Millis;
use crate::store::disk::read_all;
use crate::store::memory::MemoryDisk;

const P: PartitionId = PartitionId(123);

fn open(disk: &MemoryDisk) -> SnapshotStore {
    SnapshotStore::open(Arc::new(disk.clone())).expect("opens")
}

/// Takes one snapshot: these pages, the cut also as part and meta.
fn take(store: &SnapshotStore, cut: u64, pages: &[(u32, u8)]) -> Result<SnapshotKind, StoreError> {
    let mut writer = store.begin(P, Pseq(cut), &cut.to_le_bytes())?;
    for (page, fill) in pages {
        writer.page(*page, &[*fill; 3000])?;
    }
    writer.parts(b"parts of ")?;
    writer.parts(cut.to_string().as_bytes())?;
    let finished = writer.finish(Millis(cut as i64))?;
    let kind = finished.kind;
    store.publish(vec![finished])?;
    Ok(kind)
}

fn check(loaded: &Loaded, cut: u64, pages: &[(u32, u8)]) {
    assert_eq!(loaded.cut, Pseq(cut));
    assert_eq!((&loaded.meta[..], &loaded.parts[..]), (&cut.to_le_bytes()[..], format!("parts of {cut}").as_bytes()));
    let found: Vec<(u32, u8)> = loaded.pages.iter().map(|(page, bytes)| (*page, bytes[0])).collect();
    assert_eq!(found, pages);
    assert!(loaded.pages.values().all(|bytes| bytes.len() == 3000));
}

fn load(store: &SnapshotStore) -> Loaded {
    store.load(P).expect("loads").expect("has a snapshot")
}

fn files(disk: &MemoryDisk) -> Vec<String> {
    disk.list("snapshots/p0123").expect("lists")
}

#[test]
fn a_snapshot_reads_back_after_a_power_cut() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    assert_eq!(store.load(P).expect("loads"), None);
    assert_eq!(take(&store, 10, &[(0, 1), (7, 2)]).expect("publishes"), SnapshotKind::Full);
    for seed in 0..20 {
        check(&load(&open(&disk.crash(seed))), 10, &[(0, 1), (7, 2)]);
    }
    assert_eq!(store.latest(P).expect("there").next_due, Millis(10));
    assert_eq!(store.all_latest().len(), 1);
    assert_eq!(store.recyclable_until(P), Pseq(0), "one point is no reason to forget");
}

#[test]
fn snapshots_without_any_manifest_are_refused_and_left_alone() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    take(&store, 10, &[(0, 1)]).expect("publishes");
    take(&store, 20, &[(0, 2)]).expect("publishes");
    let before = files(&disk);
    for copy in ["snapshots/manifest-0", "snapshots/manifest-1"] {
        disk.remove(copy).expect("removes");
    }
    let error = SnapshotStore::open(Arc::new(disk.clone())).expect_err("no manifest").to_string();
    assert!(error.contains("snapshots/manifest-0") && error.contains("snapshots/p0123/2.snap"), "{error}");
    assert_eq!(files(&disk), before, "what an operator may still restore stays");
}

#[test]
fn the_file_of_a_crashed_first_snapshot_needs_no_manifest() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    store.begin(P, Pseq(10), b"").expect("begins").finish(Millis::NEVER).expect("finishes, is never published");
    assert_eq!(open(&disk).load(P).expect("loads"), None);
    assert_eq!(files(&disk), Vec::<String>::new());
}

#[test]
fn deltas_overlay_the_full_file_and_are_bounded() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    let all: Vec<(u32, u8)> = (0..50).map(|page| (page, 0)).collect();
    take(&store, 1, &all).expect("publishes");
    let mut kinds = Vec::new();
    for cut in 2..=12u64 {
        // A full file is due when the store says so; a real partition then writes all of its pages.
        let due = store.kind_due(P);
        let mut now = all.clone();
        now[1] = (1, cut as u8);
        now[2] = (2, if due == SnapshotKind::Full { 200 } else { 0 });
        let pages = if due == SnapshotKind::Full { now.clone() } else { vec![now[1]] };
        kinds.push(take(&store, cut, &pages).expect("publishes"));
        let reopened = open(&disk.crash(cut));
        assert_eq!(load(&reopened).pages[&1][0], cut as u8);
        assert_eq!(load(&reopened).pages.len(), 50);
        assert_eq!(reopened.recyclable_until(P), Pseq(cut - 1));
    }
    let full: Vec<usize> =
        kinds.iter().enumerate().filter(|(_, kind)| **kind == SnapshotKind::Full).map(|(index, _)| index).collect();
    assert_eq!(full, [8], "the ninth builds anew");
}

#[test]
fn deltas_larger_than_the_full_file_end_the_chain() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    take(&store, 1, &[(0, 1), (1, 1)]).expect("publishes");
    assert!(matches!(
        take(&store, 2, &[(0, 2), (1, 2)]).expect("publishes"),
        SnapshotKind::Delta { base_generation: 1 }
    ));
    assert!(matches!(
        take(&store, 3, &[(0, 3), (1, 3)]).expect("publishes"),
        SnapshotKind::Delta { base_generation: 2 }
    ));
    assert_eq!(store.kind_due(P), SnapshotKind::Full);
}

#[test]
fn files_that_no_point_needs_are_removed() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    for cut in 1..=40 {
        take(&store, cut, &[(0, 1)]).expect("publishes");
        // Two points with their chains, and what the other copy of the manifest still names.
        assert!(files(&disk).len() <= 2 * (DELTA_LINKS_MAX + 1) + 1, "{:?}", files(&disk));
    }
    drop(store.begin(P, Pseq(41), b"never finished"));
    let other = SnapshotWriter::begin(Arc::new(disk.clone()), PartitionId(7), 1, SnapshotKind::Full, Pseq(1), b"");
    other.expect("begins").finish(Millis::NEVER).expect("finishes, is never published");
    disk.create("snapshots/p0123/99.snap.tmp").expect("left by a crash");
    let store = open(&disk);
    assert_eq!(load(&store).cut, Pseq(40));
    assert!(disk.list("snapshots/p0007").expect("lists").is_empty());
    assert!(files(&disk).iter().all(|name| !name.contains("tmp") && !name.starts_with("41")));
}

#[test]
fn a_damaged_newest_file_falls_back_to_the_point_before() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    take(&store, 1, &[(0, 1)]).expect("publishes");
    take(&store, 2, &[(0, 2)]).expect("publishes");
    let intact = read_all(&disk, "snapshots/p0123/2.snap").expect("reads");
    for offset in (0..12).chain((0..intact.len() as u64).step_by(37)) {
        let disk = disk.crash_keep_all();
        disk.corrupt("snapshots/p0123/2.snap", offset, 0x10);
        let store = open(&disk);
        let loaded = store.load(P).expect("falls back").expect("there");
        check(&loaded, 1, &[(0, 1)]);
        assert!(loaded.fell_back.expect("says so").contains("2.snap"));
        // The next snapshot builds on nothing damaged, and the good old point stays the older one.
        assert_eq!(take(&store, 3, &[(0, 3)]).expect("publishes"), SnapshotKind::Full);
        assert_eq!(store.recyclable_until(P), Pseq(1));
        check(&load(&open(&disk)), 3, &[(0, 3)]);
    }
}

#[test]
fn a_torn_file_is_noticed_wherever_it_ends() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    take(&store, 1, &[(0, 1)]).expect("publishes");
    take(&store, 2, &[(0, 2)]).expect("publishes");
    let len = read_all(&disk, "snapshots/p0123/2.snap").expect("reads").len() as u64;
    for cut in [0, 3, 39, 60, 100, 3000, len - 1] {
        let disk = disk.crash_keep_all();
        let mut file = crate::store::disk::Disk::open_write(&disk, "snapshots/p0123/2.snap").expect("opens");
        file.set_len(cut).expect("cuts");
        check(&load(&open(&disk)), 1, &[(0, 1)]);
    }
}

#[test]
fn two_damaged_points_are_an_error_that_names_the_files() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    take(&store, 1, &[(0, 1)]).expect("publishes");
    take(&store, 2, &[(0, 2)]).expect("publishes");
    disk.corrupt("snapshots/p0123/1.snap", 200, 1);
    disk.remove("snapshots/p0123/2.snap").expect("removes");
    let error = open(&disk).load(P).expect_err("damaged").to_string();
    assert!(error.contains("p0123/1.snap") && error.contains("partition 123"), "{error}");
}

#[test]
fn a_damaged_copy_of_the_manifest_costs_one_round_and_two_are_refused() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    for cut in 1..=5 {
        take(&store, cut, &[(0, cut as u8)]).expect("publishes");
    }
    let newest = format!("snapshots/manifest-{}", 5 % 2);
    // A bit of the format is a bit like any other: only a manifest that holds can be of a newer one.
    let in_format = disk.crash_keep_all();
    in_format.corrupt(&newest, 5, 1);
    check(&load(&open(&in_format)), 4, &[(0, 4)]);
    disk.corrupt(&newest, 30, 1);
    let store = open(&disk.crash_keep_all());
    check(&load(&store), 4, &[(0, 4)]);
    take(&store, 6, &[(0, 6)]).expect("publishes");
    check(&load(&store), 6, &[(0, 6)]);
    disk.corrupt("snapshots/manifest-0", 30, 1);
    assert!(matches!(SnapshotStore::open(Arc::new(disk)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new_state() {
    let before = MemoryDisk::tracked();
    let store = open(&before);
    // Full with seven pages, so that the deltas stay deltas.
    let with_first = |fill| -> Vec<(u32, u8)> { (0..7).map(|page| (page, if page == 0 { fill } else { 1 })).collect() };
    let mut newest = Vec::new();
    for cut in 1..=3 {
        newest = with_first(cut as u8);
        take(&store, cut, if cut == 1 { &newest } else { &newest[..1] }).expect("publishes");
    }
    let mut finished = false;
    for stop in 0.. {
        let disk = before.crash_keep_all();
        let store = open(&disk);
        disk.stop_after(stop);
        let published = take(&store, 4, &[(0, 4)]).is_ok();
        for seed in 0..12 {
            let left = if seed == 0 { disk.crash_keep_all() } else { disk.crash(seed) };
            let store = open(&left);
            let loaded = load(&store);
            assert_eq!(loaded.fell_back, None, "stop {stop} seed {seed}");
            match loaded.cut.0 {
                4 => check(&loaded, 4, &with_first(4)),
                3 if !published => check(&loaded, 3, &newest),
                cut => panic!("stop {stop} seed {seed}: cut {cut}"),
            }
            // Whatever was left, the next snapshot works, and a crash of it too.
            take(&store, 5, &[(0, 5)]).expect("publishes");
            check(&load(&open(&left.crash(seed))), 5, &with_first(5));
        }
        if published && finished {
            break;
        }
        finished = published;
    }
}

#[test]
fn a_full_disk_leaves_no_half_file() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    take(&store, 1, &[(0, 1)]).expect("publishes");
    disk.set_capacity(Some(disk.used_bytes() + 1000));
    assert!(matches!(take(&store, 2, &[(0, 2)]), Err(StoreError::DiskFull { .. })));
    assert_eq!(files(&disk), ["1.snap"]);
    disk.set_capacity(None);
    take(&store, 2, &[(0, 2)]).expect("publishes");
    check(&load(&store), 2, &[(0, 2)]);
}

#[test]
fn file_and_manifest_are_as_the_golden_files_have_them() {
    let disk = MemoryDisk::tracked();
    let store = open(&disk);
    let mut writer = store.begin(P, Pseq(10), b"meta").expect("begins");
    writer.page(7, b"a page").expect("writes");
    writer.parts(b"parts").expect("writes");
    store.publish(vec![writer.finish(Millis(99)).expect("finishes")]).expect("publishes");
    let shown = |path| {
        let bytes = read_all(&disk, path).expect("reads");
        let row = |row: &[u8]| row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        bytes.chunks(16).map(row).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("snapshot_format_1", shown("snapshots/p0123/1.snap"));
    insta::assert_snapshot!("manifest_format_1", shown("snapshots/manifest-1"));
}
