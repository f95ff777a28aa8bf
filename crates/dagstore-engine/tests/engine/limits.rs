//! How much is done at once, and what waits for whom.

use std::time::Duration;

use dagstore_engine::Engine;
use dagstore_testkit::Behaviour;
use dagstore_types::{Registration, ShardKey, ShardRecord, ShardState, UnixMillis};
use futures_util::future::join_all;

use super::support::*;

/// Names of shards, which are the locations of their sources, too.
fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

fn available(engine: &Engine, names: &[String]) -> usize {
    let is_available = |name: &&String| engine.info(name).is_ok_and(|info| info.state == ShardState::Available);
    names.iter().filter(is_available).count()
}

/// Registers a shard for the remote source of each name, and lets the work go on in the background.
async fn register(engine: &Engine, names: &[String]) {
    for name in names {
        engine.register(name, &format!("remote:{name}")).detached().await.unwrap();
    }
}

fn behave(world: &World, names: &[String], behaviour: Behaviour) {
    for name in names {
        world.remote.behave(name, behaviour);
    }
}

#[tokio::test]
async fn no_more_are_indexed_at_once_than_allowed() {
    let world = World::new();
    let engine = world.open_with(|options| options.max_indexing = 2).await.unwrap();
    world.gate.shut();
    let names = names("local", 6);
    for name in &names {
        engine.register(name, URL).detached().await.unwrap();
    }
    until("two are being indexed", || world.gate.waiting() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((world.gate.waiting(), world.gate.opens()), (2, 2));
    let begun = names.iter().filter(|name| engine.info(name).unwrap().attempt.0 > 0).count();
    assert_eq!(begun, 2, "those that wait have begun nothing");
    world.gate.open();
    until("all are Available", || available(&engine, &names) == 6).await;
}

#[tokio::test]
async fn no_more_are_fetched_at_once_than_allowed() {
    let world = World::new();
    let engine = world.open_with(|options| options.max_fetching = 3).await.unwrap();
    let names = names("slow", 10);
    behave(&world, &names, Behaviour::Slow);
    register(&engine, &names).await;
    until("three are being fetched", || world.remote.opening() == 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    behave(&world, &names, Behaviour::Ready);
    until("all are Available", || available(&engine, &names) == 10).await;
    assert_eq!(world.remote.most_opening(), 3);
}

#[tokio::test]
async fn sources_that_are_not_ready_keep_nobody_else_waiting() {
    let world = World::new();
    let change = |options: &mut dagstore_engine::Options| {
        (options.max_fetching, options.max_indexing, options.max_thawing) = (1, 1, 2);
    };
    let engine = world.open_with(change).await.unwrap();
    let (frozen, ready) = (names("frozen", 8), names("ready", 8));
    behave(&world, &frozen, Behaviour::Frozen);
    register(&engine, &frozen).await;
    register(&engine, &ready).await;
    until("the ready ones are Available", || available(&engine, &ready) == 8).await;
    until("two are thawing", || world.remote.opening() == 2).await;
    assert_eq!(available(&engine, &frozen), 0);
    behave(&world, &frozen, Behaviour::Ready);
    until("the others have thawed", || available(&engine, &frozen) == 8).await;
    assert_eq!(world.remote.most_opening(), 3, "two that thaw, and one that is ready");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_says_nothing_keeps_others_waiting_for_a_moment_only() {
    let world = World::new();
    let change = |options: &mut dagstore_engine::Options| {
        (options.max_fetching, options.max_indexing) = (1, 1);
        options.stat_deadline = Duration::from_secs(1);
    };
    let engine = world.open_with(change).await.unwrap();
    let (silent, ready) = (names("silent", 6), names("ready", 6));
    for name in &silent {
        engine.register(name, &format!("remote:{name}")).lazy().await.unwrap();
    }
    behave(&world, &silent, Behaviour::Silent);
    let waiting = silent.iter().map(|name| {
        let (engine, name) = (engine.clone(), name.clone());
        tokio::spawn(async move { engine.acquire(&name).await.map(drop) })
    });
    let waiting: Vec<_> = waiting.collect();
    let_others_run().await;
    register(&engine, &ready).await;
    until("the ready ones are Available", || available(&engine, &ready) == 6).await;
    assert_eq!(available(&engine, &silent), 0);
    behave(&world, &silent, Behaviour::Ready);
    for waiting in waiting {
        answered("an acquire", waiting).await.unwrap().unwrap();
    }
}

/// On one thread, so that all have asked before the first write.
#[tokio::test]
async fn no_more_registrations_wait_for_the_disk_than_allowed() {
    let world = World::new();
    let engine = world.open_with(|options| options.max_registering = 3).await.unwrap();
    // Takes a block of numbers, so that all writes to come are of registrations.
    engine.register("first", URL).lazy().await.unwrap();
    let (writes, rows) = (world.datastore.writes(), world.datastore.rows());
    let names = names("shard", 30);
    let registering = join_all(names.iter().map(|name| async { engine.register(name, URL).lazy().await }));
    for registered in answered("all registrations", registering).await {
        registered.unwrap();
    }
    let (writes, rows) = (world.datastore.writes() - writes, world.datastore.rows() - rows);
    assert!(rows >= 30 && writes >= 10, "{rows} rows in {writes} writes");
}

/// A store with a healthy shard and many whose initialisation was interrupted.
async fn many_interrupted(world: &World, count: u64) -> Vec<String> {
    let engine = world.open().await;
    engine.register("healthy", URL).await.unwrap();
    engine.close().await.unwrap();
    let names = names("interrupted", usize::try_from(count).unwrap());
    for (number, name) in (100_000..).zip(&names) {
        let (key, url) = (ShardKey::new(name).unwrap(), format!("remote:{name}"));
        let mut record = ShardRecord::new(key, url, false, Registration(number), UnixMillis(1));
        record.state = ShardState::Initializing;
        world.put_record(&record).await;
    }
    names
}

#[tokio::test]
async fn many_that_were_interrupted_are_taken_up_a_few_at_a_time() {
    let world = World::new();
    let names = many_interrupted(&world, 500).await;
    behave(&world, &names, Behaviour::Slow);
    let change = |options: &mut dagstore_engine::Options| {
        (options.max_fetching, options.max_indexing) = (3, 2);
    };
    let engine = world.open_with(change).await.unwrap();
    until("three are being fetched", || world.remote.opening() == 3).await;
    for _ in 0..10 {
        answered("an acquire of a healthy shard", read_all(&engine, "healthy", &world.car)).await;
        answered("a registration", async { engine.register("another", URL).lazy().await }).await.unwrap();
        answered("a destruction", engine.destroy("another")).await.unwrap();
    }
    let working = engine.shards().iter().filter(|shard| shard.progress.is_some()).count();
    assert!(working <= 5, "{working} tasks");
    behave(&world, &names, Behaviour::Ready);
    assert_eq!(answered("resuming", engine.resumed()).await.unwrap().available, 500);
    assert_eq!(world.remote.most_opening(), 3);
}

#[tokio::test(start_paused = true)]
async fn those_that_were_interrupted_do_not_wait_for_sources_that_are_not_ready() {
    let world = World::new();
    let names = many_interrupted(&world, 200).await;
    let (ready, frozen) = names.split_last().unwrap();
    behave(&world, frozen, Behaviour::Frozen);
    let engine = world.open().await;
    answered("an acquire of one that is ready", read_all(&engine, ready, &world.car)).await;
    assert_eq!(available(&engine, frozen), 0);
    behave(&world, frozen, Behaviour::Ready);
    assert_eq!(answered("resuming", engine.resumed()).await.unwrap().available, 200);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_those_that_were_interrupted_and_not_taken_up_again() {
    let world = World::new();
    let names = many_interrupted(&world, 5_000).await;
    behave(&world, &names, Behaviour::Slow);
    let engine = world.open().await;
    until("some are being fetched", || world.remote.opening() > 0).await;
    let (resumed, closed) = tokio::join!(engine.resumed(), engine.close());
    closed.unwrap();
    let report = resumed.unwrap();
    assert_eq!((report.interrupted, report.unsettled), (5_000, 5_000));
}
