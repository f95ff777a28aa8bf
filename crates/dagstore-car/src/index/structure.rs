//! The structure of an index: what is announced, and whether it fits. Records are jumped over.
//!
//! [`Structure`] doesn't read: it tells what it needs next, so that a file and a stream are held to the same rules.

use dagstore_fs::ReadAt;

use crate::index::IndexCodec;
use crate::varint::{self, BadVarint};
use crate::{Error, Result};

/// The fewest bytes that a bucket, and a code with its buckets, take.
const BUCKET_BYTES: u64 = 12;
const CODE_BYTES: u64 = 12;

/// How many codes and buckets an index may have in all.
const MOST_PARTS: u64 = 1 << 16;

/// The narrowest record: an offset and no digest.
const LEAST_WIDTH: u32 = 8;

/// The most that is ever needed at once.
pub(crate) const MOST_NEEDED: usize = 12;

/// What an index needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// This many bytes, at most [`MOST_NEEDED`].
    Bytes(usize),
    /// This many bytes left out.
    Skip(u64),
    /// Nothing more.
    Done,
}

/// Records of one width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The hash function; `None` in 0x0400.
    pub(crate) code: Option<u64>,
    /// Bytes of a record.
    pub(crate) width: u32,
    /// Where the records begin, in the file.
    pub(crate) offset: u64,
    /// How many bytes they take together, a multiple of `width`.
    pub(crate) length: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Codec,
    CodeCount,
    Code,
    BucketCount,
    Bucket,
    Records(u64),
    Done,
}

/// An index as far as it was seen.
#[derive(Debug)]
pub(crate) struct Structure {
    at: u64,
    /// Where the file ends; [`u64::MAX`] where that isn't known.
    end: u64,
    /// Codes and buckets announced so far.
    parts: u64,
    state: State,
    codec: IndexCodec,
    codes_left: u64,
    code: Option<u64>,
    buckets_left: u64,
}

/// Walks the index at `start`, shows its buckets, and returns codec and end. Reads the fronts of buckets only.
pub(crate) fn walk(
    source: &dyn ReadAt,
    start: u64,
    mut show: impl FnMut(Bucket) -> Result<()>,
) -> Result<(IndexCodec, u64)> {
    let mut structure = Structure::new(start, source.size());
    let mut buffer = [0; MOST_NEEDED];
    loop {
        match structure.need() {
            Need::Done => return Ok((structure.codec, structure.at)),
            Need::Skip(count) => structure.skip(count),
            Need::Bytes(count) => {
                let at = structure.at;
                let bytes = &mut buffer[..count];
                if source.read_at(at, bytes).map_err(|source| Error::Io { offset: at, source })? < count {
                    return Err(structure.cut_short());
                }
                if let Some(bucket) = structure.take(bytes)? {
                    show(bucket)?;
                }
            }
        }
    }
}

impl Structure {
    pub(crate) fn new(start: u64, end: u64) -> Self {
        Self {
            at: start,
            end,
            parts: 0,
            state: State::Codec,
            codec: IndexCodec::Sorted,
            codes_left: 0,
            code: None,
            buckets_left: 0,
        }
    }

    pub(crate) fn need(&self) -> Need {
        match self.state {
            State::Codec => Need::Bytes(2),
            State::CodeCount | State::BucketCount => Need::Bytes(4),
            State::Code => Need::Bytes(8),
            State::Bucket => Need::Bytes(12),
            State::Records(left) => Need::Skip(left),
            State::Done => Need::Done,
        }
    }

    /// `count` bytes of what was to be left out have passed.
    pub(crate) fn skip(&mut self, count: u64) {
        if let State::Records(left) = self.state {
            let count = count.min(left);
            self.at += count;
            self.state = State::Records(left - count);
            self.settle();
        }
    }

    /// Takes the bytes that were needed. Returns the bucket that they are the front of.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<Bucket>> {
        let state = self.state;
        if !matches!(state, State::Codec) {
            self.at += bytes.len() as u64;
        }
        match state {
            State::Codec => self.take_codec(bytes)?,
            State::CodeCount => {
                self.codes_left = self.count(bytes, CODE_BYTES, "codes")?;
                self.state = State::Code;
            }
            State::Code => {
                self.code = Some(number(bytes));
                self.codes_left -= 1;
                self.state = State::BucketCount;
                return Ok(None);
            }
            State::BucketCount => {
                self.buckets_left = self.count(bytes, BUCKET_BYTES, "buckets")?;
                self.state = State::Bucket;
            }
            State::Bucket => return self.take_bucket(bytes).map(Some),
            State::Records(_) | State::Done => {}
        }
        self.settle();
        Ok(None)
    }

    /// The error for an index that ends too early.
    pub(crate) fn cut_short(&self) -> Error {
        self.malformed("it is cut short")
    }

    fn take_codec(&mut self, bytes: &[u8]) -> Result<()> {
        let codec = match varint::decode(bytes) {
            Ok((code, _)) => {
                IndexCodec::of_code(code).ok_or_else(|| self.malformed(&format!("unknown codec {code:#x}")))?
            }
            Err(BadVarint::Truncated) => return Err(self.malformed("unknown codec, above 0x3fff")),
            Err(bad) => return Err(self.malformed(bad.text())),
        };
        self.at += bytes.len() as u64;
        self.codec = codec;
        self.state = match codec {
            IndexCodec::Sorted => State::BucketCount,
            IndexCodec::MultihashSorted => State::CodeCount,
        };
        Ok(())
    }

    fn take_bucket(&mut self, bytes: &[u8]) -> Result<Bucket> {
        let width = u32::try_from(number(&bytes[..4])).unwrap_or(u32::MAX);
        let length = number(&bytes[4..]);
        if width < LEAST_WIDTH {
            return Err(self.malformed(&format!("records of {width} bytes, the least is {LEAST_WIDTH}")));
        }
        if !length.is_multiple_of(u64::from(width)) {
            return Err(self.malformed(&format!("{length} bytes of records that take {width} each")));
        }
        if length > self.end.saturating_sub(self.at) {
            return Err(self.malformed(&format!("{length} bytes of records, where the file ends at {}", self.end)));
        }
        self.buckets_left -= 1;
        self.state = State::Records(length);
        let bucket = Bucket { code: self.code, width, offset: self.at, length };
        self.settle();
        Ok(bucket)
    }

    /// Goes on to what is still to come.
    fn settle(&mut self) {
        if matches!(self.state, State::Records(0)) {
            self.state = State::Bucket;
        }
        if matches!(self.state, State::Bucket) && self.buckets_left == 0 {
            self.state = State::Code;
        }
        if matches!(self.state, State::Code) && self.codes_left == 0 {
            self.state = State::Done;
        }
    }

    /// A count of things that take at least `each` bytes, so that no more are announced than fit.
    fn count(&mut self, bytes: &[u8], each: u64, what: &str) -> Result<u64> {
        let room = self.end.saturating_sub(self.at) / each;
        // The number is signed, so half of all values are negative ones.
        let count = number(bytes);
        if count > i32::MAX as u64 || count > room {
            return Err(self.malformed(&format!("more {what} announced than the {room} that fit")));
        }
        self.parts = self.parts.saturating_add(count);
        if self.parts > MOST_PARTS {
            let (what, offset, found) = ("an index, in codes and buckets,", self.at, self.parts);
            return Err(Error::Limit { what, offset, found, limit: MOST_PARTS });
        }
        Ok(count)
    }

    fn malformed(&self, found: &str) -> Error {
        Error::MalformedIndex { offset: self.at, found: found.to_owned() }
    }
}

/// A little-endian number of up to eight bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
