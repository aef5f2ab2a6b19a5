//! A profile that is awake while one input is handled, and what it was before, so that what changed can be told.

use smol_str::SmolStr;

use crate::domain::ids::ProfileKey;
use crate::domain::profile::Profile;
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::Partition;
use crate::runtime::partition::decide::{Circumstances, Draught};
use crate::runtime::partition::install::{TimerList, timers_of};
use crate::runtime::partition::table::Slot;
use crate::wire::cursor::WireError;

/// A profile that is awake for one input.
pub(super) struct Awake {
    /// As it is now.
    pub(super) profile: Box<Profile>,
    /// Where it sleeps; `None` if it was never seen.
    pub(super) slot: Option<Slot>,
    /// Its chain of decisions when it woke.
    pub(super) chain_before: u64,
    /// Its timers when it woke.
    pub(super) stood: TimerList,
}

impl Awake {
    /// Wakes the profile of `key`, or begins one.
    pub(super) fn wake(
        partition: &Partition,
        key: ProfileKey,
        identity: &str,
        draught: &mut Draught,
        about: Circumstances<'_>,
    ) -> Result<Self, WireError> {
        if let Some(slot) = partition.table.find(key) {
            return Self::wake_slot(partition, slot, draught, about);
        }
        let mut profile = draught.bed(key);
        profile.identity = SmolStr::new(identity);
        profile.changes.header = true;
        Ok(Self { profile, slot: None, chain_before: 0, stood: TimerList::new() })
    }

    /// Wakes the profile that sleeps in `slot`.
    pub(super) fn wake_slot(
        partition: &Partition,
        slot: Slot,
        draught: &mut Draught,
        about: Circumstances<'_>,
    ) -> Result<Self, WireError> {
        let mut profile = draught.bed(ProfileKey::default());
        partition.table.wake_into(slot, &mut profile)?;
        if is_planted(Bug::MovedToNewVersion) {
            for instance in &mut profile.instances {
                let versions = about.catalog.versions_of(instance.journey);
                let newest = versions.last().filter(|v| usize::from(instance.node.0) < v.program.nodes.len());
                instance.version = newest.map_or(instance.version, |v| v.program.version);
            }
        }
        let (chain_before, stood) = (profile.chain, timers_of(&profile));
        Ok(Self { profile, slot: Some(slot), chain_before, stood })
    }
}
