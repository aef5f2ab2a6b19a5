//! Laws of the wheel, against an ordered map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn entry(due: i64, ordinal: u32) -> WheelEntry {
    WheelEntry::new(PartitionId(7), ProfileKey(u128::from(ordinal) << 70), ordinal, 1, Millis(due))
}

/// Inserts `dues` (ordinals count up), advances to `to`, and compares with the (due, ordinal) pairs expected.
fn check(start: i64, dues: &[i64], to: i64, expected: &[(i64, u32)]) -> Wheel {
    let mut wheel = Wheel::new(Millis(start));
    for (ordinal, due) in dues.iter().enumerate() {
        wheel.insert(entry(*due, ordinal as u32));
    }
    let mut out = Vec::new();
    wheel.advance(Millis(to), &mut out);
    let popped: Vec<(i64, u32)> = out.iter().map(|e| (e.due.0, e.ordinal)).collect();
    assert_eq!(popped, expected);
    assert_eq!(wheel.len(), dues.len() - expected.len());
    wheel
}

#[test]
fn pops_in_order_of_due_and_insertion() {
    check(0, &[50, 3, 50, 4_000, 3, 64], 64, &[(3, 1), (3, 4), (50, 0), (50, 2), (64, 5)]);
    check(-5, &[-1, 0, 1, -2], 0, &[(-2, 3), (-1, 0), (0, 1)]);
}

#[test]
fn the_very_millisecond_counts() {
    let wheel = check(1_000, &[1_001, 1_002], 1_001, &[(1_001, 0)]);
    assert_eq!(wheel.next_due(), Some(Millis(1_002)));
}

#[test]
fn what_comes_late_is_popped_first_and_sorted() {
    check(100, &[101, 90, 100, 80, 90], 101, &[(80, 3), (90, 1), (90, 4), (100, 2), (101, 0)]);
}

