//! Shards that nobody asks for: they rest, and wake with all that is known of them.

use std::time::Duration;

use dagstore_engine::{Engine, Error, RecoveryPolicy, Retry};
use dagstore_types::{ErrorKind, ShardState};

use super::support::*;

/// Longer than a shard stays awake that nobody asks for.
const LONG: Duration = Duration::from_secs(5);

/// Wakes the shard without changing it: it isn't there to be recovered.
async fn wake(engine: &Engine, key: &str) {
    assert!(matches!(engine.recover(key).await, Err(Error::NotErrored(_))));
}

#[tokio::test(start_paused = true)]
async fn a_shard_wakes_with_all_of_its_record() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("lazy", URL).lazy().await.unwrap();
    engine.register("available", URL).await.unwrap();
    engine.register("failed", "bytes:no-car").await.unwrap_err();
    tokio::time::sleep(LONG).await;
    let before = engine.shards();
    for _ in 0..3 {
        for key in ["lazy", "available"] {
            wake(&engine, key).await;
        }
        assert!(matches!(engine.acquire("failed").await, Err(Error::Failed { .. })));
        assert_eq!(engine.shards(), before, "awake");
        tokio::time::sleep(LONG).await;
        assert_eq!(engine.shards(), before, "resting");
    }
    let failed = engine.info("failed").unwrap();
    assert!(failed.error.is_some_and(|error| !error.text().is_empty()));
    read_all(&engine, "lazy", &world.car).await;
    read_all(&engine, "available", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_has_rested_is_still_recovered_when_it_is_acquired() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.set_broken(true);
    engine.register("a", URL).await.unwrap_err();
    engine.close().await.unwrap();
    world.gate.set_broken(false);
    let engine = world.open_with(|options| options.recovery = RecoveryPolicy::RecoverOnAcquire).await.unwrap();
    engine.resumed().await.unwrap();
    for _ in 0..3 {
        // Wakes it and changes nothing.
        assert!(matches!(engine.register("a", URL).await, Err(Error::Exists(_))));
        tokio::time::sleep(LONG).await;
        assert_eq!(engine.info("a").unwrap().state, ShardState::Errored);
    }
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_next_try_comes_though_the_shard_rests() {
    let world = World::with_virtual_time();
    let mut retry = Retry::default();
    (retry.max_retries, retry.first_pause) = (1, 3 * LONG);
    let engine = world.open_with(|options| options.retry = Some(retry)).await.unwrap();
    world.gate.set_broken(true);
    engine.register("a", URL).await.unwrap_err();
    let before = engine.info("a").unwrap();
    assert!(before.next_try.is_some());
    tokio::time::sleep(LONG).await;
    assert_eq!(engine.info("a").unwrap(), before);
    assert!(matches!(engine.acquire("a").await, Err(Error::Failed { .. })), "which wakes it");
    assert_eq!(engine.info("a").unwrap(), before);
    world.gate.set_broken(false);
    until("it is tried again", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_open_is_closed_when_nobody_comes() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let opens = world.gate.opens();
    for _ in 0..10 {
        read_all(&engine, "a", &world.car).await;
    }
    assert_eq!((world.gate.opens() - opens, world.gate.open_readers()), (1, 1), "kept open for the next");
    tokio::time::sleep(LONG).await;
    assert_eq!(world.gate.open_readers(), 0);
    // One that is used stays open for as long as it is.
    let shard = engine.acquire("a").await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!((engine.info("a").unwrap().references, world.gate.open_readers()), (1, 1));
    drop(shard);
    tokio::time::sleep(LONG).await;
    assert_eq!((engine.info("a").unwrap().references, world.gate.open_readers()), (0, 0));
}

#[tokio::test]
async fn nothing_is_kept_open_where_that_is_not_wanted() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    for _ in 0..3 {
        let opens = world.gate.opens();
        let shards = [engine.acquire("a").await.unwrap(), engine.acquire("a").await.unwrap()];
        assert_eq!((world.gate.opens() - opens, world.gate.open_readers()), (1, 1), "shared by both");
        drop(shards);
        assert_eq!(world.gate.open_readers(), 0);
    }
}

#[tokio::test]
async fn no_more_are_kept_open_than_allowed() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 3).await.unwrap();
    for number in 0..10 {
        let key = format!("shard {number}");
        engine.register(&key, URL).await.unwrap();
        read_all(&engine, &key, &world.car).await;
    }
    assert_eq!(world.gate.open_readers(), 3);
}

#[tokio::test]
async fn nothing_is_kept_open_behind_the_stores_end() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.register("b", URL).await.unwrap();
    read_all(&engine, "a", &world.car).await;
    let shard = engine.acquire("b").await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(world.gate.open_readers(), 1, "what an accessor has open");
    let (cid, data) = &world.car.blocks[0];
    assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    drop((shard, engine));
    assert_eq!(world.gate.open_readers(), 0);

    let engine = world.open().await;
    read_all(&engine, "a", &world.car).await;
    world.crash(engine).await;
    assert_eq!(world.gate.open_readers(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_changed_is_found_out_when_the_shard_wakes() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    read_all(&engine, "a", &world.car).await;
    tokio::time::sleep(LONG).await;
    let other = dagstore_testkit::cars::numbered(5, 50);
    world.gate.serve(Some(other.bytes.clone().into()));
    let Err(Error::Failed { source, .. }) = engine.acquire("a").await else { panic!("stale offsets were served") };
    assert_eq!(source.kind(), ErrorKind::SourceChanged);
    tokio::time::sleep(LONG).await;
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &other).await;
}
