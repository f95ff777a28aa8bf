//! Choices that are made from an input without being a part of it.

/// Numbers that look random and are always the same for the same input, so that an input is nothing but what is read.
#[derive(Debug, Clone)]
pub(crate) struct Choices(u64);

impl Choices {
    /// The choices of an input.
    pub(crate) fn of(input: &[u8]) -> Self {
        // FNV-1a: a changed byte changes all choices.
        Self(
            input
                .iter()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// As [`below`](Self::below), for lengths.
    pub(crate) fn length_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("it is below a usize")
    }

    /// One of two.
    pub(crate) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
