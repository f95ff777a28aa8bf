//! What can be wrong with a CAR.

use std::io;

use crate::RawCid;

/// A CAR's error. Offsets of sections are counted from the start of the CARv1 payload, those of header and index
/// from the start of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source can't be read.
    #[error("the CAR can't be read at offset {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The records of an index of go-car's can't be read.
    #[error("the index can't be read at {place}")]
    IndexIo {
        /// Where, from the start of the file that the index is in.
        place: u64,
        /// Why.
        source: io::Error,
    },
    /// A CAR can't be written.
    #[error("the CAR can't be written")]
    Write {
        /// Why.
        source: io::Error,
    },
    /// The CAR ends in the middle of something.
    #[error("the CAR ends at offset {offset}, in the middle of {what}")]
    UnexpectedEof {
        /// Where it ends; for a section, where the section begins.
        offset: u64,
        /// In the middle of what.
        what: &'static str,
    },
    /// The header isn't one of a CAR.
    #[error("malformed CAR header: {found}")]
    MalformedHeader {
        /// What was found.
        found: String,
    },
    /// The CARv2 header contradicts the file.
    #[error("malformed CARv2 header: {found}")]
    MalformedV2Header {
        /// What was found.
        found: String,
    },
    /// A section isn't a CID and data.
    #[error("malformed section at offset {offset}: {found}")]
    MalformedSection {
        /// Where the section begins.
        offset: u64,
        /// What was found.
        found: String,
    },
    /// An index of go-car's, on its own or inside a CARv2, isn't one.
    #[error("malformed index at offset {offset}: {found}")]
    MalformedIndex {
        /// Where.
        offset: u64,
        /// What was found.
        found: String,
    },
    /// Something is larger than allowed.
    #[error("{what} at offset {offset} claims {found}, and {limit} is the most")]
    Limit {
        /// What.
        what: &'static str,
        /// Where.
        offset: u64,
        /// How large it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A block's data doesn't hash to its CID.
    #[error("the data of block {cid} at offset {offset} doesn't hash to its CID")]
    Integrity {
        /// The block's CID.
        cid: RawCid,
        /// Where its section begins.
        offset: u64,
    },
    /// Nobody can tell whether a block's data belongs to its CID: the hash function is unknown, or the digest too short.
    #[error("the data of block {cid} at offset {offset} can't be checked: its hash is unknown or too short")]
    Unverifiable {
        /// The block's CID.
        cid: RawCid,
        /// Where its section begins.
        offset: u64,
    },
    /// The caller ended the scan.
    #[error("the scan was cancelled")]
    Cancelled,
}

impl Error {
    /// The error's name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Io { .. } => "unreadable",
            Self::IndexIo { .. } => "index-unreadable",
            Self::Write { .. } => "unwritable",
            Self::UnexpectedEof { .. } => "truncated",
            Self::MalformedHeader { .. } => "malformed-header",
            Self::MalformedV2Header { .. } => "malformed-v2-header",
            Self::MalformedSection { .. } => "malformed",
            Self::MalformedIndex { .. } => "malformed-index",
            Self::Limit { .. } => "too-large",
            Self::Integrity { .. } => "differs",
            Self::Unverifiable { .. } => "unverifiable",
            Self::Cancelled => "cancelled",
        }
    }

    /// The CID of the block that this is about, where it is known.
    pub fn cid(&self) -> Option<&RawCid> {
        match self {
            Self::Integrity { cid, .. } | Self::Unverifiable { cid, .. } => Some(cid),
            _ => None,
        }
    }

    /// Where in the payload the section is that this is about; `None` for errors that aren't about a section.
    pub fn payload_offset(&self) -> Option<u64> {
        match self {
            Self::UnexpectedEof { offset, .. }
            | Self::MalformedSection { offset, .. }
            | Self::Limit { offset, .. }
            | Self::Integrity { offset, .. }
            | Self::Unverifiable { offset, .. } => Some(*offset),
            _ => None,
        }
    }
}
