//! The datastore: rows in RocksDB's column families.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::embedded::{Embedded, Engine, Opening};
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};
use rocksdb::{
    BoundColumnFamily, DB, FlushOptions, IngestExternalFileOptions, Options, PrefixRange, ReadOptions, WriteBatch,
    WriteOptions, properties,
};

use crate::RocksdbBuilder;
use crate::error::{BACKEND, failed};
use crate::exit::{Leaving, Open, wait_at_exit};
use crate::families::{Families, family_name};
use crate::load::Loads;
use crate::lookup::{Opened, Sweeper, Wanted};

/// A datastore in one RocksDB directory.
///
/// To be sure that the directory is free again, [`close`](Datastore::close) it: a dropped datastore frees it a moment
/// later, and the end of the process waits for that, up to 5 s.
pub struct RocksdbDatastore {
    pub(crate) embedded: Arc<Embedded<RocksdbEngine>>,
    loads: Loads,
    pub(crate) sweeper: Sweeper,
    _leaving: Leaving,
}

impl RocksdbDatastore {
    /// The options, to [open](RocksdbBuilder::open) a datastore with.
    pub fn builder() -> RocksdbBuilder {
        RocksdbBuilder::default()
    }

    /// Opens the database in the directory `path`, or makes it where there is none.
    ///
    /// # Errors
    /// As [`RocksdbBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path).await
    }

    pub(crate) async fn open_with<O>(place: String, loads: Loads, open: O) -> Result<Self>
    where
        O: Fn(Opening) -> Result<DB> + Send + Sync + 'static,
    {
        let (families, leaving) = (Arc::clone(&loads.families), Leaving::default());
        let is_open = leaving.open();
        let open = move |opening| Ok(RocksdbEngine::new(open(opening)?, Arc::clone(&families), Arc::clone(&is_open)));
        let embedded = Arc::new(Embedded::open(BACKEND, place, open).await?);
        Ok(Self { embedded, loads, sweeper: Sweeper::new(UNUSED), _leaving: leaving })
    }
}

impl fmt::Debug for RocksdbDatastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksdbDatastore").field("embedded", &self.embedded).finish_non_exhaustive()
    }
}

#[async_trait]
impl Datastore for RocksdbDatastore {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.embedded.get(namespace, key)
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.embedded.write(batch, durability).await
    }

    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        self.loads.load(&self.embedded, namespace, rows).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.embedded.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        let page = self.embedded.rows(namespace, prefix, after, limit);
        if self.loads.families.prefix_bytes(family_name(namespace)).is_some() {
            self.sweeper.wake(&self.embedded);
        }
        page
    }

    async fn sync(&self) -> Result<()> {
        self.embedded.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.embedded.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.embedded.close().await
    }
}

/// How long an iterator is kept for the next look-up, at least.
const UNUSED: Duration = Duration::from_millis(500);

/// What RocksDB puts before a batch's writes, and at most between them: tag, column family and two lengths.
const HEADER_BYTES: usize = 12;
const ROW_BYTES: usize = 1 + 5 + 2 + 4;

pub(crate) struct RocksdbEngine {
    pub(crate) opened: Opened,
    /// For column families that are made later.
    families: Arc<Families>,
    /// Behind the database, so that it is dropped after that.
    _is_open: Arc<Open>,
}

