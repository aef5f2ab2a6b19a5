//! Tests of the bookkeeping: the named crash points, and a small partition under random operations and crashes.

use proptest::prelude::*;

use super::*;
use crate::domain::ids::PartitionId;
use crate::store::timers::{MemoryTimers, SLOT_MS, TimerIndex};

const P: PartitionId = PartitionId(3);

fn timer(key: u128, generation: u32, due: i64) -> TimerEntry {
    TimerEntry { key: ProfileKey(key), ordinal: 1, generation, due: Millis(due) }
}

fn in_slot(slot: i64, key: u128) -> TimerEntry {
    timer(key, 1, slot * SLOT_MS + key as i64)
}

fn all_current(_: &TimerEntry) -> bool {
    true
}

#[test]
fn set_for_an_opened_slot_goes_to_the_wheel_only() {
    let mut horizon = Horizon::new(SlotNo(10));
    assert_eq!(horizon.set(in_slot(9, 1)), Placement::Wheel);
    assert_eq!(horizon.set(in_slot(-4, 1)), Placement::Wheel);
    assert_eq!(horizon.set(in_slot(10, 2)), Placement::Pending);
    assert_eq!(horizon.count(SlotNo(9)), SlotCount::default());
    assert_eq!(*horizon.take_for_checkpoint(1), [in_slot(10, 2)]);
}

#[test]
fn set_and_cancelled_between_checkpoints_never_reaches_the_index() {
    let mut horizon = Horizon::new(SlotNo(10));
    horizon.set(in_slot(12, 1));
    horizon.set(in_slot(12, 2));
    horizon.cancel(&in_slot(12, 1));
    assert_eq!(horizon.count(SlotNo(12)).live, 1);
    assert_eq!(*horizon.take_for_checkpoint(1), [in_slot(12, 2)]);
    horizon.cancel(&in_slot(12, 2));
    assert_eq!(horizon.count(SlotNo(12)), SlotCount { in_index: 1, live: 0, epochs: 1 });
    assert_eq!(horizon.next_to_open(SlotNo(20)), None, "a slot without live timers is passed over");
}

#[test]
fn a_slot_opened_during_its_checkpoint_loses_and_doubles_nothing() {
    let mut horizon = Horizon::new(SlotNo(10));
    horizon.set(in_slot(10, 1));
    horizon.set(in_slot(11, 2));
    horizon.take_for_checkpoint(1);
    horizon.set(in_slot(10, 3));
    assert_eq!(horizon.next_to_open(SlotNo(11)), Some(SlotNo(10)));
    // The checkpoint may have written none, or already all of its chunks.
    for loaded in [vec![], vec![in_slot(10, 1)]] {
        let mut horizon = copy(&horizon);
        let opened = horizon.open_slot(SlotNo(10), loaded, all_current);
        assert_eq!(opened, OpenedSlot { timers: vec![in_slot(10, 1), in_slot(10, 3)], verdict: Verdict::Complete });
        horizon.checkpoint_done(1);
        assert_eq!(horizon.count(SlotNo(10)), SlotCount::default());
        assert_eq!(horizon.take_for_checkpoint(2).len(), 0, "what the wheel has is not written again");
        let opened =
            horizon.next_to_open(SlotNo(12)).map(|slot| horizon.open_slot(slot, vec![in_slot(11, 2)], all_current));
        assert_eq!(opened.map(|o| o.timers), Some(vec![in_slot(11, 2)]));
    }
    horizon.open_slot(SlotNo(10), vec![], all_current);
    horizon.checkpoint_failed(1);
    assert_eq!(*horizon.take_for_checkpoint(2), [in_slot(11, 2)], "only what is still beyond the horizon");
    assert_eq!(horizon.count(SlotNo(11)), SlotCount { in_index: 1, live: 1, epochs: 2 });
}

