//! Stores in a directory of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]
#![cfg(feature = "redb")]

use std::path::Path;
use std::sync::Arc;

use dagstore::datastore::MemoryDatastore;
use dagstore::mount::Registry;
use dagstore::{Dagstore, Error, ErrorKind, OpenError, ShardState};
use dagstore_testkit::FaultyFileSystem;
use dagstore_testkit::cars::{self, TestCar};

fn car(directory: &Path) -> (TestCar, String) {
    let car = cars::numbered(50, 200);
    let path = directory.join("a.car");
    std::fs::write(&path, &car.bytes).unwrap();
    (car, format!("file://{}", path.display()))
}

async fn read_all(store: &Dagstore, key: &str, car: &TestCar) {
    let shard = store.acquire(key).await.unwrap();
    for (cid, data) in &car.blocks {
        assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    }
}

/// Everything below a directory, by its path.
fn listing(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(listing(&path));
        }
    }
    found.sort();
    found
}

/// Every file below a directory, by its path.
fn files(directory: &Path) -> Vec<String> {
    listing(directory).into_iter().filter(|path| Path::new(path).is_file()).collect()
}

#[tokio::test]
async fn a_store_comes_back_and_leaves_nothing_outside_its_directory() {
    let outside = tempfile::tempdir().unwrap();
    let (car, url) = car(outside.path());
    let directory = outside.path().join("deep/store");
    let before = files(outside.path());
    let open = || Dagstore::builder().directory(&directory).open();
    let store = open().await.unwrap();
    store.register("../../x", &url).await.unwrap();
    read_all(&store, "../../x", &car).await;
    store.close().await.unwrap();

    let store = open().await.unwrap();
    read_all(&store, "../../x", &car).await;
    let inside: Vec<_> = files(outside.path()).into_iter().filter(|file| !before.contains(file)).collect();
    assert!(inside.iter().all(|file| Path::new(file).starts_with(&directory)), "{inside:?}");
    assert_eq!(inside.iter().filter(|file| file.ends_with(".idx")).count(), 1);
    store.destroy("../../x").await.unwrap();
    assert!(!files(&directory).iter().any(|file| file.contains("/index/")));
    store.close().await.unwrap();
    assert!(Path::new(url.trim_start_matches("file://")).exists(), "the source is the user's");
}

#[tokio::test]
async fn a_directory_is_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Dagstore::builder().directory(directory.path()).open();
    let store = open().await.unwrap();
    assert!(matches!(open().await, Err(OpenError::Locked(_))));
    store.close().await.unwrap();
    let store = open().await.unwrap();
    drop(store);
}

#[tokio::test]
async fn a_directory_opens_with_its_own_datastore_only() {
    let directory = tempfile::tempdir().unwrap();
    let (car, url) = car(directory.path());
    let own = directory.path().join("store");
    let store = Dagstore::builder().directory(&own).open().await.unwrap();
    store.register("a", &url).await.unwrap();
    store.close().await.unwrap();

    let other = Dagstore::builder().directory(&own).datastore(Arc::new(MemoryDatastore::new())).open().await;
    assert!(matches!(other, Err(OpenError::OtherStore { .. })));
    let store = Dagstore::builder().directory(&own).open().await.unwrap();
    store.resumed().await.unwrap();
    read_all(&store, "a", &car).await;
}

#[tokio::test]
async fn looking_makes_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let paused = Dagstore::builder().directory(&place).paused().open().await;
    assert!(matches!(paused, Err(OpenError::NoStore { .. })));
    assert!(!place.exists());
}

#[tokio::test]
async fn looking_makes_nothing_of_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    Dagstore::builder().directory(&place).open().await.unwrap().close().await.unwrap();
    std::fs::remove_dir_all(place.join("index")).unwrap();
    let before = listing(&place);
    let look = || Dagstore::builder().directory(&place).paused().open();
    look().await.unwrap().close().await.unwrap();
    assert_eq!(listing(&place), before);

    std::fs::remove_dir_all(place.join("redb")).unwrap();
    let before = listing(&place);
    assert!(matches!(look().await, Err(OpenError::DatabaseMissing { .. })));
    assert_eq!(listing(&place), before);
}

