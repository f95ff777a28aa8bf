//! Durability and restart.

use std::collections::HashSet;
use std::future::IntoFuture;

use dagstore_datastore::{Datastore, DatastoreExt, ErrorClass, RowPage};
use dagstore_engine::{Engine, Error, Options, Parts};
use dagstore_mount::{BytesMount, Registry};
use dagstore_testkit::{Wired, cars};
use dagstore_types::{Registration, ShardKey, ShardRecord, ShardState, UnixMillis};
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use super::support::*;

#[tokio::test]
async fn fault_01_no_answer_comes_before_the_write() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    // Takes a block of numbers, so that the next write is the registration's own.
    engine.register("other", URL).lazy().await.unwrap();
    held.hold_after(0);
    let mut registering = engine.register("a", URL).lazy().into_future();
    assert!(registering.as_mut().now_or_never().is_none(), "answered though nothing is written");
    until("the registration is being written", || held.is_holding()).await;
    let_others_run().await;
    assert!(registering.as_mut().now_or_never().is_none(), "answered though nothing is written");
    assert!(matches!(engine.info("a"), Err(Error::NotFound(_))), "told of though nothing is written");
    held.release();
    answered("the registration", registering).await.unwrap();
    drop(held);
    world.crash(engine).await;
    assert_eq!(world.open().await.info("a").unwrap().state, ShardState::New);
}

#[tokio::test(start_paused = true)]
async fn fault_01_what_is_not_written_is_no_success() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("failed", "bytes:no-car").await.unwrap_err();
    engine.register("indexed", URL).await.unwrap();
    engine.register("lazy", URL).lazy().await.unwrap();
    world.datastore.fail_writes(ErrorClass::Permanent, 0, u64::MAX);
    let requests = [
        ("register", engine.register("new", URL).lazy().await),
        ("destroy", engine.destroy("indexed").await),
        ("recover", engine.recover("failed").await),
        ("acquire", engine.acquire("lazy").await.map(drop)),
    ];
    for (request, answer) in requests {
        assert!(matches!(answer, Err(Error::NotDurable { .. })), "{request} on a full disk: {answer:?}");
    }
    world.crash(engine).await;
    world.datastore.heal();
    let shards = world.open_paused().await.shards();
    let states: Vec<_> = shards.iter().map(|shard| (shard.key.as_str(), shard.state)).collect();
    let expected = [("failed", ShardState::Errored), ("indexed", ShardState::Available), ("lazy", ShardState::New)];
    assert_eq!(states, expected);
}

#[tokio::test(start_paused = true)]
async fn fault_02_a_recovery_that_was_interrupted_goes_on() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.serve(Some(bytes::Bytes::from_static(b"junk")));
    engine.register("a", URL).await.unwrap_err();
    world.gate.serve(Some(world.car.bytes.clone().into()));
    world.gate.shut();
    let mut recovering = Box::pin(engine.recover("a"));
    assert!(recovering.as_mut().now_or_never().is_none());
    reader_at(&world.gate).await;
    drop(recovering);
    world.crash(engine).await;
    assert_eq!(world.open_paused().await.info("a").unwrap().state, ShardState::Recovering);

    let engine = world.open().await;
    answered("the acquire of a shard that was recovering", engine.acquire("a")).await.unwrap();
    read_all(&engine, "a", &world.car).await;
    assert_eq!(engine.resumed().await.unwrap().available, 1);
}