#[test]
fn a_stale_timer_generation_is_ignored() {
    let mut horizon = Horizon::new(SlotNo(10));
    let (old, new) = (timer(7, 1, 10 * SLOT_MS + 5), timer(7, 2, 10 * SLOT_MS + 9));
    horizon.set(old);
    horizon.take_for_checkpoint(1);
    horizon.checkpoint_done(1);
    horizon.cancel(&old);
    horizon.set(new);
    assert_eq!(horizon.next_to_open(SlotNo(11)), Some(SlotNo(10)));
    let row = (1, 2, new.due);
    let opened = horizon.open_slot(SlotNo(10), vec![old], |t| t.names(row.0, row.1, row.2));
    assert_eq!(opened, OpenedSlot { timers: vec![new], verdict: Verdict::Complete });
    assert!(!old.names(1, 2, new.due) && !new.names(1, 2, old.due) && !new.names(2, 2, new.due));
}

#[test]
fn a_mismatch_asks_for_a_rebuild_which_mends_it() {
    let mut horizon = Horizon::new(SlotNo(10));
    for key in 1..4 {
        horizon.set(in_slot(10 + key as i64 % 2, key));
    }
    horizon.take_for_checkpoint(1);
    horizon.checkpoint_done(1);
    assert_eq!(horizon.next_to_open(SlotNo(11)), Some(SlotNo(10)));
    let opened = horizon.open_slot(SlotNo(10), vec![], all_current);
    assert_eq!(opened.verdict, Verdict::Mismatch { expected: 1, found: 0 });
    assert!(horizon.needs_rebuild());
    let rows = (1..4).map(|key| in_slot(10 + key as i64 % 2, key));
    assert_eq!(horizon.rebuild(rows), [in_slot(10, 2)]);
    assert!(!horizon.needs_rebuild());
    assert_eq!(horizon.count(SlotNo(11)), SlotCount { in_index: 0, live: 2, epochs: 0 });
    assert_eq!(*horizon.take_for_checkpoint(2), [in_slot(11, 1), in_slot(11, 3)]);
}

#[test]
fn a_count_too_low_is_noticed_before_a_slot_is_passed_over() {
    let mut horizon = Horizon::new(SlotNo(10));
    horizon.cancel(&in_slot(12, 1));
    assert!(horizon.needs_rebuild());
}

#[test]
fn a_rebuild_makes_the_checkpoint_in_flight_void() {
    let mut horizon = Horizon::new(SlotNo(10));
    horizon.set(in_slot(11, 1));
    horizon.take_for_checkpoint(4);
    assert_eq!(horizon.checkpoint_in_flight(), Some(4));
    horizon.rebuild([in_slot(11, 1)]);
    assert_eq!(horizon.checkpoint_in_flight(), None);
    assert_eq!(horizon.checkpoint_done(4), None);
    assert_eq!(*horizon.take_for_checkpoint(5), [in_slot(11, 1)]);
    assert_eq!(horizon.count(SlotNo(11)).in_index, 1);
}

#[test]
fn chunks_may_go_once_both_snapshots_have_the_slot_open() {
    let mut horizon = Horizon::new(SlotNo(10));
    horizon.take_for_checkpoint(1);
    assert_eq!(horizon.next_to_open(SlotNo(12)), None);
    assert_eq!(horizon.checkpoint_done(1), None);
    horizon.take_for_checkpoint(2);
    assert_eq!(horizon.checkpoint_done(2), Some(SlotNo(10)), "open at the first cut");
    horizon.take_for_checkpoint(3);
    assert_eq!(horizon.checkpoint_done(3), Some(SlotNo(12)));
}

