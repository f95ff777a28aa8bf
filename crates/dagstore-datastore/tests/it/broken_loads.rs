//! The suite fails on stores whose bulk loads are broken: each fault is planted, and its check must find it.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::conformance::{self, Factory};
use dagstore_datastore::{
    Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, MAX_KEY_BYTES, MAX_VALUE_BYTES, MemoryDatastore,
    Namespace, Result, RowStream, load_by_batches, stream_of_rows,
};
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::RwLock;

use crate::disk::{Defect, Disk};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    FirstPageOnly,
    OldRowWins,
    KnownRowFails,
    AnyOrder,
    EqualKeys,
    OrderPerPage,
    NoLimits,
    SourceErrorIsTheEnd,
    LoadWhenCalled,
    LastRowsFirst,
    HoldsOthersUp,
}

/// Each fault with the check that must find it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::FirstPageOnly, "loaded_rows"),
    (Fault::OldRowWins, "loads_and_writes_in_turn"),
    (Fault::KnownRowFails, "repeated_loads"),
    (Fault::AnyOrder, "unsorted_loads_are_refused"),
    (Fault::EqualKeys, "unsorted_loads_are_refused"),
    (Fault::OrderPerPage, "unsorted_loads_are_refused"),
    (Fault::NoLimits, "load_limits"),
    (Fault::SourceErrorIsTheEnd, "errors_of_the_source"),
    (Fault::LoadWhenCalled, "unpolled_loads_do_nothing"),
    (Fault::LastRowsFirst, "dropped_loads_leave_a_beginning"),
    (Fault::HoldsOthersUp, "others_go_on_beside_a_load"),
];

// One thread, so that the tasks of a check take turns in the same order each time and a fault can't hide by luck.
#[tokio::test]
async fn every_fault_is_found_by_its_check() {
    for (fault, check) in FAULTS {
        let failures = conformance::failures(&BrokenStores { fault: *fault, check: Some(check) }).await;
        assert!(failures.iter().any(|failure| failure.check == *check), "{fault:?} was not found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrapper_without_a_fault_passes() {
    conformance::run(&BrokenStores { fault: Fault::None, check: None }).await;
}

#[tokio::test]
async fn every_fault_of_a_persistent_store_is_found_by_its_check() {
    for (defect, check) in
        [(Defect::LoadsAreBuffered, "loads_survive_closing"), (Defect::ClosedLoadsFail, "closing_beside_a_load")]
    {
        let factory = BrokenDisks { defect, check, disks: Mutex::default() };
        let failures = conformance::failures(&factory).await;
        assert!(failures.iter().any(|failure| failure.check == check), "{defect:?} was not found");
    }
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
            return Err(not_its_turn());
        }
        Ok(Arc::new(Broken { fault: self.fault, store: Arc::default(), loading: RwLock::default() }))
    }

    fn patience(&self) -> Duration {
        if self.fault == Fault::HoldsOthersUp { Duration::from_secs(1) } else { Duration::from_mins(1) }
    }
}

struct BrokenDisks {
    defect: Defect,
    check: &'static str,
    disks: Mutex<HashMap<String, Disk>>,
}

#[async_trait]
impl Factory for BrokenDisks {
    fn persistent(&self) -> bool {
        true
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        if name != self.check {
            return Err(not_its_turn());
        }
        let disk = self.disks.lock().entry(name.to_owned()).or_default().clone();
        Ok(Arc::new(disk.broken(self.defect).open().await?))
    }
}

fn not_its_turn() -> Error {
    Error::failed("broken", "open", ErrorClass::Permanent, "not this check's turn")
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    store: Arc<MemoryDatastore>,
    /// Held for writing by a load that holds others up.
    loading: RwLock<()>,
}

