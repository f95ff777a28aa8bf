//! Remote shards whose sources, callers, folders and runtimes misbehave.

use std::time::Duration;

use dagstore_car::{CarReader, IndexCodec, ReadOptions, V2Options};
use dagstore_engine::{Engine, Error, Remote};
use dagstore_testkit::cars::{self, TestCar};
use dagstore_testkit::{Question, Wired};
use dagstore_types::{ErrorKind, ShardState};
use futures_util::FutureExt;

use super::support::*;

/// How long a source may be silent in these tests: none of them waits for longer than this.
const IDLE: Duration = Duration::from_millis(50);

/// A CAR of some 256 KiB.
fn car() -> TestCar {
    cars::numbered(64, 4096)
}

/// The same as a CARv2 with an index inside.
fn indexed_car() -> TestCar {
    let mut car = car();
    let reader = CarReader::open(std::sync::Arc::new(bytes::Bytes::from(car.bytes.clone())), ReadOptions::default());
    let mut whole = Vec::new();
    reader.unwrap().wrap(V2Options::default().with_index(IndexCodec::MultihashSorted), &mut whole).unwrap();
    car.bytes = whole;
    car
}

fn world_with(source: Wired) -> World {
    let world = World::with_copies(None);
    world.wire.put("a", source);
    world
}

fn kind_of(error: &Error) -> Option<ErrorKind> {
    if let Error::Failed { source, .. } = error { Some(source.kind()) } else { None }
}

async fn closed(engine: &Engine, key: &str) {
    until("nothing is open", || !engine.is_open(&key.parse().unwrap())).await;
}

async fn evict(engine: &Engine, key: &str) {
    engine.evict(key, false).await.unwrap();
}

/// One that doesn't answer must not take the room of all the others for ever.
#[tokio::test]
async fn a_source_that_gives_no_stream_holds_nobody_up() {
    let mut world = world_with(Wired { silent: Some(Question::Stream), ..Wired::new(car().bytes, 1) });
    world.idle_timeout = IDLE;
    world.wire.put("b", Wired::new(car().bytes, 1));
    let engine = world.open_with(|options| options.max_fetching = 1).await.unwrap();
    engine.register("a", "wire:a").detached().await.unwrap();
    answered("the next one is fetched", engine.register("b", "wire:b").into_future()).await.unwrap();
    read_all(&engine, "b", &car()).await;
    until("the first one fails", || engine.info("a").unwrap().state == ShardState::Errored).await;
    assert_eq!(engine.info("a").unwrap().error.unwrap().kind(), ErrorKind::SourceUnavailable);
}

#[tokio::test]
async fn a_source_that_gives_no_range_holds_nobody_up() {
    let mut world = world_with(Wired { silent: Some(Question::Read), ..Wired::new(indexed_car().bytes, 1) });
    world.idle_timeout = IDLE;
    world.wire.put("b", Wired::new(car().bytes, 1));
    let options = |options: &mut dagstore_engine::Options| (options.max_fetching, options.stat_deadline) = (1, IDLE);
    let engine = world.open_with(options).await.unwrap();
    engine.register("a", "wire:a").lazy().await.unwrap();
    let mut acquiring = Box::pin(engine.acquire("a"));
    assert!(acquiring.as_mut().now_or_never().is_none());
    until("it is asked for a range", || world.wire.counts().reads_begun > 0).await;
    answered("the next one is fetched", engine.register("b", "wire:b").into_future()).await.unwrap();
    answered("the first one is fetched as a whole", acquiring).await.unwrap();
}

