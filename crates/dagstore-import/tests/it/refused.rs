//! What a copy doesn't do.

use std::sync::Arc;

use dagstore::codec::{Cbor, Json};
use dagstore::datastore::{Datastore, DatastoreExt, MemoryDatastore};
use dagstore::rows::SHARDS;
use dagstore::{Backend, Dagstore, Databases, OpenError};
use dagstore_import::{CopyOptions, CopyReport, Error, Place, Schemes, copy_databases, copy_store};

use crate::backends::in_memory;
use crate::support::{Call, Told, make};

fn empty() -> Databases {
    let records: Arc<dyn Datastore> = Arc::new(MemoryDatastore::new());
    Databases { inverted: Some(records.clone()), records }
}

fn small_pieces() -> CopyOptions {
    let mut options = CopyOptions::default();
    options.piece_bytes = 1;
    options
}

async fn copy(from: &Databases, to: &Databases, options: &CopyOptions) -> Result<CopyReport, Error> {
    copy_databases(from, to, "the target", options, &|_| (), async |_| Ok(None)).await
}

/// A copy that ends, by an error, behind its first piece.
async fn half_done(source: &Databases) -> Databases {
    let target = empty();
    let options = small_pieces();
    let finish = async |_: &dagstore::Identity| Err(Error::TooManyNotes { most: 0 });
    let failing = copy_databases(source, &target, "the target", &options, &|_| (), finish);
    failing.await.unwrap_err();
    target
}

#[tokio::test]
async fn a_target_with_rows_is_left_as_it_is() {
    let (source, target) = (in_memory(5).await, empty());
    target.records.put(SHARDS, b"somebody's", b"row").await.unwrap();
    let error = copy(&source, &target, &CopyOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::NotEmpty { namespace: "shards", .. }), "{error}");
    let other = in_memory(3).await;
    let error = copy(&source, &other, &CopyOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
}

#[tokio::test]
async fn half_a_copy_is_no_store_and_belongs_to_its_source() {
    let source = in_memory(5).await;
    let target = half_done(&source).await;
    let open = || Dagstore::builder().datastore(target.records.clone());
    for builder in [open(), open().paused()] {
        let error = builder.open().await.unwrap_err();
        assert!(matches!(&error, OpenError::Engine(dagstore::Error::UnfinishedCopy)), "{error}");
    }
    let error = copy(&in_memory(5).await, &target, &CopyOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("of another store"), "{error}");
    let mut in_json = CopyOptions::default();
    in_json.codec = Some(Arc::new(Json));
    let error = copy(&source, &target, &in_json).await.unwrap_err();
    assert!(error.to_string().contains("with records as they are, and this one has json"), "{error}");
    let report = copy(&source, &target, &CopyOptions::default()).await.unwrap();
    assert!(report.resumed_rows > 0 && !report.was_complete);
    // Again is nothing but a comparison.
    assert!(copy(&source, &target, &CopyOptions::default()).await.unwrap().was_complete);
    target.records.delete(SHARDS, &[0, 0, 0, 0, 0, 0, 0, 5]).await.unwrap();
    let error = copy(&source, &target, &CopyOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "a store that went its own way is not to be removed: {error}");
    open().paused().open().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_source_that_changed_meanwhile_is_noticed() {
    for (key, value, expected) in [
        ([0, 0, 0, 0, 0, 0, 0, 4], Some("changed"), "its value is another one"),
        ([0, 0, 0, 0, 0, 0, 0, 4], None, "the source lacks it"),
        ([0, 0, 0, 0, 0, 0, 0, 0], Some("new"), "the target lacks it"),
    ] {
        let source = in_memory(5).await;
        let target = half_done(&source).await;
        match value {
            Some(value) => source.records.put(SHARDS, &key, value.as_bytes()).await.unwrap(),
            None => source.records.delete(SHARDS, &key).await.unwrap(),
        }
        let error = copy(&source, &target, &CopyOptions::default()).await.unwrap_err();
        assert!(matches!(error, Error::Differs { what, .. } if what == expected), "{error}");
        let opened = Dagstore::builder().datastore(target.records.clone()).open().await;
        assert!(opened.is_err(), "what isn't equal is no store");
    }
}

#[tokio::test]
async fn a_target_that_lost_a_row_is_no_copy() {
    let source = in_memory(5).await;
    let target = half_done(&source).await;
    target.records.delete(SHARDS, &[0, 0, 0, 0, 0, 0, 0, 5]).await.unwrap();
    let error = copy(&source, &target, &CopyOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Differs { what: "the target lacks it", .. }), "{error}");
}

#[tokio::test]
async fn the_source_is_never_written() {
    let written = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = written.clone();
    let tell = Arc::new(move |call| {
        if call == Call::Before {
            seen.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let told = Told { inner: in_memory(5).await.records, tell };
    let records: Arc<dyn Datastore> = Arc::new(told);
    let source = Databases { inverted: Some(records.clone()), records };
    copy(&source, &empty(), &CopyOptions::default()).await.unwrap();
    assert!(!written.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test]
async fn places_that_can_not_be_copied_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    make(&path, Backend::Redb, &Cbor, 3).await;
    let at = |text: String| text.parse::<Place>();
    let redb = at(format!("redb:{}", path.display())).unwrap();
    let options = CopyOptions::default();
    let schemes = Schemes::built_in();
    let try_copy =
        async |from: &Place, to: &Place| copy_store(&schemes, from, to, &options, &|_| ()).await.unwrap_err();

    assert!(matches!(at("nothing".into()), Err(Error::BadPlace { .. })));
    let sled = at("sled:/x".into()).unwrap();
    let error = try_copy(&redb, &sled).await;
    assert!(error.to_string().contains("redb, rocksdb"), "{error}");
    assert!(matches!(try_copy(&redb, &redb).await, Error::SamePlace { .. }));
    let roundabout = at(format!("redb:{}/../store", path.display())).unwrap();
    assert!(matches!(try_copy(&redb, &roundabout).await, Error::SamePlace { .. }));

    let nowhere = at(format!("redb:{}/nowhere", folder.path().display())).unwrap();
    let elsewhere = at(format!("redb:{}/elsewhere", folder.path().display())).unwrap();
    let error = try_copy(&nowhere, &elsewhere).await;
    assert!(matches!(&error, Error::Open(error) if matches!(**error, OpenError::NoStore { .. })), "{error}");
    assert!(!folder.path().join("elsewhere").exists(), "a refusal makes nothing");

    let held = dagstore::Directory::lock_existing(&path).unwrap();
    let error = try_copy(&redb, &elsewhere).await;
    assert!(matches!(&error, Error::Open(error) if matches!(**error, OpenError::Locked(_))), "{error}");
    drop(held);

    let other = folder.path().join("other");
    make(&other, Backend::Redb, &Cbor, 3).await;
    let other = at(format!("redb:{}", other.display())).unwrap();
    assert!(matches!(try_copy(&redb, &other).await, Error::NotEmpty { .. }));
}
