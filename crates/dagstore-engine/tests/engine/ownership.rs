//! A datastore that is somebody else's now: the store ends for good, and touches nothing any more.

use std::future::IntoFuture;
use std::sync::Arc;

use dagstore_datastore::ErrorClass;
use dagstore_engine::{Engine, Error};
use dagstore_index::IndexRepo;

use super::support::*;

fn is_lost<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::OwnershipLost { source }) if source.class() == ErrorClass::Fenced)
}

/// Every call says so, whatever it wants.
async fn expect_lost(engine: &Engine) {
    assert!(is_lost(&answered("a registration", engine.register("late", URL).into_future()).await));
    assert!(is_lost(&answered("an acquire", engine.acquire("a")).await));
    assert!(is_lost(&answered("a destruction", engine.destroy("a")).await));
    assert!(is_lost(&answered("a recovery", engine.recover("a")).await));
    assert!(is_lost(&answered("a collection", engine.gc()).await));
    assert!(is_lost(&answered("what was resumed", engine.resumed()).await));
}

#[tokio::test]
async fn everybody_is_told_and_nothing_is_written_or_removed() {
    let world = World::new();
    let engine = Arc::new(world.open().await);
    engine.register("a", URL).await.unwrap();
    let accessor = engine.acquire("a").await.unwrap();
    // One shard is being fetched, and somebody waits for it.
    world.gate.shut();
    engine.register("b", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.acquire("b").await.map(drop) }
    });
    tokio::task::yield_now().await;
    let (indices, rows) = (world.index_repo.list().unwrap(), world.datastore.rows());

    world.datastore.fail_writes(ErrorClass::Fenced, 0, u64::MAX);
    let registered = answered("the registration", engine.register("c", URL).lazy().into_future()).await;
    assert!(is_lost(&registered), "{registered:?}");
    let waited = answered("the acquire", waiting).await.unwrap();
    assert!(is_lost(&waited), "{waited:?}");
    expect_lost(&engine).await;

    // It is lost for good, also where the datastore would take writes again.
    world.datastore.heal();
    world.gate.open();
    expect_lost(&engine).await;
    let blocks = accessor.blockstore();
    assert!(!blocks.get(&world.car.blocks[0].0).await.unwrap().is_empty(), "an open accessor doesn't read on");
    for _ in 0..2 {
        assert!(is_lost(&answered("closing", engine.close()).await));
    }
    assert!(!blocks.get(&world.car.blocks[0].0).await.unwrap().is_empty(), "an open accessor doesn't read on");
    drop(accessor);
    assert_eq!(world.index_repo.list().unwrap(), indices);
    assert_eq!(world.datastore.rows(), rows, "something was written behind the loss");
    drop(engine);

    let next = world.open().await;
    next.resumed().await.unwrap();
    read_all(&next, "b", &world.car).await;
    assert!(matches!(next.info("c"), Err(Error::NotFound(_))));
}

/// The destruction isn't durable, so nothing may go.
#[tokio::test]
async fn a_destruction_that_meets_the_loss_removes_nothing() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let indices = world.index_repo.list().unwrap();
    world.datastore.fail_writes(ErrorClass::Fenced, 0, u64::MAX);
    assert!(is_lost(&answered("the destruction", engine.destroy("a")).await));
    assert!(is_lost(&answered("closing", engine.close()).await));
    assert_eq!(world.index_repo.list().unwrap(), indices);
}

/// The task of a shard has its source, and would now publish.
#[tokio::test]
async fn an_index_that_is_ready_is_not_published_behind_the_loss() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    // The loss is met by a request, while the task of the shard waits for its source.
    world.datastore.fail_writes(ErrorClass::Fenced, 0, u64::MAX);
    assert!(is_lost(&answered("the registration", engine.register("b", URL).lazy().into_future()).await));
    world.gate.open();
    assert!(is_lost(&answered("closing", engine.close()).await));
    assert!(world.index_repo.list().unwrap().is_empty(), "an index was published behind the loss");
}
