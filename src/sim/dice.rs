//! Chance from a seed: the same seed gives the same throws on every machine and in every release. Knows nothing of what is
//! drawn.

/// Throws derived from one seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for `purpose`, so that throwing more for one thing changes nothing about another.
    #[must_use]
    pub fn fork(&self, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(self.0 ^ 0x9e37_79b9_7f4a_7c15, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut dice = Self(mixed);
        dice.throw();
        dice
    }

    /// 64 random bits.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which is above 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        ((u128::from(self.throw()) * u128::from(bound)) >> 64) as u64
    }

    /// A place in a list of `count` items.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "an empty range");
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    /// True in `percent` of 100 throws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds written down in reports must replay for ever.
    #[test]
    fn throws_stay_what_they_are() {
        let mut dice = Dice::new(7);
        assert_eq!(dice.throw(), 7_191_089_600_892_374_487);
        assert_eq!((dice.below(10), dice.between(-3, 3)), (0, 3));
    }

    #[test]
    fn every_face_comes_up() {
        let mut dice = Dice::new(1);
        let mut seen = [0; 6];
        for _ in 0..600 {
            seen[dice.index(6)] += 1;
        }
        assert!(seen.iter().all(|n| *n > 60), "{seen:?}");
        assert_ne!(dice.fork("a").throw(), dice.fork("b").throw());
    }
}
