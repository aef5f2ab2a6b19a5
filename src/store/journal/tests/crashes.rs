//! Crashes at any step of the journal.

use proptest::prelude::*;

use super::*;
use crate::store::disk::read_all;
use crate::store::memory::Times;

#[test]
fn a_torn_group_over_a_recycled_segment_does_not_continue_with_old_bytes() {
    let disk = MemoryDisk::tracked();
    let (journal, mut lane, _) = open(&disk);
    // Fill several segments with groups of one size, so that old groups stand exactly behind new ones.
    for number in 0..200 {
        lane.write_group(&[block(number, 3000)]).expect("writes");
        pass_until(&journal, number);
    }
    assert!(segment_files(&disk) <= 5);
    disk.stop_after(1);
    assert!(lane.write_group(&[block(200, 7000)]).is_err(), "written, never synced");
    for seed in 0..100 {
        let (_, _, found) = open(&disk.crash(seed));
        let last = *found.last().expect("a tail");
        assert!(last == 199 || last == 200, "seed {seed}: {last}");
        assert_eq!(found, range(found[0], last + 1), "seed {seed}");
    }
}

/// A lane whose next group overwrites its first segment: two are full and passed, the third is full. And its number.
fn about_to_overwrite(disk: &MemoryDisk) -> (Lane, u64) {
    let (journal, mut lane, _) = open(disk);
    let mut number = 0;
    while journal.segment_count() < 3 {
        write(&mut lane, number, number + 1);
        number += 1;
    }
    let per_segment = (number - 1) / 2;
    write(&mut lane, number, number + per_segment - 1);
    pass_until(&journal, number + per_segment - 1);
    (lane, number + per_segment - 1)
}

#[test]
fn a_crash_while_a_segment_is_overwritten_is_no_lost_segment() {
    let mut torn = 0;
    for stop in 0..10 {
        let disk = MemoryDisk::tracked();
        let (mut lane, number) = about_to_overwrite(&disk);
        let files = segment_files(&disk);
        let first = "journal/lane-00/000001.seg";
        let header = |disk: &MemoryDisk| read_all(disk, first).expect("reads")[..100].to_vec();
        let old_header = header(&disk);
        disk.stop_after(stop);
        let acknowledged = lane.write_group(&[block(number, 5000)]).is_ok();
        for seed in 0..40 {
            let (_, _, found) = open(&disk.crash(seed));
            let end = found.last().map_or(0, |last| last + 1);
            assert!(end == number + 1 || (!acknowledged && end == number), "stop {stop} seed {seed}: {end}");
        }
        let killed = disk.crash_keep_all();
        if torn == 0 && header(&killed) != old_header {
            // Stopped between the header and its sync. A disk may tear inside a sector, too: neither copy of the header holds, old groups stand behind them.
            killed.corrupt(first, 30, 1);
            killed.corrupt(first, 4096 + 30, 1);
            assert_eq!(open(&killed).2.last(), Some(&(number - 1)), "stop {stop}");
            torn += 1;
        }
        if acknowledged {
            assert!(torn > 0, "the header was torn at least once");
            assert!(stop > 3, "releasing, the header and the group take more operations than that");
            assert_eq!(lane.segment.as_ref().expect("open").incarnation, 4);
            assert_eq!(segment_files(&disk.crash_keep_all()), files, "an old file was used");
            return;
        }
    }
    panic!("the group never got through");
}

#[test]
fn a_failed_sync_poisons_the_lane_and_is_not_trusted_after_a_restart() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    write(&mut lane, 0, 5);
    disk.fail_sync(1, Times::Once);
    assert!(matches!(lane.write_group(&[block(5, 100)]), Err(JournalError::Poisoned { .. })));
    let writes = disk.operations();
    assert!(matches!(lane.write_group(&[block(6, 100)]), Err(JournalError::Poisoned { .. })));
    assert!(lane.finish().is_err());
    assert_eq!(disk.operations(), writes, "nothing is retried, nothing more is written");
    // The process restarts: the page cache shows the group, the platter may not have it.
    let restarted = disk.crash_keep_all();
    let (_, _, shown) = open(&restarted);
    assert_eq!(shown, range(0, 6));
    for seed in 0..100 {
        assert_eq!(open(&restarted.crash(seed)).2, range(0, 6), "seed {seed}: what a start showed stays");
    }
}

#[test]
fn a_failed_write_poisons_the_lane() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    write(&mut lane, 0, 5);
    disk.fail_write(1);
    assert!(matches!(lane.write_group(&[block(5, 20_000)]), Err(JournalError::Poisoned { .. })));
    assert!(lane.write_group(&[block(5, 20_000)]).is_err());
    assert_eq!(open(&disk.crash_keep_all()).2, range(0, 5));
}

