//! A node that so many profiles pass: which of them, all partitions decide together. So an instance waits there until it
//! is told, an input like any other; where it is known that no place is left, it goes on at once.

use crate::domain::apply::inputs::catch_up;
use crate::domain::apply::walk::{Flow, Walk};
use crate::domain::apply::world::{Firing, Outcome, World};
use crate::domain::effect::{Claim, Counter, Effect, Place};
use crate::domain::ids::{Millis, NodeNo};
use crate::domain::journey::program::NodeKind;
use crate::domain::limits::{TICK_MS, UNCAPPED};
use crate::domain::profile::Profile;
use crate::domain::step::{Path, StepKind};

/// The way of those who got a place.
const WITHIN: Path = Path::Way(0);
/// The way of all others.
const BEYOND: Path = Path::Way(1);

/// Tells an instance that waits for a place what became of it, after the profile's due timers; whether it still waited,
/// and so went on.
pub fn apply_place(
    profile: &mut Profile,
    claim: &Claim,
    place: Place,
    now: Millis,
    world: World<'_>,
    out: &mut Outcome,
) -> bool {
    catch_up(profile, now, world, out);
    let Counter { version, node } = claim.counter;
    let waits = |i: &crate::domain::profile::Instance| {
        (i.ordinal, i.generation, i.version, i.node) == (claim.ordinal, claim.generation, version, node)
    };
    let Some(position) = profile.instances.iter().position(waits) else { return false };
    let mut walk = Walk::new(profile, now, world, out);
    let NodeKind::ProfileCap { then, otherwise, .. } = walk.program(version).node(node).kind else { return false };
    let flow = match place {
        Place::Free => Flow::Go(then, WITHIN),
        Place::Spent => Flow::Go(otherwise, BEYOND),
    };
    walk.advance(position, flow);
    walk.seal();
    true
}

impl Walk<'_, '_> {
    /// Comes to a cap: waits for a place, or goes on where none can be left.
    pub(super) fn come_to_cap(&mut self, position: usize, max: u64, then: NodeNo, otherwise: NodeNo) -> Flow {
        if max == UNCAPPED {
            self.step(position, StepKind::Arrived);
            return Flow::Go(then, WITHIN);
        }
        let is_spent = self.world.spent.contains(&self.counter(position));
        match self.world.firing {
            // Always a tick, so that nothing hangs on what this partition happens to know.
            Firing::Due => self.set_node_due(position, self.now.plus(TICK_MS)),
            Firing::Engine if is_spent => {
                self.step(position, StepKind::Arrived);
                return Flow::Go(otherwise, BEYOND);
            }
            Firing::Engine => {}
        }
        self.step(position, StepKind::Arrived);
        if !is_spent {
            self.claim(position, max);
        }
        Flow::Stay
    }

    /// The tick after the arrival, on the events' clock: nobody who was not told yet is left to wait then.
    pub(super) fn cap_tick(&mut self, position: usize, otherwise: NodeNo) -> Flow {
        assert!(self.world.spent.contains(&self.counter(position)), "time waits for those who are not told");
        Flow::Go(otherwise, BEYOND)
    }

    fn counter(&self, position: usize) -> Counter {
        let instance = &self.profile.instances[position];
        Counter { version: instance.version, node: instance.node }
    }

    fn claim(&mut self, position: usize, max: u64) {
        let instance = &self.profile.instances[position];
        let (ordinal, generation) = (instance.ordinal, instance.generation);
        let claim = Claim { counter: self.counter(position), max, ordinal, generation, at: self.now };
        self.out.effects.push(Effect::Claim(claim));
    }
}
