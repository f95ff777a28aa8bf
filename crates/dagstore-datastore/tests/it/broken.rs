//! The suite fails on stores that are broken: each fault is planted, and the check that is there for it must find it.

use std::collections::{BTreeSet, HashMap};
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::conformance::{self, Factory};
use dagstore_datastore::{
    Batch, Datastore, Durability, Error, ErrorClass, MAX_KEY_BYTES, MAX_VALUE_BYTES, MemoryDatastore, Namespace,
    Result, RowPage, RowStream, Write, stream_of_pages,
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use parking_lot::{Mutex, RwLock};

use crate::disk::{Defect, Disk};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    AbsentIsEmpty,
    EmptyIsAbsent,
    LostOverwrite,
    LostDelete,
    ShortKeys,
    ShortValues,
    NoLimits,
    LimitsFoundTooLate,
    OneNamespace,
    NamesBeforeKeys,
    FirstWriteWins,
    DeletesFirst,
    EmptyBatchFails,
    LargeBatchIsCut,
    OneByOne,
    WriteWhenCalled,
    LostWhenBusy,
    UnorderedScan,
    SignedOrder,
    PrefixIgnored,
    PrefixAddsOne,
    PrefixExcluded,
    FirstPageOnly,
    LastRowTwice,
    ScanByCount,
    OldScan,
    WriteBehind,
    ReopenLosesRows,
    SecondCloseFails,
    CloseDoesNothing,
    ClosedScanIsEmpty,
    SnapshotsOutliveClosing,
}

/// Each fault with the checks that must find it.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::AbsentIsEmpty, &["absent_rows"]),
    (Fault::EmptyIsAbsent, &["empty_keys_and_values"]),
    (Fault::LostOverwrite, &["put_and_get"]),
    (Fault::LostDelete, &["delete", "later_writes_win"]),
    (Fault::ShortKeys, &["long_keys_and_values"]),
    (Fault::ShortValues, &["long_keys_and_values"]),
    (Fault::NoLimits, &["limits"]),
    (Fault::LimitsFoundTooLate, &["limits"]),
    (Fault::OneNamespace, &["namespaces"]),
    (Fault::NamesBeforeKeys, &["namespaces"]),
    (Fault::FirstWriteWins, &["later_writes_win"]),
    (Fault::DeletesFirst, &["later_writes_win"]),
    (Fault::EmptyBatchFails, &["empty_batches"]),
    (Fault::LargeBatchIsCut, &["large_batches"]),
    (Fault::OneByOne, &["dropped_writes_are_whole", "pages_show_whole_batches", "batches_appear_at_once"]),
    (Fault::WriteWhenCalled, &["unpolled_writes_do_nothing"]),
    (Fault::LostWhenBusy, &["concurrent_writers"]),
    (Fault::UnorderedScan, &["scan_order"]),
    (Fault::SignedOrder, &["scan_order"]),
    (Fault::PrefixIgnored, &["prefixes"]),
    (Fault::PrefixAddsOne, &["prefixes"]),
    (Fault::PrefixExcluded, &["prefixes"]),
    (Fault::FirstPageOnly, &["pages_of_large_rows", "pages_of_small_rows"]),
    (Fault::LastRowTwice, &["pages_of_large_rows", "pages_of_small_rows"]),
    (Fault::ScanByCount, &["scan_while_writing"]),
    (Fault::OldScan, &["scans_see_what_was_written"]),
    (Fault::WriteBehind, &["sync_and_buffered_writes"]),
    (Fault::ReopenLosesRows, &["reopen_keeps_rows"]),
    (Fault::SecondCloseFails, &["close_twice"]),
    (Fault::CloseDoesNothing, &["calls_after_close", "streams_after_close"]),
    (Fault::ClosedScanIsEmpty, &["calls_after_close"]),
    (Fault::SnapshotsOutliveClosing, &["streams_after_close"]),
];

#[tokio::test]
async fn every_fault_is_found_by_its_check() {
    for (fault, checks) in FAULTS {
        let factory = BrokenStores { fault: *fault, checks };
        let found: BTreeSet<_> = conformance::failures(&factory)
            .await
            .into_iter()
            .filter(|failure| checks.contains(&failure.check))
            .map(|failure| failure.check)
            .collect();
        assert_eq!(found, checks.iter().copied().collect(), "{fault:?} was not found");
    }
}

