//! Stores with many idle shards, made in seconds.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use dagstore::codec::{Cbor, Codec, Json, encode_row};
use dagstore::datastore::{Batch, Datastore, Durability};
use dagstore::fs::OwnName;
use dagstore::{Builder, Dagstore, ShardState};
use dagstore_types::{Attempt, Registration, ShardRecord};

use crate::backend::Backend;
use crate::shards::{self, SHARDS};

/// The first registration of an idle shard. What the engine registers comes before.
const FIRST_IDLE: u64 = 1 << 20;

/// Rows of idle shards in a batch.
const BATCH: usize = 4096;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordCodec {
    Json,
    Cbor,
}

impl RecordCodec {
    pub(crate) fn codec(self) -> Arc<dyn Codec> {
        match self {
            Self::Json => Arc::new(Json),
            Self::Cbor => Arc::new(Cbor),
        }
    }
}

/// A store in a directory, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    pub(crate) directory: PathBuf,
    pub(crate) backend: Backend,
    pub(crate) codec: RecordCodec,
    /// Shards that were registered, indexed and can be acquired: the numbers below this one.
    pub(crate) indexed: usize,
    /// Idle shards besides: Available, with rows and, where wanted, empty index files: nothing that could be acquired.
    pub(crate) idle: usize,
    /// A folder with [index files](write_index_files) of the idle shards, which becomes the store's own.
    pub(crate) index_files: Option<PathBuf>,
}

impl Catalogue {
    /// The folder of the datastore inside the store's directory.
    pub(crate) fn datastore_folder(&self) -> PathBuf {
        self.directory.join(self.backend.to_string())
    }

    /// The datastore by itself.
    pub(crate) async fn open_datastore(&self) -> Result<Arc<dyn Datastore>> {
        self.backend.open(&self.backend.file_in(&self.datastore_folder())).await
    }

    /// What opens the store.
    pub(crate) fn builder(&self) -> Builder {
        let codecs = dagstore::codec::Codecs::new(self.codec.codec());
        Dagstore::builder().directory(&self.directory).backend(self.backend.backend()).codecs(codecs)
    }

    /// Makes the store and returns it open. Those that can be acquired are registered as by anybody; the rows of the others
    /// are put into the datastore as the engine would write them, and their index files beside the real ones.
    pub(crate) async fn make(&self) -> Result<Dagstore> {
        let store = self.builder().open().await?;
        shards::register_indexed(&store, 0..self.indexed, self.indexed.min(64)).await?;
        store.close().await?;
        let datastore = self.open_datastore().await?;
        self.write_rows(&*datastore).await?;
        if let Some(folder) = &self.index_files {
            self.take_index_files(folder)?;
        }
        // The same handle goes on, so that what a datastore has only in its log is still there only.
        Ok(self.builder().datastore(datastore).open().await?)
    }

    /// The numbers of the idle shards.
    pub(crate) fn idle_numbers(&self) -> Range<usize> {
        self.indexed..self.indexed + self.idle
    }

    /// The store's folder of index files.
    pub(crate) fn index_folder(&self) -> PathBuf {
        self.directory.join("index")
    }

    /// Makes `folder` the store's, and puts the index files that the store has into it.
    fn take_index_files(&self, folder: &Path) -> Result<()> {
        let own = self.index_folder();
        for entry in fs::read_dir(&own)? {
            let entry = entry?;
            fs::rename(entry.path(), folder.join(entry.file_name()))?;
        }
        fs::remove_dir(&own)?;
        Ok(fs::rename(folder, own)?)
    }

    async fn write_rows(&self, datastore: &dyn Datastore) -> Result<()> {
        let codec = self.codec.codec();
        let mut batch = Batch::new();
        for number in self.idle_numbers() {
            let record = idle_record(number)?;
            batch.put(SHARDS, &record.registration.0.to_be_bytes(), &encode_row(&*codec, &record)?);
            if batch.len() == BATCH {
                datastore.write(std::mem::take(&mut batch), Durability::Buffered).await?;
            }
        }
        Ok(datastore.write(batch, Durability::Synced).await?)
    }
}

/// The record of an idle shard that was indexed at its first attempt.
fn idle_record(number: usize) -> Result<ShardRecord> {
    let mut record = shards::record(number)?;
    record.lazy = false;
    record.state = ShardState::Available;
    record.registration = Registration(FIRST_IDLE + number as u64);
    record.attempt = Attempt(1);
    Ok(record)
}

/// Index files for idle shards, empty ones: a store lists their names, and opens none before an acquire. Files with a content
/// would take minutes to be removed where a file system discards the blocks of each.
pub(crate) fn write_index_files(folder: &Path, numbers: Range<usize>) -> Result<()> {
    fs::create_dir(folder)?;
    for number in numbers {
        let record = idle_record(number)?;
        let name = OwnName::new(&record.key, record.registration, record.attempt);
        File::create_new(folder.join(format!("{name}.idx")))?;
    }
    Ok(())
}