#[test]
fn slots_are_rewritten_when_mostly_dead_or_in_many_chunks() {
    let mut horizon = Horizon::new(SlotNo(10));
    let keys = 1..=200u128;
    for key in keys.clone() {
        horizon.set(in_slot(12, key));
        horizon.set(in_slot(13, key));
    }
    horizon.take_for_checkpoint(1);
    horizon.checkpoint_done(1);
    assert_eq!(horizon.slots_to_rewrite().count(), 0);
    for key in keys.take(100) {
        horizon.cancel(&in_slot(12, key));
    }
    assert_eq!(horizon.slots_to_rewrite().collect::<Vec<_>>(), [SlotNo(12)]);
    horizon.slot_rewritten(SlotNo(12), 100);
    assert_eq!(horizon.count(SlotNo(12)), SlotCount { in_index: 100, live: 100, epochs: 1 });
    for epoch in 2..=65 {
        horizon.set(in_slot(13, 1_000 + u128::from(epoch as u32)));
        horizon.take_for_checkpoint(epoch);
        horizon.checkpoint_done(epoch);
    }
    assert_eq!(horizon.slots_to_rewrite().collect::<Vec<_>>(), [SlotNo(13)]);
}

#[test]
fn the_format_is_as_drawn() {
    let mut horizon = Horizon::new(SlotNo(10));
    horizon.set(in_slot(258, 1));
    horizon.take_for_checkpoint(1);
    let mut bytes = Vec::new();
    horizon.encode(&mut bytes);
    let golden =
        [&[1, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..], &[2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]];
    assert_eq!(bytes, golden.concat());
    let decoded = Horizon::decode(&bytes).expect("decodes");
    assert_eq!((decoded.opened_until(), &decoded.counts), (SlotNo(10), &horizon.counts));
    assert!(matches!(Horizon::decode(&bytes[..30]), Err(HorizonDecodeError::Length(30))));
    assert!(matches!(Horizon::decode(&[]), Err(HorizonDecodeError::Length(0))));
    bytes[0] = 2;
    assert!(matches!(Horizon::decode(&bytes), Err(HorizonDecodeError::Format(2))));
}

#[test]
fn two_slots_are_open_at_any_time() {
    assert_eq!(open_until(Millis(0)), SlotNo(2));
    assert_eq!(open_until(Millis(SLOT_MS - 1)), SlotNo(2));
    assert_eq!(open_until(Millis(SLOT_MS)), SlotNo(3));
}

fn copy(horizon: &Horizon) -> Horizon {
    Horizon {
        opened_until: horizon.opened_until,
        pending: horizon.pending.clone(),
        in_flight: horizon.in_flight.as_ref().map(|f| InFlight {
            epoch: f.epoch,
            timers: Arc::clone(&f.timers),
            opened_at_cut: f.opened_at_cut,
        }),
        counts: horizon.counts.clone(),
        opened_at_last_cut: horizon.opened_at_last_cut,
        suspect: horizon.suspect,
    }
}

type Rows = BTreeMap<u128, (u32, i64)>;

/// What a published snapshot holds, and how much of the journal it covers.
#[derive(Clone)]
struct Snapshot {
    epoch: u64,
    rows: Rows,
    horizon: Vec<u8>,
    cut: usize,
    now: i64,
}