/// The faults are found because of the faults, not because of what is around them.
#[tokio::test]
async fn the_wrapper_without_a_fault_passes() {
    conformance::run(&BrokenStores { fault: Fault::None, checks: &[] }).await;
}

#[tokio::test]
async fn every_fault_of_a_persistent_store_is_found_by_its_check() {
    type Break = fn(&Disk) -> Disk;
    let faults: [(&str, &str, Break); 4] = [
        ("closing forgets what was buffered", "rows_survive_closing", |disk| disk.broken(Defect::IgnoresSync)),
        ("nothing persists", "rows_survive_closing", |_| Disk::default()),
        ("nothing is locked", "second_opening_is_refused", |disk| disk.broken(Defect::IgnoresLock)),
        ("closing keeps the lock", "close_after_a_dropped_close", |disk| disk.broken(Defect::StaysLocked)),
    ];
    for (fault, check, break_it) in faults {
        let factory = BrokenDisks { check, break_it, disks: Mutex::default() };
        let failures = conformance::failures(&factory).await;
        assert!(failures.iter().any(|failure| failure.check == check), "{fault} was not found");
    }
}

#[tokio::test]
#[should_panic(expected = "absent_rows: row <6b6579> of never_written is <>, not absent")]
async fn run_says_which_check_failed_and_why() {
    conformance::run(&BrokenStores { fault: Fault::AbsentIsEmpty, checks: &["absent_rows"] }).await;
}

/// Opens broken stores for the checks that matter; where none are named, for all.
struct BrokenStores {
    fault: Fault,
    checks: &'static [&'static str],
}

#[async_trait]
impl Factory for BrokenStores {
    fn persistent(&self) -> bool {
        false
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        if !self.checks.is_empty() && !self.checks.contains(&name) {
            return Err(Error::failed("broken", "open", ErrorClass::Permanent, "not this check's turn"));
        }
        Ok(Arc::new(Broken::new(self.fault)))
    }
}

struct BrokenDisks {
    check: &'static str,
    break_it: fn(&Disk) -> Disk,
    disks: Mutex<HashMap<String, Disk>>,
}

#[async_trait]
impl Factory for BrokenDisks {
    fn persistent(&self) -> bool {
        true
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        if name != self.check {
            return Err(Error::failed("broken", "open", ErrorClass::Permanent, "not this check's turn"));
        }
        let disk = self.disks.lock().entry(name.to_owned()).or_default().clone();
        Ok(Arc::new((self.break_it)(&disk).open().await?))
    }
}

type Row = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
struct Broken {
    fault: Fault,
    store: RwLock<Arc<MemoryDatastore>>,
    /// Batches that a store with [`Fault::WriteBehind`] has not written yet.
    behind: Mutex<Vec<Batch>>,
    /// What a store with [`Fault::OldScan`] shows: the rows before the last write.
    old: Mutex<Vec<Row>>,
    is_busy: AtomicBool,
    is_closed: AtomicBool,
}

const ONE: Namespace = Namespace::new("rows");

impl Broken {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            store: RwLock::default(),
            behind: Mutex::default(),
            old: Mutex::default(),
            is_busy: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    fn store(&self) -> Arc<MemoryDatastore> {
        Arc::clone(&self.store.read())
    }

    /// Where a row is really kept.
    fn place(&self, namespace: Namespace, key: &[u8]) -> (Namespace, Vec<u8>) {
        match self.fault {
            Fault::OneNamespace => (ONE, key.to_vec()),
            Fault::NamesBeforeKeys => (ONE, [namespace.name().as_bytes(), key].concat()),
            Fault::ShortKeys => (namespace, key[..key.len().min(255)].to_vec()),
            Fault::NoLimits => (namespace, key[..key.len().min(MAX_KEY_BYTES)].to_vec()),
            _ => (namespace, key.to_vec()),
        }
    }

