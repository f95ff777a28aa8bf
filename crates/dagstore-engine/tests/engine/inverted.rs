//! Which shards have a block: told when they are Available, and not before or after.

use std::future::IntoFuture;
use std::sync::Arc;

use dagstore_car::RawCid;
use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, ErrorClass, Namespace};
use dagstore_engine::{Engine, Error, Options, Parts};
use dagstore_fs::{OwnName, RealFileSystem};
use dagstore_index::conformance::KEY;
use dagstore_index::{FsIndexRepo, IndexRepo};
use dagstore_testkit::cars;
use dagstore_types::{Attempt, Registration, ShardKey, ShardRecord, ShardState, UnixMillis};
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use super::support::*;

async fn shards_with(engine: &Engine, cid: &RawCid) -> Vec<String> {
    engine.locate(cid).map_ok(|key| key.to_string()).try_collect().await.unwrap()
}

async fn unavailable_with(engine: &Engine, cid: &RawCid) -> Vec<String> {
    let shards = engine.locate_unavailable(cid, 10).await.unwrap();
    shards.into_iter().map(|shard| shard.key.to_string()).collect()
}

#[tokio::test]
async fn a_shard_that_failed_is_told_until_it_is_available_again_or_gone() {
    let world = World::new();
    let engine = world.open().await;
    let (root, other) = (&world.car.roots[0], cars::numbered(7, 300));
    for key in ["a", "b", "c"] {
        engine.register(key, URL).await.unwrap();
    }
    assert!(unavailable_with(&engine, root).await.is_empty());
    engine.close().await.unwrap();
    world.gate.serve(Some(other.bytes.clone().into()));
    let engine = world.open().await;
    for key in ["a", "b", "c"] {
        engine.acquire(key).await.expect_err("its source has changed");
    }
    assert_eq!(unavailable_with(&engine, root).await, ["a", "b", "c"]);
    assert_eq!(engine.locate_unavailable(root, 2).await.unwrap().len(), 2);
    engine.gc().await.unwrap();
    engine.recover("a").await.unwrap();
    engine.destroy("b").await.unwrap();
    assert_eq!(unavailable_with(&engine, root).await, ["c"]);
    assert_eq!(shards_with(&engine, &other.roots[0]).await, ["a"]);
}

#[tokio::test]
async fn a_block_is_told_to_be_in_the_shards_that_are_available() {
    let world = World::new();
    let engine = world.open().await;
    let root = &world.car.roots[0];
    for key in ["a", "b", "c"] {
        engine.register(key, URL).await.unwrap();
    }
    engine.register("lazy", URL).lazy().await.unwrap();
    assert_eq!(shards_with(&engine, root).await, ["a", "b", "c"]);
    let serving = engine.acquire("b").await.unwrap();
    engine.destroy("a").await.unwrap();
    assert_eq!(shards_with(&engine, root).await, ["b", "c"]);
    drop(serving);
    drop(engine.acquire("lazy").await.unwrap());
    engine.register("a", URL).await.unwrap();
    assert_eq!(shards_with(&engine, root).await, ["b", "c", "lazy", "a"], "by registration");
    assert!(shards_with(&engine, &RawCid::of_data(0x55, b"absent")).await.is_empty());
    engine.close().await.unwrap();
    let paused = world.open_paused().await;
    assert_eq!(shards_with(&paused, root).await, ["b", "c", "lazy", "a"]);
    paused.close().await.unwrap();

    world.gate.serve(Some(cars::numbered(7, 300).bytes.into()));
    let engine = world.open().await;
    engine.acquire("c").await.expect_err("its source has changed");
    assert_eq!(shards_with(&engine, root).await, ["b", "lazy", "a"], "a shard that failed");
    assert_eq!(unavailable_with(&engine, root).await, ["c"]);
    engine.close().await.unwrap();
    let paused = world.open_paused().await;
    assert_eq!(unavailable_with(&paused, root).await, ["c"], "it failed in an earlier process");
    assert!(unavailable_with(&paused, &RawCid::of_data(0x55, b"absent")).await.is_empty());
    paused.close().await.unwrap();
    let told = paused.locate(root).next().await;
    assert!(matches!(told, Some(Err(Error::Closed))), "{told:?}");
}

#[tokio::test]
async fn a_block_of_many_shards_is_told_page_by_page() {
    let world = World::new();
    let engine = world.open().await;
    let count = 700_u32;
    let registering = (0..count).map(|number| {
        let engine = engine.clone();
        async move { engine.register(&number.to_string(), URL).await }
    });
    futures_util::stream::iter(registering).buffer_unordered(64).try_collect::<Vec<_>>().await.unwrap();
    let root = &world.car.roots[0];
    let mut found = shards_with(&engine, root).await;
    found.sort_unstable_by_key(|key| key.parse::<u32>().unwrap());
    assert_eq!(found, (0..count).map(|number| number.to_string()).collect::<Vec<_>>());
    let first: Vec<_> = engine.locate(root).take(3).try_collect().await.unwrap();
    assert_eq!(first.len(), 3);
}

