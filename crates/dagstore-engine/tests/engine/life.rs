//! A shard's life without accidents.

use std::sync::Arc;

use dagstore_codec::{Cbor, Json};
use dagstore_engine::Error;
use dagstore_types::{ErrorKind, ShardState};
use futures_util::TryStreamExt;

use super::support::*;

#[tokio::test]
async fn a_whole_life_on_one_thread() {
    whole_life(World::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_life_on_several_threads() {
    whole_life(World::new()).await;
}

#[tokio::test]
async fn a_whole_life_with_each_codec() {
    whole_life(World::with_codec(Arc::new(Json))).await;
    whole_life(World::with_codec(Arc::new(Cbor))).await;
}

async fn whole_life(world: World) {
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);

    let shard = engine.acquire("a").await.unwrap();
    assert_eq!(engine.info("a").unwrap().state, ShardState::Serving);
    assert_eq!(shard.blockstore().roots(), world.car.roots);
    assert_eq!(shard.blockstore().entries(), world.car.blocks.len() as u64);
    let blocks: Vec<_> = shard.blockstore().blocks().try_collect().await.unwrap();
    assert_eq!(blocks.len(), world.car.blocks.len());
    assert!(matches!(engine.destroy("a").await, Err(Error::InUse { references: 1, .. })));
    drop(shard);
    read_all(&engine, "a", &world.car).await;

    engine.destroy("a").await.unwrap();
    assert!(matches!(engine.info("a"), Err(Error::NotFound(_))));
    assert_eq!(world.indices(), 0, "nothing of it is left");
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    engine.close().await.unwrap();
    assert!(matches!(engine.acquire("a").await, Err(Error::Closed)));

    let engine = world.open().await;
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
    read_all(&engine, "a", &world.car).await;
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_lazy_shard_is_not_touched_before_it_is_acquired() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    assert_eq!((engine.info("a").unwrap().state, world.gate.opens()), (ShardState::New, 0));
    read_all(&engine, "a", &world.car).await;
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
}

#[tokio::test]
async fn a_detached_registration_returns_before_the_work_is_done() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    assert_eq!(engine.info("a").unwrap().state, ShardState::Initializing);
    reader_at(&world.gate).await;
    assert!(engine.info("a").unwrap().progress.is_some());
    world.gate.open();
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_refused_registration_leaves_nothing() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.serve(None);
    assert!(matches!(engine.register("a", URL).await, Err(Error::Mount(dagstore_mount::Error::NotFound { .. }))));
    let unknown = engine.register("a", "quux:x").await;
    assert!(matches!(unknown, Err(Error::Mount(dagstore_mount::Error::UnknownScheme { .. }))));
    assert!(matches!(engine.register("a", "no url").await, Err(Error::Mount(_))));
    assert!(matches!(engine.register("", URL).await, Err(Error::InvalidKey(_))));
    assert!(matches!(engine.register(&"k".repeat(10_000), URL).await, Err(Error::InvalidKey(_))));
    assert_eq!(engine.shards(), []);
    engine.close().await.unwrap();
    assert_eq!(world.open().await.shards(), []);
}

#[tokio::test]
async fn a_key_is_taken_once() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    assert!(matches!(engine.register("a", URL).await, Err(Error::Exists(_))));
    assert_eq!(engine.shards().len(), 1);
}

#[tokio::test]
async fn keys_that_look_like_paths_are_keys_like_any_other() {
    let world = World::new();
    let engine = world.open().await;
    for key in ["../../x", "a/../b", "b", "a//b", "a/b", ".", "/", "\u{0}"] {
        engine.register(key, URL).await.unwrap();
    }
    engine.close().await.unwrap();
    let engine = world.open().await;
    assert_eq!(engine.shards().len(), 8);
    assert_eq!(world.indices(), 8);
    read_all(&engine, "../../x", &world.car).await;
}

