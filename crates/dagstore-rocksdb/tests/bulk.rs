//! Bulk loads by files: what they leave behind, and what changes of options do to them.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use dagstore_datastore::{
    Datastore, DatastoreExt, Error, ErrorClass, Namespace, Result, RowPage, RowStream, stream_of_rows,
};
use dagstore_rocksdb::RocksdbDatastore;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

const ROWS: Namespace = Namespace::new("rows");
const COUNT: u32 = 40_000;

/// More rows than a load writes as a batch. The key's first half is what rows are looked up by.
fn rows() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + Send {
    (0..COUNT).map(|at| ([(at / 2).to_be_bytes(), at.to_be_bytes()].concat(), at.to_le_bytes().repeat(5)))
}

fn source() -> RowStream {
    stream_of_rows(rows())
}

/// The files of loads that the database hasn't taken over.
fn new_files(path: &Path) -> Vec<String> {
    let names = path.read_dir().unwrap().map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("bulk-")).collect()
}

async fn scan(store: &dyn Datastore, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pages: Vec<RowPage> = store.scan(ROWS, prefix).try_collect().await.unwrap();
    pages.iter().flat_map(RowPage::iter).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

#[tokio::test]
async fn rows_stay_readable_whatever_the_options_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let all: Vec<_> = rows().collect();
    for prefix_bytes in [Some(4), None, Some(6), Some(4)] {
        let builder = RocksdbDatastore::builder();
        let builder = prefix_bytes.map_or(builder.clone(), |bytes| builder.bulk_namespace(ROWS, bytes));
        let store = builder.open(&path).await.unwrap();
        for _ in 0..2 {
            store.bulk_load(ROWS, source()).await.unwrap();
            assert_eq!(new_files(&path), [""; 0]);
            assert_eq!(scan(&store, b"").await, all, "{prefix_bytes:?}");
            for at in [0, 7_777, COUNT / 2 - 1, COUNT / 2, u32::MAX] {
                let expected: Vec<_> =
                    all.iter().filter(|(key, _)| key.starts_with(&at.to_be_bytes())).cloned().collect();
                assert_eq!(scan(&store, &at.to_be_bytes()).await, expected, "{prefix_bytes:?}");
                assert_eq!(
                    scan(&store, &at.to_be_bytes()[..2]).await.len(),
                    all.iter().filter(|(key, _)| key.starts_with(&at.to_be_bytes()[..2])).count()
                );
            }
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn loads_that_fail_or_are_dropped_leave_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let store = RocksdbDatastore::open(&path).await.unwrap();
    let broken = stream::once(async { Err(Error::failed("source", "read", ErrorClass::Permanent, "as told")) });
    assert!(store.bulk_load(ROWS, source().chain(broken).boxed()).await.is_err());
    assert!(matches!(store.bulk_load(ROWS, source().chain(source()).boxed()).await, Err(Error::NotAscending { .. })));

    let mut load = store.bulk_load(ROWS, source().chain(stream::pending()).boxed());
    while new_files(&path).is_empty() {
        assert!((&mut load).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(load);
    // The load's thread removes the file when it finds out.
    while !new_files(&path).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(scan(&store, b"").await, []);
    store.bulk_load(ROWS, source()).await.unwrap();
    assert_eq!(scan(&store, b"").await.len(), usize::try_from(COUNT).unwrap());
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_by_the_next_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let store = Arc::new(RocksdbDatastore::open(&path).await.unwrap());
    store.put(ROWS, b"key", b"value").await.unwrap();
    fs::write(path.join("bulk-4711.new"), "half").unwrap();
    fs::write(path.join("bulk-notes.txt"), "mine").unwrap();
    let refused: Result<_> = RocksdbDatastore::open(&path).await;
    assert!(matches!(refused, Err(Error::InUse { .. })));
    assert_eq!(new_files(&path).len(), 2, "whoever hasn't locked the database has removed a file");
    store.close().await.unwrap();
    let store = RocksdbDatastore::open(&path).await.unwrap();
    assert_eq!(new_files(&path), ["bulk-notes.txt"]);
    assert_eq!(store.get(ROWS, b"key").await.unwrap().as_deref(), Some(&b"value"[..]));
}
