//! The row that a datastore holds for a shard.
//!
//! ```text
//! offset  bytes  what
//! 0       1      codec
//! 1       1      version of the codec
//! 2       1      state
//! 3       2      length of the key, big-endian; the highest bit is set where a checksum stands at the end
//! 5       n      key
//! 5 + n   -      the record, encoded
//! end - 4 4      CRC-32C of all in front of it, big-endian
//! ```
//!
//! Some datastores keep no checksums of their own, or don't look at them: a flipped bit would be another shard's URL or state.
//! Rows that were written before there was a checksum have none.
//!
//! State and key stand in front, so that a catalogue is read without decoding records, and a record that can't be
//! decoded still tells whose it is.

use dagstore_types::{ShardKey, ShardRecord};

use crate::{Codec, CodecId, Codecs, Error, Result};

const HEAD_BYTES: usize = 5;

/// Set in the length of the key, which is 1,024 at most, where there is a checksum. A program that knows none takes such a row for one that is
/// cut short, and sets it aside.
const HAS_CHECKSUM: u16 = 0x8000;

/// A row, split but not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Which codec wrote the record.
    pub codec: CodecId,
    /// Which version of it.
    pub version: u8,
    /// The record's state byte.
    pub state: u8,
    /// The bytes of the record's key.
    pub key: &'a [u8],
    /// The record, encoded.
    pub record: &'a [u8],
    /// The checksum of what is in front of it, and what stands there as such; `None` where there is none.
    pub checksum: Option<(u32, u32)>,
}

impl<'a> Row<'a> {
    /// Splits a row.
    ///
    /// # Errors
    /// [`Error::ShortRow`].
    pub fn split(bytes: &'a [u8]) -> Result<Self> {
        let short = || Error::ShortRow { length: bytes.len() };
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(short)?;
        let length = u16::from_be_bytes([head[3], head[4]]);
        let (rest, checksum) = if length & HAS_CHECKSUM == 0 {
            (rest, None)
        } else {
            let (rest, wanted) = rest.split_last_chunk().ok_or_else(short)?;
            let covered = &bytes[..HEAD_BYTES + rest.len()];
            (rest, Some((crc32c::crc32c(covered), u32::from_be_bytes(*wanted))))
        };
        let (key, record) = rest.split_at_checked(usize::from(length & !HAS_CHECKSUM)).ok_or_else(short)?;
        Ok(Self { codec: CodecId(head[0]), version: head[1], state: head[2], key, record, checksum })
    }

    /// Decodes the record, and checks that state and key in front of it are its own.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::UnknownCodec`], [`Error::NewerVersion`], [`Error::Decode`], [`Error::Contradiction`].
    pub fn decode(&self, codecs: &Codecs) -> Result<ShardRecord> {
        if let Some((found, wanted)) = self.checksum.filter(|(found, wanted)| found != wanted) {
            return Err(Error::Damaged { found, wanted });
        }
        let codec = codecs.reader(self.codec)?;
        if self.version > codec.version() {
            let (version, newest) = (self.version, codec.version());
            return Err(Error::NewerVersion { codec: codec.name(), version, newest });
        }
        let record = codec.decode(self.version, self.record)?;
        if record.state.byte() != self.state {
            return Err(Error::Contradiction { what: "state" });
        }
        if record.key.as_bytes() != self.key {
            return Err(Error::Contradiction { what: "key" });
        }
        Ok(record)
    }

    /// The shard's key, where its bytes are a valid one.
    pub fn shard_key(&self) -> Option<ShardKey> {
        std::str::from_utf8(self.key).ok().and_then(|text| ShardKey::new(text).ok())
    }
}

/// Makes the row of a record.
///
/// # Errors
/// [`Error::Encode`].
pub fn encode_row(codec: &dyn Codec, record: &ShardRecord) -> Result<Vec<u8>> {
    let key = record.key.as_bytes();
    let key_bytes =
        u16::try_from(key.len()).map_err(|error| Error::Encode { codec: codec.name(), source: Box::new(error) })?;
    let mut row = Vec::with_capacity(HEAD_BYTES + 2 * key.len() + record.url.len() + 64);
    row.extend([codec.id().0, codec.version(), record.state.byte()]);
    row.extend((key_bytes | HAS_CHECKSUM).to_be_bytes());
    row.extend(key);
    codec.encode(record, &mut row)?;
    row.extend(crc32c::crc32c(&row).to_be_bytes());
    Ok(row)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Cbor, Json, conformance};

    #[test]
    fn rows_of_several_codecs_are_read_side_by_side() {
        let codecs = Codecs::new(Arc::new(Json));
        for record in conformance::samples() {
            for codec in [&Json as &dyn Codec, &Cbor] {
                let bytes = encode_row(codec, &record).unwrap();
                let row = Row::split(&bytes).unwrap();
                assert_eq!(row.shard_key(), Some(record.key.clone()));
                assert_eq!(row.decode(&codecs).unwrap(), record);
            }
        }
    }

    /// The same row as it was written before there was a checksum.
    fn without_checksum(record: &ShardRecord) -> Vec<u8> {
        let mut bytes = encode_row(&Cbor, record).unwrap();
        bytes[3] &= 0x7f;
        bytes.truncate(bytes.len() - 4);
        bytes
    }

    #[test]
    fn rows_without_a_checksum_are_read() {
        for record in conformance::samples() {
            let bytes = without_checksum(&record);
            let row = Row::split(&bytes).unwrap();
            assert_eq!((row.checksum, row.decode(&Codecs::default()).unwrap()), (None, record));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for record in conformance::samples() {
            for codec in [&Json as &dyn Codec, &Cbor] {
                let bytes = encode_row(codec, &record).unwrap();
                for bit in 0..8 * bytes.len() {
                    let mut bytes = bytes.clone();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    let decoded = Row::split(&bytes).and_then(|row| row.decode(&Codecs::default()));
                    assert!(decoded.is_err(), "bit {bit} of {bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn a_newer_version_and_an_unknown_codec_are_refused() {
        let mut bytes = without_checksum(&conformance::samples()[0]);
        bytes[1] += 1;
        let error = Row::split(&bytes).unwrap().decode(&Codecs::default()).unwrap_err();
        assert!(matches!(error, Error::NewerVersion { .. }), "{error}");
        bytes[0] = 200;
        let error = Row::split(&bytes).unwrap().decode(&Codecs::default()).unwrap_err();
        assert!(matches!(error, Error::UnknownCodec { stamp: 200 }), "{error}");
    }

    #[test]
    fn a_row_that_contradicts_its_record_is_refused() {
        let bytes = without_checksum(&conformance::samples()[0]);
        for (at, what) in [(2, "state"), (HEAD_BYTES, "key")] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let error = Row::split(&bytes).unwrap().decode(&Codecs::default()).unwrap_err();
            assert!(matches!(error, Error::Contradiction { what: found } if found == what), "{error}");
        }
    }

    #[test]
    fn every_cut_of_a_row_is_an_error() {
        for codec in [&Json as &dyn Codec, &Cbor] {
            let bytes = encode_row(codec, &conformance::samples()[0]).unwrap();
            for length in 0..bytes.len() {
                let decoded = Row::split(&bytes[..length]).and_then(|row| row.decode(&Codecs::default()));
                assert!(decoded.is_err(), "{} bytes of {}", length, codec.name());
            }
        }
    }
}
