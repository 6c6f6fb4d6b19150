//! Chance as a pure function of the seed and of what it strikes, so that the same seed gives the same faults whatever
//! the order of events.

/// What a die is cast for. The numbers are part of what a seed means: they never change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cast {
    Prepay = 1,
    Query = 2,
    Close = 3,
    Refund = 4,
    Notify = 5,
    PrepayId = 6,
    TransactionId = 7,
    Nonce = 8,
    NotifyId = 9,
    Spell = 10,
    Sending = 11,
    Contradiction = 12,
    SlowBody = 13,
}

/// A stream of random numbers for one event (`SplitMix64`, started from a hash of the event's name).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of `SplitMix64`: every input bit moves every output bit.
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

impl Dice {
    /// The dice of one event: `number` tells repeats of the same call apart.
    pub(crate) fn cast(seed: u64, out_trade_no: &str, cast: Cast, number: u64) -> Self {
        let mut state = mix(seed.wrapping_add(GOLDEN));
        for chunk in out_trade_no.as_bytes().chunks(8) {
            let mut word = [0_u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state = mix(state.wrapping_add(GOLDEN) ^ u64::from_le_bytes(word));
        }
        state = mix(state.wrapping_add(GOLDEN) ^ out_trade_no.len() as u64);
        state = mix(state.wrapping_add(GOLDEN) ^ cast as u64);
        Self(mix(state.wrapping_add(GOLDEN) ^ number))
    }

    /// The dice of a text that is never the same twice.
    pub(crate) fn of_text(text: &str) -> Self {
        Self::cast(0, text, Cast::Nonce, 0)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Even over 0..1,000,000.
    pub(crate) fn millionth(&mut self) -> u32 {
        let scaled = (u128::from(self.next()) * 1_000_000) >> 64;
        u32::try_from(scaled).unwrap_or(u32::MAX)
    }

    /// Even over 0..n, or 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    /// Even over the open interval (0, 1).
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal (Box-Muller); within +-8.7, because `unit` has 53 bits.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// 26 decimal digits.
    pub(crate) fn digits(&mut self) -> String {
        format!("{:013}{:013}", self.next() % 10_000_000_000_000, self.next() % 10_000_000_000_000)
    }

    /// 16 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_keeps_its_meaning() {
        let mut dice = Dice::cast(7, "01JD0000000000000000000000-1", Cast::Prepay, 1);
        assert_eq!((dice.next(), dice.next()), PINNED);
    }

    const PINNED: (u64, u64) = (15_864_991_180_391_389_187, 16_057_512_843_537_119_285);

    #[test]
    fn each_part_of_the_name_matters() {
        let base = Dice::cast(7, "a", Cast::Prepay, 1).next();
        for other in [
            Dice::cast(8, "a", Cast::Prepay, 1),
            Dice::cast(7, "b", Cast::Prepay, 1),
            Dice::cast(7, "a\0", Cast::Prepay, 1),
            Dice::cast(7, "a", Cast::Query, 1),
            Dice::cast(7, "a", Cast::Prepay, 2),
        ] {
            assert_ne!(base, other.clone().next());
        }
    }

    #[test]
    fn millionths_are_even_and_normals_normal() {
        let mut dice = Dice::cast(7, "even", Cast::Query, 1);
        let n = 100_000;
        let below = (0..n).filter(|_| dice.millionth() < 20_000).count();
        assert!((1_800..2_200).contains(&below), "{below} of {n} below 2 %");
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let value = dice.normal();
            sum += value;
            squares += value * value;
        }
        let n = f64::from(n);
        assert!(
            (sum / n).abs() < 0.02 && (squares / n - 1.0).abs() < 0.03,
            "mean {}, variance {}",
            sum / n,
            squares / n
        );
    }
}
