//! What can go wrong.

use std::io;
use std::path::PathBuf;

use dagstore_fs::{OwnName, PublishError};

use crate::repo::{MAX_OFFSET, MAX_VALIDATOR_BYTES};

/// An index's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file isn't what was once published under its name. Nothing was answered from the damaged part. The way out
    /// is to build the index anew.
    #[error("the index {} is damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: Damage,
    },
    /// A newer program made the file. The way out is to run that program, or to build the index anew.
    #[error("the index {} has format version {found}, and this program knows {supported} at most", .path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest version that can be read.
        supported: u16,
    },
    /// The file system failed.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was being done, in words.
        operation: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A section starts too far into the CAR.
    #[error("a block at offset {offset} is beyond what an index can hold, which is {MAX_OFFSET}")]
    OffsetTooLarge {
        /// Where the section starts.
        offset: u64,
    },
    /// The source's validator is too long.
    #[error("the validator of the CAR has {length_bytes} bytes, and an index holds {MAX_VALIDATOR_BYTES}")]
    ValidatorTooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// Another builder of the same name lives.
    #[error("the index {name} is being built already")]
    BeingBuilt {
        /// The name.
        name: OwnName,
    },
    /// The datastore that has the rows of the inverted index failed.
    #[error("the rows of the inverted index")]
    Rows(#[from] dagstore_datastore::Error),
    /// A newer program made the rows of the inverted index. The way out is to run that program.
    #[error("the rows of the inverted index have version {found}, and this program knows 1 at most")]
    NewerRows {
        /// Their version.
        found: u8,
    },
    /// The operating system gives no random bytes.
    #[error("cannot make a random key")]
    NoRandomness {
        /// What it said.
        source: getrandom::Error,
    },
}

/// What is wrong with a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It doesn't start as an index does.
    #[error("it does not start as an index does")]
    Magic,
    /// Its length isn't what its header says.
    #[error("it has {found_bytes} bytes in place of {expected_bytes}")]
    Length {
        /// The length.
        found_bytes: u64,
        /// What it should be: as far as is known, the least where not even the header is whole.
        expected_bytes: u64,
    },
    /// The header's checksums or fields are wrong.
    #[error("its header is wrong")]
    Header,
    /// The header is that of another index.
    #[error("it is the index {found}")]
    Name {
        /// The name in the header.
        found: OwnName,
    },
    /// It was made under another store's key.
    #[error("it was made by another store")]
    Key,
    /// The fence or the trailer is wrong.
    #[error("its fence or trailer is wrong")]
    Fence,
    /// A page is wrong.
    #[error("page {number} is wrong")]
    Page {
        /// Counted from 0.
        number: u64,
    },
    /// A run, a temporary file of a build, doesn't hold what was written to it.
    #[error("a run does not hold what was written to it")]
    Run,
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        Self::Io { operation: error.operation, path: error.path, source: error.source }
    }
}
