//! The datastore: rows in RocksDB's column families.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::embedded::{Embedded, Engine, Opening};
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};
use rocksdb::{
    BoundColumnFamily, DB, DEFAULT_COLUMN_FAMILY_NAME, Options, PrefixRange, ReadOptions, WriteBatch, WriteOptions,
};

use crate::RocksdbBuilder;
use crate::error::{BACKEND, failed};

/// A datastore in one RocksDB directory.
///
/// To be sure that the directory is free again, [`close`](Datastore::close) it: a dropped datastore frees it a moment
/// later.
#[derive(Debug)]
pub struct RocksdbDatastore {
    embedded: Embedded<RocksdbEngine>,
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

    pub(crate) async fn open_with<O>(place: String, family_options: Options, open: O) -> Result<Self>
    where
        O: Fn(Opening) -> Result<DB> + Send + Sync + 'static,
    {
        let open =
            move |opening| Ok(RocksdbEngine { database: open(opening)?, family_options: family_options.clone() });
        Ok(Self { embedded: Embedded::open(BACKEND, place, open).await? })
    }
}

#[async_trait]
impl Datastore for RocksdbDatastore {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.embedded.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.embedded.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.embedded.scan(namespace, prefix)
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

struct RocksdbEngine {
    database: DB,
    /// For column families that are made later.
    family_options: Options,
}

impl Engine for RocksdbEngine {
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(family) = self.database.cf_handle(family_name(namespace)) else { return Ok(None) };
        let value = self.database.get_pinned_cf(&family, key).map_err(|error| failed("get", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn page(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>) -> Result<RowPage> {
        let mut page = RowPage::new();
        let Some(family) = self.database.cf_handle(family_name(namespace)) else { return Ok(page) };
        let mut options = ReadOptions::default();
        options.set_iterate_range(PrefixRange(prefix));
        // A scan of everything would push out of the cache what look-ups need.
        options.fill_cache(false);
        options.set_readahead_size(RowPage::TARGET_BYTES);
        let mut rows = self.database.raw_iterator_cf_opt(&family, options);
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

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let mut families: Vec<(Namespace, Arc<BoundColumnFamily<'_>>)> = Vec::new();
        let mut rows = WriteBatch::with_capacity_bytes(batch.byte_len());
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
        self.database.write_opt(rows, &options).map_err(|error| failed("write", error))
    }

    fn sync(&self) -> Result<()> {
        self.database.flush_wal(true).map_err(|error| failed("sync", error))
    }
}

impl RocksdbEngine {
    /// A namespace's column family, made where there is none. Only the writing thread makes any.
    fn family(&self, namespace: Namespace) -> Result<Arc<BoundColumnFamily<'_>>> {
        let name = family_name(namespace);
        loop {
            if let Some(family) = self.database.cf_handle(name) {
                return Ok(family);
            }
            self.database.create_cf(name, &self.family_options).map_err(|error| failed("write", error))?;
        }
    }
}

/// The column family of a namespace. RocksDB's own first one stays unused: a namespace of that name gets one with a dot,
/// which no namespace has.
fn family_name(namespace: Namespace) -> &'static str {
    match namespace.name() {
        DEFAULT_COLUMN_FAMILY_NAME => "default.",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::statistics::Ticker;

    use super::*;
    use crate::builder::open_database;

    #[test]
    fn synced_writes_and_syncs_wait_for_the_log_and_buffered_writes_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = RocksdbDatastore::builder().options();
        options.enable_statistics();
        let database = open_database(&directory.path().join("rows"), &options, true).unwrap();
        let engine = RocksdbEngine { database, family_options: options.clone() };
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
    }
}
