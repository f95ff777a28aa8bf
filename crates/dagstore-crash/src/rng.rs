//! Numbers that look random and are the same for the same seed.

/// A generator of 64-bit numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of one try of one round.
    pub(crate) fn new(seed: u64, round: u64, attempt: u64) -> Self {
        let mut rng = Self(seed);
        for number in [round, attempt] {
            rng.0 = rng.next() ^ number;
        }
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 1 to `last`, which is at least 1.
    pub(crate) fn up_to(&mut self, last: u64) -> u64 {
        1 + self.next() % last
    }

    /// One of `choices`, of which there is at least one.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.next() % choices.len() as u64;
        choices[usize::try_from(at).unwrap_or(0)]
    }
}
