//! Counting what is different.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// How many different byte strings there are, told by two keyed hashes of 64 bits each: their keys are secret, so nobody can
/// make two strings that count as one.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    keys: [RandomState; 2],
    seen: HashSet<[u64; 2]>,
}

impl Distinct {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.seen.insert([self.keys[0].hash_one(bytes), self.keys[1].hash_one(bytes)]);
    }

    pub(crate) fn count(&self) -> u64 {
        self.seen.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_counts_once() {
        let mut distinct = Distinct::default();
        for number in (0_u64..1000).chain(500..1500) {
            distinct.add(&number.to_le_bytes());
        }
        assert_eq!(distinct.count(), 1500);
    }
}