/// Whoever goes away doesn't make more sources be fetched at once than may be.
#[tokio::test]
async fn callers_who_go_away_leave_no_more_fetches_than_there_may_be() {
    let car = car();
    let world = World::with_copies(None);
    let engine = world.open_with(|options| options.max_fetching = 2).await.unwrap();
    let keys: Vec<_> = (0..6).map(|at| format!("k{at}")).collect();
    for key in &keys {
        world.wire.put(key, Wired::without_validator(car.bytes.clone()));
        engine.register(key, &format!("wire:{key}")).await.unwrap();
        evict(&engine, key).await;
        world.wire.change(key, |source| source.hangs_at = Some(100_000));
    }
    for key in &keys {
        let mut acquiring = Box::pin(engine.acquire(key));
        for _ in 0..200 {
            assert!(acquiring.as_mut().now_or_never().is_none());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    assert!(world.wire.counts().most_streams <= 2, "{:?}", world.wire.counts());
    for key in &keys {
        world.wire.change(key, |source| source.hangs_at = None);
    }
    for key in &keys {
        answered("everybody is served", read_all(&engine, key, &car)).await;
    }
}

/// What is pinned is here, and is read here.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_was_never_acquired_is_pinned_with_an_index_of_its_own() {
    let car = indexed_car();
    let world = world_with(Wired::new(car.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    engine.pin("a").await.unwrap();
    closed(&engine, "a").await;
    assert!(!engine.info("a").unwrap().provisional);
    world.wire.remove("a");
    assert!(engine.acquire_local("a").await.unwrap().is_local());
    read_all(&engine, "a", &car).await;
}

/// What accessors share doesn't belong to the runtime of the one who came first.
#[test]
fn a_shard_outlives_the_runtime_of_its_first_reader() {
    answered_by_a_thread("the blocks are read", || async {
        let car = indexed_car();
        let world = world_with(Wired::new(car.bytes.clone(), 1));
        let engine = world.open().await;
        engine.register("a", "wire:a").lazy().await.unwrap();
        let first = engine.clone();
        let joined = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(first.acquire("a")).unwrap()
        });
        let shard = tokio::task::spawn_blocking(|| joined.join().unwrap()).await.unwrap();
        for (cid, data) in &car.blocks {
            assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
        }
    });
}

/// What was fetched by half and damaged while the store was closed is no reason for a shard to fail.
#[tokio::test]
async fn half_of_a_copy_that_was_damaged_is_fetched_anew() {
    for at in [50, 40_000, 90_000] {
        let car = car();
        let world = world_with(Wired { hangs_at: Some(200_000), ..Wired::new(car.bytes.clone(), 1) });
        let engine = world.open().await;
        engine.register("a", "wire:a").detached().await.unwrap();
        until("half of it is there", || engine.copies().iter().any(|copy| copy.info.done >= 131_072)).await;
        engine.close().await.unwrap();
        drop(engine);
        let (part, _) = world.copy_files().into_iter().find(|(name, _)| name.ends_with(".part")).unwrap();
        let part = world.copies.as_ref().unwrap().path().join(part);
        let mut bytes = std::fs::read(&part).unwrap();
        bytes[at] ^= 0xff;
        std::fs::write(&part, bytes).unwrap();
        world.wire.change("a", |source| source.hangs_at = None);

        let engine = world.open().await;
        engine.resumed().await.unwrap();
        until("it is fetched", || engine.info("a").unwrap().state != ShardState::Initializing).await;
        assert_eq!(engine.info("a").unwrap().error, None, "damaged at {at}");
        read_all(&engine, "a", &car).await;
        engine.close().await.unwrap();
    }
}

/// A source that can't be read for a moment costs an answer, and not the shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_provisional_shard_outlasts_a_source_that_fails_for_a_moment() {
    let car = indexed_car();
    let world = world_with(Wired::new(car.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    engine.acquire("a").await.unwrap();
    engine.close().await.unwrap();
    for (name, _) in world.copy_files() {
        std::fs::remove_file(world.copies.as_ref().unwrap().path().join(name)).unwrap();
    }

    let engine = world.open().await;
    assert!(engine.info("a").unwrap().provisional);
    world.wire.change("a", |source| source.fails = Some(Question::Read));
    let failed = engine.acquire("a").await.unwrap_err();
    assert_eq!(kind_of(&failed), Some(ErrorKind::SourceUnavailable), "{failed:?}");
    let info = engine.info("a").unwrap();
    assert_eq!((info.state, info.provisional), (ShardState::Available, true), "{info:?}");
    world.wire.change("a", |source| source.fails = None);
    read_all(&engine, "a", &car).await;
    assert_eq!(world.wire.counts().streams, 0);
}

/// A provisional shard stays one when the store closes while it is opened.
#[tokio::test(flavor = "multi_thread")]
async fn closing_while_a_provisional_shard_is_opened_costs_nothing() {
    let car = indexed_car();
    let world = world_with(Wired::new(car.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    engine.acquire("a").await.unwrap();
    engine.close().await.unwrap();
    for (name, _) in world.copy_files() {
        std::fs::remove_file(world.copies.as_ref().unwrap().path().join(name)).unwrap();
    }

    let engine = world.open().await;
    world.wire.change("a", |source| source.silent = Some(Question::Read));
    let before = world.wire.counts().reads_begun;
    let acquiring = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.acquire("a").await.map(drop) })
    };
    until("it is asked for a range", || world.wire.counts().reads_begun > before).await;
    answered("closing", engine.close()).await.unwrap();
    assert!(acquiring.await.unwrap().is_err());
    drop(engine);
    world.wire.change("a", |source| source.silent = None);

    let engine = world.open().await;
    let info = engine.info("a").unwrap();
    assert_eq!((info.state, info.provisional), (ShardState::Available, true), "{info:?}");
}

/// A store that was opened without its copies by mistake has lost nothing when it is opened with them again.
#[tokio::test]
async fn a_store_opened_without_its_copies_gives_no_shard_up() {
    for is_provisional in [false, true] {
        let car = indexed_car();
        let mut world = world_with(Wired::new(car.bytes.clone(), 1));
        let engine = world.open().await;
        if is_provisional {
            engine.register("a", "wire:a").lazy().await.unwrap();
            engine.acquire("a").await.unwrap();
        } else {
            engine.register("a", "wire:a").await.unwrap();
        }
        engine.close().await.unwrap();
        let copies = world.copies.take();

        let engine = world.open().await;
        engine.acquire("a").await.unwrap_err();
        assert_eq!(engine.info("a").unwrap().state, ShardState::Available, "provisional: {is_provisional}");
        engine.close().await.unwrap();
        world.copies = copies;

        let engine = world.open().await;
        let shard = engine.acquire("a").await.unwrap();
        let (cid, data) = &car.blocks[5];
        let read = tokio::task::spawn_blocking({
            let cid = cid.clone();
            move || tokio::runtime::Handle::current().block_on(async move { shard.blockstore().get(&cid).await })
        });
        assert_eq!(read.await.unwrap().unwrap(), *data);
        engine.close().await.unwrap();
    }
}

/// What a request brings for a shard that was destroyed meanwhile isn't kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_on_disk_of_a_shard_that_is_gone() {
    let car = car();
    let world = world_with(Wired::new(car.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    evict(&engine, "a").await;
    let shard = engine.acquire("a").await.unwrap();
    world.wire.change("a", |source| source.silent = Some(Question::Read));
    let before = world.wire.counts().reads_begun;
    let cid = car.blocks[60].0.clone();
    let reading = tokio::spawn(async move { shard.blockstore().get(&cid).await });
    until("it is asked for a range", || world.wire.counts().reads_begun > before).await;
    reading.abort();
    let _aborted = reading.await;
    until("nobody reads", || engine.info("a").unwrap().references == 0).await;
    engine.destroy("a").await.unwrap();
    world.wire.change("a", |source| source.silent = None);
    engine.close().await.unwrap();
    assert_eq!(world.copy_files(), []);
}

/// A source that says nothing is no reason not to use its copy.
#[tokio::test]
async fn a_lost_index_is_built_of_the_copy_though_the_source_is_silent() {
    let car = car();
    let world = world_with(Wired::new(car.bytes.clone(), 1));
    let short = |options: &mut dagstore_engine::Options| options.stat_deadline = IDLE;
    let engine = world.open_with(short).await.unwrap();
    engine.register("a", "wire:a").await.unwrap();
    engine.close().await.unwrap();
    for name in dagstore_index::IndexRepo::list(&*world.index_repo).unwrap() {
        dagstore_index::IndexRepo::remove(&*world.index_repo, name).unwrap();
    }
    world.wire.change("a", |source| source.silent = Some(Question::Stat));
    let engine = world.open_with(short).await.unwrap();
    answered("the copy is indexed", read_all(&engine, "a", &car)).await;
}

/// Who has the shard open when the last copy of its source goes is served to the end, and the store closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_source_does_not_keep_a_store_open() {
    for remote in [Remote::Piecewise, Remote::Copied] {
        let car = car();
        let world = world_with(Wired::new(car.bytes.clone(), 1));
        let engine = world.open_with(|options| options.remote = remote).await.unwrap();
        engine.register("a", "wire:a").await.unwrap();
        evict(&engine, "a").await;
        for question in [Question::Stat, Question::Stream, Question::Read] {
            world.wire.change("a", |source| source.silent = Some(question));
            let engine = engine.clone();
            tokio::spawn(async move {
                let shard = engine.acquire("a").await?;
                shard.blockstore().get(&car_of_first()).await
            });
        }
        let_others_run().await;
        answered("closing", engine.close()).await.unwrap();
    }
}

fn car_of_first() -> dagstore_car::RawCid {
    car().blocks[0].0.clone()
}
