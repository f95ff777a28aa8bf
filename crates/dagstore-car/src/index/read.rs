//! Reading an index out of a file, in bounded memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use dagstore_fs::{ReadAt, ReadAtExt};

use crate::index::structure::{self, Bucket};
use crate::{CarReader, Error, IndexCodec, Limits, MultihashRef, Result};

/// The bytes of an offset.
const OFFSET_BYTES: usize = 8;

/// How much is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// An open index of go-car's, on its own or inside a CARv2. It takes 32 bytes of memory for each width of records.
///
/// What it says isn't checked against any CAR: [`CarReader::compare_index`] does that.
#[derive(Debug)]
pub struct GoIndex {
    source: Arc<dyn ReadAt>,
    codec: IndexCodec,
    buckets: Vec<Bucket>,
    end: u64,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexRecord<'a> {
    /// The code of the hash function; `None` in 0x0400, which doesn't tell.
    pub code: Option<u64>,
    /// The digest.
    pub digest: &'a [u8],
    /// Where the section is said to begin, from the start of the CARv1 payload.
    pub offset: u64,
    /// Where the record itself is, from the start of the file.
    pub place: u64,
}

impl GoIndex {
    /// Opens an index that is a file of its own, and begins with its codec.
    ///
    /// # Errors
    /// [`Error::MalformedIndex`] where what it announces doesn't fit; [`Error::Limit`] for records longer than a CID to be
    /// indexed may be, or for too many widths; [`Error::Io`].
    pub fn open(source: Arc<dyn ReadAt>, limits: &Limits) -> Result<Self> {
        Self::open_at(source, 0, limits)
    }

    fn open_at(source: Arc<dyn ReadAt>, start: u64, limits: &Limits) -> Result<Self> {
        let mut buckets = Vec::new();
        let limit = limits.indexed_cid_bytes.saturating_add(OFFSET_BYTES as u64);
        let (codec, end) = structure::walk(&*source, start, |bucket| {
            let (what, offset, found) = ("a record of an index", bucket.offset, u64::from(bucket.width));
            if found > limit {
                return Err(Error::Limit { what, offset, found, limit });
            }
            buckets.push(bucket);
            Ok(())
        })?;
        Ok(Self { source, codec, buckets, end })
    }

    /// Which format it has.
    pub fn codec(&self) -> IndexCodec {
        self.codec
    }

    /// The number of records.
    pub fn records(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.length / u64::from(bucket.width)).sum()
    }

    /// Where the index ends, from the start of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The number of bytes behind the index. There should be none; they mean nothing.
    pub fn trailing_bytes(&self) -> u64 {
        self.source.size().saturating_sub(self.end)
    }

    /// Shows every record to `visit`, as they stand, until it breaks off. Takes 64 KiB of memory.
    ///
    /// # Errors
    /// [`Error::IndexIo`]; [`Error::Cancelled`] when `visit` breaks off.
    pub fn scan(&self, mut visit: impl FnMut(IndexRecord<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut buffer = Vec::new();
        for bucket in &self.buckets {
            let width = width(bucket);
            let piece = (PIECE_BYTES / width).max(1) * width;
            let mut at = bucket.offset;
            let end = bucket.offset + bucket.length;
            while at < end {
                buffer.resize(usize::try_from(end - at).unwrap_or(usize::MAX).min(piece), 0);
                self.read(at, &mut buffer)?;
                for bytes in buffer.chunks_exact(width) {
                    let (digest, offset) = split(bytes);
                    let record = IndexRecord { code: bucket.code, digest, offset, place: at };
                    if visit(record).is_break() {
                        return Err(Error::Cancelled);
                    }
                    at += width as u64;
                }
            }
        }
        Ok(())
    }

    /// The offsets that stand for a multihash, `most` at most; in 0x0400 those that stand for its digest. They are found by
    /// halving, so in an index that isn't sorted some are missed.
    ///
    /// # Errors
    /// [`Error::IndexIo`].
    pub fn lookup(&self, multihash: MultihashRef<'_>, most: usize) -> Result<Vec<u64>> {
        let digest = multihash.digest();
        let mut found = Vec::new();
        for bucket in &self.buckets {
            if width(bucket) - OFFSET_BYTES == digest.len() && bucket.code.is_none_or(|code| code == multihash.code()) {
                self.lookup_in(bucket, digest, most, &mut found)?;
            }
        }
        Ok(found)
    }

    fn lookup_in(&self, bucket: &Bucket, digest: &[u8], most: usize, found: &mut Vec<u64>) -> Result<()> {
        let width = width(bucket);
        let mut record = vec![0; width];
        let (mut low, mut high) = (0, bucket.length / width as u64);
        let records = high;
        while low < high {
            let middle = low + (high - low) / 2;
            self.read(bucket.offset + middle * width as u64, &mut record)?;
            if split(&record).0 < digest { low = middle + 1 } else { high = middle }
        }
        while low < records && found.len() < most {
            self.read(bucket.offset + low * width as u64, &mut record)?;
            let (other, offset) = split(&record);
            if other != digest {
                break;
            }
            found.push(offset);
            low += 1;
        }
        Ok(())
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        self.source.read_exact_at(at, buffer).map_err(|source| Error::IndexIo { place: at, source })
    }
}

impl CarReader {
    /// Opens the inline index of a CARv2; `None` where there is none.
    ///
    /// # Errors
    /// As [`GoIndex::open`].
    pub fn inline_index(&self) -> Result<Option<GoIndex>> {
        match self.inline_index_offset() {
            None => Ok(None),
            Some(start) => GoIndex::open_at(self.source().clone(), start, &self.options().limits).map(Some),
        }
    }
}

/// The width of a bucket's records, at least 8.
fn width(bucket: &Bucket) -> usize {
    usize::try_from(bucket.width).unwrap_or(usize::MAX)
}

/// Digest and offset of a record.
fn split(record: &[u8]) -> (&[u8], u64) {
    let (digest, offset) = record.split_at(record.len() - OFFSET_BYTES);
    (digest, structure::number(offset))
}
