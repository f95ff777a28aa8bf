//! Directories of Go's dagstore, as Lotus and Boost have them.
//!
//! ```text
//! datastore/                          LevelDB with the records
//! index/<key>.full.idx                go-car's indices
//! transients/transient-<key>.complete local copies
//! ```
//!
//! [`read`] takes the records out of a copy of the LevelDB, [`write()`] makes rows of them. The directory itself is only read.

mod check;
mod compare;
mod files;
mod leveldb;
mod manifest;
mod plan;
mod write;

pub use compare::{Compared, compare_index};
pub use files::{GoFile, GoFiles};
pub use leveldb::{ReadOptions, read};
pub use plan::{Mapping, Outcome, Planned, plan};
pub use write::write;

/// A row of a record, as it stands in the LevelDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoRow {
    /// Its key behind `/dagstore/`. Go cleans keys like paths, so it needn't be the shard's.
    pub name: Vec<u8>,
    /// The record.
    pub value: Vec<u8>,
}
