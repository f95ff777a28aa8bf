//! Multihashes that indices are asked for.

/// How many there are.
pub(crate) const PROBES: usize = 32;

/// The bytes of the multihash of this number, below [`PROBES`], no two alike: digests of none to 34 bytes, many of which differ in
/// their last byte or in the hash function alone.
pub(crate) fn probe(number: usize) -> Vec<u8> {
    let digest_bytes = [32, 20, 0, 34][number % 4];
    let last = u8::try_from(number / 8).unwrap_or(u8::MAX);
    let code = match (digest_bytes, number % 8) {
        (0, below) => 0x20 + 8 * last + u8::try_from(below).unwrap_or(u8::MAX),
        (_, 0..4) => 0x12,
        _ => 0,
    };
    let mut bytes = vec![code, digest_bytes];
    bytes.extend((0..digest_bytes).map(|at| if at + 1 == digest_bytes { last } else { 7 }));
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{PROBES, probe};

    #[test]
    fn no_two_are_alike() {
        assert_eq!((0..PROBES).map(probe).collect::<BTreeSet<_>>().len(), PROBES);
    }
}
