//! From one backend to another and back.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dagstore::codec::{Cbor, Codec, Json, Row};
use dagstore::datastore::{Datastore, MemoryDatastore, Namespace};
use dagstore::fs::RealFileSystem;
use dagstore::rows::{META, SHARDS};
use dagstore::{Backend, Dagstore, Databases, Directory, Mode, ShardState};
use dagstore_import::{CopyOptions, CopyReport, Error, Place, Schemes, copy_store};
use futures_util::{StreamExt, TryStreamExt};

use crate::support::{Call, Told, close, fill, make};

#[cfg(feature = "rocksdb")]
pub(crate) const OTHER: Backend = Backend::Rocksdb;
#[cfg(not(feature = "rocksdb"))]
pub(crate) const OTHER: Backend = Backend::Redb;

pub(crate) fn place(backend: Backend, directory: &Path) -> Place {
    Place { scheme: backend.name().to_owned(), location: directory.display().to_string() }
}

pub(crate) async fn copy(from: &Place, to: &Place, options: &CopyOptions) -> Result<CopyReport, Error> {
    copy_store(&Schemes::built_in(), from, to, options, &|_| ()).await
}

/// Every row of a store, the description too, as one would tell them apart.
pub(crate) async fn rows(backend: Backend, path: &Path) -> Vec<(Namespace, Vec<u8>, Vec<u8>)> {
    let directory = Directory::lock_existing(path).unwrap();
    let databases = backend.open_databases(&RealFileSystem, &directory, Mode::Paused).await.unwrap();
    let inverted = databases.inverted.clone().unwrap();
    let mut all = Vec::new();
    let [rows, notes] = dagstore::index::InvertedIndex::NAMESPACES;
    for (namespace, datastore) in
        [(META, &databases.records), (SHARDS, &databases.records), (rows, &inverted), (notes, &inverted)]
    {
        let mut pages = datastore.scan(namespace, &[]);
        while let Some(page) = pages.next().await.transpose().unwrap() {
            all.extend(page.iter().map(|(key, value)| (namespace, key.to_vec(), value.to_vec())));
        }
    }
    close(&databases).await;
    all
}

/// The bar for the copy of a store: there and back, and no row is another one.
#[tokio::test]
async fn a_hundred_thousand_shards_go_there_and_back_unchanged() {
    const SHARDS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let [first, second, third] = ["first", "second", "third"].map(|name| folder.path().join(name));
    make(&first, OTHER, &Cbor, SHARDS).await;
    let before = rows(OTHER, &first).await;
    // As many as were made, and the three rows of the description and the one note of the inverted index.
    assert_eq!(before.len() as u64, SHARDS + 3 * SHARDS + 4);

    let there = copy(&place(OTHER, &first), &place(Backend::Redb, &second), &CopyOptions::default()).await.unwrap();
    let back = copy(&place(Backend::Redb, &second), &place(OTHER, &third), &CopyOptions::default()).await.unwrap();
    assert_eq!(there.tables, back.tables);
    assert_eq!(there.tables.iter().map(|table| table.rows).sum::<u64>(), 4 * SHARDS + 1);
    assert!(rows(OTHER, &third).await == before, "a row is another one");
    assert!(rows(OTHER, &first).await == before, "the source was changed");
}

/// A store with real shards works behind the copy, beside its index files, and in another directory, too.
#[tokio::test]
async fn a_store_works_on_its_new_datastore() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let car = folder.path().join("one.car");
    std::fs::write(&car, dagstore_testkit::cars::one_block(b"moved").bytes).unwrap();
    let store = Dagstore::builder().directory(&path).open().await.unwrap();
    store.register("moved", &format!("file://{}", car.display())).await.unwrap();
    store.close().await.unwrap();

    let elsewhere = folder.path().join("elsewhere");
    let mut targets = vec![elsewhere];
    if OTHER != Backend::Redb {
        targets.push(path.clone());
    }
    for target in targets {
        let options = CopyOptions::default();
        let report = copy(&place(Backend::Redb, &path), &place(OTHER, &target), &options).await.unwrap();
        assert_eq!(report.index_files, (target != path).then_some(1));
        // The line of code that a move of the datastore takes.
        let store = Dagstore::builder().directory(&target).backend(OTHER).open().await.unwrap();
        let shard = store.acquire("moved").await.unwrap();
        let root = shard.blockstore().roots()[0].clone();
        assert_eq!(shard.blockstore().get(&root).await.unwrap(), "moved");
        assert_eq!(store.info("moved").unwrap().attempt.0, 1, "its index was read, not built again");
        let told: Vec<_> = store.locate(&root).map_ok(|key| key.to_string()).try_collect().await.unwrap();
        assert_eq!(told, ["moved"]);
        drop(shard);
        store.close().await.unwrap();
    }
}

