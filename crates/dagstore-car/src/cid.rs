//! CIDs and multihashes of any digest length, as their bytes.
//!
//! The ecosystem's `cid::Cid` holds digests of up to 64 bytes; CARs hold identity CIDs of any length.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use multibase::Base;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::varint::{self, BadVarint};

/// The code of the identity "hash": the digest is the data.
pub(crate) const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
const DAG_PB: u64 = 0x70;

/// The bytes of a CIDv0 in front of its digest: sha2-256, 32 bytes.
const V0_PREFIX: [u8; 2] = [0x12, 0x20];
const V0_BYTES: usize = 34;

/// The longest text that is read as a CID: decoding takes time that grows with its square in some bases.
const MOST_TEXT_BYTES: usize = 8192;

/// A CID, as its bytes: a usual one is kept inline, without an allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawCid {
    bytes: SmallVec<[u8; 40]>,
}

/// A multihash, as its bytes: code, length, digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MultihashRef<'a> {
    bytes: &'a [u8],
    code: u64,
    digest_start: usize,
}

/// Why bytes or a text are no CID or multihash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCid {
    /// It ends before it is complete.
    #[error("the CID is cut short")]
    Truncated,
    /// It has a version that doesn't exist.
    #[error("CID version {0}; there are 0 and 1")]
    Version(u64),
    /// A number in it is malformed.
    #[error("{0} in the CID")]
    Varint(&'static str),
    /// There are bytes behind it.
    #[error("{0} bytes after the CID")]
    Trailing(usize),
    /// The text isn't a CID's in any known base.
    #[error("{text:?} is no CID: {why}")]
    Text {
        /// The text, or its beginning.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<BadVarint> for InvalidCid {
    fn from(bad: BadVarint) -> Self {
        match bad {
            BadVarint::Truncated => Self::Truncated,
            BadVarint::NotMinimal | BadVarint::TooLong => Self::Varint(bad.text()),
        }
    }
}

/// A CID at the front of some bytes, taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CidParts<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) version: u64,
    pub(crate) codec: u64,
    pub(crate) multihash: MultihashRef<'a>,
}

impl<'a> CidParts<'a> {
    /// Reads the CID at the front of `bytes`; what follows it is left alone.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, InvalidCid> {
        if bytes.starts_with(&V0_PREFIX) {
            let bytes = bytes.get(..V0_BYTES).ok_or(InvalidCid::Truncated)?;
            let multihash = MultihashRef { bytes, code: SHA2_256, digest_start: V0_PREFIX.len() };
            return Ok(Self { bytes, version: 0, codec: DAG_PB, multihash });
        }
        let (version, version_bytes) = varint::decode(bytes)?;
        if version != 1 {
            return Err(InvalidCid::Version(version));
        }
        let (codec, codec_bytes) = varint::decode(&bytes[version_bytes..])?;
        let start = version_bytes + codec_bytes;
        let multihash = MultihashRef::read(&bytes[start..])?;
        Ok(Self { bytes: &bytes[..start + multihash.bytes.len()], version, codec, multihash })
    }
}

impl<'a> MultihashRef<'a> {
    /// Takes `bytes` as a multihash.
    ///
    /// # Errors
    /// [`InvalidCid`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidCid> {
        let multihash = Self::read(bytes)?;
        match bytes.len() - multihash.bytes.len() {
            0 => Ok(multihash),
            trailing => Err(InvalidCid::Trailing(trailing)),
        }
    }

    fn read(bytes: &'a [u8]) -> Result<Self, InvalidCid> {
        let (code, code_bytes) = varint::decode(bytes)?;
        let (digest_bytes, length_bytes) = varint::decode(&bytes[code_bytes..])?;
        let digest_start = code_bytes + length_bytes;
        let end = usize::try_from(digest_bytes).ok().and_then(|digest_bytes| digest_start.checked_add(digest_bytes));
        let bytes = end.and_then(|end| bytes.get(..end)).ok_or(InvalidCid::Truncated)?;
        Ok(Self { bytes, code, digest_start })
    }

    /// Code, length and digest.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The code of the hash function, from the multicodec table.
    pub fn code(self) -> u64 {
        self.code
    }

    /// The digest.
    pub fn digest(self) -> &'a [u8] {
        &self.bytes[self.digest_start..]
    }

    /// Whether the digest is the data itself.
    pub fn is_identity(self) -> bool {
        self.code == IDENTITY
    }
}

impl fmt::Debug for MultihashRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MultihashRef({})", multibase::encode(Base::Base16Lower, self.bytes))
    }
}

