//! What can be wrong with a row.

/// A codec's error. Rows that can't be decoded are kept and listed, never skipped or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The record could not be encoded.
    #[error("the {codec} codec can't encode the record of this shard")]
    Encode {
        /// Which codec.
        codec: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes aren't what the codec writes.
    #[error("the {codec} codec can't decode the record: {what}")]
    Decode {
        /// Which codec.
        codec: &'static str,
        /// What is wrong with the bytes.
        what: String,
    },
    /// The row is of a codec that this store doesn't have.
    #[error("the record is of codec {stamp}, which isn't among those of this store; add it to the builder")]
    UnknownCodec {
        /// The stamp in the row.
        stamp: u8,
    },
    /// The row was written by a newer version of the codec.
    #[error(
        "the record is of version {version} of the {codec} codec, and this program reads up to {newest}; use a newer program"
    )]
    NewerVersion {
        /// Which codec.
        codec: &'static str,
        /// The version in the row.
        version: u8,
        /// The newest version that can be read.
        newest: u8,
    },
    /// The row ends before its record begins.
    #[error("the row is cut short: {length} bytes")]
    ShortRow {
        /// Its length in bytes.
        length: usize,
    },
    /// The row isn't what was written.
    #[error("the row is damaged: its checksum is {found:#010x} instead of {wanted:#010x}")]
    Damaged {
        /// What the bytes in front of the checksum give.
        found: u32,
        /// What stands at the end.
        wanted: u32,
    },
    /// The parts of the row that stand before the record contradict it.
    #[error("the row's {what} is not that of its record")]
    Contradiction {
        /// Which part.
        what: &'static str,
    },
}

impl Error {
    pub(crate) fn decode(codec: &'static str, what: impl ToString) -> Self {
        Self::Decode { codec, what: what.to_string() }
    }
}