#[test]
fn an_unsynced_tail_is_rewritten_before_a_start_shows_it() {
    let disk = MemoryDisk::tracked();
    let (_, mut lane, _) = open(&disk);
    write(&mut lane, 0, 20);
    disk.stop_after(1);
    assert!(lane.write_group(&[block(20, 9000)]).is_err(), "written, not synced: killed here");
    let killed = disk.crash_keep_all();
    let (_, _, shown) = open(&killed);
    assert_eq!(shown, range(0, 21), "the page cache still has it, a repeat would be acknowledged as duplicate");
    for seed in 0..200 {
        assert_eq!(open(&killed.crash(seed)).2, range(0, 21), "seed {seed}");
    }
}

#[test]
fn starts_that_crash_while_rewriting_lose_nothing_however_often() {
    // With 25 groups most are proven; of one nothing is, and each start's copy of it may be the only one.
    for count in [25, 1] {
        let disk = MemoryDisk::tracked();
        let (_, mut lane, _) = open(&disk);
        write(&mut lane, 0, count);
        let killed = disk.crash_keep_all();
        for seed in 0..120 {
            let mut disk = killed.crash_keep_all();
            for round in 0..6 {
                let stop = (seed * 7 + round * 5) % 11;
                disk.stop_after(stop);
                drop(try_open(&disk));
                // The last group was acknowledged: no power cut may take it.
                disk = if (seed + round) % 3 == 0 { disk.crash(seed * 100 + round) } else { disk.crash_keep_all() };
            }
            let (_, mut lane, found) = open(&disk);
            assert_eq!(found, range(0, count), "seed {seed}");
            write(&mut lane, count, count + 15);
            assert_eq!(open(&disk.crash(seed)).2, range(0, count + 15), "seed {seed}");
            assert!(segment_files(&disk) < 12, "crashed starts leave no files: {}", segment_files(&disk));
        }
    }
}

#[test]
fn a_rewrite_larger_than_a_segment_is_all_or_nothing() {
    let disk = MemoryDisk::tracked();
    // Without syncs the whole of the last segment is unproven; the next start uses much smaller segments.
    let unsynced = JournalConfig { segment_bytes: 16 * SEGMENT, sync: SyncMode::Off, ..config() };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), ID, unsynced, spans_of).expect("opens");
    write(&mut journal.take_lane(0).expect("first take"), 0, 60);
    let killed = disk.crash_keep_all();
    for stop in (0..80).step_by(3) {
        let disk = killed.crash_keep_all();
        disk.stop_after(stop);
        let shown = try_open(&disk).is_ok();
        let (_, _, found) = open(&disk.crash_keep_all());
        assert_eq!(found, range(0, 60), "stop {stop}: the page cache has all");
        for seed in 0..5 {
            let (_, _, found) = open(&disk.crash(seed));
            assert_eq!(found, range(0, found.len() as u64), "stop {stop} seed {seed}: a prefix");
            assert!(!shown || found.len() == 60, "stop {stop} seed {seed}: what was shown is gone");
        }
    }
}

#[test]
fn restarts_without_writes_do_not_pile_up_files() {
    let disk = MemoryDisk::tracked();
    write(&mut open(&disk).1, 0, 30);
    let before = segment_files(&disk);
    for _ in 0..20 {
        assert_eq!(open(&disk).2, range(0, 30));
    }
    assert!(segment_files(&disk) <= before + 3, "{} files", segment_files(&disk));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// One group of this many blocks of this many bytes.
    Append { blocks: u64, bytes: usize },
    /// Snapshots pass everything but the last few records.
    Pass { all_but: u64 },
    /// The machine stops in the middle of the next group.
    StopInGroup { operations: u64 },
    /// The next sync fails.
    FailSync,
    /// A clean stop and a start.
    Restart,
    /// `kill -9` and a start.
    Kill,
    /// A power cut and a start.
    PowerCut { seed: u64 },
    /// A start that stops after some operations; then a kill or a power cut.
    CrashedStart { operations: u64, power_cut: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..4u64, prop_oneof![0..100usize, 2000..9000usize, 15_000..30_000usize])
            .prop_map(|(blocks, bytes)| Step::Append { blocks, bytes }),
        4 => (0..12u64).prop_map(|all_but| Step::Pass { all_but }),
        2 => (0..6u64).prop_map(|operations| Step::StopInGroup { operations }),
        1 => Just(Step::FailSync),
        1 => Just(Step::Restart),
        2 => Just(Step::Kill),
        3 => any::<u64>().prop_map(|seed| Step::PowerCut { seed }),
        3 => (0..14u64, proptest::option::of(any::<u64>()))
            .prop_map(|(operations, power_cut)| Step::CrashedStart { operations, power_cut }),
    ]
}

