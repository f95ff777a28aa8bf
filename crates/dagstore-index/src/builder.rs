//! Builds an index file.

use std::path::PathBuf;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::{FileSystem, GroupFile, WriteFile, publish, publish_group};

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
    pub(crate) claim: Claim,
}

impl IndexBuilder for FileIndexBuilder {
    fn add(&mut self, multihash: MultihashRef<'_>, offset: u64, data_size: u64) -> Result<()> {
        let location = location(offset, data_size)?;
        self.sorter.push(Entry::new(self.key.fingerprint(multihash), location))
    }

    fn publish(self: Box<Self>) -> Result<IndexSummary> {
        let (file_system, file, _claim) = self.unpublished();
        publish(&*file_system, &file.temporary, &file.path, file.write)
    }
}

impl FileIndexBuilder {
    /// Publishes many at once. They have the same file system.
    pub(crate) fn publish_group(builders: Vec<Self>) -> Vec<Result<IndexSummary>> {
        let Some(file_system) = builders.first().map(|builder| Arc::clone(&builder.file_system)) else {
            return Vec::new();
        };
        let split = |builder: Self| {
            let (_, file, claim) = builder.unpublished();
            (file, claim)
        };
        let (files, _claims): (_, Vec<_>) = builders.into_iter().map(split).unzip();
        publish_group(&*file_system, files)
    }

    fn unpublished(self) -> Unpublished {
        let Self { file_system, directory, key, meta, mut sorter, claim } = self;
        let (temporary, path) = (temporary_path(&directory, meta.name), index_path(&directory, meta.name));
        let header = Header { key, meta, entries: sorter.len() };
        let written = temporary.clone();
        let write = move |file: &mut dyn WriteFile| {
            let failed = |source| Error::Io { operation: "write", path: written.clone(), source };
            let file_bytes = write_index(file, &header, sorter.sorted()?, failed)?;
            // Before the index is visible, so that an error here doesn't come with an index.
            sorter.remove_runs()?;
            Ok(IndexSummary { entries: header.entries, file_bytes })
        };
        (file_system, GroupFile { temporary, path, write: Box::new(write) }, claim)
    }
}

/// A file that is yet to be written. Its claim is to live until all files are gone but the index.
type Unpublished = (Arc<dyn FileSystem>, GroupFile<'static, IndexSummary, Error>, Claim);
