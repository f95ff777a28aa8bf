//! The inverted index of a whole store: where it is, and what happens when it isn't there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]
#![cfg(any(feature = "redb", feature = "rocksdb"))]

use std::path::Path;
use std::sync::Arc;

use dagstore::datastore::MemoryDatastore;
use dagstore::{Backend, Builder, Dagstore, Error};
use dagstore_testkit::cars;
use futures_util::{StreamExt, TryStreamExt};

async fn shards_with(store: &Dagstore, cid: &dagstore::car::RawCid) -> Vec<String> {
    store.resumed().await.unwrap();
    store.locate(cid).map_ok(|key| key.to_string()).try_collect().await.unwrap()
}

async fn comes_back_from_wherever_it_was(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let car = cars::numbered(50, 100);
    let path = folder.path().join("a.car");
    std::fs::write(&path, &car.bytes).unwrap();
    let url = format!("file://{}", path.display());
    let root = &car.roots[0];
    let builder = || -> Builder { Dagstore::builder().directory(folder.path().join("store")).backend(backend) };

    let store = builder().open().await.unwrap();
    store.register("a", &url).await.unwrap();
    store.register("b", &url).await.unwrap();
    assert_eq!(shards_with(&store, root).await, ["a", "b"]);
    store.close().await.unwrap();

    let store = builder().without_inverted_index().open().await.unwrap();
    assert!(matches!(store.locate(root).next().await, Some(Err(Error::NoInvertedIndex))));
    store.destroy("a").await.unwrap();
    store.register("c", &url).await.unwrap();
    store.close().await.unwrap();

    let elsewhere = Arc::new(MemoryDatastore::default());
    let store = builder().inverted_datastore(elsewhere).open().await.unwrap();
    assert_eq!(shards_with(&store, root).await, ["b", "c"]);
    store.register("d", &url).await.unwrap();
    store.close().await.unwrap();

    let store = builder().open().await.unwrap();
    assert_eq!(shards_with(&store, root).await, ["b", "c", "d"], "what came meanwhile");
    store.close().await.unwrap();
    remove_rows(&folder.path().join("store"));
    let store = builder().open().await.unwrap();
    assert_eq!(shards_with(&store, root).await, ["b", "c", "d"]);
    store.close().await.unwrap();
    let store = builder().paused().open().await.unwrap();
    let told: Vec<_> = store.locate(root).map_ok(|key| key.to_string()).try_collect().await.unwrap();
    assert_eq!(told, ["b", "c", "d"]);
    store.close().await.unwrap();
}

/// On redb the rows are a file of their own.
fn remove_rows(store: &Path) {
    let file = store.join("redb/inverted.redb");
    if file.exists() {
        std::fs::remove_file(file).unwrap();
    }
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn on_redb_it_comes_back_from_wherever_it_was() {
    comes_back_from_wherever_it_was(Backend::Redb).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn on_rocksdb_it_comes_back_from_wherever_it_was() {
    comes_back_from_wherever_it_was(Backend::Rocksdb).await;
}
