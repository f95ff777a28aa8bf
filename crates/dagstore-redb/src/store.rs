//! The datastore: rows in redb's tables.

use std::ops::Bound;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::embedded::{Embedded, Engine, Opening};
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};
use redb::{Database, ReadOnlyTable, ReadableDatabase, Table, TableDefinition, TableError, WriteTransaction};

use crate::RedbBuilder;
use crate::error::{BACKEND, failed};

/// A datastore in one redb file.
///
/// To be sure that the file is free again, [`close`](Datastore::close) it: a dropped datastore frees it a moment later.
#[derive(Debug)]
pub struct RedbDatastore {
    embedded: Embedded<RedbEngine>,
}

impl RedbDatastore {
    /// The options, to [open](RedbBuilder::open) a datastore with.
    pub fn builder() -> RedbBuilder {
        RedbBuilder::default()
    }

    /// Opens the database file `path`, or makes it where there is none.
    ///
    /// # Errors
    /// As [`RedbBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path).await
    }

    pub(crate) async fn open_with<O>(place: String, open: O) -> Result<Self>
    where
        O: Fn(Opening) -> Result<Database> + Send + Sync + 'static,
    {
        let open = move |opening| Ok(RedbEngine { database: open(opening)? });
        Ok(Self { embedded: Embedded::open(BACKEND, place, open).await? })
    }
}

#[async_trait]
impl Datastore for RedbDatastore {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.embedded.get(namespace, key)
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.embedded.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.embedded.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.embedded.rows(namespace, prefix, after, limit)
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

type OpenTable<'transaction> = Table<'transaction, &'static [u8], &'static [u8]>;

type Rows<'name> = TableDefinition<'name, &'static [u8], &'static [u8]>;

struct RedbEngine {
    database: Database,
}

impl Engine for RedbEngine {
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        let Some(table) = self.table("get", namespace)? else { return Ok(None) };
        let value = table.get(key).map_err(|error| failed("get", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn page(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>) -> Result<RowPage> {
        self.read("scan", namespace, prefix, after, usize::MAX)
    }

    fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.read("rows", namespace, prefix, after, limit)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.commit("write", durability, |transaction| {
            // A table can be open once only in a transaction, and a batch may go to and fro between them.
            let mut tables: Vec<(Namespace, OpenTable<'_>)> = Vec::new();
            for write in batch.iter() {
                let opened = tables.iter().position(|(namespace, _)| *namespace == write.namespace);
                let at = opened.unwrap_or(tables.len());
                if opened.is_none() {
                    tables.push((write.namespace, transaction.open_table(Rows::new(write.namespace.name()))?));
                }
                let table = &mut tables[at].1;
                match write.value {
                    Some(value) => drop(table.insert(write.key, value)?),
                    None => drop(table.remove(write.key)?),
                }
            }
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        // A commit of nothing, which writes what was committed without durability before it.
        self.commit("sync", Durability::Synced, |_| Ok(()))
    }
}

impl RedbEngine {
    /// A namespace's table as it is now, or `None` where nothing was written to it.
    fn table(
        &self,
        operation: &'static str,
        namespace: Namespace,
    ) -> Result<Option<ReadOnlyTable<&'static [u8], &'static [u8]>>> {
        let transaction = self.database.begin_read().map_err(|error| failed(operation, error))?;
        match transaction.open_table(Rows::new(namespace.name())) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            table => table.map(Some).map_err(|error| failed(operation, error)),
        }
    }

    fn read(
        &self,
        operation: &'static str,
        namespace: Namespace,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RowPage> {
        let mut page = RowPage::new();
        let Some(table) = self.table(operation, namespace)? else { return Ok(page) };
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let rows = table.range::<&[u8]>((start, Bound::Unbounded)).map_err(|error| failed(operation, error))?;
        for row in rows {
            let (key, value) = row.map_err(|error| failed(operation, error))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            page.push(key.value(), value.value());
            if page.len() >= limit || page.is_full() {
                break;
            }
        }
        Ok(page)
    }

    fn commit(
        &self,
        operation: &'static str,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<()> {
        let begin_and_commit = || {
            let mut transaction = self.database.begin_write()?;
            match durability {
                Durability::Synced => {
                    transaction.set_durability(redb::Durability::Immediate)?;
                    transaction.set_quick_repair(true);
                }
                Durability::Buffered => transaction.set_durability(redb::Durability::None)?,
            }
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        begin_and_commit().map_err(|error: redb::Error| failed(operation, error))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
