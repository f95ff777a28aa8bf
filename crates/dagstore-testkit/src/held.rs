//! A datastore whose writes are held until they are released.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Another datastore, of which a test decides when a write goes on: what happens meanwhile happens before it, every time.
#[derive(Debug, Clone)]
pub struct HeldDatastore {
    inner: Arc<dyn Datastore>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How many writes pass while others are held.
    passing: Mutex<u64>,
    /// Whether writes are held. Every write that is has a receiver.
    holding: watch::Sender<bool>,
}

impl HeldDatastore {
    /// Wraps `inner`. Nothing is held yet.
    pub fn new(inner: Arc<dyn Datastore>) -> Self {
        let shared = Shared { passing: Mutex::new(0), holding: watch::Sender::new(false) };
        Self { inner, shared: Arc::new(shared) }
    }

    /// Lets `writes` pass, and holds those that come then.
    pub fn hold_after(&self, writes: u64) {
        *self.shared.passing.lock() = writes;
        self.shared.holding.send_replace(true);
    }

    /// Lets every write pass, those that are held first of all.
    pub fn release(&self) {
        self.shared.holding.send_replace(false);
    }

    /// Whether a write is being held.
    pub fn is_holding(&self) -> bool {
        self.shared.holding.receiver_count() > 0
    }

    fn passes(&self) -> bool {
        let mut passing = self.shared.passing.lock();
        let passes = *passing > 0;
        *passing = passing.saturating_sub(1);
        passes
    }
}

#[async_trait]
impl Datastore for HeldDatastore {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        if !self.passes() {
            let mut holding = self.shared.holding.subscribe();
            // The sender is in this datastore, so this can't fail.
            let _released = holding.wait_for(|holding| !holding).await;
        }
        self.inner.write(batch, durability).await
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