/// Every record in the other codec, but for those that can't be read.
#[tokio::test]
async fn records_are_copied_into_another_codec() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    make(&first, OTHER, &Cbor, 50).await;
    let mut options = CopyOptions::default();
    options.codec = Some(Arc::new(Json));
    let report = copy(&place(OTHER, &first), &place(Backend::Redb, &second), &options).await.unwrap();
    assert_eq!(report.unread, 2);
    let (before, after) = (rows(OTHER, &first).await, rows(Backend::Redb, &second).await);
    assert_eq!(before.len(), after.len());
    let mut recoded = 0;
    for ((namespace, key, value), (_, _, copied)) in before.into_iter().zip(after) {
        if namespace != SHARDS || matches!(key[7], 2 | 3) {
            assert_eq!(value, copied, "{namespace} {key:?}");
            continue;
        }
        let (old, new) = (Row::split(&value).unwrap(), Row::split(&copied).unwrap());
        assert_eq!((old.codec, new.codec), (Cbor.id(), Json.id()));
        let codecs = dagstore::codec::Codecs::default();
        assert_eq!(old.decode(&codecs).unwrap(), new.decode(&codecs).unwrap());
        recoded += 1;
    }
    assert_eq!(recoded, 48);
}

async fn codec_changes(backend: Backend) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let builder = || Dagstore::builder().directory(&path).backend(backend);
    let car = folder.path().join("one.car");
    std::fs::write(&car, dagstore_testkit::cars::one_block(b"codec").bytes).unwrap();
    let url = format!("file://{}", car.display());
    let stamps = [("cbor", Cbor.id()), ("json", Json.id()), ("cbor again", Cbor.id())];
    for (key, stamp) in stamps {
        let builder = if stamp == Json.id() { builder().codec(Json) } else { builder().codec(Cbor) };
        let store = builder.open().await.unwrap();
        store.register(key, &url).await.unwrap();
        for (known, _) in stamps.iter().take_while(|(other, _)| *other != key) {
            assert_eq!(store.info(known).unwrap().state, ShardState::Available, "{known}");
            drop(store.acquire(known).await.unwrap());
        }
        store.close().await.unwrap();
        let rows = rows(backend, &path).await;
        let of_shard =
            |row: &&(Namespace, Vec<u8>, Vec<u8>)| row.0 == SHARDS && Row::split(&row.2).unwrap().key == key.as_bytes();
        let row = rows.iter().find(of_shard).unwrap();
        assert_eq!(Row::split(&row.2).unwrap().codec, stamp, "{key}");
    }
}

#[tokio::test]
async fn a_living_store_changes_its_codec_on_redb() {
    codec_changes(Backend::Redb).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn a_living_store_changes_its_codec_on_rocksdb() {
    codec_changes(Backend::Rocksdb).await;
}

/// A kind of rows that nobody has told the copy of would stay behind without a word.
#[tokio::test]
async fn no_store_uses_a_namespace_that_is_not_copied() {
    let used = Arc::new(Mutex::new(Vec::new()));
    let seen = used.clone();
    let tell = Arc::new(move |call| {
        if let Call::Uses(namespace) = call {
            seen.lock().unwrap().push(namespace);
        }
    });
    let datastore = Arc::new(Told { inner: Arc::new(MemoryDatastore::new()), tell });
    let store = Dagstore::builder().datastore(datastore).open().await.unwrap();
    let car = dagstore_testkit::cars::one_block(b"seen").bytes;
    let mount = dagstore::mount::BytesMount::new(car).unwrap();
    store.register_mount("one", &mount).await.unwrap();
    store.rebuild_index("one").await.unwrap();
    let root = store.acquire("one").await.unwrap().blockstore().roots()[0].clone();
    assert_eq!(store.locate(&root).count().await, 1);
    store.gc().await.unwrap();
    store.destroy("one").await.unwrap();
    store.close().await.unwrap();
    let mut used = std::mem::take(&mut *used.lock().unwrap());
    used.sort_unstable();
    used.dedup();
    let [rows, notes] = dagstore::index::InvertedIndex::NAMESPACES;
    let mut copied = vec![META, SHARDS, rows, notes];
    copied.sort_unstable();
    assert_eq!(used, copied);
}

/// The databases of a store in memory.
pub(crate) async fn in_memory(shards: u64) -> Databases {
    let records: Arc<dyn Datastore> = Arc::new(MemoryDatastore::new());
    let databases = Databases { inverted: Some(records.clone()), records };
    fill(&databases, &Cbor, shards).await;
    databases
}