#[tokio::test]
async fn a_failed_shard_keeps_its_error_until_it_is_recovered() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.serve(Some(bytes::Bytes::from_static(b"this is no CAR")));
    let Err(Error::Failed { source, .. }) = engine.register("a", URL).await else { panic!("junk was accepted") };
    let info = engine.info("a").unwrap();
    assert_eq!((info.state, info.error), (ShardState::Errored, Some(source.clone())));
    assert!(matches!(engine.acquire("a").await, Err(Error::Failed { source: again, .. }) if again == source));
    engine.close().await.unwrap();

    let engine = world.open().await;
    assert_eq!(engine.info("a").unwrap().error, Some(source));
    assert!(matches!(engine.recover("a").await, Err(Error::Failed { .. })), "it is still junk");
    world.gate.serve(Some(world.car.bytes.clone().into()));
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
    assert!(matches!(engine.recover("a").await, Err(Error::NotErrored(_))));
}

#[tokio::test]
async fn a_source_that_changed_is_found_out_and_can_be_indexed_again() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let other = dagstore_testkit::cars::numbered(5, 50);
    world.gate.serve(Some(other.bytes.clone().into()));
    let Err(Error::Failed { source, .. }) = engine.acquire("a").await else { panic!("stale offsets were served") };
    assert_eq!(source.kind(), ErrorKind::SourceChanged);
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &other).await;
    engine.close().await.unwrap();
    assert_eq!(world.indices(), 1, "the index of the old content is gone");
}

#[tokio::test]
async fn a_source_that_is_gone_for_a_while_does_not_fail_the_shard() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    world.gate.set_broken(true);
    assert!(matches!(engine.acquire("a").await, Err(Error::Failed { .. })));
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
    world.gate.set_broken(false);
    read_all(&engine, "a", &world.car).await;
    // Nor does one that can't be found: its disk may be mounted again.
    world.gate.serve(None);
    assert!(matches!(engine.acquire("a").await, Err(Error::Failed { .. })));
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
}

#[tokio::test]
async fn a_lost_index_is_built_again() {
    use dagstore_index::IndexRepo;
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    for name in world.index_repo.list().unwrap() {
        world.index_repo.remove(name).unwrap();
    }
    read_all(&engine, "a", &world.car).await;
    assert_eq!((engine.info("a").unwrap().state, world.indices()), (ShardState::Available, 1));
}

#[tokio::test]
async fn accessors_outlive_the_store_and_the_runtime() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    engine.close().await.unwrap();
    let (cid, data) = &world.car.blocks[0];
    assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    std::thread::spawn(move || drop(shard)).join().unwrap();
    assert_eq!(engine.info("a").unwrap().references, 0);
}

#[tokio::test]
async fn data_that_does_not_hash_to_its_cid_is_never_served_unasked() {
    let world = World::new();
    let mut damaged = world.car.bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    world.gate.serve(Some(damaged.into()));
    let (cid, _) = world.car.blocks.last().unwrap();

    let engine = world.open_with(|options| options.verify_on_index = true).await.unwrap();
    let Err(Error::Failed { source, .. }) = engine.register("a", URL).await else { panic!("it was indexed") };
    assert_eq!(source.kind(), ErrorKind::Integrity);
    assert!(source.text().contains(&cid.to_string()), "{source}");
    engine.close().await.unwrap();

    let engine = world.open().await;
    engine.recover("a").await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let read = shard.blockstore().get(cid).await;
    assert!(matches!(read, Err(Error::Car(dagstore_car::Error::Integrity { .. }))), "{read:?}");
    assert!(shard.blockstore().unverified().get(cid).await.is_ok());
    let (first, data) = &world.car.blocks[0];
    assert_eq!(shard.blockstore().get(first).await.unwrap(), *data);
}

#[tokio::test]
async fn identity_cids_are_answered_out_of_themselves_and_absent_blocks_are_told() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let identity = dagstore_car::RawCid::from_bytes(&[1, 0x55, 0, 2, b'h', b'i']).unwrap();
    assert_eq!(shard.blockstore().get(&identity).await.unwrap(), "hi");
    assert_eq!(shard.blockstore().size(&identity).await.unwrap(), 2);
    let absent = dagstore_car::RawCid::of_data(0x55, b"absent");
    assert!(!shard.blockstore().has(&absent).await.unwrap());
    assert!(matches!(shard.blockstore().get(&absent).await, Err(Error::BlockNotFound { .. })));
    assert!(matches!(shard.blockstore().size(&absent).await, Err(Error::BlockNotFound { .. })));
}
