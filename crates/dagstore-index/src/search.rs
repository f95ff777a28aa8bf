//! A search that begins with a guess.
//!
//! Fingerprints are uniform under a key that nobody outside knows, so a guess is off by a few places. One multihash a
//! million times isn't uniform, and neither is a file that somebody made; so what follows the guess takes steps that
//! double and then halve, and is logarithmic whatever there is.

/// The number of the first of `count` ascending keys that isn't below what is sought, or `count`; `is_below` tells of a
/// key's number whether that key is. At most 2 log2(`count`) + 2 keys are looked at, and few where the guess is good.
pub(crate) fn lower_bound(count: usize, guess: usize, mut is_below: impl FnMut(usize) -> bool) -> usize {
    if count == 0 {
        return 0;
    }
    // All keys in front of `low` are below, none from `high` on is.
    let (mut low, mut high) = (0, count);
    let guess = guess.min(count - 1);
    let mut step = 1;
    if is_below(guess) {
        low = guess + 1;
        while high - low >= step {
            let probe = low + step - 1;
            if !is_below(probe) {
                high = probe;
                break;
            }
            low = probe + 1;
            step *= 2;
        }
    } else {
        high = guess;
        while high - low >= step {
            let probe = high - step;
            if is_below(probe) {
                low = probe + 1;
                break;
            }
            high = probe;
            step *= 2;
        }
    }
    while low < high {
        let middle = low.midpoint(high);
        if is_below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// Asserts that a search is right from any guess, and looks at few keys.
    fn search(keys: &[u64], wanted: u64) {
        let expected = keys.partition_point(|key| *key < wanted);
        let most = 2 * (usize::BITS - keys.len().leading_zeros()) + 2;
        for guess in [0, 1, keys.len() / 2, keys.len(), usize::MAX, expected, expected + 1, expected.saturating_sub(1)]
        {
            let probes = Cell::new(0);
            let found = lower_bound(keys.len(), guess, |at| {
                probes.set(probes.get() + 1);
                keys[at] < wanted
            });
            assert_eq!(found, expected, "guess {guess}");
            let most = if guess.abs_diff(expected) <= 1 { most.min(4) } else { most };
            assert!(probes.get() <= most, "{} probes among {} from {guess}", probes.get(), keys.len());
        }
    }

    #[test]
    fn whatever_the_keys_a_search_is_logarithmic() {
        let same = vec![7 << 40; 100_000];
        let ends: Vec<_> = (0..50_000).chain(u64::MAX - 50_000..u64::MAX).collect();
        let powers: Vec<_> = (0..64).map(|shift| 1 << shift).collect();
        for keys in [&same[..], &ends, &powers, &[]] {
            for wanted in [0, 1, 49_999, 50_000, 7 << 40, (7 << 40) + 1, 1 << 63, u64::MAX - 1, u64::MAX] {
                search(keys, wanted);
            }
        }
    }

    proptest! {
        #[test]
        fn searches_agree_with_the_standard_one(mut keys in prop::collection::vec(any::<u64>(), 0..200), wanted: u64) {
            keys.sort_unstable();
            search(&keys, wanted);
            for key in &keys {
                search(&keys, *key);
            }
        }
    }
}