impl Broken {
    async fn load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        match self.fault {
            Fault::FirstPageOnly => load_by_batches(&*self.store, namespace, rows.take(1).boxed()).await,
            Fault::OldRowWins | Fault::KnownRowFails => self.load_what_is_new(namespace, rows).await,
            Fault::EqualKeys => self.load_without_equal_keys(namespace, rows).await,
            Fault::AnyOrder | Fault::OrderPerPage | Fault::NoLimits => self.load_unchecked(namespace, rows).await,
            Fault::SourceErrorIsTheEnd => {
                let rows = rows.take_while(|page| ready(page.is_ok())).boxed();
                load_by_batches(&*self.store, namespace, rows).await
            }
            Fault::LastRowsFirst => {
                let mut pages: Vec<_> = rows.collect().await;
                pages.reverse();
                for page in pages {
                    let mut batch = Batch::new();
                    page?.iter().for_each(|(key, value)| batch.put(namespace, key, value));
                    self.store.write(batch, Durability::Synced).await?;
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Fault::HoldsOthersUp => {
                let _held = self.loading.write().await;
                load_by_batches(&*self.store, namespace, rows).await
            }
            Fault::None | Fault::LoadWhenCalled => load_by_batches(&*self.store, namespace, rows).await,
        }
    }

    async fn load_what_is_new(&self, namespace: Namespace, mut rows: RowStream) -> Result<()> {
        while let Some(page) = rows.next().await {
            for (key, value) in page?.iter() {
                if self.store.get(namespace, key).await?.is_none() {
                    self.store.put(namespace, key, value).await?;
                } else if self.fault == Fault::KnownRowFails {
                    return Err(Error::failed("broken", "load", ErrorClass::Permanent, "the row is there"));
                }
            }
        }
        Ok(())
    }

    /// Leaves out what would be refused, and takes the last of equal keys.
    async fn load_without_equal_keys(&self, namespace: Namespace, mut rows: RowStream) -> Result<()> {
        let mut last: Option<(Vec<u8>, Vec<u8>)> = None;
        let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        while let Some(page) = rows.next().await {
            for (key, value) in page?.iter() {
                if last.as_ref().is_some_and(|(last, _)| last.as_slice() > key) {
                    let found = stream_of_rows([(vec![1], Vec::new()), (vec![0], Vec::new())]);
                    return load_by_batches(&*self.store, namespace, found).await;
                }
                last = Some((key.to_vec(), value.to_vec()));
                all.extend(last.clone());
            }
        }
        load_by_batches(&*self.store, namespace, stream_of_rows(all)).await
    }

    async fn load_unchecked(&self, namespace: Namespace, mut rows: RowStream) -> Result<()> {
        while let Some(page) = rows.next().await {
            let page = page?;
            let mut of_page: Vec<_> = page.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            match self.fault {
                Fault::AnyOrder => {
                    let mut batch = Batch::new();
                    for (key, value) in &of_page {
                        batch.put(namespace, key, value);
                    }
                    self.store.write(batch, Durability::Synced).await?;
                    continue;
                }
                Fault::NoLimits => of_page.iter_mut().for_each(|(key, value)| {
                    key.truncate(MAX_KEY_BYTES);
                    value.truncate(MAX_VALUE_BYTES);
                }),
                _ => {}
            }
            load_by_batches(&*self.store, namespace, stream_of_rows(of_page)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Datastore for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.store.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        let _held = self.loading.read().await;
        self.store.write(batch, durability).await
    }

    fn bulk_load<'store, 'future>(
        &'store self,
        namespace: Namespace,
        rows: RowStream,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'future>>
    where
        'store: 'future,
        Self: 'future,
    {
        if self.fault == Fault::LoadWhenCalled {
            let loaded = load_by_batches(&*self.store, namespace, rows).now_or_never();
            return Box::pin(ready(loaded.unwrap()));
        }
        Box::pin(self.load(namespace, rows))
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.store.scan(namespace, prefix)
    }

    async fn sync(&self) -> Result<()> {
        self.store.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.store.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}
