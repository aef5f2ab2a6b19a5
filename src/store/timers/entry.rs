//! The timer as the index holds it, and the slots that time is cut into.

use std::fmt;

use crate::domain::ids::{Millis, PartitionId, ProfileKey};
use crate::domain::wheel::WheelEntry;

/// Length of a slot: one hour. With 10 M timers over 30 days a slot holds 14 k of them; the wheel holds two slots.
pub const SLOT_MS: i64 = 3_600_000;

/// A slot: all instants of one hour, counted from the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotNo(pub i64);

impl SlotNo {
    /// The slot an instant lies in.
    pub fn of(at: Millis) -> Self {
        Self(at.0.div_euclid(SLOT_MS))
    }

    /// Its first instant.
    pub fn start(self) -> Millis {
        Millis(self.0.saturating_mul(SLOT_MS))
    }

    /// The slot after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Debug for SlotNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} ({})", self.0, self.start())
    }
}

/// One durable timer. Sorted by due instant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerEntry {
    /// The profile.
    pub key: ProfileKey,
    /// Entry ordinal of the instance in its profile.
    pub ordinal: u32,
    /// Generation of the instance when the timer was set.
    pub generation: u32,
    /// When it is due.
    pub due: Millis,
}

impl TimerEntry {
    /// The slot it is due in.
    pub fn slot(&self) -> SlotNo {
        SlotNo::of(self.due)
    }

    /// The same timer for the wheel.
    pub fn in_wheel(&self, partition: PartitionId) -> WheelEntry {
        WheelEntry::new(partition, self.key, self.ordinal, self.generation, self.due)
    }

    /// Whether a row's instance is the one this timer was set for: same ordinal, generation and due instant.
    pub fn names(&self, ordinal: u32, generation: u32, due: Millis) -> bool {
        self.ordinal == ordinal && self.generation == generation && self.due == due
    }
}

impl Ord for TimerEntry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.key, self.ordinal, self.generation).cmp(&(
            other.due,
            other.key,
            other.ordinal,
            other.generation,
        ))
    }
}

impl PartialOrd for TimerEntry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_whole_hours_also_before_1970() {
        for (at, slot) in [(0, 0), (SLOT_MS - 1, 0), (SLOT_MS, 1), (-1, -1), (-SLOT_MS, -1), (-SLOT_MS - 1, -2)] {
            assert_eq!(SlotNo::of(Millis(at)), SlotNo(slot), "{at}");
        }
        assert_eq!(SlotNo(-2).start(), Millis(-2 * SLOT_MS));
        assert_eq!(SlotNo(-2).next(), SlotNo(-1));
    }

    #[test]
    fn order_is_by_due_first() {
        let early = TimerEntry { key: ProfileKey(9), ordinal: 9, generation: 9, due: Millis(1) };
        let late = TimerEntry { key: ProfileKey(1), ordinal: 1, generation: 1, due: Millis(2) };
        assert!(early < late);
        assert!(late < TimerEntry { generation: 2, ..late });
        assert_eq!(late.in_wheel(PartitionId(3)).key(), late.key);
    }
}
