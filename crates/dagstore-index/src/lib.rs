//! Full indices: for each shard one file that tells where the block of a multihash stands in the shard's CAR. And the
//! inverted index: which shards have it.
//!
//! * [`IndexRepo`] keeps the indices of a store, [`IndexBuilder`] makes one, [`FullIndex`] answers from one.
//! * [`FsIndexRepo`] keeps them as files. `docs/format/index.md` describes these byte by byte.
//! * [`MemoryIndexRepo`] keeps them in memory, for tests and throw-away stores.
//! * [`FingerprintKey`] is a store's key: index files hold keyed fingerprints in place of multihashes.
//! * [`InvertedIndex`] tells which shards have a block: rows in a datastore. `docs/format/inverted.md` describes these.
//! * [`conformance`] is the suite that every repository passes; its test is one call.
//!
//! An index that can be opened is complete, because it is published as a whole, and every byte of it is under a
//! checksum, which is looked at before the byte is used. Everything about files here blocks. The crate doesn't know shards,
//! mounts or the CAR format; it is told multihashes, offsets and sizes.
#![forbid(unsafe_code)]

#[cfg(test)]
mod attackers;
mod builder;
mod claims;
pub mod conformance;
mod content;
mod entry;
mod error;
mod fence;
mod files;
mod fingerprint;
mod format;
mod inverted;
mod memory;
mod merge;
mod reader;
mod repo;
mod run;
#[cfg(test)]
mod sample;
mod scan;
mod search;
mod sorter;
mod writer;

pub use error::{Damage, Error};
pub use files::FsIndexRepo;
pub use fingerprint::{FINGERPRINT_BYTES, Fingerprint, FingerprintKey};
pub use inverted::{InvertedIndex, Kept};
pub use memory::MemoryIndexRepo;
pub use repo::{Fingerprints, FullIndex, IndexBuilder, IndexMeta, IndexRepo, IndexSummary, Location};
pub use repo::{MAX_OFFSET, MAX_SIZE, MAX_VALIDATOR_BYTES};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
