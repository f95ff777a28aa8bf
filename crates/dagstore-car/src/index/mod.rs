//! go-car's index formats: what is read of them, and what is written.
//!
//! ```text
//! index   = uvarint(codec) body                    all integers little-endian
//! 0x0400  = i32 buckets, bucket*
//! bucket  = u32 width, u64 byte length, records    width = digest length + 8
//! record  = digest, u64 offset                     sorted by digest
//! 0x0401  = i32 codes, (u64 multihash code, i32 buckets, bucket*)*
//! ```
//!
//! `docs/format/go-car-index.md` says more. Such an index is never believed: what it says is held against the payload.

mod compare;
mod read;
mod structure;
mod write;

pub(crate) use compare::compare;
pub use compare::{IndexFinding, IndexReport};
pub use read::{GoIndex, IndexRecord};
pub(crate) use structure::{Need, Structure, walk};
pub use write::GoIndexBuilder;

/// Which of go-car's index formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexCodec {
    /// 0x0400, `IndexSorted`: records are found by their digest alone.
    Sorted,
    /// 0x0401, `MultihashIndexSorted`: records are found by hash function and digest.
    MultihashSorted,
}

impl IndexCodec {
    /// The codec's number in the multicodec table.
    pub fn code(self) -> u64 {
        match self {
            Self::Sorted => 0x0400,
            Self::MultihashSorted => 0x0401,
        }
    }

    fn of_code(code: u64) -> Option<Self> {
        [Self::Sorted, Self::MultihashSorted].into_iter().find(|codec| codec.code() == code)
    }
}