    fn broken_batch(&self, batch: &Batch) -> Batch {
        let mut writes: Vec<Write<'_>> = batch.iter().collect();
        match self.fault {
            Fault::LostDelete => writes.retain(|write| write.value.is_some()),
            Fault::DeletesFirst => writes.sort_by_key(|write| write.value.is_some()),
            Fault::LargeBatchIsCut => writes.truncate(10_000),
            Fault::FirstWriteWins => {
                let mut seen = BTreeSet::new();
                writes.retain(|write| seen.insert((write.namespace, write.key)));
            }
            _ => {}
        }
        let longest_value = match self.fault {
            Fault::ShortValues => 65_535,
            Fault::NoLimits => MAX_VALUE_BYTES,
            _ => usize::MAX,
        };
        let mut broken = Batch::new();
        for write in writes {
            let (namespace, key) = self.place(write.namespace, write.key);
            match write.value {
                Some(value) => broken.put(namespace, &key, &value[..value.len().min(longest_value)]),
                None => broken.delete(namespace, &key),
            }
        }
        broken
    }

    async fn write_broken(&self, batch: Batch, durability: Durability) -> Result<()> {
        let store = self.store();
        match self.fault {
            Fault::EmptyBatchFails if batch.is_empty() => {
                return Err(Error::failed("broken", "write", ErrorClass::Permanent, "nothing to write"));
            }
            Fault::OneByOne | Fault::LimitsFoundTooLate => {
                for write in singles(&batch) {
                    store.write(write, durability).await?;
                    tokio::task::yield_now().await;
                }
                return Ok(());
            }
            Fault::LostOverwrite => {
                for write in singles(&batch) {
                    let first = write.iter().next().map(|write| (write.namespace, write.key.to_vec(), write.value));
                    let Some((namespace, key, value)) = first else { continue };
                    if value.is_none() || store.get(namespace, &key).await?.is_none() {
                        store.write(write.clone(), durability).await?;
                    }
                }
                return Ok(());
            }
            Fault::LostWhenBusy => {
                if self.is_busy.swap(true, Ordering::AcqRel) {
                    return Ok(());
                }
                tokio::task::yield_now().await;
                self.is_busy.store(false, Ordering::Release);
            }
            Fault::WriteBehind if durability == Durability::Buffered => {
                self.behind.lock().push(batch);
                return Ok(());
            }
            Fault::OldScan => *self.old.lock() = collect(store.scan(ONE, b"")).await?,
            _ => {}
        }
        self.write_what_is_behind().await?;
        store.write(self.broken_batch(&batch), durability).await
    }

