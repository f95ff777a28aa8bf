//! Fetching.

use dagstore_engine::Error;
use dagstore_types::{ErrorKind, ShardState};
use futures_util::FutureExt;
use tokio::runtime::Builder;

use super::support::*;

#[tokio::test]
async fn fault_16_a_failed_fetch_is_no_reason_for_the_next_to_fail() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    let kind = |failed| match failed {
        Err(Error::Failed { source, .. }) => Some(source.kind()),
        Err(_) | Ok(()) => None,
    };
    world.gate.set_broken(true);
    assert_eq!(kind(engine.register("a", URL).await), Some(ErrorKind::SourceUnavailable));
    world.gate.set_broken(false);
    world.gate.serve(None);
    assert_eq!(kind(engine.recover("a").await), Some(ErrorKind::SourceMissing), "the error of an earlier fetch");
    world.gate.serve(Some(world.car.bytes.clone().into()));
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
    // The same where a source is opened to be read.
    for _ in 0..3 {
        world.gate.set_broken(true);
        assert_eq!(kind(engine.acquire("a").await.map(drop)), Some(ErrorKind::SourceUnavailable));
        world.gate.set_broken(false);
        read_all(&engine, "a", &world.car).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fault_17_who_goes_away_takes_nothing_from_the_others() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    world.gate.shut();
    let mut first = Box::pin(engine.acquire("a"));
    assert!(first.as_mut().now_or_never().is_none());
    reader_at(&world.gate).await;
    let mut second = Box::pin(engine.acquire("a"));
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    let_others_run().await;
    world.gate.open();
    let accessor = answered("the acquire of the one that stays", second).await.unwrap();
    assert_eq!(engine.info("a").unwrap().references, 1);
    assert_eq!(world.gate.opens(), 2, "once to index it, once to read it");
    drop(accessor);
    read_all(&engine, "a", &world.car).await;
}

#[test]
fn fault_19_work_does_not_end_with_the_first_who_wanted_it() {
    answered_by_a_thread("all who wait are answered", || async {
        let world = World::new();
        let engine = world.open().await;
        engine.register("a", URL).lazy().await.unwrap();
        world.gate.shut();
        let callers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (first, second) = (engine.clone(), engine.clone());
        callers.spawn(async move { first.acquire("a").await.map(drop) });
        reader_at(&world.gate).await;
        let second = tokio::spawn(async move { second.acquire("a").await });
        callers.shutdown_background();
        until("the first is gone", || engine.info("a").unwrap().references == 0).await;
        world.gate.open();
        answered("the acquire of the one that stays", second).await.unwrap().unwrap();
        read_all(&engine, "a", &world.car).await;
    });
}

#[tokio::test(start_paused = true)]
async fn fault_19_work_that_is_taken_up_belongs_to_nobody_who_waits() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    world.crash(engine).await;
    // Opened by a task that has ended, and nobody asks for the shard or waits for what was left.
    let (parts, options) = (world.parts(), dagstore_engine::Options::default());
    let engine = tokio::spawn(dagstore_engine::Engine::open(parts, options)).await.unwrap().unwrap();
    until("the work is taken up and done", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}
