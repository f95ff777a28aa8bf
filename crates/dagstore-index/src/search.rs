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

/// Where among `count` keys that are spread evenly over all numbers `distance` behind one of them lies.
pub(crate) fn even_places(count: usize, distance: u64) -> usize {
    let places = (u128::from(distance) * count as u128) >> 64;
    // Below `count`, because the distance is below 2^64.
    usize::try_from(places).unwrap_or(count)
}

/// The number of the first of `count` ascending keys that isn't below `wanted`, where the keys are spread evenly, as a
/// rule.
pub(crate) fn lower_bound_of_even(count: usize, wanted: u64, key: impl Fn(usize) -> u64) -> usize {
    if count == 0 {
        return 0;
    }
    let first = even_places(count, wanted).min(count - 1);
    // The first guess is off by the square root of the count; the key there tells most of how far.
    let found = key(first);
    let second = if found < wanted {
        first + even_places(count, wanted - found)
    } else {
        first.saturating_sub(even_places(count, found - wanted))
    };
    lower_bound(count, second, |at| key(at) < wanted)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// Asserts that both searches are right, and returns how many keys the second looked at.
    fn search(keys: &[u64], wanted: u64) -> u32 {
        let expected = keys.partition_point(|key| *key < wanted);
        let most = 2 * usize::BITS.saturating_sub(keys.len().leading_zeros()) + 2;
        for guess in [0, 1, keys.len() / 2, keys.len(), usize::MAX] {
            let probes = Cell::new(0);
            let found = lower_bound(keys.len(), guess, |at| {
                probes.set(probes.get() + 1);
                keys[at] < wanted
            });
            assert_eq!(found, expected, "guess {guess}");
            assert!(probes.get() <= most, "{} probes among {}", probes.get(), keys.len());
        }
        let probes = Cell::new(0);
        let found = lower_bound_of_even(keys.len(), wanted, |at| {
            probes.set(probes.get() + 1);
            keys[at]
        });
        assert_eq!(found, expected);
        assert!(probes.get() <= most + 1, "{} probes among {}", probes.get(), keys.len());
        probes.get()
    }

    fn scattered(number: u64) -> u64 {
        let mixed = (number ^ (number >> 29)).wrapping_add(1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    #[test]
    fn even_keys_are_found_at_once() {
        let mut keys: Vec<_> = (0..100_000).map(scattered).collect();
        keys.sort_unstable();
        let of_all = (0..1000).map(|number| search(&keys, scattered(number * 50))).sum::<u32>();
        // A binary search takes 17.
        assert!(of_all < 10 * 1000, "{of_all}");
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
