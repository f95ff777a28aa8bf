//! A datastore that counts syncs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore::datastore::{Batch, Datastore, Durability, Namespace, Result, RowStream};

/// Another datastore, with a counter.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    inner: Arc<dyn Datastore>,
    syncs: Arc<AtomicU64>,
}

impl Counting {
    pub(crate) fn new(inner: Arc<dyn Datastore>) -> Self {
        Self { inner, syncs: Arc::default() }
    }

    /// Syncs so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Datastore for Counting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        if durability == Durability::Synced {
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.inner.scan(namespace, prefix)
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.inner.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