#[tokio::test]
async fn an_identity_cid_is_in_no_index() {
    let world = World::new();
    let engine = world.open().await;
    let identity = RawCid::from_bytes(&[1, 0x55, 0, 4, b'd', b'a', b't', b'a']).unwrap();
    let mut writer = dagstore_car::CarWriter::new(Vec::new(), &[]).unwrap();
    writer.write(&identity, b"data").unwrap();
    let (cid, data) = &world.car.blocks[0];
    writer.write(cid, data).unwrap();
    world.gate.serve(Some(writer.finish().unwrap().into()));
    engine.register("a", URL).await.unwrap();
    assert_eq!(world.inverted_rows().await, 1);
    assert!(shards_with(&engine, &identity).await.is_empty());
    assert_eq!(shards_with(&engine, cid).await, ["a"]);
    let shard = engine.acquire("a").await.unwrap();
    assert_eq!(shard.blockstore().get(&identity).await.unwrap(), "data"[..]);
}

#[tokio::test]
async fn a_datastore_without_rows_is_filled_from_the_indices() {
    let world = World::new();
    let engine = Engine::open(Parts { inverted: None, ..world.parts() }, Options::default()).await.unwrap();
    let root = &world.car.roots[0];
    for key in ["a", "b", "gone", "lost"] {
        engine.register(key, URL).await.unwrap();
    }
    engine.destroy("gone").await.unwrap();
    assert!(matches!(engine.locate(root).next().await, Some(Err(Error::NoInvertedIndex))));
    engine.close().await.unwrap();
    let lost = OwnName::new(&ShardKey::new("lost").unwrap(), Registration(4), Attempt(1));
    assert!(world.index_repo.remove(lost).unwrap());

    world.inverted.fail_writes(ErrorClass::NeedsReopen, 0, u64::MAX);
    let engine = world.open().await;
    let told = engine.locate(root).next().await;
    assert!(matches!(told, Some(Err(Error::InvertedIncomplete))), "{told:?}");
    world.inverted.heal();
    engine.resumed().await.unwrap();
    assert_eq!(shards_with(&engine, root).await, ["a", "b"]);
    drop(engine.acquire("lost").await.unwrap());
    assert_eq!(shards_with(&engine, root).await, ["a", "b", "lost"]);
}

/// What an index that can't be read keeps back are the rows, and nothing else.
#[tokio::test]
async fn what_was_left_unfinished_does_not_wait_for_the_rows_of_others() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let parts = || Parts { index_repo: repo.clone(), ..world.parts() };
    let engine = Engine::open(Parts { inverted: None, ..parts() }, Options::default()).await.unwrap();
    for key in ["a", "c"] {
        engine.register(key, URL).await.unwrap();
    }
    let name = OwnName::new(&ShardKey::new("a").unwrap(), Registration(1), Attempt(1));
    engine.close().await.unwrap();
    let index = folder.path().join(format!("{name}.idx"));
    std::fs::remove_file(&index).unwrap();
    std::fs::create_dir(&index).unwrap();
    let key = ShardKey::new("b").unwrap();
    world.put_record(&ShardRecord::new(key, URL.to_owned(), false, Registration(3), UnixMillis(0))).await;

    let engine = Engine::open(parts(), Options::default()).await.unwrap();
    until("the other shard is Available", || engine.info("b").unwrap().state == ShardState::Available).await;
    let report = answered("nobody waits for the rows for ever", engine.resumed()).await.unwrap();
    assert_eq!((report.interrupted, report.available), (1, 1));
    let told = engine.locate(&world.car.roots[0]).next().await;
    assert!(matches!(&told, Some(Err(Error::InvertedWaits { key, .. })) if key.as_str() == "a"), "{told:?}");
    assert_eq!(world.inverted_rows().await, 2 * world.car.blocks.len(), "the others have theirs");
    std::fs::remove_dir(&index).unwrap();
    let is_made = || !matches!(engine.locate(&world.car.roots[0]).next().now_or_never(), Some(Some(Err(_))));
    until("the rows are made", is_made).await;
    assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["c", "b"]);
    read_all(&engine, "a", &world.car).await;
    assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["a", "c", "b"]);
}

/// Whoever acquires it builds its index, and so it isn't to be passed over.
#[tokio::test]
async fn a_shard_whose_index_is_lost_again_is_told() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    for _ in 0..2 {
        let [name] = world.index_repo.list().unwrap()[..] else { panic!("one shard, one index") };
        assert!(world.index_repo.remove(name).unwrap());
        assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["a"]);
        read_all(&engine, "a", &world.car).await;
    }
}

