//! The sweep: ends the instances of stopped versions, moves those that newer versions dispose of and wakes those that a
//! pause holds no longer, some rows a turn, so that nobody else waits for it.

use crate::domain::apply::Firing;
use crate::domain::catalog::{Catalog, VersionStatus};
use crate::domain::ids::{Millis, PartitionId, ProfileKey, VersionId};
use crate::domain::pause::PauseEnding;
use crate::planted::{Bug, is_planted};
use crate::runtime::partition::Partition;
use crate::runtime::partition::counts::VersionCounts;
use crate::runtime::partition::decide::Circumstances;
use crate::runtime::shard::{Seat, Shard};
use crate::wire::asleep::Place;

/// Rows looked at in one turn for such instances: about 100 µs.
const SWEEP_ROWS: usize = 4_096;
/// What it costs to come to a partition, in rows.
const SWEEP_PARTITION: usize = 8;

impl Shard {
    /// The catalog changes: versions that it stops or that let somebody go, and those of journeys that it resumes or
    /// pauses once more, are swept. One in progress starts over with all it has to find.
    pub(super) fn sweep_changes(&mut self, catalog: &Catalog) {
        // Where time is told, a pause may be ordered for an instant before the last end that was looked for.
        let stops = catalog.pauses.values().flatten().filter(|pause| pause.ending == PauseEnding::Stop);
        let first = stops.map(|pause| pause.at).min();
        self.stops_swept_until = self.stops_swept_until.min(first.unwrap_or(Millis::NEVER));
        let is_skipped = |id: &VersionId| match catalog.get(*id).status {
            VersionStatus::Stopped => is_planted(Bug::StoppedNotSwept),
            _ => is_planted(Bug::MigrationNotSwept),
        };
        let mut found = catalog.newly_unsettled(&self.catalog);
        found.retain(|id| !is_skipped(id));
        if !is_planted(Bug::ResumeNotSwept) {
            found.extend(catalog.released_anew_since(&self.catalog));
        }
        if !found.is_empty() {
            let mut versions = self.sweep.take().map(|(versions, ..)| versions).unwrap_or_default();
            versions.extend(found);
            self.sweep = Some((versions, 0, 0));
        }
    }

    /// Whether a crash may have cut a sweep of this partition short.
    pub(super) fn owes_sweep(&self, partition: &Partition) -> bool {
        let (all, now) = (&partition.counts, self.now.max(partition.engine_time));
        let is_unsettled = |(id, counts): (VersionId, &VersionCounts)| {
            let version = self.catalog.get(id);
            let lets_go = || version.is_unsettled() && counts.occupied().any(|node| version.lets_go(node));
            counts.active() > 0 && (self.catalog.is_stopped(id, now) || lets_go())
        };
        all.held() + all.entrants() > 0 || all.iter().any(is_unsettled)
    }

    pub(super) fn sweep_again(&mut self) {
        let unsettled = self.catalog.versions.iter().filter(|version| version.is_unsettled());
        let unsettled = unsettled.map(|version| version.program.version);
        self.sweep = Some((unsettled.chain(self.catalog.paused_ever()).collect(), 0, 0));
    }

    /// A pause may end with a stop, at an instant that nobody announces.
    fn sweep_ended(&mut self) {
        if self.catalog.pauses.is_empty() || self.sweep.is_some() {
            return;
        }
        if let Some((versions, until)) = self.catalog.stopped_between(self.stops_swept_until, self.now) {
            self.stops_swept_until = until;
            self.sweep = Some((versions, 0, 0));
        }
    }

    /// Settles instances of versions that are stopped or let somebody go, some rows a turn.
    pub(super) fn sweep_some(&mut self) {
        self.sweep_ended();
        let Some((versions, index, from)) = self.sweep.take() else { return };
        if self.is_early(self.now) || !self.has_room() {
            self.sweep = Some((versions, index, from));
            return;
        }
        let (mut place, mut left, mut found) = ((index, from), SWEEP_ROWS, Vec::new());
        // One in which somebody is found is enough for a turn.
        while left > 0 && found.is_empty() {
            let (index, from) = place;
            let Some(seat) = self.seats.get(usize::from(index)) else { break };
            let mut keys = Vec::new();
            let next = seat.open().and_then(|partition| {
                let wanted = |place: &Place| {
                    let version = self.catalog.get(place.version);
                    let may_be_held = || self.catalog.pauses.contains_key(&version.program.journey);
                    versions.contains(&place.version) && (version.lets_go(place.node) || may_be_held())
                };
                let next = partition.table.inside(&wanted, from, left, &mut keys);
                left -= next.unwrap_or(partition.table.len()).saturating_sub(from).min(left);
                next
            });
            // Partitions without anybody cost little, and are many.
            left = left.saturating_sub(SWEEP_PARTITION);
            found.extend(keys.into_iter().map(|key| (PartitionId(index), key)));
            place = next.map_or((index + 1, 0), |slot| (index, slot));
        }
        // A partition that a start brought may have come further than this shard.
        let reached = found.first().and_then(|(id, _)| Some(self.partition(*id)?.engine_time));
        if reached.is_some_and(|reached| self.is_early(reached)) {
            self.sweep = Some((versions, index, from));
            return;
        }
        for (id, key) in found {
            self.decide_due(id, key);
        }
        if self.seats.get(usize::from(place.0)).is_some() {
            self.sweep = Some((versions, place.0, place.1));
        }
    }

    /// Events' clock: whether something comes before what would happen now at `instant`: timers that have not fired, or
    /// somebody who waits to be told.
    fn is_early(&self, instant: Millis) -> bool {
        self.config.decide.firing == Firing::Due && (self.mail.hold() <= instant || self.is_late(instant))
    }

    /// Fires what is due of a profile.
    pub(super) fn decide_due(&mut self, id: PartitionId, key: ProfileKey) {
        let now = self.now;
        let Some(Seat::Open(partition)) = self.seats.get_mut(usize::from(id.0)) else { return };
        // Where the clock went back, time stands still: no wait may begin before what the partition has journaled.
        let now = now.max(partition.engine_time);
        let about = Circumstances { config: &self.config.decide, catalog: &self.catalog, now };
        let decided = partition.decide_due(key, about, &mut self.draught);
        if let Err(error) = decided {
            self.corrupt(id, &error);
        }
        self.take_draught();
        self.lower_next_slot(id);
    }
}