    async fn write_what_is_behind(&self) -> Result<()> {
        let behind = std::mem::take(&mut *self.behind.lock());
        for batch in behind {
            self.store().write(batch, Durability::Buffered).await?;
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
        let (namespace, key) = self.place(namespace, key);
        let value = self.store().get(namespace, &key).await?;
        Ok(match self.fault {
            Fault::AbsentIsEmpty => value.or_else(|| Some(Bytes::new())),
            Fault::EmptyIsAbsent => value.filter(|value| !value.is_empty()),
            _ => value,
        })
    }

    fn write<'store, 'future>(
        &'store self,
        batch: Batch,
        durability: Durability,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'future>>
    where
        'store: 'future,
        Self: 'future,
    {
        if self.fault == Fault::WriteWhenCalled {
            let written = self.store().write(batch, durability).now_or_never().unwrap();
            return Box::pin(ready(written));
        }
        Box::pin(self.write_broken(batch, durability))
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let (store, prefix) = (self.store(), prefix.to_vec());
        match self.fault {
            Fault::OneNamespace => store.scan(ONE, &prefix),
            Fault::NamesBeforeKeys => {
                let name = namespace.name().as_bytes();
                let stream = store.scan(ONE, &[name, &prefix].concat());
                changed(stream, |rows| rows.iter_mut().for_each(|row| drop(row.0.drain(..name.len()))))
            }
            Fault::UnorderedScan => changed(store.scan(namespace, &prefix), |rows| rows.reverse()),
            Fault::SignedOrder => changed(store.scan(namespace, &prefix), |rows| {
                rows.sort_by_key(|row| row.0.iter().map(|byte| byte.cast_signed()).collect::<Vec<_>>());
            }),
            Fault::PrefixIgnored => store.scan(namespace, b""),
            Fault::PrefixAddsOne => changed(store.scan(namespace, b""), move |rows| {
                let mut end = prefix.clone();
                end.iter_mut().rev().take(1).for_each(|byte| *byte = byte.wrapping_add(1));
                rows.retain(|row| row.0 >= prefix && (prefix.is_empty() || row.0 < end));
            }),
            Fault::PrefixExcluded => {
                changed(store.scan(namespace, &prefix), move |rows| rows.retain(|row| row.0 != prefix))
            }
            Fault::FirstPageOnly => store.scan(namespace, &prefix).take(1).boxed(),
            Fault::LastRowTwice => changed(store.scan(namespace, &prefix), |rows| {
                if let Some(row) = rows.get(1_000.min(rows.len() / 2)).cloned() {
                    rows.insert(rows.len() / 2, row);
                }
            }),
            Fault::ScanByCount => scan_by_count(store, namespace, prefix),
            Fault::OldScan => stream::iter(pages(&self.old.lock())).map(Ok).boxed(),
            Fault::ClosedScanIsEmpty if self.is_closed.load(Ordering::Acquire) => stream::empty().boxed(),
            Fault::SnapshotsOutliveClosing => {
                let rows = collect(store.scan(namespace, &prefix)).now_or_never().unwrap();
                match rows {
                    Ok(rows) => stream::iter(pages(&rows)).map(Ok).boxed(),
                    Err(error) => stream::once(ready(Err(error))).boxed(),
                }
            }
            _ => store.scan(namespace, &prefix),
        }
    }

    async fn sync(&self) -> Result<()> {
        self.write_what_is_behind().await?;
        self.store().sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.store().reopen().await?;
        if self.fault == Fault::ReopenLosesRows {
            *self.store.write() = Arc::default();
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        match self.fault {
            Fault::CloseDoesNothing => Ok(()),
            Fault::SecondCloseFails if self.is_closed.load(Ordering::Acquire) => {
                Err(Error::Closed { backend: "broken" })
            }
            _ => {
                self.is_closed.store(true, Ordering::Release);
                self.store().close().await
            }
        }
    }
}

/// Each write of a batch as a batch of its own.
fn singles(batch: &Batch) -> Vec<Batch> {
    let single = |write: Write<'_>| {
        let mut single = Batch::new();
        match write.value {
            Some(value) => single.put(write.namespace, write.key, value),
            None => single.delete(write.namespace, write.key),
        }
        single
    };
    batch.iter().map(single).collect()
}

async fn collect(stream: RowStream) -> Result<Vec<Row>> {
    let pages: Vec<RowPage> = stream.try_collect().await?;
    Ok(pages.iter().flat_map(RowPage::iter).map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
}

fn pages(rows: &[Row]) -> Vec<RowPage> {
    let mut pages = vec![RowPage::new()];
    for (key, value) in rows {
        if pages.last().is_some_and(RowPage::is_full) {
            pages.push(RowPage::new());
        }
        pages.last_mut().unwrap().push(key, value);
    }
    pages
}

/// A stream whose rows somebody has changed.
fn changed(stream: RowStream, change: impl FnOnce(&mut Vec<Row>) + Send + 'static) -> RowStream {
    let rows = async move {
        let mut rows = collect(stream).await?;
        change(&mut rows);
        Ok(stream::iter(pages(&rows)).map(Ok))
    };
    stream::once(rows).try_flatten().boxed()
}

/// A scan that goes on behind as many rows as it has shown, not behind the last key.
fn scan_by_count(store: Arc<MemoryDatastore>, namespace: Namespace, prefix: Vec<u8>) -> RowStream {
    let shown = Arc::new(AtomicUsize::new(0));
    stream_of_pages(move |_| {
        let (store, prefix, shown) = (Arc::clone(&store), prefix.clone(), Arc::clone(&shown));
        async move {
            let rows = collect(store.scan(namespace, &prefix)).await?;
            let left = rows.get(shown.load(Ordering::Relaxed)..).unwrap_or_default();
            let page = pages(left).into_iter().next().unwrap_or_default();
            shown.fetch_add(page.len(), Ordering::Relaxed);
            Ok(page)
        }
    })
}
