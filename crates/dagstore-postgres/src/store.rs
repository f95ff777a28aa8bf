//! The datastore: rows in one table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream, stream_of_pages};

use crate::PostgresBuilder;
use crate::error::BACKEND;
use crate::host::{Host, run_on};
use crate::lane;
use crate::read::{self, Guess, Wanted};
use crate::shared::Shared;

/// How long a handle that was dropped goes on to write what was asked of it before, and to give its lease back.
const LAST_MOMENT: Duration = Duration::from_secs(10);

/// A datastore in a database that speaks the PostgreSQL wire protocol.
///
/// To be sure that the lease is free again, [`close`](Datastore::close) it: a dropped handle gives it back a moment later,
/// and one whose process was killed keeps it until it ends by itself.
///
/// Behind an error of class [`Fenced`](dagstore_datastore::ErrorClass::Fenced) every call fails with that class. What was
/// under way when the lease was lost may have been applied, but then before anybody else had the lease.
pub struct PostgresDatastore {
    host: Host,
    shared: Arc<Shared>,
}

impl PostgresDatastore {
    /// The options, to [open](PostgresBuilder::open) a datastore with.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// Opens the database at `url`, and makes its tables where there are none.
    ///
    /// # Errors
    /// As [`PostgresBuilder::open`].
    pub async fn open(url: &str) -> Result<Self> {
        Self::builder().open(url).await
    }

    pub(crate) fn new(host: Host, shared: Arc<Shared>) -> Self {
        Self { host, shared }
    }
}

#[async_trait]
impl Datastore for PostgresDatastore {
    fn name(&self) -> &'static str {
        BACKEND
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.shared.check("get")?;
        self.host.run("get", read::get(self.shared.clone(), namespace, key.to_vec())).await
    }

    async fn write(&self, batch: Batch, _durability: Durability) -> Result<()> {
        batch.check_limits(BACKEND)?;
        self.shared.check("write")?;
        self.host.run("write", lane::write(self.shared.clone(), "write", batch)).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let (handle, shared) = (self.host.handle().clone(), self.shared.clone());
        let (prefix, guess) = (prefix.to_vec(), Arc::new(Guess::default()));
        stream_of_pages(move |after| {
            let wanted = Wanted::new(namespace, &prefix, after.as_deref(), usize::MAX);
            let (handle, shared, guess) = (handle.clone(), shared.clone(), guess.clone());
            async move {
                shared.check("scan")?;
                run_on(&handle, "scan", async move { read::page(shared, "scan", wanted, &guess).await }).await
            }
        })
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.shared.check("rows")?;
        let (shared, wanted) = (self.shared.clone(), Wanted::new(namespace, prefix, after, limit));
        self.host.run("rows", async move { read::page(shared, "rows", wanted, &Guess::default()).await }).await
    }

    async fn sync(&self) -> Result<()> {
        // All that has returned is durable. What else there is to know of a sync is whether the next write has a chance.
        self.shared.check("sync")?;
        self.host.run("sync", lane::write(self.shared.clone(), "sync", Batch::new())).await
    }

    async fn reopen(&self) -> Result<()> {
        self.shared.check("reopen")?;
        self.host.run("reopen", lane::reopen(self.shared.clone())).await
    }

    async fn close(&self) -> Result<()> {
        if self.shared.is_closed() {
            return Ok(());
        }
        self.host.run("close", lane::close(self.shared.clone())).await
    }
}

impl Drop for PostgresDatastore {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        self.host.end(Box::pin(async move {
            // A server that doesn't answer lets the lease end by itself.
            let _closed = tokio::time::timeout(LAST_MOMENT, lane::close(shared)).await;
        }));
    }
}

impl fmt::Debug for PostgresDatastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresDatastore").field("place", &self.shared.place).finish_non_exhaustive()
    }
}