impl Engine for RocksdbEngine {
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(family) = self.database().cf_handle(family_name(namespace)) else { return Ok(None) };
        let value = self.database().get_pinned_cf(&family, key).map_err(|error| failed("get", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn page(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>) -> Result<RowPage> {
        let mut page = RowPage::new();
        let Some(family) = self.database().cf_handle(family_name(namespace)) else { return Ok(page) };
        let mut options = ReadOptions::default();
        options.set_iterate_range(PrefixRange(prefix));
        // A filter says nothing of prefixes that are shorter than its own.
        match self.families.prefix_bytes(family_name(namespace)) {
            Some(bytes) if prefix.len() >= bytes => options.set_prefix_same_as_start(true),
            _ => options.set_total_order_seek(true),
        }
        // A scan of everything would push out of the cache what look-ups need.
        options.fill_cache(false);
        // What is read ahead of the page's end is read in vain.
        options.set_readahead_size(RowPage::TARGET_BYTES / 4);
        let mut rows = self.database().raw_iterator_cf_opt(&family, options);
        match after {
            None => rows.seek(prefix),
            // The key that comes next after another one is that one and a zero byte.
            Some(after) => rows.seek([after, &[0]].concat()),
        }
        while let Some((key, value)) = rows.item() {
            page.push(key, value);
            if page.is_full() {
                break;
            }
            rows.next();
        }
        rows.status().map_err(|error| failed("scan", error))?;
        Ok(page)
    }

    fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        let (family, wanted) = (family_name(namespace), Wanted { prefix, after, limit });
        if self.families.prefix_bytes(family).is_some_and(|bytes| bytes <= prefix.len()) {
            return self.opened.rows_of_filtered(family, wanted);
        }
        let handle = self.database().cf_handle(family);
        handle.map_or_else(|| Ok(RowPage::new()), |handle| self.opened.rows(&handle, wanted))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let mut families: Vec<(Namespace, Arc<BoundColumnFamily<'_>>)> = Vec::new();
        let mut rows = WriteBatch::with_capacity_bytes(batch.byte_len() + HEADER_BYTES + batch.len() * ROW_BYTES);
        for write in batch.iter() {
            let known = families.iter().position(|(namespace, _)| *namespace == write.namespace);
            let at = known.unwrap_or(families.len());
            if known.is_none() {
                families.push((write.namespace, self.family(write.namespace)?));
            }
            let family = &families[at].1;
            match write.value {
                Some(value) => rows.put_cf(family, write.key, value),
                None => rows.delete_cf(family, write.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.database().write_opt(rows, &options).map_err(|error| failed("write", error))
    }

    fn sync(&self) -> Result<()> {
        self.database().flush_wal(true).map_err(|error| failed("sync", error))
    }

    fn finish(&self) -> Result<()> {
        self.sync()?;
        // What the log holds is durable, and the next opening would only have to replay it: so a failure here is no loss.
        for name in DB::list_cf(&Options::default(), self.database().path()).unwrap_or_default() {
            let Some(family) = self.database().cf_handle(&name) else { continue };
            let in_memory = self.database().property_int_value_cf(&family, properties::CUR_SIZE_ALL_MEM_TABLES);
            if in_memory.is_ok_and(|bytes| bytes.is_some_and(|bytes| bytes >= WORTH_A_FLUSH_BYTES)) {
                let _left_to_be_replayed = self.database().flush_cf_opt(&family, &FlushOptions::default());
            }
        }
        Ok(())
    }
}

/// From how many bytes in memory on a database is closed with them in tables, so that opening it again replays no long log.
const WORTH_A_FLUSH_BYTES: u64 = 4 * 1024 * 1024;

impl RocksdbEngine {
    fn new(database: DB, families: Arc<Families>, is_open: Arc<Open>) -> Self {
        wait_at_exit();
        Self { opened: Opened::of(database), families, _is_open: is_open }
    }

    fn database(&self) -> &DB {
        self.opened.database()
    }

    /// A namespace's column family, made where there is none. Only the writing thread makes any.
    fn family(&self, namespace: Namespace) -> Result<Arc<BoundColumnFamily<'_>>> {
        let name = family_name(namespace);
        loop {
            if let Some(family) = self.database().cf_handle(name) {
                return Ok(family);
            }
            self.database().create_cf(name, self.families.options(name)).map_err(|error| failed("write", error))?;
        }
    }

    /// Makes a file of sorted rows the database's own. Its rows are newer than all that are there.
    pub(crate) fn ingest(&self, namespace: Namespace, file: &Path) -> Result<()> {
        let family = self.family(namespace)?;
        // The file isn't in the log: without this, rows could survive a crash that takes back what was written before.
        self.sync()?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let ingested = self.database().ingest_external_file_cf_opts(&family, &options, vec![file]);
        ingested.map_err(|error| failed("bulk load", error))
    }

    /// Whether a namespace has so many fresh files that look-ups suffer, and what becomes of them.
    pub(crate) fn compaction(&self, namespace: Namespace, max_fresh_files: u64) -> Result<Compaction> {
        let Some(family) = self.database().cf_handle(family_name(namespace)) else { return Ok(Compaction::Idle) };
        let property = |name: &properties::PropName| {
            let value = self.database().property_int_value_cf(&family, name);
            value.map(Option::unwrap_or_default).map_err(|error| failed("bulk load", error))
        };
        let files = self.database().property_value_cf(&family, properties::num_files_at_level(0));
        let files = files.map_err(|error| failed("bulk load", error))?.and_then(|files| files.parse::<u64>().ok());
        Ok(if files.unwrap_or_default() < max_fresh_files || property(properties::BACKGROUND_ERRORS)? > 0 {
            Compaction::Idle
        } else if property(properties::NUM_RUNNING_COMPACTIONS)? > 0 {
            Compaction::AtWork
        } else if property(properties::COMPACTION_PENDING)? > 0 {
            Compaction::Pending
        } else {
            Compaction::Idle
        })
    }
}

/// What becomes of the fresh files of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compaction {
    /// There are few, or nobody is about to make fewer of them, because it failed for instance: waiting would help nobody.
    Idle,
    AtWork,
    /// It should begin. It doesn't after a write that found the disk full, until the database is opened again.
    Pending,
}

#[cfg(test)]
mod tests {
    use rocksdb::statistics::Ticker;
    use rocksdb::{Cache, SstFileWriter};

    use super::*;
    use crate::builder::open_database;

    #[test]
    fn synced_writes_and_syncs_wait_for_the_log_and_buffered_writes_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new_lru_cache(1024 * 1024);
        let mut options = RocksdbDatastore::builder().options(&cache);
        options.enable_statistics();
        let families = Arc::new(Families::new(options.clone(), &cache, &[]));
        let database = open_database(&directory.path().join("rows"), &families, Opening::First, true).unwrap();
        let engine = RocksdbEngine::new(database, families, Arc::default());
        let mut batch = Batch::new();
        batch.put(Namespace::new("rows"), b"key", b"value");
        engine.write(&batch, Durability::Buffered).unwrap();
        let syncs = || options.get_ticker_count(Ticker::WalFileSynced);
        let before = syncs();
        engine.write(&batch, Durability::Buffered).unwrap();
        assert_eq!(syncs(), before);
        engine.write(&batch, Durability::Synced).unwrap();
        assert_eq!(syncs(), before + 1);
        engine.write(&batch, Durability::Buffered).unwrap();
        engine.sync().unwrap();
        assert_eq!(syncs(), before + 2);

        // What was written before a file is taken over must not be lost alone.
        engine.write(&batch, Durability::Buffered).unwrap();
        let file = directory.path().join("new");
        let mut writer = SstFileWriter::create(engine.families.plain());
        writer.open(&file).unwrap();
        writer.put(b"other", b"loaded").unwrap();
        writer.finish().unwrap();
        engine.ingest(Namespace::new("rows"), &file).unwrap();
        assert_eq!(syncs(), before + 3);
        assert_eq!(engine.get(Namespace::new("rows"), b"other").unwrap().as_deref(), Some(&b"loaded"[..]));
        assert!(!file.exists(), "the database has a copy");
    }
}
