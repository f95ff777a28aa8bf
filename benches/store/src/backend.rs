//! The datastores that are measured.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use dagstore::datastore::{Datastore, Namespace};

/// An embedded datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Redb,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
}

impl Backend {
    /// All that this program was built with.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Redb,
        #[cfg(feature = "rocksdb")]
        Self::Rocksdb,
    ];

    /// Opens the datastore at `path` with the options that a store has unless told.
    pub(crate) async fn open(self, path: &Path) -> Result<Arc<dyn Datastore>> {
        Ok(match self {
            Self::Redb => Arc::new(dagstore::redb::RedbDatastore::open(path).await?),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Arc::new(dagstore::rocksdb::RocksdbDatastore::open(path).await?),
        })
    }

    /// Opens the datastore at `path` for rows of `namespace` that are loaded in bulk and looked up by their first
    /// `prefix_bytes`, with caches of so many MiB.
    pub(crate) async fn open_bulk(
        self,
        path: &Path,
        #[cfg_attr(not(feature = "rocksdb"), expect(unused))] namespace: Namespace,
        #[cfg_attr(not(feature = "rocksdb"), expect(unused))] prefix_bytes: usize,
        cache_mib: usize,
    ) -> Result<Arc<dyn Datastore>> {
        let cache_bytes = cache_mib * 1024 * 1024;
        Ok(match self {
            Self::Redb => Arc::new(dagstore::redb::RedbDatastore::builder().cache_bytes(cache_bytes).open(path).await?),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => {
                let builder = dagstore::rocksdb::RocksdbDatastore::builder().block_cache_bytes(cache_bytes);
                Arc::new(builder.bulk_namespace(namespace, prefix_bytes).open(path).await?)
            }
        })
    }

    /// Where the datastore is inside its folder in a store's directory.
    pub(crate) fn file_in(self, folder: &Path) -> PathBuf {
        self.pick(folder.join("store.redb"), folder.to_owned())
    }

    /// The store's own name for it.
    pub(crate) fn backend(self) -> dagstore::Backend {
        self.pick(dagstore::Backend::Redb, dagstore::Backend::Rocksdb)
    }

    /// Picks what belongs to this backend.
    pub(crate) fn pick<T>(self, redb: T, #[cfg_attr(not(feature = "rocksdb"), expect(unused))] rocksdb: T) -> T {
        match self {
            Self::Redb => redb,
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => rocksdb,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pick("redb", "rocksdb"))
    }
}
