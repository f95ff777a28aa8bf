//! Calls of an engine that hang, and what goes on meanwhile; pages that are read ahead.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, Namespace, RowPage};
use futures_util::{FutureExt, StreamExt};

use crate::disk::{Act, Disk, DiskStore};

const ROWS: Namespace = Namespace::new("rows");

/// A store with rows of three pages, the middle one of which begins with the key 3.
async fn store(disk: &Disk) -> Arc<DiskStore> {
    let store = disk.open().await.unwrap();
    for at in 0..8_u8 {
        store.put(ROWS, &[at], &vec![at; 400_000]).await.unwrap();
    }
    Arc::new(store)
}

/// Lets the next call of `operation` hang.
fn hang(disk: &Disk, operation: &'static str) -> (Receiver<()>, Sender<()>) {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    disk.next(operation, Act::Stop(begun, may_go_on));
    (has_begun, go_on)
}

async fn has(store: &DiskStore, key: u8) -> bool {
    store.get(ROWS, &[key]).await.unwrap().is_some()
}

fn batch(key: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(ROWS, &[key], b"value");
    batch
}

fn keys(page: &RowPage) -> Vec<u8> {
    page.iter().map(|(key, _)| key[0]).collect()
}

/// Opens the disk as soon as nobody has it.
async fn open_when_free(disk: &Disk) -> DiskStore {
    loop {
        match disk.open().await {
            Err(Error::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

#[tokio::test]
async fn while_reopening_hangs_reads_and_scans_fail_at_once_and_nothing_waits_for_the_drop() {
    let disk = Disk::default();
    let store = store(&disk).await;
    disk.next("write", Act::Fail(ErrorClass::NeedsReopen));
    assert!(store.write(batch(100), Durability::Synced).await.is_err());
    let mut begun = store.scan(ROWS, b"");
    assert_eq!(keys(&begun.next().await.unwrap().unwrap()), [0, 1, 2]);

    let (has_begun, go_on) = hang(&disk, "open");
    let mut reopening = store.reopen();
    assert!((&mut reopening).now_or_never().is_none());
    has_begun.recv().unwrap();
    let error = store.get(ROWS, &[0]).now_or_never().expect("a read waits").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(error.to_string().contains("the disk") && error.to_string().contains("try again"), "{error}");
    let error = store.rows(ROWS, &[0], None, 1).now_or_never().expect("a look-up waits").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    for mut stream in [store.scan(ROWS, b""), begun] {
        assert_eq!(stream.next().await.unwrap().unwrap_err().class(), ErrorClass::Transient);
        assert!(stream.next().await.is_none());
    }
    assert!(store.write(batch(101), Durability::Synced).now_or_never().is_none(), "a write didn't wait for its turn");
    go_on.send(()).unwrap();
    reopening.await.unwrap();
    assert!(has(&store, 0).await);
    store.sync().await.unwrap();
    assert!(has(&store, 101).await && !has(&store, 100).await);

    disk.next("write", Act::Fail(ErrorClass::NeedsReopen));
    assert!(store.write(batch(102), Durability::Synced).await.is_err());
    let (has_begun, go_on) = hang(&disk, "open");
    assert!(store.reopen().now_or_never().is_none());
    has_begun.recv().unwrap();
    drop(store);
    go_on.send(()).unwrap();
    assert!(has(&open_when_free(&disk).await, 101).await);
}

#[tokio::test]
async fn while_a_scan_hangs_reads_and_writes_go_on_and_closing_waits() {
    let disk = Disk::default();
    let store = store(&disk).await;
    let (has_begun, go_on) = hang(&disk, "page");
    let mut stream = store.scan(ROWS, b"");
    assert!(stream.next().now_or_never().is_none());
    has_begun.recv().unwrap();
    store.write(batch(100), Durability::Synced).await.unwrap();
    store.sync().await.unwrap();
    store.reopen().await.unwrap();
    assert!(has(&store, 100).await);

    let mut closing = store.close();
    assert!((&mut closing).now_or_never().is_none());
    while !matches!(store.get(ROWS, &[0]).now_or_never().expect("a read waits"), Err(Error::Closed { .. })) {
        tokio::task::yield_now().await;
    }
    assert!((&mut closing).now_or_never().is_none(), "closed under a call");
    go_on.send(()).unwrap();
    closing.await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), Err(Error::Closed { .. })));
    disk.open().await.unwrap();
}

#[tokio::test]
async fn a_close_behind_a_write_that_hangs_waits_and_closes_even_when_nobody_waits_for_it() {
    let disk = Disk::default();
    let store = store(&disk).await;
    let (has_begun, go_on) = hang(&disk, "write");
    let mut writing = store.write(batch(100), Durability::Synced);
    assert!((&mut writing).now_or_never().is_none());
    has_begun.recv().unwrap();
    {
        let mut closing = pin!(store.close());
        assert!((&mut closing).now_or_never().is_none());
    }
    assert!(has(&store, 0).await, "a read waits for a write");
    assert!(matches!(disk.open().await, Err(Error::InUse { .. })), "closed under a write");
    drop(writing);
    let same = Arc::clone(&store);
    drop(store);
    go_on.send(()).unwrap();
    let again = open_when_free(&disk).await;
    assert!(has(&again, 100).await);
    assert!(matches!(same.get(ROWS, &[0]).await, Err(Error::Closed { .. })));
    same.close().await.unwrap();
}

#[tokio::test]
async fn a_page_is_read_while_the_one_before_it_is_looked_at() {
    let disk = Disk::default();
    let store = store(&disk).await;
    let (first_has_begun, first_go_on) = hang(&disk, "page");
    let (second_has_begun, second_go_on) = hang(&disk, "page");
    let mut stream = store.scan(ROWS, b"");
    first_go_on.send(()).unwrap();
    assert_eq!(keys(&stream.next().await.unwrap().unwrap()), [0, 1, 2]);
    first_has_begun.recv().unwrap();
    second_has_begun.recv().unwrap();
    second_go_on.send(()).unwrap();
    assert_eq!(keys(&stream.next().await.unwrap().unwrap()), [3, 4, 5]);
    assert_eq!(keys(&stream.next().await.unwrap().unwrap()), [6, 7]);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_page_read_ahead_is_read_again_when_it_failed_or_the_database_was_opened_again() {
    let disk = Disk::default();
    let store = store(&disk).await;
    let mut stream = store.scan(ROWS, b"");
    store.write(batch(9), Durability::Buffered).await.unwrap();
    disk.next("page", Act::None);
    disk.next("page", Act::Fail(ErrorClass::Transient));
    assert_eq!(keys(&stream.next().await.unwrap().unwrap()), [0, 1, 2]);
    assert_eq!(keys(&stream.next().await.unwrap().unwrap()), [3, 4, 5]);
    the_scanner_is_through(&store).await;
    disk.next("write", Act::Fail(ErrorClass::NeedsReopen));
    assert!(store.write(batch(100), Durability::Synced).await.is_err());
    store.reopen().await.unwrap();
    assert_eq!(keys(&stream.next().await.unwrap().unwrap()), [6, 7], "a row that reopening took back");

    let mut stream = store.scan(ROWS, b"");
    disk.next("page", Act::None);
    disk.next("page", Act::Fail(ErrorClass::Transient));
    disk.next("page", Act::Fail(ErrorClass::Permanent));
    stream.next().await.unwrap().unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap_err().class(), ErrorClass::Permanent, "an error that stays is told");
    assert!(stream.next().await.is_none());
}

/// Waits until no page is being read ahead.
async fn the_scanner_is_through(store: &DiskStore) {
    assert!(store.scan(ROWS, &[0xff]).next().await.is_none());
}
