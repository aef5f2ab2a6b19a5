//! What holds after every input, whatever the journeys and events are.

use crate::domain::apply::Outcome;
use crate::domain::catalog::Catalog;
use crate::domain::ids::Millis;
use crate::domain::limits;
use crate::domain::profile::{DueKind, Instance, Profile};
use crate::domain::step::{ExitReason, Step, StepKind};
use crate::runtime::partition::counts::Counts;
use crate::wire::component::{blank_profile, install, put_changes, put_profile};
use crate::wire::cursor::Cursor;
use crate::wire::record::{put_step, read_step};

/// Panics on the first law that is broken.
pub(super) fn hold(before: &Profile, after: &Profile, out: &Outcome, catalog: &Catalog, counts: &Counts, now: Millis) {
    counts_add_up(after, catalog, counts);
    positions_are_sound(after, catalog, now);
    walks_are_whole(before, after, out);
    assert_eq!(
        before.chain != after.chain,
        out.steps.iter().any(|s| s.kind.is_decision()),
        "the chain grows by decisions"
    );
    survives_the_record(before, after, out);
}

fn counts_add_up(profile: &Profile, catalog: &Catalog, counts: &Counts) {
    for (id, version) in counts.iter() {
        let inside = || profile.instances.iter().filter(|i| i.version == id && !i.is_entrant());
        assert_eq!(version.active(), inside().count() as u64, "entered = active + exited + errors");
        for (index, _) in catalog.program(id).nodes.iter().enumerate() {
            let node = version.nodes.get(index).copied().unwrap_or_default();
            let here = inside().filter(|i| usize::from(i.node.0) == index).count() as u64;
            assert_eq!(node.entered, here + node.left + node.exited + node.errors, "at node {index}");
        }
    }
}

fn positions_are_sound(profile: &Profile, catalog: &Catalog, now: Millis) {
    assert!(profile.instances.len() <= limits::INSTANCES_PER_PROFILE_MAX);
    for (index, instance) in profile.instances.iter().enumerate() {
        let program = catalog.program(instance.version);
        let timeout_at = program.over_at(instance.entered_at);
        let later = &profile.instances[index + 1..];
        let same = |i: &Instance| i.journey == instance.journey && i.supplemental_id() == instance.supplemental_id();
        assert!(!later.iter().any(same), "one instance per journey and supplemental id");
        assert!(later.iter().all(|i| i.ordinal > instance.ordinal), "in the order of entry");
        if instance.is_entrant() {
            assert_eq!(instance.due_kind, DueKind::Node, "who waits to enter is let in some time");
            continue;
        }
        assert!(instance.due <= timeout_at, "no timer outlives the journey");
        assert!(instance.due_kind == DueKind::Node || instance.due == timeout_at, "the other timer is the journey's");
        assert!(instance.entered_at <= now && instance.ordinal <= profile.entries);
        assert_eq!(profile.last_entry(instance.journey, instance.supplemental_id()), Some(instance.entered_at));
    }
}

/// Every instance's steps begin where it was, alternate, and end where it is.
fn walks_are_whole(before: &Profile, after: &Profile, out: &Outcome) {
    let mut ordinals: Vec<u32> = out.steps.iter().map(|s| s.ordinal).filter(|o| *o > 0).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    for ordinal in ordinals {
        let steps: Vec<&Step> = out.steps.iter().filter(|s| s.ordinal == ordinal).collect();
        let moves = steps.iter().any(|step| !matches!(step.kind, StepKind::Kept(_) | StepKind::NotKept(_)));
        let mut node = before.instances.iter().find(|i| i.ordinal == ordinal).map(|i| i.node);
        let mut ended = false;
        for step in steps {
            assert!(!ended, "nothing follows an end");
            match step.kind {
                StepKind::Entered(_) => assert_eq!(node, None),
                StepKind::Arrived => node = Some(step.node),
                StepKind::Held(_) if step.node == Step::NO_NODE => {
                    node = after.instances.iter().find(|i| i.ordinal == ordinal).map(|i| i.node);
                }
                StepKind::Released(_) if step.node == Step::NO_NODE => ended = true,
                StepKind::Exited(ExitReason::Migrated) => assert_eq!(node.take(), Some(step.node)),
                _ => assert_eq!(node, Some(step.node), "{step:?} happens where the instance is"),
            }
            let goes_on = step.kind == StepKind::Exited(ExitReason::Migrated);
            ended |= matches!(step.kind, StepKind::Exited(_) | StepKind::Failed(_)) && !goes_on;
        }
        let there = after.instances.iter().find(|i| i.ordinal == ordinal);
        assert_eq!(there.map(|i| i.node), (!ended).then_some(node).flatten());
        let generation = |p: &Profile| p.instances.iter().find(|i| i.ordinal == ordinal).map(|i| (i.generation, i.due));
        assert!(!moves || there.is_none() || generation(before) != generation(after), "a move makes old timers stale");
    }
}

/// Images of what changed, on the old state, give the new state; images of all, on nothing, too; steps read back.
fn survives_the_record(before: &Profile, after: &Profile, out: &Outcome) {
    let plain = |profile: &Profile| Profile { changes: Default::default(), ..profile.clone() };
    let mut images = Vec::new();
    put_changes(&mut images, after, &after.changes);
    let mut installed = plain(before);
    install(&mut installed, &images).expect("reads back");
    assert_eq!(installed, plain(after), "images of the changes");

    images.clear();
    put_profile(&mut images, after);
    let mut installed = blank_profile(after.key);
    install(&mut installed, &images).expect("reads back");
    assert_eq!(installed, plain(after), "images of all");

    let mut bytes = Vec::new();
    for step in &out.steps {
        bytes.clear();
        put_step(&mut bytes, step);
        assert_eq!(read_step(&mut Cursor::new(&bytes)).as_ref(), Ok(step));
    }
}
