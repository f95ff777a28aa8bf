//! A datastore whose calls fail by their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{
    Batch, Datastore, Durability, Error, ErrorClass, Namespace, Result, RowPage, RowStream, load_by_batches,
};
use futures_util::StreamExt;

use crate::faults::{Call, Fault, Faults};
use crate::power::namespaces;

const NAME: &str = "failing";

/// Another datastore, of which every call is counted, and some fail as [`Faults`] say.
#[derive(Debug)]
pub struct FailingDatastore {
    inner: Arc<dyn Datastore>,
    faults: Faults,
    needs_reopen: Arc<AtomicBool>,
}

impl FailingDatastore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Datastore>, faults: Faults) -> Self {
        Self { inner, faults, needs_reopen: Arc::default() }
    }

    /// How this call fails, if it does.
    fn meet(&self, call: Call, operation: &'static str, what: impl FnOnce() -> String) -> Result<(), (Fault, Error)> {
        let Some(fault) = self.faults.meet(call, what) else { return Ok(()) };
        let class = fault.class();
        if class == ErrorClass::NeedsReopen {
            self.needs_reopen.store(true, Ordering::Relaxed);
        }
        Err((fault, Error::failed(NAME, operation, class, "planted")))
    }

    /// Behind a failed sync nothing is written on the same handle.
    fn check_handle(&self, operation: &'static str) -> Result<()> {
        if self.needs_reopen.load(Ordering::Relaxed) {
            return Err(Error::failed(NAME, operation, ErrorClass::NeedsReopen, "an earlier write has failed"));
        }
        Ok(())
    }
}

#[async_trait]
impl Datastore for FailingDatastore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.meet(Call::Get, "get", || namespace.name().to_owned()).map_err(told)?;
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.check_handle("write")?;
        match self.meet(Call::RowsWrite, "write", || namespaces(&batch)) {
            Ok(()) => self.inner.write(batch, durability).await,
            Err((Fault::RowsInDoubt, error)) => {
                self.inner.write(batch, Durability::Synced).await?;
                Err(error)
            }
            Err((_, error)) => Err(error),
        }
    }

    /// Each page is a call.
    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let faults = self.faults.clone();
        let pages = self.inner.scan(namespace, prefix).map(move |page| {
            match faults.meet(Call::Scan, || namespace.name().to_owned()) {
                Some(fault) => Err(Error::failed(NAME, "scan", fault.class(), "planted")),
                None => page,
            }
        });
        // An error ends the stream.
        let until_error = futures_util::stream::unfold((pages, false), |(mut pages, is_over)| async move {
            if is_over {
                return None;
            }
            let page = pages.next().await?;
            let is_over = page.is_err();
            Some((page, (pages, is_over)))
        });
        until_error.boxed()
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.meet(Call::Rows, "rows", || namespace.name().to_owned()).map_err(told)?;
        self.inner.rows(namespace, prefix, after, limit).await
    }

    /// Its batches are calls as well.
    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        self.check_handle("load")?;
        self.meet(Call::Load, "load", || namespace.name().to_owned()).map_err(told)?;
        load_by_batches(self, namespace, rows).await
    }

    async fn sync(&self) -> Result<()> {
        self.check_handle("sync")?;
        self.meet(Call::RowsSync, "sync", String::new).map_err(told)?;
        self.inner.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.meet(Call::Reopen, "reopen", String::new).map_err(told)?;
        // Two tasks that met the same error may both ask for it.
        if self.needs_reopen.swap(false, Ordering::Relaxed) {
            self.inner.reopen().await?;
        }
        Ok(())
    }

    /// It is closed in any case.
    async fn close(&self) -> Result<()> {
        let met = self.meet(Call::RowsClose, "close", String::new).map_err(told);
        if self.needs_reopen.swap(false, Ordering::Relaxed) {
            self.inner.reopen().await?;
        }
        self.inner.close().await?;
        met
    }
}

fn told((_, error): (Fault, Error)) -> Error {
    error
}
