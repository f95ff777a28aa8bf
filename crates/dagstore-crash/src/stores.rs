//! Opening a store: as everybody does, with parts that kill, or its datastores alone.

use std::path::Path;
use std::sync::Arc;

use dagstore::datastore::Datastore;
use dagstore::mount::Registry;
use dagstore::{Backend, Builder, Dagstore};

use crate::Result;
use crate::datastore::KilledDatastore;
use crate::file_system::KilledFileSystem;
use crate::killer::Killer;

/// How often a shard's work may be begun without being ended. Every kill is a start that wasn't survived, and none of them is
/// the shard's fault.
const MAX_STARTS: u32 = 100;

/// How many bytes of a copy are written at once, and how many between two checkpoints: a copy has some of both.
const PIECE_BYTES: usize = 8 << 10;
const CHECKPOINT_BYTES: u64 = 24 << 10;

/// The datastores of a store in `directory`, opened as the store itself does it.
#[derive(Debug, Clone)]
pub(crate) struct Datastores {
    pub(crate) records: Arc<dyn Datastore>,
    pub(crate) rows: Arc<dyn Datastore>,
}

impl Datastores {
    /// Opens them, or makes them where there are none.
    pub(crate) async fn open(directory: &Path, backend: Backend) -> Result<Self> {
        let folder = directory.join(backend.name());
        std::fs::create_dir_all(&folder)?;
        match backend {
            #[cfg(feature = "redb")]
            Backend::Redb => {
                let records = Arc::new(dagstore::redb::RedbDatastore::open(folder.join("store.redb")).await?);
                let rows = Arc::new(dagstore::redb::RedbDatastore::open(folder.join("inverted.redb")).await?);
                Ok(Self { records, rows })
            }
            #[cfg(feature = "rocksdb")]
            Backend::Rocksdb => {
                use dagstore::index::InvertedIndex;

                let builder = dagstore::rocksdb::RocksdbDatastore::builder();
                let builder = builder.bulk_namespace(InvertedIndex::ROWS, InvertedIndex::PREFIX_BYTES);
                let records: Arc<dyn Datastore> = Arc::new(builder.open(folder).await?);
                Ok(Self { rows: records.clone(), records })
            }
            _ => Err(format!("this program was built without the feature {:?}", backend.name()).into()),
        }
    }

    pub(crate) async fn close(&self) -> Result<()> {
        self.records.close().await?;
        Ok(self.rows.close().await?)
    }
}

/// A store as everybody opens it.
pub(crate) fn builder(directory: &Path, backend: Backend, registry: Registry) -> Builder {
    let builder = Dagstore::builder().directory(directory).backend(backend).registry(registry);
    let builder = builder.configure_copies(|options| {
        options.chunk_bytes = PIECE_BYTES;
        options.checkpoint_bytes = CHECKPOINT_BYTES;
        // How full the disk is isn't what is looked at.
        options.keep_free_bytes = 0;
    });
    builder.configure(|options| options.max_starts = MAX_STARTS)
}

/// The same store, in a process that is killed.
pub(crate) async fn open_to_be_killed(
    directory: &Path,
    backend: Backend,
    registry: Registry,
    killer: &Killer,
) -> Result<Dagstore> {
    let Datastores { records, rows } = Datastores::open(directory, backend).await?;
    let builder = builder(directory, backend, registry).file_system(Arc::new(KilledFileSystem::new(killer.clone())));
    let is_one = Arc::ptr_eq(&records, &rows);
    let wrap = |inner| Arc::new(KilledDatastore::new(inner, backend == Backend::Redb, killer.clone()));
    let builder = builder.datastore(wrap(records));
    let builder = if is_one { builder } else { builder.inverted_datastore(wrap(rows)) };
    Ok(builder.open().await?)
}
