//! What one seed is about: sizes and frequencies, drawn first. Small sizes, so that segments fill, tables refuse and slots
//! open within one short life.

use std::time::Duration;

use crate::domain::apply::{Calls, Firing};
use crate::runtime::keeper::KeeperConfig;
use crate::runtime::partition::decide::DecideConfig;
use crate::sim::dice::Dice;
use crate::sim::machine::{HASH_KEY, MachineConfig};
use crate::store::journal::JournalConfig;

/// Profiles of the widest worlds.
const PROFILES_WIDE: usize = 4_000;

/// Sizes and frequencies of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Settings of the process.
    pub machine: MachineConfig,
    /// Shards at the start.
    pub shards: u16,
    /// Streams of events beside the callers.
    pub streams: usize,
    /// Profiles at least.
    pub profiles: usize,
    /// Events in all.
    pub events: u64,
    /// Crashes in 10,000 steps.
    pub crash_rate: u64,
    /// Of 100 steps with I/O, those in which the machine may stop between two of them.
    pub stop_percent: u64,
    /// Of 1,000 steps with I/O, those with a failing disk.
    pub fault_rate: u64,
    /// Changes (versions, shards) in 10,000 steps.
    pub change_rate: u64,
    /// Of 100 steps in time, those by hours.
    pub long_percent: u64,
    /// Starts on a damaged copy of the disk in 10,000 steps.
    pub damage_rate: u64,
    /// Of 100 events, those of one profile.
    pub hot_percent: u64,
    /// Every profile has an event before any has two.
    pub is_wide: bool,
}

impl Plan {
    /// Draws one.
    pub fn draw(dice: &mut Dice) -> Self {
        let firing = if dice.chance(30) { Firing::Due } else { Firing::Engine };
        let partitions = *dice.pick(&[1, 2, 3, 5, 8, 16]);
        let outbox_rows_max = match firing {
            Firing::Engine => *dice.pick(&[2, 8, 100_000]),
            Firing::Due => usize::MAX,
        };
        let id_window_ms = *dice.pick(&[20_000, 3_600_000, 86_400_000]);
        let decide = DecideConfig {
            id_window_ms,
            ids_max: if id_window_ms < 100_000 { *dice.pick(&[8, 40, 100_000]) } else { 100_000 },
            outbox_rows_max,
            held_max: 100_000,
            entrants_max: 100_000,
            firing,
            calls: if firing == Firing::Due { Calls::Assumed } else { Calls::Made },
            partitions,
            hash_key: HASH_KEY,
        };
        let segment_bytes = *dice.pick(&[32 << 10, 64 << 10, 256 << 10]);
        let journal = JournalConfig {
            segment_bytes,
            tail_bytes_max: segment_bytes * *dice.pick(&[3, 6, 100]),
            ..JournalConfig::default()
        };
        let keeper = KeeperConfig {
            tail_bytes: segment_bytes * *dice.pick(&[1, 2, 50]),
            interval: Duration::from_millis(*dice.pick(&[50, 1_000, 60_000])),
        };
        let machine = MachineConfig {
            partitions,
            decide: DecideConfig { ids_max: if firing == Firing::Due { 100_000 } else { decide.ids_max }, ..decide },
            journal,
            keeper,
            block_bytes_max: *dice.pick(&[300, 4_000, 1 << 20]),
            pages_per_turn: *dice.pick(&[1, 8]),
            mailbox_weight_max: *dice.pick(&[8, 1_000]),
            channel_held_max: *dice.pick(&[1, 5, 1_000]),
        };
        let is_wide = dice.chance(3);
        let partitions = if is_wide { 2 } else { partitions };
        let decide = DecideConfig { partitions, ..machine.decide };
        let machine = MachineConfig { partitions, decide, ..machine };
        let mut plan = Self {
            shards: *dice.pick(&[1, 1, 2, 3]),
            streams: if firing == Firing::Due { 1 } else { dice.index(3) },
            profiles: if is_wide { PROFILES_WIDE } else { *dice.pick(&[0, 0, 40, 300]) },
            events: if is_wide { PROFILES_WIDE as u64 + 600 } else { *dice.pick(&[60, 200, 400]) },
            crash_rate: if is_wide { 4 } else { *dice.pick(&[0, 10, 30, 60]) },
            stop_percent: *dice.pick(&[0, 2, 6]),
            fault_rate: *dice.pick(&[0, 0, 4, 20]),
            change_rate: *dice.pick(&[0, 20, 80]),
            long_percent: *dice.pick(&[0, 2, 10]),
            damage_rate: if is_wide { 1 } else { *dice.pick(&[0, 5, 20]) },
            hot_percent: if is_wide { 0 } else { *dice.pick(&[0, 0, 50, 85]) },
            is_wide,
            machine,
        };
        if firing == Firing::Due && dice.chance(40) {
            plan.machine.decide.calls = Calls::Made;
        }
        plan
    }
}
