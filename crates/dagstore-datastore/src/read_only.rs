//! A datastore that can only be read.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Batch, Datastore, Durability, Error, Namespace, Result, RowPage, RowStream};

/// Another datastore, of which nothing can be changed through this handle: for looking into a store.
///
/// * Reads and scans pass.
/// * [`write`](Datastore::write), [`bulk_load`](Datastore::bulk_load) and [`sync`](Datastore::sync) are refused with
///   [`Error::ReadOnly`], empty ones too.
/// * [`reopen`](Datastore::reopen) is refused as well: it can take back what was
///   [`Buffered`](Durability::Buffered), and that belongs to whoever writes.
/// * [`close`](Datastore::close) passes: it changes no row, and where this is the only handle nothing else frees the
///   database. So don't give it to anybody who mustn't end the other handle's work.
///
/// It guards handles, not files: opening a database may itself write to it.
#[derive(Debug, Clone)]
pub struct ReadOnly {
    inner: Arc<dyn Datastore>,
}

impl ReadOnly {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Datastore>) -> Self {
        Self { inner }
    }

    fn refused(&self, operation: &'static str) -> Error {
        Error::ReadOnly { backend: self.inner.name(), operation }
    }
}

#[async_trait]
impl Datastore for ReadOnly {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, _batch: Batch, _durability: Durability) -> Result<()> {
        Err(self.refused("write"))
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.inner.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.inner.rows(namespace, prefix, after, limit).await
    }

    async fn bulk_load(&self, _namespace: Namespace, _rows: RowStream) -> Result<()> {
        Err(self.refused("bulk load"))
    }

    async fn sync(&self) -> Result<()> {
        Err(self.refused("sync"))
    }

    async fn reopen(&self) -> Result<()> {
        Err(self.refused("reopen"))
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
