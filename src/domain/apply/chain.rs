//! The chain of a profile's decisions: what the decision hash is made of (design §9). Holds nothing that depends on
//! where the profile lives or on what providers report.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::domain::catalog::Catalog;
use crate::domain::profile::Profile;
use crate::domain::step::Step;

/// Adds `steps` to the profile's chain of decisions: no shard, lane or journal position is in it.
pub(super) fn chain(profile: &mut Profile, steps: &[Step], catalog: &Catalog) {
    for step in steps.iter().filter(|step| step.kind.is_decision()) {
        let (kind, detail) = step.kind.code();
        let program = catalog.program(step.version);
        let mut hasher = SipHasher13::new_with_keys(profile.chain, 0x736f_6a6f_7572_6e31);
        hasher.write_u32(program.journey.0);
        hasher.write_u32(program.number);
        hasher.write_u16(step.node.0);
        hasher.write_i64(step.due.0);
        hasher.write_u8(kind);
        hasher.write_u16(detail);
        profile.chain = hasher.finish() | 1;
        profile.changes.header = true;
    }
}
