//! Keyed fingerprints of multihashes.

use std::fmt;
use std::hash::Hasher;

use dagstore_car::MultihashRef;
use siphasher::sip128::{Hash128, Hasher128, SipHasher24};

use crate::{Error, Result};

/// The bytes of a fingerprint.
pub const FINGERPRINT_BYTES: usize = 14;

/// The code is hashed as so many bytes.
const CODE_BYTES: usize = 8;

/// A store's random key. All indices of a store are made under the same one.
///
/// Fingerprints under a key that nobody outside knows are uniform whatever multihashes a CAR has, short and identity
/// digests included, and equal ones can't be made on purpose. The key stands in each index file; it protects no more
/// than the file does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FingerprintKey(pub [u8; 16]);

impl FingerprintKey {
    /// A new key out of the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn generate() -> Result<Self> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|source| Error::NoRandomness { source })?;
        Ok(Self(key))
    }

    /// The first bytes of the SipHash-2-4-128 of the multihash's code, as 8 bytes big-endian, and its digest. The code
    /// has a fixed length, so different multihashes never feed the same bytes.
    pub fn fingerprint(self, multihash: MultihashRef<'_>) -> Fingerprint {
        self.of_parts(multihash.code(), multihash.digest())
    }

    pub(crate) fn of_parts(self, code: u64, digest: &[u8]) -> Fingerprint {
        let hasher = SipHasher24::new_with_key(&self.0);
        // Nearly all digests have 32 bytes, and what lies in one piece of a known length is hashed a third faster.
        let hash = if let Ok(digest) = <&[u8; 32]>::try_from(digest) {
            let mut whole = [0; CODE_BYTES + 32];
            whole[..CODE_BYTES].copy_from_slice(&code.to_be_bytes());
            whole[CODE_BYTES..].copy_from_slice(digest);
            hasher.hash(&whole)
        } else {
            in_pieces(hasher, code, digest)
        };
        let hash = u128::from(hash).to_le_bytes();
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&hash[..FINGERPRINT_BYTES]);
        Fingerprint(fingerprint)
    }
}

fn in_pieces(mut hasher: SipHasher24, code: u64, digest: &[u8]) -> Hash128 {
    hasher.write(&code.to_be_bytes());
    hasher.write(digest);
    hasher.finish128()
}

/// Keeps the key out of logs.
impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

/// The fingerprint of a multihash under a store's key: 112 bits, so two multihashes of one store don't share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    /// The bytes that stand in the fence.
    pub(crate) fn prefix(self) -> [u8; 8] {
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&self.0[..8]);
        prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(key: FingerprintKey, multihash: &[u8]) -> Fingerprint {
        key.fingerprint(MultihashRef::parse(multihash).unwrap())
    }

    /// The reference implementation's vector for the key 00 01 .. 0f and the input 00 01 .. 0e: the code is made of
    /// the first 8 bytes, the digest of the other 7.
    #[test]
    fn it_is_siphash_2_4_128_of_code_and_digest() {
        let key = FingerprintKey(core::array::from_fn(|at| u8::try_from(at).unwrap()));
        let multihash = crate::conformance::multihash(0x0001_0203_0405_0607, &[8, 9, 10, 11, 12, 13, 14]);
        let expected = [0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf];
        assert_eq!(fingerprint(key, &multihash).0, expected);
    }

    #[test]
    fn digests_of_any_length_are_hashed_the_same_way() {
        let key = FingerprintKey([3; 16]);
        for length in 0..200_u8 {
            let digest: Vec<_> = (0..length).collect();
            let hash = u128::from(in_pieces(SipHasher24::new_with_key(&key.0), 0x12, &digest)).to_le_bytes();
            assert_eq!(key.of_parts(0x12, &digest).0, hash[..FINGERPRINT_BYTES], "{length}");
        }
    }

    #[test]
    fn key_code_and_digest_all_count() {
        let key = FingerprintKey([1; 16]);
        let all = [
            fingerprint(key, &[0x12, 2, 1, 2]),
            fingerprint(key, &[0x13, 2, 1, 2]),
            fingerprint(key, &[0x12, 2, 1, 3]),
            fingerprint(key, &[0x12, 1, 1]),
            fingerprint(FingerprintKey([2; 16]), &[0x12, 2, 1, 2]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    #[test]
    fn keys_are_random_and_not_printed() {
        assert_ne!(FingerprintKey::generate().unwrap(), FingerprintKey::generate().unwrap());
        assert_eq!(format!("{:?}", FingerprintKey([7; 16])), "FingerprintKey(..)");
    }
}
