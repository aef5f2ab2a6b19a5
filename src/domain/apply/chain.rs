//! The chain of a profile's decisions: what the decision hash is made of (design §9). Holds nothing that depends on
//! where the profile lives or on what providers report.

use crate::domain::catalog::Catalog;
use crate::domain::ids::stable_hash;
use crate::domain::profile::Profile;
use crate::domain::step::{Failure, Step, StepKind};

/// Digits of pi: odd words without a pattern.
const KEYS: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

/// Adds `steps` to the profile's chain of decisions: no shard, lane or journal position is in it. The first link hangs on
/// the profile's identity, so that chains of different profiles differ.
pub(super) fn chain(profile: &mut Profile, steps: &[Step], catalog: &Catalog) {
    let mut chain = profile.chain;
    for step in steps.iter().filter(|step| step.kind.is_decision()) {
        if chain == 0 {
            chain = stable_hash(&[profile.identity.as_bytes()]) as u64;
        }
        let (kind, detail) = decided(step.kind).code();
        let program = catalog.program(step.version);
        let words = [
            u64::from(program.journey.0) << 32 | u64::from(program.number),
            step.due.0 as u64,
            u64::from(kind) << 32 | u64::from(detail) << 16 | u64::from(step.node.0),
        ];
        chain = link(chain, words) | 1;
    }
    if chain != profile.chain {
        profile.chain = chain;
        profile.changes.chain = true;
    }
}

/// What of a step is the decision: that an instance ended at a call that failed, and not how the provider failed.
fn decided(kind: StepKind) -> StepKind {
    match kind {
        StepKind::Failed(Failure::Action(_)) => StepKind::Failed(Failure::Action(None)),
        other => other,
    }
}

/// The link behind `chain` that holds `words`. Two multiplications, for every step of every profile makes one: the chain
/// tells accidents apart, and keeps no secret.
fn link(chain: u64, words: [u64; 3]) -> u64 {
    let half = folded(words[0] ^ KEYS[0], words[1] ^ chain);
    folded(half ^ KEYS[1], words[2] ^ chain ^ KEYS[2])
}

/// Both halves of the product of 128 bits in one word: every bit of both hangs on it.
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::link;

    proptest! {
        /// Words that differ in one bit make another link, at once and behind a further step; so does another order.
        #[test]
        fn links_tell_decisions_apart(chain in any::<u64>(), words in any::<[u64; 3]>(), next in any::<[u64; 3]>(), bit in 0..256_usize) {
            let (mut other, mut before) = (words, chain);
            match bit / 64 {
                3 => before ^= 1 << (bit % 64),
                word => other[word] ^= 1 << (bit % 64),
            }
            prop_assert_ne!(link(chain, words), link(before, other));
            prop_assert_ne!(link(link(chain, words), next), link(link(before, other), next));
            prop_assert!(words == next || link(link(chain, words), next) != link(link(chain, next), words));
        }

        /// Half of the bits change, as in words that chance made: sums of chains do not cancel out.
        #[test]
        fn links_spread(chain in any::<u64>(), bit in 0..192_usize) {
            let changed: u32 = (0..64_u64).map(|n| {
                let words = [n, n << 20, n << 3];
                let mut other = words;
                other[bit / 64] ^= 1 << (bit % 64);
                (link(chain, words) ^ link(chain, other)).count_ones()
            }).sum();
            prop_assert!((64 * 26..64 * 38).contains(&changed), "{} of 4096 bits", changed);
        }
    }
}
