//! Whether data hashes to a multihash.

use multihash_codetable::{Code, MultihashDigest};
use sha1::{Digest, Sha1};

use crate::MultihashRef;

/// sha1, for which the table of codes has no entry.
const SHA1: u64 = 0x11;

/// The shortest digest that vouches for data, in bytes; identity aside.
const SHORTEST_DIGEST_BYTES: usize = 20;

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The data hashes to the digest.
    Matches,
    /// It doesn't.
    Differs,
    /// Nobody can tell: the hash function is unknown, or the digest has fewer than 20 bytes.
    Unverifiable,
}

/// Checks `data` against a multihash. A digest that was cut vouches for as many bytes as it has.
pub fn check(multihash: MultihashRef<'_>, data: &[u8]) -> Verdict {
    let digest = multihash.digest();
    if multihash.is_identity() {
        return if digest == data { Verdict::Matches } else { Verdict::Differs };
    }
    if digest.len() < SHORTEST_DIGEST_BYTES {
        return Verdict::Unverifiable;
    }
    let matches = if multihash.code() == SHA1 {
        Sha1::digest(data).starts_with(digest)
    } else {
        let Ok(code) = Code::try_from(multihash.code()) else { return Verdict::Unverifiable };
        code.digest(data).digest().starts_with(digest)
    };
    if matches { Verdict::Matches } else { Verdict::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawCid;

    fn multihash(code: u8, digest: &[u8]) -> Vec<u8> {
        [&[code, u8::try_from(digest.len()).unwrap()], digest].concat()
    }

    #[test]
    fn verdicts() {
        let cid = RawCid::of_data(0x55, b"data");
        let digest = cid.multihash().digest().to_vec();
        let of = |code, digest: &[u8], data: &[u8]| {
            let bytes = multihash(code, digest);
            check(MultihashRef::parse(&bytes).unwrap(), data)
        };
        assert_eq!(of(0x12, &digest, b"data"), Verdict::Matches);
        assert_eq!(of(0x12, &digest, b"dat"), Verdict::Differs);
        assert_eq!(of(0x12, &digest[..20], b"data"), Verdict::Matches);
        assert_eq!(of(0x12, &digest[..19], b"data"), Verdict::Unverifiable);
        assert_eq!(of(0x12, &[], b"anything"), Verdict::Unverifiable);
        assert_eq!(of(0x12, &[&digest[..], &[0]].concat(), b"data"), Verdict::Differs);
        assert_eq!(of(0x7f, &digest, b"data"), Verdict::Unverifiable);
        assert_eq!(of(0x00, b"data", b"data"), Verdict::Matches);
        assert_eq!(of(0x00, b"data", b"date"), Verdict::Differs);
    }
}
