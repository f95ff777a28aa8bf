//! The table beside a file of chunks: whose they are, and which. `docs/format/chunks.md` has its bytes.

use dagstore_fs::OwnName;
use dagstore_types::{Attempt, Registration, UnixMillis};

use crate::sidecar::{Fields, MAX_VALIDATOR_BYTES};

const MAGIC: &[u8; 8] = b"dagschnk";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 64;
const CHECKSUM_BYTES: usize = 4;
/// How many bytes an entry has.
pub(crate) const ENTRY_BYTES: usize = 16;
/// What the longest header takes.
pub(crate) const MAX_HEADER_BYTES: usize = FIXED_BYTES + MAX_VALIDATOR_BYTES + CHECKSUM_BYTES;
/// The two highest bits of an entry's first number tell what the others are.
const KIND_SHIFT: u32 = 62;
const VALUE: u64 = (1 << KIND_SHIFT) - 1;

/// The beginning of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: OwnName,
    pub(crate) chunk_bytes: u32,
    /// The size of the whole source.
    pub(crate) size: u64,
    pub(crate) validator: String,
    /// When the table was begun.
    pub(crate) used: UnixMillis,
}

impl Header {
    /// Its bytes, and their checksum: it seeds those of the entries.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.validator.len() + CHECKSUM_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.name.key_hash());
        bytes.extend(self.name.registration.0.to_be_bytes());
        bytes.extend(self.name.attempt.0.to_be_bytes());
        bytes.extend(self.chunk_bytes.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(self.used.0.to_be_bytes());
        // Whoever makes a header has looked at this length.
        bytes.extend(u32::try_from(self.validator.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(self.validator.as_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_be_bytes());
        (bytes, checksum)
    }

    /// The header at the beginning of these bytes, how many it takes, and its checksum. `None` for everything that
    /// [`encode`](Self::encode) can't have written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize, u32)> {
        let mut fields = Fields(bytes);
        if fields.take::<8>()? != *MAGIC || u16::from_be_bytes(fields.take()?) != VERSION || fields.take()? != [0; 2] {
            return None;
        }
        let key_hash = fields.take::<16>()?;
        let registration = Registration(u64::from_be_bytes(fields.take()?));
        let attempt = Attempt(u32::from_be_bytes(fields.take()?));
        let chunk_bytes = u32::from_be_bytes(fields.take()?);
        let [size, used] = [u64::from_be_bytes(fields.take()?), u64::from_be_bytes(fields.take()?)];
        let length = u32::from_be_bytes(fields.take()?);
        let validator = fields.text(length)?;
        let body = bytes.len() - fields.0.len();
        let checksum = u32::from_be_bytes(fields.take()?);
        if crc32c::crc32c(bytes.get(..body)?) != checksum || chunk_bytes == 0 || validator.len() > MAX_VALIDATOR_BYTES {
            return None;
        }
        let name = OwnName::from_parts(key_hash, registration, attempt);
        let header = Self { name, chunk_bytes, size, validator, used: UnixMillis(used) };
        Some((header, body + CHECKSUM_BYTES, checksum))
    }
}

/// Whether a file that begins with these bytes can be a table that a crash left unfinished.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(byte, wanted)| byte == wanted) || bytes.iter().all(|byte| *byte == 0)
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The next bytes of the file are this chunk of the source, with this checksum.
    Chunk { number: u64, checksum: u32 },
    /// The chunks were used at this time.
    Used(UnixMillis),
    /// They are pinned from now on, or no longer.
    Pinned(bool),
}

impl Entry {
    /// Its bytes at the place `at` of the table whose header has the checksum `seed`.
    pub(crate) fn encode(self, seed: u32, at: u64) -> [u8; ENTRY_BYTES] {
        let (kind, value, checksum) = match self {
            Self::Chunk { number, checksum } => (0, number, checksum),
            Self::Used(time) => (1, time.0, 0),
            Self::Pinned(is_pinned) => (2, u64::from(is_pinned), 0),
        };
        let first = kind << KIND_SHIFT | value & VALUE;
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&first.to_be_bytes());
        bytes[8..12].copy_from_slice(&checksum.to_be_bytes());
        let check = check_of(&bytes[..12], seed, at);
        bytes[12..].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    /// `None` for everything that [`encode`](Self::encode) can't have written there.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES], seed: u32, at: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let first = u64::from_be_bytes(fields.take()?);
        let checksum = u32::from_be_bytes(fields.take()?);
        if check_of(&bytes[..12], seed, at) != u32::from_be_bytes(fields.take()?) {
            return None;
        }
        let value = first & VALUE;
        match (first >> KIND_SHIFT, checksum) {
            (0, checksum) => Some(Self::Chunk { number: value, checksum }),
            (1, 0) => Some(Self::Used(UnixMillis(value))),
            (2, 0) if value <= 1 => Some(Self::Pinned(value == 1)),
            _ => None,
        }
    }
}

/// An entry's own checksum: of the table that it is in, of its place, and of what it says.
fn check_of(bytes: &[u8], seed: u32, at: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &at.to_be_bytes()), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let name = OwnName::from_parts([7; 16], Registration(3), Attempt(9));
        Header { name, chunk_bytes: 1000, size: 5500, validator: "\"v\"".to_owned(), used: UnixMillis(99) }
    }

    #[test]
    fn what_is_written_comes_back() {
        let (mut bytes, checksum) = header().encode();
        let length = bytes.len();
        bytes.extend(b"more");
        assert_eq!(Header::decode(&bytes), Some((header(), length, checksum)));
        let entries = [
            Entry::Chunk { number: 5, checksum: 77 },
            Entry::Used(UnixMillis(8)),
            Entry::Pinned(true),
            Entry::Pinned(false),
        ];
        for entry in entries {
            assert_eq!(Entry::decode(&entry.encode(1, 2), 1, 2), Some(entry));
            // The same line elsewhere, or in another table, is none.
            assert_eq!(Entry::decode(&entry.encode(1, 2), 1, 18), None);
            assert_eq!(Entry::decode(&entry.encode(1, 2), 3, 2), None);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_seen() {
        let (bytes, _) = header().encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert_eq!(Header::decode(&other), None, "{at}");
            }
            assert_eq!(Header::decode(&bytes[..at]), None, "{at}");
            assert!(may_begin(&bytes[..at]));
        }
        let entry = Entry::Chunk { number: 5, checksum: 77 }.encode(1, 2);
        for bit in 0..ENTRY_BYTES * 8 {
            let mut other = entry;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Entry::decode(&other, 1, 2), None, "{bit}");
        }
    }
}
