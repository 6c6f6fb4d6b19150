//! Seeded numbers that stay the same over versions and platforms (SplitMix64), so that a seed keeps its meaning.

/// A sequence of pseudo-random numbers that is a pure function of what it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Dice {
    /// Dice for one (seed, user, journey): neighbouring parts give unrelated sequences.
    pub(crate) fn new(seed: u64, user: u64, journey: u64) -> Self {
        let user_bits = mix(mix(seed.wrapping_add(GOLDEN)) ^ user.wrapping_mul(GOLDEN));
        Self(mix(user_bits.wrapping_add(GOLDEN) ^ journey.wrapping_mul(GOLDEN)))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `min` to `max`, both included; `min` where `max` is smaller.
    pub(crate) fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.below(max.saturating_sub(min).saturating_add(1))
    }

    /// True in this share of cases (0 to 1).
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        const STEPS: f64 = 9_007_199_254_740_992.0;
        ((self.next_u64() >> 11) as f64) / STEPS < share
    }

    /// The place of one weight, each as likely as its part of the sum; 0 where all are 0.
    pub(crate) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let sum = weights.clone().map(u64::from).sum();
        let mut left = self.below(sum);
        for (at, weight) in weights.enumerate() {
            if left < u64::from(weight) {
                return at;
            }
            left -= u64::from(weight);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_frozen() {
        // A change here changes what every published seed means.
        let mut dice = Dice::new(1, 2, 3);
        let first: Vec<u64> = (0..3).map(|_| dice.below(1_000)).collect();
        assert_eq!(first, [631, 435, 171]);
        assert_ne!(Dice::new(1, 2, 4).next_u64(), Dice::new(1, 2, 3).next_u64());
        assert_ne!(Dice::new(1, 3, 2).next_u64(), Dice::new(1, 2, 3).next_u64());
    }

    #[test]
    fn ranges_hold_and_are_filled() {
        let mut dice = Dice::new(7, 0, 0);
        let mut seen = [false; 4];
        for _ in 0..1_000 {
            let at = dice.between(2, 5);
            assert!((2..=5).contains(&at));
            seen[usize::try_from(at - 2).unwrap_or(0)] = true;
        }
        assert!(seen.into_iter().all(|hit| hit));
        assert_eq!(dice.between(9, 3), 9);
        let hits = (0..10_000).filter(|_| dice.chance(0.25)).count();
        assert!((2_200..2_800).contains(&hits), "{hits}");
        assert_eq!(dice.weighted([0, 0, 5].into_iter()), 2);
    }
}
