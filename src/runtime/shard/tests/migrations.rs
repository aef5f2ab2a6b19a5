//! The sweep that moves instances to a newer version: at once for timers, complete over restarts, each exactly once. It
//! wakes those that a pause holds as well.

use super::*;
use crate::domain::catalog::PauseOrder;
use crate::domain::ids::VersionId;
use crate::domain::pause::{Overdue, PauseEnding, PauseMode};
use crate::domain::step::ExitReason;

const MINUTE: i64 = 60_000;

/// `patience` in another version: ten hours of waiting become `wait`.
fn changed(wait: &str, migration: &str) -> String {
    let journey = "kind: journey\nname: patience".to_owned();
    let text = JOURNEY.replace("wait: 10h, then: done }\n  done: { end: true }\n---\nkind: journey\nname: lingering", &format!("wait: {wait}, then: done }}\n  done: {{ end: true }}\nmigration: {{ {migration} }}\n---\nkind: journey\nname: lingering"));
    assert!(text != JOURNEY && text.contains(&journey));
    text
}

fn swap(bench: &mut Bench, catalog: &Catalog) {
    let (told, _) = oneshot::channel();
    bench.shard.take(ShardInput::Catalog(Arc::new(catalog.clone()), told));
}

/// What recovery makes of the blocks that were sealed.
fn recovered(seen: &Recorder, catalog: &Catalog, count: u16) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = (0..count).map(|id| Partition::new(PartitionId(id))).collect();
    for record in seen.0.lock().blocks.iter().flat_map(|block| records(&block.bytes)) {
        let (_, record) = record.expect("reads");
        partitions[usize::from(record.head.partition.0)].install(&record, catalog).expect("installs");
    }
    partitions
}

fn bench(catalog: &Catalog, partitions: Vec<Partition>) -> Bench {
    Bench::under(catalog.clone(), partitions, Origin::Opened, Recorder::default(), Firing::Engine)
}

/// Entered, active and migrated, by version of `patience`.
fn counts(bench: &Bench, catalog: &Catalog) -> Vec<(u64, u64, u64)> {
    let journey = catalog.journey_id("patience").expect("is published");
    let of = |id: VersionId| {
        let all = bench.shard.seats.iter().filter_map(crate::runtime::shard::Seat::open);
        all.filter_map(|partition| partition.counts.get(id)).fold((0, 0, 0), |sum, counts| {
            let migrated = counts.exited[usize::from(ExitReason::Migrated.code())];
            (sum.0 + counts.entered, sum.1 + counts.active(), sum.2 + migrated)
        })
    };
    catalog.versions_of(journey).map(|version| of(version.program.version)).collect()
}

#[test]
fn recomputed_waits_end_by_the_new_definition_without_an_input() {
    let first = published(&Catalog::default(), JOURNEY);
    let mut bench = bench(&first, vec![Partition::new(ONLY)]);
    bench.send("go", "crm:1");
    let second = published(&first, &changed("2h", "nodes: { pause: recompute }"));
    bench.pass(60 * MINUTE);
    swap(&mut bench, &second);
    bench.turn();
    assert_eq!(counts(&bench, &second), [(1, 0, 1), (1, 1, 0)]);
    bench.pass(59 * MINUTE);
    assert_eq!(counts(&bench, &second), [(1, 0, 1), (1, 1, 0)]);
    bench.pass(MINUTE + 10);
    assert_eq!(counts(&bench, &second), [(1, 0, 1), (1, 0, 0)]);
}

/// A timer that is due in the very turn of the barrier is not decided by the old version.
#[test]
fn a_timer_due_at_the_barrier_is_the_new_version_s() {
    let first = published(&Catalog::default(), JOURNEY);
    let second = published(&first, &changed("12h", "nodes: { pause: recompute }"));
    let mut bench = bench(&first, vec![Partition::new(ONLY)]);
    bench.send("go", "crm:1");
    swap(&mut bench, &second);
    bench.pass(600 * MINUTE);
    assert_eq!(counts(&bench, &second), [(1, 0, 1), (1, 1, 0)]);
    bench.pass(120 * MINUTE + 10);
    assert_eq!(counts(&bench, &second), [(1, 0, 1), (1, 0, 0)]);
}

