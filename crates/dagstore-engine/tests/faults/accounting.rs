//! Accounting: references and waiters.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dagstore_engine::{Engine, Error, ShardAccessor};
use dagstore_types::ShardState;
use futures_util::FutureExt;

use super::support::*;

fn state_and_references(engine: &Engine) -> (ShardState, u32) {
    let info = engine.info("a").unwrap();
    (info.state, info.references)
}

async fn read_through(world: &World, shard: &ShardAccessor) {
    for (cid, data) in &world.car.blocks {
        assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    }
}

#[tokio::test]
async fn fault_22_the_last_release_of_a_failed_shard_leaves_it_failed() {
    let world = World::new();
    let engine = world.open().await;
    let accessor = accessor_of_a_failed_shard(&world, &engine).await;
    let error = engine.info("a").unwrap().error;
    assert!(error.is_some());
    read_through(&world, &accessor).await;
    drop(accessor);
    assert_eq!(state_and_references(&engine), (ShardState::Errored, 0));
    assert!(matches!(engine.acquire("a").await, Err(Error::Failed { .. })));
    engine.close().await.unwrap();
    let engine = world.open().await;
    assert_eq!(engine.info("a").unwrap().error, error);
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn fault_23_a_release_during_recovery_counts() {
    let world = World::new();
    let engine = world.open().await;
    let accessor = accessor_of_a_failed_shard(&world, &engine).await;
    world.gate.shut();
    let mut recovering = Box::pin(engine.recover("a"));
    assert!(recovering.as_mut().now_or_never().is_none());
    reader_at(&world.gate).await;
    assert_eq!(state_and_references(&engine), (ShardState::Recovering, 1));
    drop(accessor);
    assert_eq!(state_and_references(&engine), (ShardState::Recovering, 0));
    world.gate.open();
    answered("the recovery", recovering).await.unwrap();
    assert_eq!(state_and_references(&engine), (ShardState::Available, 0));
    engine.destroy("a").await.unwrap();
}

#[tokio::test]
async fn fault_23_an_accessor_that_stays_open_during_recovery_counts_behind_it() {
    let world = World::new();
    let engine = world.open().await;
    let accessor = accessor_of_a_failed_shard(&world, &engine).await;
    engine.recover("a").await.unwrap();
    assert_eq!(state_and_references(&engine), (ShardState::Serving, 1));
    read_through(&world, &accessor).await;
    assert!(matches!(engine.destroy("a").await, Err(Error::InUse { references: 1, .. })));
    drop(accessor);
    assert_eq!(state_and_references(&engine), (ShardState::Available, 0));
    read_all(&engine, "a", &world.car).await;
    engine.destroy("a").await.unwrap();
}

#[tokio::test]
async fn fault_24_a_reference_is_given_back_once() {
    let world = World::new();
    let engine = world.open().await;
    // One acquire has failed and given its reference back; the other one's is still there.
    let accessor = accessor_of_a_failed_shard(&world, &engine).await;
    engine.recover("a").await.unwrap();
    let others = [engine.acquire("a").await.unwrap(), engine.acquire("a").await.unwrap()];
    assert_eq!(state_and_references(&engine), (ShardState::Serving, 3));
    drop(accessor);
    assert_eq!(state_and_references(&engine), (ShardState::Serving, 2));
    for (dropped, other) in others.into_iter().enumerate() {
        let left = 2 - u32::try_from(dropped).unwrap();
        assert!(matches!(engine.destroy("a").await, Err(Error::InUse { references, .. }) if references == left));
        drop(other);
    }
    assert_eq!(state_and_references(&engine), (ShardState::Available, 0));
}

/// Polls an acquire `polls` times and drops it.
async fn drop_after(engine: &Engine, polls: usize) -> bool {
    let mut acquire = pin!(engine.acquire("a"));
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(acquired) = acquire.as_mut().poll(&mut context) {
            acquired.unwrap();
            return true;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    false
}

#[tokio::test]
async fn fault_25_an_acquire_dropped_at_any_point_leaves_nothing_open() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).lazy().await.unwrap();
    let mut polls = 1;
    while !drop_after(&engine, polls).await {
        polls += 1;
        assert!(polls < 1_000, "it never ends");
    }
    until("all references are back", || state_and_references(&engine) == (ShardState::Available, 0)).await;
    until("the source is closed", || world.gate.open_readers() == 0).await;
    read_all(&engine, "a", &world.car).await;
    engine.destroy("a").await.unwrap();
}

#[tokio::test]
async fn fault_26_a_collection_leaves_what_a_failed_shard_has_open() {
    let world = World::new();
    let engine = world.open().await;
    let accessor = accessor_of_a_failed_shard(&world, &engine).await;
    let report = engine.gc().await.unwrap();
    assert_eq!((report.indices_removed, world.indices()), (0, 1), "removed under an open accessor");
    read_through(&world, &accessor).await;
    drop(accessor);
    assert_eq!(engine.gc().await.unwrap().indices_removed, 0, "the shard still has its index");
}

#[tokio::test]
async fn fault_27_whoever_waits_hears_of_the_destruction() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    let (acquired, destroyed) = tokio::join!(answered("the acquire", engine.acquire("a")), async {
        let gate = world.gate.clone();
        let destroying = engine.destroy("a");
        // The task ends at its next look, which it takes when its read returns.
        tokio::task::yield_now().await;
        gate.open();
        answered("the destruction", destroying).await
    });
    assert!(matches!(acquired, Err(Error::Destroyed(_))), "{acquired:?}");
    destroyed.unwrap();
    assert_eq!((engine.shards().len(), world.indices()), (0, 0));
}

#[tokio::test]
async fn fault_27_whoever_waits_hears_that_the_store_closes() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    let (acquired, closed) = tokio::join!(answered("the acquire", engine.acquire("a")), async {
        tokio::task::yield_now().await;
        let gate = world.gate.clone();
        let opening = tokio::task::spawn_blocking(move || gate.open());
        let closed = answered("closing", engine.close()).await;
        opening.await.unwrap();
        closed
    });
    assert!(matches!(acquired, Err(Error::Closed)), "{acquired:?}");
    closed.unwrap();
    assert_eq!(world.open().await.resumed().await.unwrap().available, 1);
}
