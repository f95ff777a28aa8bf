//! A datastore that counts what a store writes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore::datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};

use crate::shards::SHARDS;

/// Another datastore, with counters.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    inner: Arc<dyn Datastore>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    synced_with_records: AtomicU64,
}

/// What was written so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Records of shards that were written or deleted.
    pub(crate) records: u64,
    /// Synced batches with at least one of them.
    pub(crate) synced_with_records: u64,
}

impl Counting {
    pub(crate) fn new(inner: Arc<dyn Datastore>) -> Self {
        Self { inner, counters: Arc::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            records: self.counters.records.load(Ordering::Relaxed),
            synced_with_records: self.counters.synced_with_records.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    /// What came since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            records: self.records - before.records,
            synced_with_records: self.synced_with_records - before.synced_with_records,
        }
    }

    /// Records in a synced batch, as a mean.
    pub(crate) fn per_sync(self) -> f64 {
        self.records as f64 / self.synced_with_records.max(1) as f64
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
        let records = batch.iter().filter(|write| write.namespace == SHARDS).count() as u64;
        self.inner.write(batch, durability).await?;
        self.counters.records.fetch_add(records, Ordering::Relaxed);
        if records > 0 && durability == Durability::Synced {
            self.counters.synced_with_records.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.inner.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.inner.rows(namespace, prefix, after, limit).await
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