/// Who is still held when a journey is paused once more is let go by the new pause, sooner or later.
#[test]
fn a_new_pause_lets_go_who_an_earlier_one_would_hold_longer() {
    let live = published(&Catalog::default(), JOURNEY);
    let mut bench = bench(&live, vec![Partition::new(ONLY)]);
    let pause = |catalog: &Catalog, at: Millis, minutes: i64, overdue: Overdue| {
        let (mode, ending) = (PauseMode::Hold, PauseEnding::Resume);
        let order = PauseOrder { mode, at, for_ms: minutes * MINUTE, ending, overdue, window_ms: 0, rate: 0 };
        catalog.pause("patience", order).expect("is not paused")
    };
    let shifting = pause(&live, bench.now, 60, Overdue::Shift);
    swap(&mut bench, &shifting);
    bench.pass(50 * MINUTE);
    bench.send("go", "crm:1");
    bench.pass(20 * MINUTE);
    assert_eq!(counts(&bench, &live), [(0, 0, 0)], "it is kept for as long as the pause was");
    let again = pause(&shifting, bench.now, 5, Overdue::Send);
    swap(&mut bench, &again);
    bench.turn();
    bench.pass(5 * MINUTE + 10);
    bench.turn();
    assert_eq!(counts(&bench, &live), [(1, 1, 0)]);
}

/// The sweep takes one partition a turn here: after the first one the process dies.
#[test]
fn a_sweep_goes_on_after_a_restart_and_moves_nobody_twice() {
    let first = published(&Catalog::default(), JOURNEY);
    let second = published(&first, &changed("2h", "nodes: { pause: recompute }"));
    let mut before = bench(&first, (0..3).map(|id| Partition::new(PartitionId(id))).collect());
    for n in 0..9 {
        let mut routed = before.routed("go", &format!("crm:{n}"));
        routed.partition = PartitionId(n % 3);
        before.send_routed(routed);
    }
    before.sync();
    swap(&mut before, &second);
    before.turn();
    let half = counts(&before, &second);
    assert!(half[1].0 > 0 && half[1].0 < 9, "the sweep is under way: {half:?}");
    let mut after = bench(&second, recovered(&before.seen, &second, 3));
    assert_eq!(counts(&after, &second), half);
    (0..6).for_each(|_| after.turn());
    assert_eq!(counts(&after, &second), [(9, 0, 9), (9, 9, 0)]);
    let mut again = bench(&second, {
        let blocks = after.seen.0.lock().blocks.iter().map(|block| block.bytes.clone()).collect::<Vec<_>>();
        let mut partitions = recovered(&before.seen, &second, 3);
        for record in blocks.iter().flat_map(|bytes| records(bytes)) {
            let (_, record) = record.expect("reads");
            partitions[usize::from(record.head.partition.0)].install(&record, &second).expect("installs");
        }
        partitions
    });
    (0..6).for_each(|_| again.turn());
    assert_eq!(again.seen.0.lock().blocks.len(), 0, "nobody is left to move");
    assert_eq!(counts(&again, &second), [(9, 0, 9), (9, 9, 0)]);
}

/// Those who are kept cost nothing: no record, now or at the next start.
#[test]
fn the_sweep_writes_nothing_for_those_who_are_kept() {
    let first = published(&Catalog::default(), JOURNEY);
    let second = published(&first, &changed("2h", "nodes: { done: exit }"));
    let mut bench = bench(&first, vec![Partition::new(ONLY)]);
    bench.send("go", "crm:1");
    bench.sync();
    let blocks = bench.seen.0.lock().blocks.len();
    swap(&mut bench, &second);
    (0..3).for_each(|_| bench.turn());
    assert_eq!(bench.seen.0.lock().blocks.len(), blocks);
}
