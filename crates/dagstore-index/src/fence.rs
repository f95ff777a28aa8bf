//! The fence: the first bytes of each page's first fingerprint, and a table of guesses.
//!
//! Fingerprints are uniform, so the place of one in the fence can be computed, within the square root of its length.
//! That is a few dozen places off in a large fence, which is another line of memory to wait for. The table tells where
//! each stretch of 32 to 64 pages begins, and from there a guess is right or next to it. It takes 4 bytes for each, which
//! is for 1,500 entries or more, so it stays in the processor's cache.

use bytes::Bytes;

use crate::format::FENCE_ENTRY_BYTES;
use crate::search::lower_bound;

/// So many pages or up to twice as many share a place of the table.
const PAGES_A_PLACE: usize = 32;

/// A fence that was checked.
#[derive(Debug)]
pub(crate) struct Fence {
    bytes: Bytes,
    /// For each value of the first `bits` bits how many pages start before it; one more at the end.
    starts: Box<[u32]>,
    bits: u32,
}

impl Fence {
    /// Takes the fence's bytes, whatever they are.
    pub(crate) fn new(bytes: Bytes) -> Self {
        let keys = bytes.as_chunks::<FENCE_ENTRY_BYTES>().0;
        let bits = (keys.len() / PAGES_A_PLACE).checked_ilog2().unwrap_or(0);
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (page, key) in keys.iter().enumerate() {
            let value = first_bits(u64::from_be_bytes(*key), bits);
            while starts.len() <= value {
                starts.push(place(page));
            }
        }
        starts.resize((1 << bits) + 1, place(keys.len()));
        Self { starts: starts.into_boxed_slice(), bits, bytes }
    }

    /// The number of pages.
    pub(crate) fn len(&self) -> usize {
        self.keys().len()
    }

    /// The first bytes of a page, as a number, and the greatest number behind the last page.
    pub(crate) fn first_of(&self, page: usize) -> u64 {
        self.keys().get(page).copied().map_or(u64::MAX, u64::from_be_bytes)
    }

    /// The first page that doesn't start below `wanted`, or the number of pages.
    pub(crate) fn lower_bound(&self, wanted: u64) -> usize {
        let keys = self.keys();
        lower_bound(keys.len(), self.guess(wanted), |page| u64::from_be_bytes(keys[page]) < wanted)
    }

    fn guess(&self, wanted: u64) -> usize {
        let value = first_bits(wanted, self.bits);
        let (start, end) = (self.starts[value], self.starts[value + 1]);
        // The other bits tell how far between the two it is.
        let part = u128::from(wanted << self.bits) * u128::from(end.saturating_sub(start));
        start as usize + usize::try_from(part >> 64).unwrap_or_default()
    }

    fn keys(&self) -> &[[u8; FENCE_ENTRY_BYTES]] {
        self.bytes.as_chunks().0
    }
}

/// The value of a key's first bits, of which there are fewer than 64.
fn first_bits(key: u64, bits: u32) -> usize {
    usize::try_from(key.checked_shr(u64::BITS - bits).unwrap_or(0)).unwrap_or_default()
}

/// A page's number in the table. Of a file of terabytes it is a bad guess, and no more.
fn place(page: usize) -> u32 {
    u32::try_from(page).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fence(keys: &[u64]) -> Fence {
        Fence::new(Bytes::from(keys.iter().flat_map(|key| key.to_be_bytes()).collect::<Vec<_>>()))
    }

    fn scattered(number: u64) -> u64 {
        let mixed = (number ^ (number >> 29)).wrapping_add(1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    #[test]
    fn guesses_are_right_or_next_to_it() {
        let mut entries: Vec<_> = (0..1_000_000).map(scattered).collect();
        entries.sort_unstable();
        let fence = fence(&entries.iter().copied().step_by(46).collect::<Vec<_>>());
        let off = |number: u64| {
            let wanted = scattered(number + 5_000_000);
            fence.guess(wanted).abs_diff(fence.lower_bound(wanted))
        };
        let (sum, most) = (0..10_000).map(off).fold((0_usize, 0), |(sum, most), off| (sum + off, off.max(most)));
        assert!(sum < 10_000 && most < 8, "{sum} {most}");
    }

    #[test]
    fn whatever_is_in_it_a_fence_can_be_searched() {
        let falling: Vec<_> = (0..1000).map(|at| (1000 - at) << 50).collect();
        let same = [7 << 40; 1000];
        let ends: Vec<_> = (0..500).chain(u64::MAX - 500..u64::MAX).collect();
        for keys in [&falling[..], &same, &ends, &[u64::MAX; 100], &[0; 100], &[]] {
            let fence = fence(keys);
            for wanted in [0, 1, 7 << 40, (7 << 40) + 1, 1 << 63, u64::MAX] {
                let found = fence.lower_bound(wanted);
                assert!(found <= keys.len());
                assert!(!keys.is_sorted() || found == keys.partition_point(|key| *key < wanted));
            }
        }
    }

    proptest! {
        #[test]
        fn fences_are_searched_right(mut keys in prop::collection::vec(any::<u64>(), 0..300), wanted: u64) {
            keys.sort_unstable();
            let fence = fence(&keys);
            for wanted in keys.iter().copied().chain([0, wanted, u64::MAX]) {
                prop_assert_eq!(fence.lower_bound(wanted), keys.partition_point(|key| *key < wanted));
            }
        }
    }
}
