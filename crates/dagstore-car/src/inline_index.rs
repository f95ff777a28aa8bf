//! The inline index of a CARv2, checked for being one. It is never believed: indices are built from the payload.
//!
//! ```text
//! index   = uvarint(codec) body                    all integers little-endian
//! 0x0400  = i32 buckets, bucket*
//! bucket  = u32 width, u64 byte length, records    width = digest length + 8
//! 0x0401  = i32 codes, (u64 multihash code, i32 buckets, bucket*)*
//! ```

use dagstore_fs::ReadAt;

use crate::{Error, Result, varint};

const SORTED: u64 = 0x0400;
const MULTIHASH_SORTED: u64 = 0x0401;

/// The fewest bytes that a bucket, and a code with its buckets, take.
const BUCKET_BYTES: u64 = 12;
const CODE_BYTES: u64 = 12;

/// How many codes and buckets an index may have in all.
const MOST_PARTS: u64 = 1 << 16;

/// The narrowest record: an offset and no digest.
const LEAST_WIDTH: u32 = 8;

/// Checks the structure of the index at `offset`. Reads the fronts of buckets, jumps over records, allocates nothing.
pub(crate) fn check(source: &dyn ReadAt, offset: u64) -> Result<()> {
    let mut cursor = Cursor { source, at: offset, end: source.size(), parts: 0 };
    let mut head = [0; varint::MAX_BYTES];
    let count = cursor.read_some(&mut head)?;
    let (codec, codec_bytes) = varint::decode(&head[..count]).map_err(|bad| cursor.malformed(bad.text()))?;
    cursor.at += codec_bytes as u64;
    match codec {
        SORTED => check_buckets(&mut cursor),
        MULTIHASH_SORTED => {
            let multihash_codes = cursor.count(CODE_BYTES, "codes")?;
            for _ in 0..multihash_codes {
                let _multihash_code: [u8; 8] = cursor.read()?;
                check_buckets(&mut cursor)?;
            }
            Ok(())
        }
        unknown => Err(cursor.malformed(&format!("unknown codec {unknown:#x}"))),
    }
}

fn check_buckets(cursor: &mut Cursor<'_>) -> Result<()> {
    let buckets = cursor.count(BUCKET_BYTES, "buckets")?;
    for _ in 0..buckets {
        let width = u32::from_le_bytes(cursor.read()?);
        if width < LEAST_WIDTH {
            return Err(cursor.malformed(&format!("records of {width} bytes, the least is {LEAST_WIDTH}")));
        }
        let length = u64::from_le_bytes(cursor.read()?);
        if length % u64::from(width) != 0 {
            return Err(cursor.malformed(&format!("{length} bytes of records that take {width} each")));
        }
        if length > cursor.end.saturating_sub(cursor.at) {
            return Err(cursor.malformed(&format!("{length} bytes of records, where the file ends at {}", cursor.end)));
        }
        cursor.at += length;
    }
    Ok(())
}

struct Cursor<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    end: u64,
    /// Codes and buckets announced so far.
    parts: u64,
}

impl Cursor<'_> {
    fn read_some(&self, buffer: &mut [u8]) -> Result<usize> {
        self.source.read_at(self.at, buffer).map_err(|source| Error::Io { offset: self.at, source })
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        if self.read_some(&mut bytes)? < N {
            return Err(self.malformed("it is cut short"));
        }
        self.at += N as u64;
        Ok(bytes)
    }

    /// A count of things that take at least `each` bytes, so that no more are announced than fit.
    fn count(&mut self, each: u64, what: &str) -> Result<u64> {
        let count = i32::from_le_bytes(self.read()?);
        let room = self.end.saturating_sub(self.at) / each;
        let count = u64::try_from(count).ok().filter(|count| *count <= room);
        let Some(count) = count else {
            return Err(self.malformed(&format!("more {what} announced than the {room} that fit")));
        };
        self.parts = self.parts.saturating_add(count);
        if self.parts > MOST_PARTS {
            let (what, offset, found) = ("codes and buckets of the inline index", self.at, self.parts);
            return Err(Error::Limit { what, offset, found, limit: MOST_PARTS });
        }
        Ok(count)
    }

    fn malformed(&self, found: &str) -> Error {
        Error::MalformedIndex { offset: self.at, found: found.to_owned() }
    }
}
