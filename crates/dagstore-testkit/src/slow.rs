//! A datastore whose syncs take longer.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::thread::Worker;
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};

/// Another datastore, of which every sync takes longer by the same time, as on a slower disk. Syncs wait one after the
/// other, and other calls don't wait for them.
#[derive(Debug, Clone)]
pub struct SlowDatastore {
    inner: Arc<dyn Datastore>,
    slower_by: Duration,
    /// Waits on a thread of its own: a runtime's timer is no more exact than a millisecond.
    waiting: Arc<Worker>,
}

impl SlowDatastore {
    /// Wraps `inner`.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn new(inner: Arc<dyn Datastore>, slower_by: Duration) -> io::Result<Self> {
        let waiting = Arc::new(Worker::spawn("slow-sync", 1)?);
        Ok(Self { inner, slower_by, waiting })
    }

    async fn wait(&self) {
        let slower_by = self.slower_by;
        // A thread that sleeps neither panics nor ends before its worker is dropped.
        let _slept = self.waiting.run(move || thread::sleep(slower_by)).await;
    }
}

#[async_trait]
impl Datastore for SlowDatastore {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.inner.write(batch, durability).await?;
        if durability == Durability::Synced {
            self.wait().await;
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
        self.inner.sync().await?;
        self.wait().await;
        Ok(())
    }

    async fn reopen(&self) -> Result<()> {
        self.inner.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
