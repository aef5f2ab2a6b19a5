//! The inputs of a profile: an event, time, an update of its document. Each fires the timers due by then first.

use crate::domain::apply::migrate::settle;
use crate::domain::apply::pause::settle_pauses;
use crate::domain::apply::walk::Walk;
use crate::domain::apply::world::{EventInput, Firing, Outcome, World};
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::domain::profile::Profile;
use crate::domain::value::Map;
use crate::planted::{Bug, is_planted};

/// Handles an event: exits, awaiting nodes, entries, after the profile's due timers.
pub fn apply_event(profile: &mut Profile, event: EventInput<'_>, now: Millis, world: World<'_>, out: &mut Outcome) {
    if !is_planted(Bug::EventBeforeTimers) {
        apply_timers(profile, now, world, out);
    }
    let mut walk = Walk::new(profile, now, world, out);
    let also = match world.catalog.rules.is_empty() {
        true => Vec::new(),
        false => world.catalog.recognised(event.kind, &walk.entry_scope(event)),
    };
    let event = EventInput { also: &also, ..event };
    walk.offer_to_instances(event);
    walk.offer_to_entries(event);
    walk.seal();
}

/// Fires every timer due at or before `now`, in order of (due, entry).
pub fn apply_timers(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    settle_changes(profile, now, world, out);
    while let Some(position) = next_due(profile, now) {
        let at = match world.firing {
            Firing::Engine => now,
            Firing::Due => profile.instances[position].due,
        };
        let mut walk = Walk::new(profile, at, world, out);
        walk.fire(position);
        walk.seal();
    }
}

/// What comes before an input that is no event: due timers. On the events' clock time has passed through every instant
/// before this one, and what is due at it comes behind messages: only what the catalog has changed is settled.
pub(super) fn catch_up(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    match world.firing {
        Firing::Engine => apply_timers(profile, now, world, out),
        Firing::Due => settle_changes(profile, now, world, out),
    }
}

fn settle_changes(profile: &mut Profile, now: Millis, world: World<'_>, out: &mut Outcome) {
    if !world.catalog.pauses.is_empty() {
        settle_pauses(profile, now, world);
    }
    settle(profile, now, world, out);
}

/// Merges `patch` into the profile's document (RFC 7396). A document that would pass its limit stays as it is.
pub fn apply_update(
    profile: &mut Profile,
    patch: &Map,
    now: Millis,
    world: World<'_>,
    out: &mut Outcome,
) -> Result<(), DocumentTooLarge> {
    apply_timers(profile, now, world, out);
    merge_document(profile, patch)
}

/// Merges `patch` into the document, or leaves it as it is.
pub(super) fn merge_document(profile: &mut Profile, patch: &Map) -> Result<(), DocumentTooLarge> {
    let mut merged = profile.document.clone();
    merged.merge(patch);
    if merged.weight() > limits::DOCUMENT_BYTES_MAX || merged.names_max() > limits::MAP_KEYS_MAX {
        return Err(DocumentTooLarge);
    }
    profile.document = merged;
    for (name, _) in &patch.0 {
        if !profile.changes.fields.contains(name) {
            profile.changes.fields.push(name.clone());
        }
    }
    Ok(())
}

/// The merged document would pass [`limits::DOCUMENT_BYTES_MAX`] or, in one of its maps, [`limits::MAP_KEYS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the profile's document would pass {} bytes, or {} names in one map",
    limits::DOCUMENT_BYTES_MAX,
    limits::MAP_KEYS_MAX
)]
pub struct DocumentTooLarge;

fn next_due(profile: &Profile, now: Millis) -> Option<usize> {
    let order = |i: &crate::domain::profile::Instance| {
        if is_planted(Bug::TimersInWrongOrder) { u32::MAX - i.ordinal } else { i.ordinal }
    };
    let (position, instance) = profile.instances.iter().enumerate().min_by_key(|(_, i)| (i.due, order(i)))?;
    let now = if is_planted(Bug::DueIgnored) { now.plus(999) } else { now };
    (instance.due <= now).then_some(position)
}