#[test]
fn time_does_not_go_back() {
    let mut wheel = check(100, &[101], 50, &[]);
    assert_eq!(wheel.time(), Millis(100));
    wheel.insert(entry(99, 9));
    let mut out = Vec::new();
    wheel.advance(Millis(1), &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(wheel.next_due(), Some(Millis(101)));
}

#[test]
fn the_ends_of_time_are_reached() {
    let mut wheel = check(i64::MIN, &[i64::MAX, i64::MIN, 0], i64::MAX - 1, &[(i64::MIN, 1), (0, 2)]);
    assert_eq!(wheel.next_due(), Some(Millis::NEVER));
    let mut out = Vec::new();
    wheel.advance(Millis::NEVER, &mut out);
    assert_eq!((out.len(), wheel.is_empty()), (1, true));
}

#[test]
fn a_jump_of_months_opens_only_what_is_occupied() {
    let day = 86_400_000;
    let mut wheel = check(852_076_800_000, &[852_076_800_000 + 500 * day], 852_076_800_000 + 499 * day, &[]);
    // Jumps over empty buckets touch no bucket at all: a million of them end at once even in a debug build.
    let mut out = Vec::new();
    for i in 0..1_000_000 {
        wheel.advance(Millis(852_076_800_000 + 499 * day + i), &mut out);
    }
    assert!(out.is_empty());
    wheel.advance(Millis(852_076_800_000 + 550 * day), &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn entries_hold_their_key() {
    let key = ProfileKey(u128::MAX - 12_345);
    let entry = WheelEntry::new(PartitionId(3), key, 5, 6, Millis(9));
    assert_eq!(entry.key(), key);
    assert!(entry.names(5, 6, Millis(9)));
    assert!(!entry.names(4, 6, Millis(9)) && !entry.names(5, 7, Millis(9)) && !entry.names(5, 6, Millis(8)));
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(i64),
    InsertMany(i64, usize),
    Advance(i64),
    StepToNext,
}

/// Distances of every magnitude, so that all levels and their edges are met.
fn distance() -> impl Strategy<Value = i64> {
    (0u32..42, any::<u64>()).prop_map(|(bits, random)| (random & ((1 << bits) - 1)) as i64)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (distance(), any::<bool>()).prop_map(|(d, past)| Operation::Insert(if past { -(d % 100) } else { d })),
        1 => (distance(), 1..200usize).prop_map(|(d, n)| Operation::InsertMany(d, n)),
        2 => distance().prop_map(Operation::Advance),
        2 => Just(Operation::StepToNext),
    ]
}

proptest! {
    #[test]
    fn behaves_as_an_ordered_map(start in -(1i64 << 41)..1 << 41, operations in prop::collection::vec(operation(), 1..120)) {
        let mut wheel = Wheel::new(Millis(start));
        let mut model: BTreeMap<(i64, u32), ()> = BTreeMap::new();
        let mut now = start;
        let mut ordinal = 0;
        for operation in operations {
            let to = match operation {
                Operation::Insert(d) => {
                    ordinal += 1;
                    wheel.insert(entry(now + d, ordinal));
                    model.insert((now + d, ordinal), ());
                    continue;
                }
                Operation::InsertMany(d, n) => {
                    for _ in 0..n {
                        ordinal += 1;
                        wheel.insert(entry(now + d, ordinal));
                        model.insert((now + d, ordinal), ());
                    }
                    continue;
                }
                Operation::Advance(d) => now + d,
                Operation::StepToNext => wheel.next_due().map_or(now, |due| due.0.max(now)),
            };
            prop_assert_eq!(wheel.next_due(), model.first_key_value().map(|((due, _), ())| Millis(*due)));
            now = to;
            let mut out = Vec::new();
            wheel.advance(Millis(now), &mut out);
            let rest = model.split_off(&(now + 1, 0));
            let expected: Vec<(i64, u32)> = std::mem::replace(&mut model, rest).into_keys().collect();
            let popped: Vec<(i64, u32)> = out.iter().map(|e| (e.due.0, e.ordinal)).collect();
            prop_assert_eq!(popped, expected);
            prop_assert_eq!(wheel.len(), model.len());
            prop_assert_eq!(wheel.time(), Millis(now));
        }
    }
}

/// What compaction is tested with: profiles by ordinal, each with at most one live timer.
#[derive(Default)]
struct Rows {
    generations: BTreeMap<u32, u32>,
    live: BTreeMap<u32, WheelEntry>,
}

impl Rows {
    fn is_live(&self, entry: &WheelEntry) -> bool {
        self.live.get(&entry.ordinal) == Some(entry)
    }

    fn set(&mut self, wheel: &mut Wheel, ordinal: u32, due: i64) {
        self.cancel(wheel, ordinal);
        let generation = self.generations.entry(ordinal).or_default();
        *generation += 1;
        let key = ProfileKey(u128::from(ordinal));
        let entry = WheelEntry::new(PartitionId(1), key, ordinal, *generation, Millis(due));
        self.live.insert(ordinal, entry);
        wheel.insert(entry);
    }

    fn cancel(&mut self, wheel: &mut Wheel, ordinal: u32) {
        if self.live.remove(&ordinal).is_some() {
            wheel.note_stale(1);
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    /// Sets the timers of so many profiles from this one on anew, so many times.
    Reschedule {
        first: u32,
        count: u32,
        times: u32,
        distance: i64,
    },
    Cancel {
        first: u32,
        count: u32,
    },
    Advance(i64),
    /// Time passes between cancelling and compacting, as it does in a shard.
    AdvanceAndCancel(i64, u32),
    /// A partition left: its timers are gone and nobody counted them.
    Leave {
        first: u32,
        count: u32,
    },
}

const PROFILES: u32 = 3_000;

fn change() -> impl Strategy<Value = Change> {
    let near = (8u32..28, any::<u64>()).prop_map(|(bits, random)| (random & ((1 << bits) - 1)) as i64);
    prop_oneof![
        6 => (0..PROFILES, 1..2_000u32, 1..8u32, near.clone())
            .prop_map(|(first, count, times, distance)| Change::Reschedule { first, count, times, distance }),
        2 => (0..PROFILES, 1..PROFILES).prop_map(|(first, count)| Change::Cancel { first, count }),
        3 => near.clone().prop_map(Change::Advance),
        1 => (near, 1..PROFILES).prop_map(|(to, count)| Change::AdvanceAndCancel(to, count)),
        1 => (0..PROFILES, 1..200u32).prop_map(|(first, count)| Change::Leave { first, count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn stale_entries_are_bounded_by_live_ones_and_no_live_one_is_lost(changes in prop::collection::vec(change(), 1..60)) {
        let mut wheel = Wheel::new(Millis(0));
        let mut rows = Rows::default();
        let mut now = 0;
        for change in changes {
            let mut to = now;
            match change {
                Change::Reschedule { first, count, times, distance } => for round in 0..times {
                    for index in 0..count {
                        let due = now + distance + i64::from(index % 7) + i64::from(round);
                        rows.set(&mut wheel, (first + index) % PROFILES, due);
                        if index % 16 == 0 {
                            wheel.compact(|entry| rows.is_live(entry));
                        }
                    }
                },
                Change::Cancel { first, count } => for index in 0..count {
                    rows.cancel(&mut wheel, (first + index) % PROFILES);
                },
                Change::Advance(distance) => to = now + distance,
                Change::AdvanceAndCancel(distance, count) => {
                    to = now + distance;
                    for ordinal in 0..count {
                        rows.cancel(&mut wheel, ordinal);
                    }
                }
                Change::Leave { first, count } => {
                    for index in 0..count {
                        rows.live.remove(&((first + index) % PROFILES));
                    }
                    wheel.suspect_stale();
                }
            }
            // Every live timer fires at its time, once, in order of due.
            now = to;
            let mut out = Vec::new();
            wheel.advance(Millis(now), &mut out);
            let fired: Vec<WheelEntry> = out.into_iter().filter(|entry| rows.is_live(entry)).collect();
            prop_assert!(fired.is_sorted_by_key(|entry| entry.due));
            let due = rows.live.values().filter(|entry| entry.due <= Millis(now)).count();
            prop_assert_eq!(fired.len(), due);
            for entry in &fired {
                rows.cancel(&mut wheel, entry.ordinal);
            }
            prop_assert_eq!(rows.live.values().filter(|entry| entry.due <= Millis(now)).count(), 0, "each fired once");
            wheel.compact(|entry| rows.is_live(entry));
            // Profiles bound what was ever live at once, also when a walk began.
            prop_assert!(wheel.len() <= 4 * PROFILES as usize + 2 * compact::STALE_ENTRIES_MIN, "{}", wheel.len());
            let earliest = rows.live.values().map(|entry| entry.due).min();
            prop_assert!(earliest.is_none_or(|due| wheel.next_due().is_some_and(|next| next <= due)));
        }
        // With no more changes it comes to rest by what is live now.
        for _ in 0..64 {
            wheel.compact(|entry| rows.is_live(entry));
        }
        let live = rows.live.len();
        prop_assert!(wheel.len() <= 2 * live + compact::STALE_ENTRIES_MIN + 1, "{} for {live}", wheel.len());
        let chunks: usize = wheel.levels.iter().flat_map(|l| &l.buckets).map(|b| b.chunks.len()).sum();
        let occupied: usize = wheel.levels.iter().map(|l| l.occupied.count_ones() as usize).sum();
        prop_assert!(chunks <= wheel.len() / CHUNK_ENTRIES + 2 * occupied, "{chunks} chunks");
    }
}

#[test]
fn one_profile_set_anew_a_million_times_holds_a_few_chunks() {
    let (mut wheel, mut rows) = (Wheel::new(Millis(0)), Rows::default());
    let mut most = 0;
    for n in 0..1_000_000 {
        rows.set(&mut wheel, 1, 3_600_000 + n);
        wheel.compact(|entry| rows.is_live(entry));
        most = most.max(wheel.len());
    }
    assert!(most <= 2 * compact::STALE_ENTRIES_MIN, "{most}");
    let mut out = Vec::new();
    wheel.advance(Millis::NEVER, &mut out);
    assert_eq!(out.iter().filter(|entry| rows.is_live(entry)).count(), 1);
}