#[tokio::test(start_paused = true)]
async fn fault_03_an_eager_shard_that_was_only_registered_is_taken_up() {
    let world = World::new();
    world.open().await.close().await.unwrap();
    let registered = |key, registration, lazy| {
        let key = ShardKey::new(key).unwrap();
        ShardRecord::new(key, URL.to_owned(), lazy, Registration(registration), UnixMillis(1))
    };
    world.put_record(&registered("eager", 1, false)).await;
    world.put_record(&registered("lazy", 2, true)).await;
    let engine = world.open().await;
    until("the eager shard is taken up", || engine.info("eager").unwrap().state == ShardState::Available).await;
    assert_eq!(engine.info("lazy").unwrap().state, ShardState::New);
    read_all(&engine, "eager", &world.car).await;
    read_all(&engine, "lazy", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn fault_04_a_refused_destruction_changes_nothing() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    // Serving is written behind; nothing is left to be written then.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let (writes, info) = (world.datastore.writes(), engine.info("a").unwrap());
    for _ in 0..3 {
        assert!(matches!(engine.destroy("a").await, Err(Error::InUse { references: 1, .. })));
    }
    assert_eq!(engine.info("a").unwrap(), info);
    world.crash(engine).await;
    assert_eq!(world.datastore.writes(), writes, "a refused destruction was written");
    let engine = world.open().await;
    assert_eq!(engine.info("a").unwrap().registration, info.registration);
    read_all(&engine, "a", &world.car).await;
    drop(shard);
}

#[tokio::test]
async fn fault_05_a_destroyed_shard_leaves_nothing_to_the_next_of_its_key() {
    let world = World::new();
    let other = cars::numbered(7, 300);
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    read_all(&engine, "a", &world.car).await;
    engine.destroy("a").await.unwrap();
    assert_eq!(world.indices(), 0, "an index was left behind");
    assert_eq!(world.inverted_rows().await, 0, "rows of the inverted index were left behind");
    world.gate.serve(Some(other.bytes.clone().into()));
    engine.register("a", URL).await.unwrap();
    read_all(&engine, "a", &other).await;
    let shard = engine.acquire("a").await.unwrap();
    for (cid, _) in &world.car.blocks {
        assert!(!shard.blockstore().has(cid).await.unwrap(), "a block of the destroyed shard");
    }
    drop(shard);
    engine.destroy("a").await.unwrap();
    world.crash(engine).await;
    assert_eq!((world.open().await.shards().len(), world.indices()), (0, 0));
    assert_eq!(world.inverted_rows().await, 0, "rows of the inverted index were left behind");
}

#[tokio::test]
async fn fault_05_a_destroyed_shard_leaves_no_copy() {
    let car = cars::numbered(64, 4096);
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    world.wire.change("a", |source| source.hangs_at = Some(200_000));
    let engine = world.open().await;
    engine.register("a", "wire:a").detached().await.unwrap();
    until("half of it is there", || engine.copies().iter().any(|copy| copy.info.done >= 131_072)).await;
    engine.destroy("a").await.unwrap();
    assert_eq!((world.copy_files(), engine.copies().len()), (Vec::new(), 0), "a copy was left behind");

    // Nor does a fetch that an acquire has begun outlive the shard.
    // Without a validator all of it is fetched again.
    world.wire.put("a", Wired::without_validator(car.bytes.clone()));
    engine.register("a", "wire:a").await.unwrap();
    engine.evict("a", false).await.unwrap();
    world.wire.change("a", |source| source.hangs_at = Some(200_000));
    let mut acquire = Box::pin(engine.acquire("a"));
    assert!(acquire.as_mut().now_or_never().is_none());
    until("half of it is there", || {
        assert!(acquire.as_mut().now_or_never().is_none());
        engine.copies().iter().any(|copy| copy.info.done >= 131_072)
    })
    .await;
    drop(acquire);
    engine.destroy("a").await.unwrap();
    assert_eq!((world.copy_files(), engine.copies().len()), (Vec::new(), 0), "a copy was left behind");
}

#[tokio::test]
async fn fault_06_work_that_ends_late_brings_no_destroyed_shard_back() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    let mut destroying = Box::pin(engine.destroy("a"));
    for _ in 0..20 {
        assert!(destroying.as_mut().now_or_never().is_none(), "destroyed while its work goes on");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(engine.info("a").unwrap().state, ShardState::Destroying);
    world.gate.open();
    answered("the destruction", destroying).await.unwrap();
    assert_eq!((engine.shards(), world.indices()), (vec![], 0));
    engine.close().await.unwrap();
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!((engine.shards(), world.indices()), (vec![], 0), "a zombie");
}

#[tokio::test]
async fn fault_07_a_destruction_of_the_old_shard_spares_the_new_one() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    engine.register("a", URL).await.unwrap();
    // The row that says Destroying passes; its deletion is held.
    held.hold_after(1);
    let mut first = Box::pin(engine.destroy("a"));
    assert!(first.as_mut().now_or_never().is_none());
    until("the deletion is being written", || held.is_holding()).await;
    let mut second = Box::pin(engine.destroy("a"));
    assert!(second.as_mut().now_or_never().is_none(), "it waits for the deletion");
    held.release();
    answered("the destruction", first).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let registered = engine.info("a").unwrap().registration;
    answered("the second destruction", second).await.unwrap();
    assert_eq!(engine.info("a").map(|info| info.registration).ok(), Some(registered), "the new shard was destroyed");
    read_all(&engine, "a", &world.car).await;
}