/// An empty database in its place would take all indices of the store for nobody's.
#[tokio::test]
async fn a_database_that_vanished_is_named_and_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (car, url) = car(directory.path());
    let place = directory.path().join("store");
    let open = || Dagstore::builder().directory(&place).open();
    let store = open().await.unwrap();
    store.register("a", &url).await.unwrap();
    store.close().await.unwrap();
    let (database, backup) = (place.join("redb/store.redb"), directory.path().join("backup"));
    std::fs::rename(&database, &backup).unwrap();
    let before = listing(&place);
    let refused = open().await;
    assert!(matches!(&refused, Err(OpenError::DatabaseMissing { path }) if *path == database), "{refused:?}");
    assert_eq!(listing(&place), before);

    std::fs::rename(&backup, &database).unwrap();
    read_all(&open().await.unwrap(), "a", &car).await;
}

#[tokio::test]
async fn a_store_made_with_a_datastore_of_ones_own_has_no_database_to_look_into() {
    let directory = tempfile::tempdir().unwrap();
    let builder = || Dagstore::builder().directory(directory.path());
    let elsewhere = builder().datastore(Arc::new(MemoryDatastore::new())).open().await.unwrap();
    elsewhere.close().await.unwrap();
    let before = listing(directory.path());
    assert!(matches!(builder().paused().open().await, Err(OpenError::DatabaseMissing { .. })));
    assert_eq!(listing(directory.path()), before);
}

#[tokio::test]
async fn a_refused_opening_leaves_the_directory_free() {
    let directory = tempfile::tempdir().unwrap();
    let (_, url) = car(directory.path());
    let place = directory.path().join("store");
    let builder = || Dagstore::builder().directory(&place);
    let store = builder().open().await.unwrap();
    store.register("a", &url).await.unwrap();
    store.close().await.unwrap();
    // Whatever is freed a little later is met once in a few times only.
    for _ in 0..20 {
        // Without the scheme of its URL the record can't be read.
        let strict = builder().registry(Registry::new()).configure(|options| options.strict = true).open().await;
        assert!(matches!(strict, Err(OpenError::Engine(Error::Unreadable { count: 1, .. }))), "{strict:?}");
        builder().open().await.unwrap().close().await.unwrap();
    }
}

#[tokio::test]
async fn a_builder_without_a_place_says_so() {
    assert!(matches!(Dagstore::builder().open().await, Err(OpenError::NoPlace)));
}

#[tokio::test]
async fn a_full_disk_fails_a_registration_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (car, url) = car(directory.path());
    let disk = FaultyFileSystem::faultless();
    let builder = Dagstore::builder().directory(directory.path().join("store")).file_system(Arc::new(disk.clone()));
    let store = builder.open().await.unwrap();
    store.register("before", &url).await.unwrap();
    disk.set_full(true);
    let Err(Error::Failed { source, .. }) = store.register("a", &url).await else { panic!("it was acknowledged") };
    assert_eq!(source.kind(), ErrorKind::Storage);
    assert!(source.text().contains("index"), "{source}");
    read_all(&store, "before", &car).await;
    assert_eq!(store.info("a").unwrap().state, ShardState::Errored);
    disk.set_full(false);
    store.recover("a").await.unwrap();
    read_all(&store, "a", &car).await;
    store.close().await.unwrap();
    let temporaries = files(directory.path()).into_iter().filter(|file| file.ends_with(".tmp")).count();
    assert_eq!(temporaries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_at_once_is_in_the_trace() {
    use dagstore::{Operation, RecoveryPolicy, Watched};
    use futures_util::StreamExt;
    let outside = tempfile::tempdir().unwrap();
    let (car, url) = car(outside.path());
    let path = outside.path().join("a.car");
    let builder = || Dagstore::builder().directory(outside.path().join("store"));
    let store = builder().open().await.unwrap();
    store.register("a", &url).lazy().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(store.acquire("a").await, Err(Error::Failed { .. })));
    store.close().await.unwrap();
    std::fs::write(&path, &car.bytes).unwrap();
    let recovering = builder().configure(|options| options.recovery = RecoveryPolicy::RecoverNow);
    let (store, trace) = recovering.open_traced().await.unwrap();
    store.resumed().await.unwrap();
    store.close().await.unwrap();
    let told: Vec<_> = trace.collect().await;
    let operations = told.iter().map(|watched| match watched {
        Watched::Event(event) => event.operation,
        Watched::Missed(missed) => panic!("{missed} are missing"),
    });
    let expected = [Operation::ShardRecover, Operation::ShardInitialize, Operation::ShardMakeAvailable];
    assert_eq!(operations.collect::<Vec<_>>(), expected);
}
