//! Builds an index file.

use std::path::PathBuf;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::{FileSystem, publish};

use crate::claims::Claim;
use crate::entry::{Entry, location};
use crate::files::{index_path, temporary_path};
use crate::format::Header;
use crate::sorter::Sorter;
use crate::writer::write_index;
use crate::{Error, FingerprintKey, IndexBuilder, IndexMeta, IndexSummary, Result};

/// The builder of [`FsIndexRepo`](crate::FsIndexRepo).
#[derive(Debug)]
pub(crate) struct FileIndexBuilder {
    pub(crate) file_system: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) key: FingerprintKey,
    pub(crate) meta: IndexMeta,
    pub(crate) sorter: Sorter,
    /// The last field, so that the name is free only when all files are gone.
    pub(crate) _claim: Claim,
}

impl IndexBuilder for FileIndexBuilder {
    fn add(&mut self, multihash: MultihashRef<'_>, offset: u64, data_size: u64) -> Result<()> {
        let location = location(offset, data_size)?;
        self.sorter.push(Entry::new(self.key.fingerprint(multihash), location))
    }

    fn publish(self: Box<Self>) -> Result<IndexSummary> {
        let Self { file_system, directory, key, meta, mut sorter, _claim } = *self;
        let (temporary, path) = (temporary_path(&directory, meta.name), index_path(&directory, meta.name));
        let header = Header { key, meta, entries: sorter.len() };
        let file_bytes = publish(&*file_system, &temporary, &path, |file| {
            let failed = |source| Error::Io { operation: "write", path: temporary.clone(), source };
            let file_bytes = write_index(file, &header, sorter.sorted()?, failed)?;
            // Before the index is visible, so that an error here doesn't come with an index.
            sorter.remove_runs()?;
            Ok::<_, Error>(file_bytes)
        })?;
        Ok(IndexSummary { entries: header.entries, file_bytes })
    }
}
