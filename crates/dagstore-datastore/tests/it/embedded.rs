//! What is around an engine: failures, reopening, closing, threads.

use std::sync::Arc;
use std::sync::mpsc;

use dagstore_datastore::embedded::Opening;
use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, Namespace, Result};
use futures_util::StreamExt;

use crate::disk::{Act, Disk};

const ROWS: Namespace = Namespace::new("rows");

fn batch(key: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(ROWS, key, b"value");
    batch
}

async fn has(store: &dyn Datastore, key: &[u8]) -> bool {
    store.get(ROWS, key).await.unwrap().is_some()
}

fn class<T>(result: Result<T>) -> Option<ErrorClass> {
    result.err().map(|error| error.class())
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_written_until_it_was_reopened() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    store.put(ROWS, b"before", b"").await.unwrap();
    for operation in ["write", "sync"] {
        disk.next(operation, Act::Fail(ErrorClass::NeedsReopen));
        let failed = if operation == "sync" { store.sync().await } else { store.put(ROWS, b"lost", b"").await };
        let error = failed.unwrap_err();
        assert!(error.to_string().contains("the disk"), "{error}");

        for durability in [Durability::Synced, Durability::Buffered] {
            assert_eq!(class(store.write(batch(b"refused"), durability).await), Some(ErrorClass::NeedsReopen));
            assert_eq!(class(store.write(Batch::new(), durability).await), Some(ErrorClass::NeedsReopen));
        }
        assert_eq!(class(store.sync().await), Some(ErrorClass::NeedsReopen));
        assert!(has(&store, b"before").await && !has(&store, b"refused").await);

        store.reopen().await.unwrap();
        store.put(ROWS, operation.as_bytes(), b"").await.unwrap();
        assert!(has(&store, operation.as_bytes()).await && !has(&store, b"lost").await);
    }
    assert_eq!(disk.openings(), [Opening::First, Opening::Again, Opening::Again]);
}

#[tokio::test]
async fn errors_of_other_classes_leave_the_handle_in_use() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    for class_of_error in [ErrorClass::Transient, ErrorClass::Permanent, ErrorClass::Corrupt] {
        disk.next("write", Act::Fail(class_of_error));
        assert_eq!(class(store.write(batch(b"k"), Durability::Synced).await), Some(class_of_error));
        store.write(batch(b"k"), Durability::Synced).await.unwrap();
    }
    store.reopen().await.unwrap();
    assert_eq!(disk.openings(), [Opening::First], "a healthy handle was opened again");
}

#[tokio::test]
async fn a_failed_read_can_ask_for_reopening_too() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    disk.next("get", Act::Fail(ErrorClass::NeedsReopen));
    assert_eq!(class(store.get(ROWS, b"k").await), Some(ErrorClass::NeedsReopen));
    assert_eq!(class(store.sync().await), Some(ErrorClass::NeedsReopen));
    store.reopen().await.unwrap();
    disk.next("rows", Act::Fail(ErrorClass::NeedsReopen));
    assert_eq!(class(store.rows(ROWS, b"k", None, 1).await), Some(ErrorClass::NeedsReopen));
    assert_eq!(class(store.sync().await), Some(ErrorClass::NeedsReopen));
    store.reopen().await.unwrap();
    disk.next("page", Act::Fail(ErrorClass::NeedsReopen));
    let mut stream = store.scan(ROWS, b"");
    assert_eq!(class(stream.next().await.unwrap()), Some(ErrorClass::NeedsReopen));
    assert!(stream.next().await.is_none());
    assert_eq!(class(store.sync().await), Some(ErrorClass::NeedsReopen));
    store.reopen().await.unwrap();
    store.sync().await.unwrap();
}

#[tokio::test]
async fn a_panic_is_an_error_that_asks_for_reopening() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    for operation in ["write", "page", "get", "rows"] {
        disk.next(operation, Act::Panic);
        let result = match operation {
            "write" => store.write(batch(b"k"), Durability::Synced).await,
            "get" => store.get(ROWS, b"k").await.map(|_| ()),
            "rows" => store.rows(ROWS, b"k", None, 1).await.map(|_| ()),
            _ => store.scan(ROWS, b"").next().await.unwrap().map(|_| ()),
        };
        let error = result.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NeedsReopen);
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("as told"));
        assert_eq!(class(store.sync().await), Some(ErrorClass::NeedsReopen), "after a panic in {operation}");
        store.reopen().await.unwrap();
        store.write(batch(b"k"), Durability::Synced).await.unwrap();
    }
    disk.next("get", Act::Panic);
    drop(store.get(ROWS, b"k").await.unwrap_err());
    disk.next("open", Act::Panic);
    assert_eq!(class(store.reopen().await), Some(ErrorClass::Corrupt));
    store.reopen().await.unwrap();
    disk.next("get", Act::Panic);
    drop(store.get(ROWS, b"k").await.unwrap_err());
    disk.next("drop", Act::Panic);
    store.reopen().await.unwrap();
    store.close().await.unwrap();
    for operation in ["sync", "drop"] {
        let store = disk.open().await.unwrap();
        disk.next(operation, Act::Panic);
        let error = store.close().await.unwrap_err();
        assert!(error.to_string().contains("backup"), "{operation}: {error}");
    }
}

