//! Writing an index as go-car does.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::index::structure::number;
use crate::{CarReader, IndexCodec, MultihashRef, Result, varint};

/// An index being made. All records are held in memory, each with its digest and 8 bytes, and another 8 while a width is
/// sorted: an export is rare, and go-car's programs hold them as well.
///
/// The bytes are those of go-car. Records of one digest have no order there; here the lowest offset stands first.
#[derive(Debug)]
pub struct GoIndexBuilder {
    codec: IndexCodec,
    /// Records by hash function (0 throughout in 0x0400) and length of the digest, back to back.
    buckets: BTreeMap<u64, BTreeMap<usize, Vec<u8>>>,
}

impl GoIndexBuilder {
    /// An index without records.
    pub fn new(codec: IndexCodec) -> Self {
        Self { codec, buckets: BTreeMap::new() }
    }

    /// Adds a record: the section at `offset` of the CARv1 payload has this multihash.
    pub fn add(&mut self, multihash: MultihashRef<'_>, offset: u64) {
        let code = match self.codec {
            IndexCodec::Sorted => 0,
            IndexCodec::MultihashSorted => multihash.code(),
        };
        let digest = multihash.digest();
        let records = self.buckets.entry(code).or_default().entry(digest.len()).or_default();
        records.extend(digest);
        records.extend(offset.to_le_bytes());
    }

    /// The number of records.
    pub fn records(&self) -> u64 {
        let widths = self.buckets.values().flatten();
        widths.map(|(digest_bytes, records)| (records.len() / (digest_bytes + size_of::<u64>())) as u64).sum()
    }

    /// Writes the index, its codec in front. What was written is durable when `out` is.
    ///
    /// # Errors
    /// Whatever `out` says; [`io::ErrorKind::InvalidInput`] for more than 2^31 - 1 hash functions or lengths.
    pub fn write(self, out: &mut impl Write) -> io::Result<()> {
        let mut front = Vec::new();
        varint::encode(self.codec.code(), &mut front);
        match self.codec {
            IndexCodec::MultihashSorted => {
                front.extend(count(self.buckets.len())?);
                out.write_all(&front)?;
                for (code, widths) in self.buckets {
                    out.write_all(&code.to_le_bytes())?;
                    write_widths(widths, out)?;
                }
                Ok(())
            }
            IndexCodec::Sorted => {
                out.write_all(&front)?;
                write_widths(self.buckets.into_values().next().unwrap_or_default(), out)
            }
        }
    }
}

fn write_widths(widths: BTreeMap<usize, Vec<u8>>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&count(widths.len())?)?;
    for (digest_bytes, records) in widths {
        let width = digest_bytes + size_of::<u64>();
        out.write_all(&u32::try_from(width).map_err(|_| too_many())?.to_le_bytes())?;
        out.write_all(&(records.len() as u64).to_le_bytes())?;
        let mut order: Vec<usize> = (0..records.len()).step_by(width).collect();
        order.sort_unstable_by(|left, right| key(&records[*left..][..width]).cmp(&key(&records[*right..][..width])));
        for start in order {
            out.write_all(&records[start..start + width])?;
        }
    }
    Ok(())
}

/// What records are sorted by: the digest, then the offset.
fn key(record: &[u8]) -> (&[u8], u64) {
    let (digest, offset) = record.split_at(record.len() - size_of::<u64>());
    (digest, number(offset))
}

fn count(count: usize) -> io::Result<[u8; 4]> {
    i32::try_from(count).map(i32::to_le_bytes).map_err(|_| too_many())
}

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "more hash functions or digest lengths than an index has room for")
}

impl CarReader {
    /// The index of the payload, in memory, as go-car makes it; with or without identity CIDs, which go-car leaves out
    /// unless it is asked for a fully indexed CAR.
    ///
    /// # Errors
    /// As [`scan`](Self::scan) without hashing; an inline index is not looked at.
    pub fn go_index(&self, codec: IndexCodec, with_identity: bool) -> Result<GoIndexBuilder> {
        let mut builder = GoIndexBuilder::new(codec);
        self.jumped(|block| {
            if with_identity || !block.multihash.is_identity() {
                builder.add(block.multihash, block.offset);
            }
            ControlFlow::Continue(())
        })?;
        Ok(builder)
    }
}
