//! Store directories written by earlier versions open for ever: `fixtures/stores/`.
//!
//! Each has the same four shards: `available`, `../../lazy` (New), `errored` (its CAR is junk), and one that was destroyed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

use dagstore::{Backend, Dagstore, Error, ErrorKind, ShardState};
use futures_util::TryStreamExt;

fn stores(backend: Backend) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stores");
    let part = format!("-{}-", backend.name());
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir() && path.display().to_string().contains(&part)).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

async fn opens(backend: Backend, least: usize) {
    let stores = stores(backend);
    assert!(stores.len() >= least, "{stores:?}");
    for original in stores {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("store");
        copy(&original, &place);
        let builder = || Dagstore::builder().directory(&place).backend(backend);

        let store = builder().paused().open().await.unwrap();
        let states: Vec<_> = store.shards().into_iter().map(|shard| (shard.key.to_string(), shard.state)).collect();
        let expected =
            [("../../lazy", ShardState::New), ("available", ShardState::Available), ("errored", ShardState::Errored)];
        assert_eq!(states, expected.map(|(key, state)| (key.to_owned(), state)), "{}", original.display());
        store.close().await.unwrap();

        let store = builder().configure(|options| options.strict = true).open().await.unwrap();
        assert_eq!(store.resumed().await.unwrap().interrupted, 0);
        for key in ["available", "../../lazy"] {
            let shard = store.acquire(key).await.unwrap();
            let root = shard.blockstore().roots()[0].clone();
            assert_eq!(shard.blockstore().get(&root).await.unwrap(), "alpha", "{}", original.display());
        }
        // Made of the indices, for these stores had no rows.
        store.resumed().await.unwrap();
        let root = store.acquire("available").await.unwrap().blockstore().roots()[0].clone();
        let told: Vec<_> = store.locate(&root).map_ok(|key| key.to_string()).try_collect().await.unwrap();
        assert!(told.contains(&"available".to_owned()), "{}: {told:?}", original.display());
        let errored = store.info("errored").unwrap().error.unwrap();
        assert_eq!(errored.kind(), ErrorKind::TruncatedCar);
        assert!(matches!(store.info("destroyed"), Err(Error::NotFound(_))));
        assert!(store.info("available").unwrap().attempt.0 == 1, "its index was read, not built again");
        store.close().await.unwrap();
    }
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn those_on_redb() {
    opens(Backend::Redb, 2).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn those_on_rocksdb() {
    opens(Backend::Rocksdb, 2).await;
}
