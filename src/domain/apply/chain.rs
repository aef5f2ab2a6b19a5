//! The chain of a profile's decisions: what the decision hash is made of (design §9). Holds nothing that depends on
//! where the profile lives or on what providers report.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::domain::catalog::Catalog;
use crate::domain::ids::stable_hash;
use crate::domain::profile::Profile;
use crate::domain::step::Step;

/// Second half of the key of every link; the first half is the chain so far.
const LINK_KEY: u64 = 0x736f_6a6f_7572_6e31;

/// Adds `steps` to the profile's chain of decisions: no shard, lane or journal position is in it. The first link hangs on
/// the profile's identity, so that chains of different profiles differ.
pub(super) fn chain(profile: &mut Profile, steps: &[Step], catalog: &Catalog) {
    let mut chain = profile.chain;
    for step in steps.iter().filter(|step| step.kind.is_decision()) {
        if chain == 0 {
            chain = stable_hash(&[profile.identity.as_bytes()]) as u64;
        }
        let (kind, detail) = step.kind.code();
        let program = catalog.program(step.version);
        // One write of fixed width: a link is hashed for every step of every profile.
        let mut link = [0; 21];
        link[..4].copy_from_slice(&program.journey.0.to_le_bytes());
        link[4..8].copy_from_slice(&program.number.to_le_bytes());
        link[8..16].copy_from_slice(&step.due.0.to_le_bytes());
        link[16..18].copy_from_slice(&step.node.0.to_le_bytes());
        link[18..20].copy_from_slice(&detail.to_le_bytes());
        link[20] = kind;
        let mut hasher = SipHasher13::new_with_keys(chain, LINK_KEY);
        hasher.write(&link);
        chain = hasher.finish() | 1;
    }
    if chain != profile.chain {
        profile.chain = chain;
        profile.changes.chain = true;
    }
}