#[tokio::test]
async fn reopening_can_fail_and_be_called_again() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    store.put(ROWS, b"durable", b"").await.unwrap();
    store.write(batch(b"buffered"), Durability::Buffered).await.unwrap();
    disk.next("write", Act::Fail(ErrorClass::NeedsReopen));
    assert!(store.write(batch(b"k"), Durability::Synced).await.is_err());
    for failure in [ErrorClass::Permanent, ErrorClass::Corrupt] {
        disk.next("open", Act::Fail(failure));
        assert_eq!(class(store.reopen().await), Some(failure));
        assert_eq!(class(store.get(ROWS, b"durable").await), Some(ErrorClass::NeedsReopen));
        assert_eq!(class(store.write(batch(b"k"), Durability::Synced).await), Some(ErrorClass::NeedsReopen));
        assert_eq!(class(store.sync().await), Some(ErrorClass::NeedsReopen));
        assert_eq!(class(store.scan(ROWS, b"").next().await.unwrap()), Some(ErrorClass::NeedsReopen));
    }
    let other = disk.open().await.unwrap();
    assert!(
        matches!(store.reopen().await, Err(Error::InUse { .. })),
        "the database is free while it can't be reopened"
    );
    other.close().await.unwrap();

    let (first, second) = futures_util::future::join(store.reopen(), store.reopen()).await;
    first.and(second).unwrap();
    assert_eq!(disk.openings().len(), 6, "the second of two reopenings did it again");
    assert!(has(&store, b"durable").await && !has(&store, b"buffered").await);
    store.put(ROWS, b"k", b"").await.unwrap();
}

#[tokio::test]
async fn closing_says_when_buffered_writes_are_lost() {
    for is_reopened in [false, true] {
        let disk = Disk::default();
        let store = disk.open().await.unwrap();
        store.write(batch(b"buffered"), Durability::Buffered).await.unwrap();
        disk.next("sync", Act::Fail(ErrorClass::NeedsReopen));
        assert!(store.sync().await.is_err());
        if is_reopened {
            disk.next("open", Act::Fail(ErrorClass::Permanent));
            assert!(store.reopen().await.is_err());
        }
        assert_eq!(class(store.close().await), Some(ErrorClass::NeedsReopen));
        store.close().await.unwrap();
        assert!(matches!(store.sync().await, Err(Error::Closed { .. })));
        disk.open().await.unwrap();
    }

    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    store.write(batch(b"buffered"), Durability::Buffered).await.unwrap();
    store.write(batch(b"synced"), Durability::Synced).await.unwrap();
    disk.next("write", Act::Fail(ErrorClass::NeedsReopen));
    assert!(store.write(batch(b"k"), Durability::Synced).await.is_err());
    store.close().await.unwrap();

    let store = disk.open().await.unwrap();
    disk.next("sync", Act::Fail(ErrorClass::NeedsReopen));
    assert_eq!(class(store.close().await), Some(ErrorClass::NeedsReopen), "a failed last sync is told");
    disk.open().await.unwrap();
}

#[tokio::test]
async fn a_write_that_hangs_stops_neither_reads_nor_the_drop_of_the_store() {
    let disk = Disk::default();
    let store = Arc::new(disk.open().await.unwrap());
    store.put(ROWS, b"before", b"").await.unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    disk.next("write", Act::Stop(begun, may_go_on));
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.write(batch(b"hangs"), Durability::Synced).await }
    });
    tokio::task::yield_now().await;
    has_begun.recv().unwrap();
    assert!(has(&*store, b"before").await);
    assert_eq!(store.scan(ROWS, b"").next().await.unwrap().unwrap().len(), 1);
    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    drop(store);
    assert!(matches!(disk.open().await, Err(Error::InUse { .. })), "the thread has the database until it is through");
    go_on.send(()).unwrap();
    let again = loop {
        match disk.open().await {
            Err(Error::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    assert!(has(&again, b"hangs").await, "a write under way was taken back by dropping its future and the store");
}

#[tokio::test]
async fn a_stream_does_not_keep_a_dropped_database_open() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    for at in 0..8_u8 {
        store.put(ROWS, &[at], &vec![at; 400_000]).await.unwrap();
    }
    let mut stream = store.scan(ROWS, b"");
    assert!(stream.next().await.unwrap().unwrap().len() < 8);
    drop(store);
    let again = loop {
        match disk.open().await {
            Err(Error::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    assert!(matches!(stream.next().await, Some(Err(Error::Closed { .. }))));
    assert!(stream.next().await.is_none());
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_opening_is_told_and_leaves_nothing_locked() {
    let disk = Disk::default();
    for act in [Act::Fail(ErrorClass::Corrupt), Act::Panic] {
        disk.next("open", act);
        assert_eq!(class(disk.open().await), Some(ErrorClass::Corrupt));
    }
    disk.open().await.unwrap();
}
