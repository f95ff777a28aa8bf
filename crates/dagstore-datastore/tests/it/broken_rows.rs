//! The suite fails on stores that look a few rows up wrongly: each fault is planted, and its check must find it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::conformance::{self, Factory};
use dagstore_datastore::{
    Batch, Datastore, Durability, Error, ErrorClass, MemoryDatastore, Namespace, Result, RowPage, RowStream,
};
use futures_util::TryStreamExt;
use parking_lot::Mutex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LimitIgnored,
    LimitOfOneMore,
    PrefixIgnored,
    AfterIncluded,
    AfterTakenAsTheBeginning,
    NextRowWhereThereIsNone,
    FirstOfPrefixOnly,
    NoPages,
    OneNamespace,
    OldRows,
    TwoStates,
    ClosedIsEmpty,
}

/// Each fault with the check that must find it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::LimitIgnored, "first_rows"),
    (Fault::LimitOfOneMore, "first_rows"),
    (Fault::PrefixIgnored, "first_rows"),
    (Fault::AfterIncluded, "rows_behind_a_key"),
    (Fault::AfterTakenAsTheBeginning, "rows_behind_a_key"),
    (Fault::NextRowWhereThereIsNone, "few_rows_of_prefixes"),
    (Fault::FirstOfPrefixOnly, "few_rows_of_prefixes"),
    (Fault::NoPages, "few_rows_are_a_page_at_most"),
    (Fault::OneNamespace, "few_rows_of_namespaces"),
    (Fault::OldRows, "few_rows_see_what_was_written"),
    (Fault::TwoStates, "few_rows_show_whole_batches"),
    (Fault::ClosedIsEmpty, "calls_after_close"),
];

// One thread, so that the tasks of a check take turns in the same order each time and a fault can't hide by luck.
#[tokio::test]
async fn every_fault_is_found_by_its_check() {
    for (fault, check) in FAULTS {
        let failures = conformance::failures(&BrokenStores { fault: *fault, check: Some(check) }).await;
        assert!(failures.iter().any(|failure| failure.check == *check), "{fault:?} was not found");
    }
}

/// What is left then is also the trait's own way, by a scan: the suite holds that to the contract as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_wrapper_without_a_fault_passes() {
    conformance::run(&BrokenStores { fault: Fault::None, check: None }).await;
}

struct BrokenStores {
    fault: Fault,
    /// The only check that gets a store.
    check: Option<&'static str>,
}

#[async_trait]
impl Factory for BrokenStores {
    fn persistent(&self) -> bool {
        false
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        if self.check.is_some_and(|check| check != name) {
            return Err(Error::failed("broken", "open", ErrorClass::Permanent, "not this check's turn"));
        }
        let inner = Scanned(Arc::default());
        Ok(Arc::new(Broken { fault: self.fault, inner, seen: Mutex::default(), is_closed: AtomicBool::new(false) }))
    }
}

/// Rows in memory, looked up in the trait's own way.
#[derive(Debug)]
struct Scanned(Arc<MemoryDatastore>);

#[async_trait]
impl Datastore for Scanned {
    fn name(&self) -> &'static str {
        "scanned"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.0.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.0.scan(namespace, prefix)
    }

    async fn sync(&self) -> Result<()> {
        self.0.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.0.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    inner: Scanned,
    /// What a store with [`Fault::OldRows`] has answered, and goes on answering.
    seen: Mutex<HashMap<Vec<u8>, RowPage>>,
    is_closed: AtomicBool,
}

impl Broken {
    async fn first(&self, namespace: Namespace, prefix: &[u8], after: &[u8]) -> Result<RowPage> {
        self.inner.rows(namespace, prefix, Some(after), 1).await
    }

    /// All rows of a namespace that `keep`, at most `limit`, without a bound in bytes.
    async fn kept(&self, namespace: Namespace, limit: usize, keep: impl Fn(&[u8]) -> bool) -> Result<RowPage> {
        let pages: Vec<RowPage> = self.inner.scan(namespace, b"").try_collect().await?;
        let mut kept = RowPage::new();
        let rows = pages.iter().flat_map(RowPage::iter).filter(|(key, _)| keep(key));
        rows.take(limit).for_each(|(key, value)| kept.push(key, value));
        Ok(kept)
    }
}

#[async_trait]
impl Datastore for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        match (self.fault, after) {
            (Fault::LimitIgnored, _) => self.inner.rows(namespace, prefix, after, usize::MAX).await,
            (Fault::LimitOfOneMore, _) => self.inner.rows(namespace, prefix, after, limit.saturating_add(1)).await,
            (Fault::PrefixIgnored, _) => self.inner.rows(namespace, b"", after, limit).await,
            (Fault::AfterIncluded, Some(after)) => {
                self.kept(namespace, limit, |key| key.starts_with(prefix) && key >= after).await
            }
            (Fault::AfterTakenAsTheBeginning, Some(after)) if !after.starts_with(prefix) => Ok(RowPage::new()),
            (Fault::NextRowWhereThereIsNone, None) if limit == 1 => self.kept(namespace, 1, |key| key >= prefix).await,
            (Fault::FirstOfPrefixOnly, _) => self.inner.rows(namespace, prefix, after, limit.min(1)).await,
            (Fault::NoPages, _) => {
                let is_behind = |key: &[u8]| after.is_none_or(|after| after < key);
                self.kept(namespace, limit, |key| key.starts_with(prefix) && is_behind(key)).await
            }
            (Fault::OneNamespace, _) => self.inner.rows(Namespace::new("rows"), prefix, after, limit).await,
            (Fault::OldRows, None) => {
                let now = self.inner.rows(namespace, prefix, after, limit).await?;
                Ok(self.seen.lock().entry(prefix.to_vec()).or_insert(now).clone())
            }
            (Fault::TwoStates, None) => {
                let mut rows = self.inner.rows(namespace, prefix, None, 1).await?;
                while let Some(last) = rows.last_key().filter(|_| rows.len() < limit) {
                    tokio::task::yield_now().await;
                    let next = self.first(namespace, prefix, last).await?;
                    let Some((key, value)) = next.iter().next() else { break };
                    rows.push(key, value);
                }
                Ok(rows)
            }
            (Fault::ClosedIsEmpty, _) if self.is_closed.load(Ordering::Acquire) => Ok(RowPage::new()),
            _ => self.inner.rows(namespace, prefix, after, limit).await,
        }
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
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
        self.is_closed.store(true, Ordering::Release);
        self.inner.close().await
    }
}
