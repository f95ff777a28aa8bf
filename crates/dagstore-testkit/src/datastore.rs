//! A datastore that counts, and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{
    Batch, Datastore, Durability, Error, ErrorClass, MemoryDatastore, Namespace, Result, RowPage, RowStream,
};
use parking_lot::Mutex;

/// Another datastore, with counters, and with failures to order. Closing it leaves the other one open, so that a test can
/// open its rows again: what a disk is to a process.
#[derive(Debug, Clone)]
pub struct FaultyDatastore {
    inner: Arc<dyn Datastore>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    failing: Mutex<Option<Failing>>,
    /// Writes fail and pass by turns: with what, and whether the last one failed.
    alternating: Mutex<Option<(ErrorClass, bool)>>,
    panicking: AtomicBool,
    writes: AtomicU64,
    rows: AtomicU64,
    synced: AtomicU64,
    reopened: AtomicU64,
    reopening_takes: Mutex<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    class: ErrorClass,
    /// How many writes pass before.
    after: u64,
    /// How many fail then.
    times: u64,
}

impl FaultyDatastore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Datastore>) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// Wraps a new memory datastore.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(MemoryDatastore::new()))
    }

    /// Lets `after` writes pass, and then fails `times`; `u64::MAX` is for ever.
    pub fn fail_writes(&self, class: ErrorClass, after: u64, times: u64) {
        *self.shared.failing.lock() = Some(Failing { class, after, times });
    }

    /// Fails every second write from now on.
    pub fn fail_every_second_write(&self, class: ErrorClass) {
        *self.shared.alternating.lock() = Some((class, false));
    }

    /// Takes so long from now on to be reopened.
    pub fn reopening_takes(&self, time: Duration) {
        *self.shared.reopening_takes.lock() = time;
    }

    /// Panics at the next write, once.
    pub fn panic_at_next_write(&self) {
        self.shared.panicking.store(true, Ordering::Relaxed);
    }

    /// Writes pass again.
    pub fn heal(&self) {
        *self.shared.failing.lock() = None;
        *self.shared.alternating.lock() = None;
    }

    /// How many handles there are, this one included.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.shared)
    }

    /// The number of batches written so far, synced or not.
    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Ordering::Relaxed)
    }

    /// The number of puts and deletions in the batches written so far.
    pub fn rows(&self) -> u64 {
        self.shared.rows.load(Ordering::Relaxed)
    }

    /// The number of batches written with a sync so far.
    pub fn synced(&self) -> u64 {
        self.shared.synced.load(Ordering::Relaxed)
    }

    /// How often it was reopened.
    pub fn reopened(&self) -> u64 {
        self.shared.reopened.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        let mut failing = self.shared.failing.lock();
        match &mut *failing {
            Some(Failing { after, .. }) if *after > 0 => *after -= 1,
            Some(Failing { class, times, .. }) if *times > 0 => {
                *times = times.saturating_sub(1);
                return Err(Error::failed("faulty", "writing", *class, "ordered to fail"));
            }
            Some(_) | None => {}
        }
        if let Some((class, fails)) = &mut *self.shared.alternating.lock() {
            *fails = !*fails;
            if *fails {
                return Err(Error::failed("faulty", "writing", *class, "ordered to fail by turns"));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Datastore for FaultyDatastore {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        assert!(!self.shared.panicking.swap(false, Ordering::Relaxed), "ordered to panic");
        self.check()?;
        let rows = batch.len() as u64;
        self.inner.write(batch, durability).await?;
        self.shared.writes.fetch_add(1, Ordering::Relaxed);
        self.shared.rows.fetch_add(rows, Ordering::Relaxed);
        if durability == Durability::Synced {
            self.shared.synced.fetch_add(1, Ordering::Relaxed);
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
        self.check()?;
        self.inner.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.shared.reopened.fetch_add(1, Ordering::Relaxed);
        let time = *self.shared.reopening_takes.lock();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        self.inner.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.sync().await
    }
}