/// A partition in small: rows, an endless journal of row images, a wheel, two snapshots and the index.
struct Partition {
    rows: Rows,
    /// (key, row after the record) of every record ever made.
    journal: Vec<(u128, Option<(u32, i64)>)>,
    horizon: Horizon,
    wheel: BTreeSet<TimerEntry>,
    index: MemoryTimers,
    snapshots: Vec<Snapshot>,
    in_flight: Option<(Snapshot, Arc<[TimerEntry]>)>,
    now: i64,
    fired: BTreeSet<(u128, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Move { key: u128, wait_ms: i64 },
    End { key: u128 },
    Advance { by_ms: i64 },
    BeginCheckpoint,
    WriteChunks,
    PublishSnapshot,
    FailCheckpoint,
    Compact,
    Crash { generation: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let hours = |n: i64| 0..n * SLOT_MS;
    prop_oneof![
        12 => (0u128..40, hours(12)).prop_map(|(key, wait_ms)| Operation::Move { key, wait_ms }),
        3 => (0u128..40).prop_map(|key| Operation::End { key }),
        4 => hours(3).prop_map(|by_ms| Operation::Advance { by_ms }),
        1 => hours(60).prop_map(|by_ms| Operation::Advance { by_ms }),
        3 => Just(Operation::BeginCheckpoint),
        3 => Just(Operation::WriteChunks),
        3 => Just(Operation::PublishSnapshot),
        1 => Just(Operation::FailCheckpoint),
        2 => Just(Operation::Compact),
        2 => (0usize..2).prop_map(|generation| Operation::Crash { generation }),
    ]
}

impl Partition {
    fn new() -> Self {
        let mut bytes = Vec::new();
        let horizon = Horizon::new(open_until(Millis(0)));
        horizon.encode(&mut bytes);
        let first = Snapshot { epoch: 0, rows: Rows::new(), horizon: bytes, cut: 0, now: 0 };
        Self {
            rows: Rows::new(),
            journal: Vec::new(),
            horizon,
            wheel: BTreeSet::new(),
            index: MemoryTimers::new(),
            snapshots: vec![first],
            in_flight: None,
            now: 0,
            fired: BTreeSet::new(),
        }
    }

    /// Handles one record: the row as it becomes.
    fn commit(&mut self, key: u128, row: Option<(u32, i64)>) {
        self.journal.push((key, row));
        self.install(key, row);
    }

    fn install(&mut self, key: u128, row: Option<(u32, i64)>) {
        let before = match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
        if let Some((generation, due)) = before {
            self.horizon.cancel(&timer(key, generation, due));
        }
        if let Some((generation, due)) = row
            && self.horizon.set(timer(key, generation, due)) == Placement::Wheel
        {
            self.wheel.insert(timer(key, generation, due));
        }
    }

    fn is_current(rows: &Rows, timer: &TimerEntry) -> bool {
        rows.get(&timer.key.0).is_some_and(|(generation, due)| timer.names(1, *generation, Millis(*due)))
    }

    fn row_timers(&self) -> Vec<TimerEntry> {
        self.rows.iter().map(|(key, (generation, due))| timer(*key, *generation, *due)).collect()
    }

    /// Opens what must be open at `now`; whether every slot held what it should.
    fn open_slots(&mut self) -> bool {
        let mut complete = true;
        while let Some(slot) = self.horizon.next_to_open(open_until(Millis(self.now))) {
            let loaded = self.index.load(P, slot).expect("memory does not fail");
            let rows = &self.rows;
            let opened = self.horizon.open_slot(slot, loaded, |timer| Self::is_current(rows, timer));
            complete &= opened.verdict == Verdict::Complete;
            self.wheel.extend(opened.timers);
        }
        if self.horizon.needs_rebuild() {
            self.rebuild();
        }
        complete
    }

    fn rebuild(&mut self) {
        self.in_flight = None;
        self.index.forget_partition(P).expect("memory does not fail");
        let near = self.horizon.rebuild(self.row_timers());
        self.wheel.extend(near);
    }

    /// Moves time and fires what is due: the row moves on or ends, as its key says.
    fn advance(&mut self, by_ms: i64) -> bool {
        self.now += by_ms;
        let complete = self.open_slots();
        while let Some(timer) = self.wheel.first().copied().filter(|timer| timer.due.0 <= self.now) {
            self.wheel.pop_first();
            if !Self::is_current(&self.rows, &timer) {
                continue;
            }
            assert!(self.fired.insert((timer.key.0, timer.generation)), "{timer:?} fired twice");
            let next = (timer.key.0 % 2 == 0).then_some((timer.generation + 1, timer.due.0 + 7 * SLOT_MS));
            self.commit(timer.key.0, next);
        }
        complete && self.rows.values().all(|(_, due)| *due > self.now)
    }

    fn begin_checkpoint(&mut self) {
        let epoch = self.snapshots.last().expect("there is one").epoch + 1;
        let timers = self.horizon.take_for_checkpoint(epoch);
        let mut horizon = Vec::new();
        self.horizon.encode(&mut horizon);
        let snapshot = Snapshot { epoch, rows: self.rows.clone(), horizon, cut: self.journal.len(), now: self.now };
        self.in_flight = Some((snapshot, timers));
    }

    fn publish(&mut self) {
        let Some((snapshot, timers)) = self.in_flight.take() else { return };
        self.index.write(P, snapshot.epoch, &timers).expect("memory does not fail");
        let droppable = self.horizon.checkpoint_done(snapshot.epoch);
        self.snapshots.push(snapshot);
        if let Some(before) = droppable {
            self.index.drop_slots(P, before).expect("memory does not fail");
        }
    }

    fn compact(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        let epoch = self.snapshots.last().expect("there is one").epoch;
        let slots: Vec<_> = self.horizon.counts.keys().copied().collect();
        for slot in slots {
            let mut live = self.index.load(P, slot).expect("memory does not fail");
            live.retain(|timer| Self::is_current(&self.rows, timer));
            self.index.replace_slot(P, slot, epoch, &live).expect("memory does not fail");
            self.horizon.slot_rewritten(slot, live.len() as u32);
        }
    }

    /// Forgets all memory and recovers from the latest snapshot, or the one before it.
    fn crash(&mut self, generation: usize) {
        let back = generation.min(self.snapshots.len() - 1);
        self.snapshots.truncate(self.snapshots.len() - back);
        let snapshot = self.snapshots.last().expect("there is one").clone();
        self.in_flight = None;
        self.wheel.clear();
        self.rows = snapshot.rows;
        self.horizon = Horizon::decode(&snapshot.horizon).expect("it was encoded");
        let tail = self.journal[snapshot.cut..].to_vec();
        for (key, row) in tail {
            self.install(key, row);
        }
        self.wheel.clear();
        let near = self.horizon.open_from_rows(open_until(Millis(snapshot.now)), self.row_timers());
        self.wheel.extend(near);
        if self.index.latest_epoch(P).expect("memory does not fail").unwrap_or(0) < snapshot.epoch {
            self.rebuild();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Through checkpoints cut short, compactions and crashes no timer is lost and none fires twice; and as long
    /// as recovery is from the latest snapshot, every slot holds exactly what was counted.
    #[test]
    fn no_timer_is_lost_or_doubled(operations in prop::collection::vec(operation(), 1..150)) {
        let mut partition = Partition::new();
        let mut older_snapshot_used = false;
        for operation in operations {
            match operation {
                Operation::Move { key, wait_ms } => {
                    let generation = partition.fired.len() as u32 + partition.journal.len() as u32 + 1;
                    partition.commit(key, Some((generation, partition.now + 1 + wait_ms)));
                }
                Operation::End { key } if partition.rows.contains_key(&key) => partition.commit(key, None),
                Operation::Advance { by_ms } => {
                    let sound = partition.advance(by_ms);
                    prop_assert!(sound || older_snapshot_used);
                    let late = partition.rows.values().filter(|(_, due)| *due <= partition.now).count();
                    prop_assert_eq!(late, 0, "timers were lost");
                }
                Operation::BeginCheckpoint if partition.in_flight.is_none() => partition.begin_checkpoint(),
                Operation::WriteChunks => {
                    if let Some((snapshot, timers)) = &partition.in_flight {
                        partition.index.write(P, snapshot.epoch, timers).expect("memory does not fail");
                    }
                }
                Operation::PublishSnapshot => partition.publish(),
                Operation::FailCheckpoint => {
                    if let Some((snapshot, _)) = partition.in_flight.take() {
                        partition.horizon.checkpoint_failed(snapshot.epoch);
                    }
                }
                Operation::Compact => partition.compact(),
                Operation::Crash { generation } => {
                    older_snapshot_used |= generation > 0 && partition.snapshots.len() > 1;
                    partition.crash(generation);
                }
                Operation::End { .. } | Operation::BeginCheckpoint => {}
            }
        }
        partition.advance(200 * SLOT_MS);
        prop_assert_eq!(partition.rows.values().filter(|(_, due)| *due <= partition.now).count(), 0);
    }
}