/// What can't be read any more must not keep a shard from being given up.
#[tokio::test]
async fn a_shard_whose_index_a_newer_program_has_made_can_be_destroyed() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let parts = Parts { index_repo: repo.clone(), ..world.parts() };
    let engine = Engine::open(parts, Options::default()).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let [name] = repo.list().unwrap()[..] else { panic!("one shard, one index") };
    make_newer(&folder.path().join(format!("{name}.idx")));
    assert!(matches!(repo.open(name), Err(dagstore_index::Error::NewerVersion { .. })));
    engine.destroy("a").await.unwrap();
    engine.gc().await.unwrap();
    assert_eq!((repo.list().unwrap().len(), world.inverted_rows().await), (0, 0));
}

/// The index of the first content is lost, and the source changes: only a look through all rows finds what is left.
#[tokio::test]
async fn rows_that_no_index_names_are_not_told_and_are_collected() {
    let world = World::new();
    let other = cars::numbered(7, 300);
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.register("b", URL).await.unwrap();
    let name = OwnName::new(&ShardKey::new("a").unwrap(), Registration(1), Attempt(1));
    assert!(world.index_repo.remove(name).unwrap());
    world.gate.serve(Some(other.bytes.clone().into()));
    drop(engine.acquire("a").await.unwrap());
    let (old, new) = (&world.car.roots[0], &other.roots[0]);
    assert_eq!(world.inverted_rows().await, 20 + 20 + 7);
    assert_eq!(
        (shards_with(&engine, old).await, shards_with(&engine, new).await),
        (vec!["b".into()], vec!["a".into()])
    );
    world.crash(engine).await;
    let engine = world.open().await;
    assert_eq!(shards_with(&engine, old).await, ["b"], "known after a crash, too");
    assert_eq!(engine.gc().await.unwrap().rows_removed, 20);
    assert_eq!((world.inverted_rows().await, engine.gc().await.unwrap().rows_removed), (27, 0));
    assert_eq!(
        (shards_with(&engine, old).await, shards_with(&engine, new).await),
        (vec!["b".into()], vec!["a".into()])
    );
}

#[tokio::test]
async fn a_record_that_comes_back_from_quarantine_has_its_rows() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let page = world.datastore.scan(SHARDS, &[]).next().await.unwrap().unwrap();
    let (row, value) = page.iter().next().unwrap();
    world.datastore.put(SHARDS, row, &value[..value.len() - 1]).await.unwrap();
    // Filled while the record can't be read.
    let other = World::new();
    let parts = Parts { inverted: other.parts().inverted, ..world.parts() };
    let engine = Engine::open(parts, Options::default()).await.unwrap();
    engine.resumed().await.unwrap();
    assert!(shards_with(&engine, &world.car.roots[0]).await.is_empty());
    world.datastore.put(SHARDS, row, value).await.unwrap();
    engine.retry_quarantined(row).await.unwrap();
    assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_rows_can_not_be_written_fails_and_can_be_recovered() {
    let world = World::new();
    let engine = world.open().await;
    world.inverted.fail_writes(ErrorClass::Transient, 0, u64::MAX);
    let Err(Error::Failed { source, .. }) = engine.register("a", URL).await else { panic!("it has no rows") };
    assert!(source.text().contains("inverted index"), "{source}");
    let destroyed = engine.destroy("a").await;
    assert!(matches!(destroyed, Err(Error::CleanupIncomplete { .. })), "{destroyed:?}");
    world.inverted.heal();
    engine.destroy("a").await.unwrap();
    world.inverted.fail_writes(ErrorClass::NeedsReopen, 0, 3);
    engine.register("b", URL).await.unwrap();
    assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["b"]);
    world.inverted.fail_writes(ErrorClass::Permanent, 0, 1);
    engine.register("c", URL).await.unwrap_err();
    engine.recover("c").await.unwrap();
    assert_eq!(engine.info("c").unwrap().state, ShardState::Available);
    assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["b", "c"]);
}

#[tokio::test]
async fn a_datastore_that_panics_keeps_nobody_from_loading_behind_it() {
    let world = World::new();
    let engine = world.open().await;
    world.inverted.panic_at_next_write();
    let failed = answered("the registration", engine.register("a", URL).into_future()).await;
    assert!(matches!(failed, Err(Error::Failed { .. })), "{failed:?}");
    answered("the next one", engine.register("b", URL).into_future()).await.unwrap();
    engine.recover("a").await.unwrap();
    assert_eq!(shards_with(&engine, &world.car.roots[0]).await, ["a", "b"]);
}

#[tokio::test]
async fn rows_of_a_newer_program_are_refused() {
    let world = World::new();
    let mut batch = Batch::new();
    batch.put(Namespace::new("inverted_notes"), b"complete", &[2]);
    world.inverted.write(batch, Durability::Synced).await.unwrap();
    let opened = world.open_with(|_| {}).await;
    let Err(error) = opened else { panic!("it was opened") };
    assert!(error.to_string().contains("version 2"), "{error}");
}