impl RawCid {
    /// Takes `bytes` as a CID.
    ///
    /// # Errors
    /// [`InvalidCid`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidCid> {
        let parts = CidParts::read(bytes)?;
        match bytes.len() - parts.bytes.len() {
            0 => Ok(parts.into()),
            trailing => Err(InvalidCid::Trailing(trailing)),
        }
    }

    /// The CIDv1 of `data` under `codec` (0x55 is raw), hashed with sha2-256.
    pub fn of_data(codec: u64, data: &[u8]) -> Self {
        let mut bytes = vec![1];
        varint::encode(codec, &mut bytes);
        bytes.extend(V0_PREFIX);
        bytes.extend(Sha256::digest(data));
        Self { bytes: bytes.into() }
    }

    /// The CID's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// 0 or 1.
    pub fn version(&self) -> u64 {
        self.parts().version
    }

    /// The codec of the data, from the multicodec table; 0x70 (dag-pb) for version 0.
    pub fn codec(&self) -> u64 {
        self.parts().codec
    }

    /// The multihash.
    pub fn multihash(&self) -> MultihashRef<'_> {
        self.parts().multihash
    }

    #[expect(clippy::expect_used, reason = "a RawCid is only made of bytes that were read as a CID before")]
    fn parts(&self) -> CidParts<'_> {
        CidParts::read(&self.bytes).expect("the bytes of a CID")
    }
}

/// A CID is its bytes, also where it is looked for: equal ones are equal, and hash alike.
impl Borrow<[u8]> for RawCid {
    fn borrow(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<CidParts<'_>> for RawCid {
    fn from(parts: CidParts<'_>) -> Self {
        Self { bytes: parts.bytes.into() }
    }
}

impl From<cid::Cid> for RawCid {
    fn from(cid: cid::Cid) -> Self {
        Self { bytes: cid.to_bytes().into() }
    }
}

impl TryFrom<&RawCid> for cid::Cid {
    type Error = cid::Error;

    /// Fails where the digest has more than 64 bytes.
    fn try_from(raw: &RawCid) -> Result<Self, cid::Error> {
        Self::try_from(raw.as_bytes())
    }
}

/// Version 0 in base58btc, version 1 in multibase's base32.
impl fmt::Display for RawCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version() {
            0 => f.write_str(&Base::Base58Btc.encode(&self.bytes)),
            _ => f.write_str(&multibase::encode(Base::Base32Lower, &self.bytes)),
        }
    }
}

impl fmt::Debug for RawCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawCid({self})")
    }
}

impl FromStr for RawCid {
    type Err = InvalidCid;

    /// Reads a CID in any base of multibase, or a version 0 as it is usually written (`Qm...`).
    fn from_str(text: &str) -> Result<Self, InvalidCid> {
        let bad = |why: String| InvalidCid::Text { text: text.chars().take(80).collect(), why };
        if text.len() > MOST_TEXT_BYTES {
            return Err(bad(format!("it has {} bytes, {MOST_TEXT_BYTES} are the most", text.len())));
        }
        let bytes = if text.len() == 46 && text.starts_with("Qm") {
            Base::Base58Btc.decode(text).map_err(|error| bad(error.to_string()))?
        } else {
            let bytes = multibase::decode(text).map_err(|error| bad(error.to_string()))?.1;
            if bytes.first() == Some(&V0_PREFIX[0]) {
                return Err(bad("version 0 has no multibase prefix".to_owned()));
            }
            bytes
        };
        Self::from_bytes(&bytes).map_err(|error| bad(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for text in [
            "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        ] {
            let cid: RawCid = text.parse().unwrap();
            assert_eq!(cid.to_string(), text);
            assert_eq!(RawCid::from(cid::Cid::try_from(&cid).unwrap()), cid);
        }
    }

    #[test]
    fn data_of_an_identity_cid_can_be_longer_than_64_bytes() {
        let mut bytes = vec![1, 0x55, 0, 0xc8, 0x01];
        bytes.extend([7; 200]);
        let cid = RawCid::from_bytes(&bytes).unwrap();
        assert!(cid.multihash().is_identity());
        assert_eq!(cid.multihash().digest(), [7; 200]);
        assert_eq!(cid.to_string().parse::<RawCid>().unwrap(), cid);
    }

    #[test]
    fn what_is_no_cid_is_told() {
        let cid = RawCid::of_data(0x55, b"data");
        for length in 0..cid.as_bytes().len() {
            assert!(RawCid::from_bytes(&cid.as_bytes()[..length]).is_err(), "{length}");
        }
        let longer = [cid.as_bytes(), &[0]].concat();
        assert_eq!(RawCid::from_bytes(&longer), Err(InvalidCid::Trailing(1)));
        assert_eq!(RawCid::from_bytes(&[48, 0, 0]), Err(InvalidCid::Version(48)));
        for text in ["", "b", "Qm", "bafy!", "\u{0}", "bü"] {
            assert!(text.parse::<RawCid>().is_err(), "{text:?}");
        }
    }
}