/// A store whose one shard has an index and a local copy, closed; the row of its record, and what is in the row.
async fn world_with_a_copy() -> (World, Vec<u8>, Vec<u8>) {
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(world.car.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    engine.close().await.unwrap();
    let page = world.datastore.scan(SHARDS, &[]).next().await.unwrap().unwrap();
    let (row, value) = page.iter().next().unwrap();
    (world, row.to_vec(), value.to_vec())
}

/// The record is in quarantine, and after opening and collecting all of its shard is as it was.
async fn all_is_kept(world: &World, engine: &Engine, row: &[u8], what: &str) {
    engine.resumed().await.unwrap();
    let listed: Vec<_> = engine.quarantined().into_iter().map(|entry| entry.row).collect();
    assert_eq!(listed, [row], "{what}: it isn't listed");
    let kept = engine.gc().await.unwrap().kept;
    let told: HashSet<_> = kept.iter().map(|kept| &kept.what).collect();
    assert_eq!(told.len(), kept.len(), "{what}: something is told twice");
    assert_eq!(world.indices(), 1, "{what}: its index was deleted as an orphan");
    assert_eq!(world.copy_files().len(), 2, "{what}: its copy was deleted as an orphan");
    assert!(world.datastore.get(SHARDS, row).await.unwrap().is_some(), "{what}: its row was deleted");
}

/// The shard is read of its index and its copy alone.
async fn reads_what_was_kept(world: &World) {
    world.wire.remove("a");
    let engine = world.open().await;
    assert_eq!(engine.quarantined(), []);
    read_all(&engine, "a", &world.car).await;
}

/// What becomes of a row's value.
type Damage = fn(&mut Vec<u8>);

#[tokio::test]
async fn fault_13_a_record_that_does_not_decode_keeps_all_that_is_its_own() {
    /// Where a row has its shard's key, behind codec, version, state and length.
    const KEY_AT: usize = 5;
    let damages: [(&str, Damage); 4] = [
        ("a record that was cut", |row| row.truncate(row.len() - 1)),
        ("a row that tells nothing", |row| *row = b"junk".to_vec()),
        ("a row with the key of another shard", |row| row[KEY_AT] = b'b'),
        ("a row of a codec that nobody knows", |row| row[0] = 200),
    ];
    for (what, damage) in damages {
        let (world, row, value) = world_with_a_copy().await;
        let mut spoilt = value.clone();
        damage(&mut spoilt);
        world.datastore.put(SHARDS, &row, &spoilt).await.unwrap();
        let engine = world.open().await;
        all_is_kept(&world, &engine, &row, what).await;
        engine.close().await.unwrap();
        assert_eq!(world.datastore.get(SHARDS, &row).await.unwrap().as_deref(), Some(&spoilt[..]), "{what}");
        world.datastore.put(SHARDS, &row, &value).await.unwrap();
        reads_what_was_kept(&world).await;
    }
}

#[tokio::test]
async fn fault_13_a_record_of_an_unknown_scheme_keeps_all_that_is_its_own() {
    let (world, row, _) = world_with_a_copy().await;
    let parts = Parts { registry: Registry::with_defaults(), ..world.parts() };
    let engine = Engine::open(parts, Options::default()).await.unwrap();
    all_is_kept(&world, &engine, &row, "a scheme that nobody knows").await;
    engine.close().await.unwrap();
    reads_what_was_kept(&world).await;
}

#[tokio::test]
async fn fault_32_different_keys_have_different_rows() {
    // Path cleaning makes one of each of these groups, lower case, Unicode's forms and percent signs others.
    let keys =
        ["a", "/a", "a/", "//a", "a/.", "./a", "b/../a", "a/b", "a//b", "a/./b", "A", "%61", "\u{e9}", "e\u{301}"];
    let world = World::new();
    let engine = world.open().await;
    let cars: Vec<_> = (1..).take(keys.len()).map(|count| cars::numbered(count, 100)).collect();
    for (key, car) in keys.iter().zip(&cars) {
        let mount = BytesMount::new(car.bytes.clone()).unwrap();
        let registered = engine.register_mount(key, &mount).await;
        assert!(registered.is_ok(), "{key:?} is taken for another key: {registered:?}");
    }
    engine.close().await.unwrap();
    let engine = world.open().await;
    let pages: Vec<RowPage> = world.datastore.scan(SHARDS, &[]).try_collect().await.unwrap();
    let rows: usize = pages.iter().map(RowPage::len).sum();
    assert_eq!((rows, engine.shards().len()), (keys.len(), keys.len()), "two keys share a row");
    for (key, car) in keys.iter().zip(&cars) {
        read_all(&engine, key, car).await;
        assert_eq!(engine.acquire(key).await.unwrap().blockstore().entries(), car.blocks.len() as u64);
    }
    engine.destroy(keys[0]).await.unwrap();
    for (key, car) in keys.iter().zip(&cars).skip(1) {
        read_all(&engine, key, car).await;
    }
}