/// The journal beside what it must hold: blocks are numbered without gaps.
struct Checked {
    disk: MemoryDisk,
    running: Option<(Journal, Lane)>,
    /// Numbers below were acknowledged, or shown by a start.
    promised: u64,
    /// Numbers below were handed to the lane.
    written: u64,
    /// Numbers below were passed.
    passed: u64,
}

impl Checked {
    fn start(&mut self) {
        let (journal, lane, found) = open(&self.disk);
        let first = found.first().copied().unwrap_or(self.promised);
        let end = first + found.len() as u64;
        assert_eq!(found, range(first, end), "in order, without gaps");
        assert!(first <= self.passed || found.is_empty(), "{first} is kept, {} was passed", self.passed);
        assert!(!found.is_empty() || self.passed >= self.promised, "all gone before all was passed");
        assert!(end >= self.promised, "{end} recovered, {} promised", self.promised);
        assert!(end <= self.written, "{end} recovered, {} ever written", self.written);
        self.promised = end;
        self.written = end;
        self.running = Some((journal, lane));
        self.tell_passed();
    }

    fn tell_passed(&self) {
        let (journal, _) = self.running.as_ref().expect("running");
        pass_until(journal, self.passed);
    }

    fn append(&mut self, blocks: u64, bytes: usize) -> bool {
        let group: Vec<Block> = (self.written..self.written + blocks).map(|number| block(number, bytes)).collect();
        self.written += blocks;
        let (_, lane) = self.running.as_mut().expect("running");
        let acknowledged = lane.write_group(&group).is_ok();
        if acknowledged {
            self.promised = self.written;
        }
        acknowledged
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { blocks, bytes } => assert!(self.append(blocks, bytes), "nothing is wrong with the disk"),
            Step::Pass { all_but } => {
                self.passed = self.passed.max(self.promised.saturating_sub(all_but));
                self.tell_passed();
            }
            Step::StopInGroup { operations } => {
                self.disk.stop_after(operations);
                self.append(2, 6000);
            }
            Step::FailSync => {
                self.disk.fail_sync(1, Times::Once);
                if !self.append(1, 100) {
                    assert!(self.running.as_mut().expect("running").1.write_group(&[block(0, 0)]).is_err());
                }
                self.disk = self.disk.crash_keep_all();
                self.start();
            }
            Step::Restart => {
                // A machine that has stopped can't stop cleanly; it starts all the same.
                drop(self.running.as_mut().expect("running").1.finish());
                self.disk = self.disk.crash_keep_all();
                self.start();
            }
            Step::Kill => {
                self.disk = self.disk.crash_keep_all();
                self.start();
            }
            Step::PowerCut { seed } => {
                self.disk = self.disk.crash(seed);
                self.start();
            }
            Step::CrashedStart { operations, power_cut } => {
                self.disk = self.disk.crash_keep_all();
                self.disk.stop_after(operations);
                if let Ok((_, _, found)) = try_open(&self.disk) {
                    let end = found.last().map_or(self.promised, |last| last + 1);
                    self.promised = self.promised.max(end);
                }
                self.disk = match power_cut {
                    Some(seed) => self.disk.crash(seed),
                    None => self.disk.crash_keep_all(),
                };
                self.start();
            }
        }
    }
}

fn check(steps: &[Step]) {
    let disk = MemoryDisk::tracked();
    let mut checked = Checked { disk, running: None, promised: 0, written: 0, passed: 0 };
    checked.start();
    let mut stopped = false;
    for step in steps {
        let needs_machine = matches!(step, Step::Append { .. } | Step::StopInGroup { .. } | Step::Pass { .. });
        if stopped && needs_machine {
            checked.step(Step::PowerCut { seed: checked.written });
        }
        checked.step(*step);
        stopped = matches!(step, Step::StopInGroup { .. });
    }
    checked.step(Step::PowerCut { seed: 1 });
    // Whatever happened, the files left over are used up by the load that follows.
    for _ in 0..60 {
        checked.step(Step::Append { blocks: 1, bytes: 5000 });
        checked.step(Step::Pass { all_but: 0 });
    }
    let files = segment_files(&checked.disk);
    assert!(files <= 6, "{files} files");
}

/// Few in `cargo test`; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_acknowledged_group_is_recovered_in_order_and_nothing_is_invented(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        check(&steps);
    }
}
