//! What waits behind a step that ends the shard: it must be answered, though the shard that it was asked of is gone.

use std::future::IntoFuture;

use dagstore_datastore::ErrorClass;
use dagstore_engine::{Engine, Error};
use dagstore_testkit::HeldDatastore;
use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::support::*;

/// Destroys the shard "a" as far as the deletion of its row, which is held.
async fn destroy_up_to_the_deletion(engine: &Engine, held: &HeldDatastore) -> JoinHandle<Result<(), Error>> {
    // The row that says Destroying passes.
    held.hold_after(1);
    let engine = engine.clone();
    let destroying = tokio::spawn(async move { engine.destroy("a").await });
    until("the deletion is being written", || held.is_holding()).await;
    destroying
}

#[tokio::test]
async fn a_registration_behind_a_destruction_is_made() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    engine.register("a", URL).await.unwrap();
    let destroying = destroy_up_to_the_deletion(&engine, &held).await;
    let mut registering = engine.register("a", URL).into_future();
    assert!(registering.as_mut().now_or_never().is_none(), "it waits for the deletion");
    held.release();
    destroying.await.unwrap().unwrap();
    answered("the registration", registering).await.unwrap();
    read_all(&engine, "a", &world.car).await;
    engine.close().await.unwrap();
    read_all(&world.open().await, "a", &world.car).await;
}

#[tokio::test]
async fn whoever_asks_behind_a_destruction_is_told_that_the_shard_is_gone() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    engine.register("a", URL).await.unwrap();
    let destroying = destroy_up_to_the_deletion(&engine, &held).await;
    let mut acquiring = Box::pin(engine.acquire("a"));
    let mut recovering = Box::pin(engine.recover("a"));
    assert!(acquiring.as_mut().now_or_never().is_none(), "it waits for the deletion");
    assert!(recovering.as_mut().now_or_never().is_none(), "it waits for the deletion");
    held.release();
    destroying.await.unwrap().unwrap();
    assert!(matches!(answered("the acquire", acquiring).await, Err(Error::NotFound(_))));
    assert!(matches!(answered("the recovery", recovering).await, Err(Error::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn a_registration_behind_one_that_was_given_up_is_made() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    // Takes a block of numbers, so that the next write is the registration's own.
    engine.register("other", URL).lazy().await.unwrap();
    held.hold_after(0);
    world.datastore.fail_writes(ErrorClass::Permanent, 0, 1);
    let mut first = engine.register("a", URL).lazy().into_future();
    assert!(first.as_mut().now_or_never().is_none());
    until("the registration is being written", || held.is_holding()).await;
    let mut second = engine.register("a", URL).lazy().into_future();
    assert!(second.as_mut().now_or_never().is_none(), "it waits for the first one");
    held.release();
    assert!(matches!(answered("the first one", first).await, Err(Error::NotDurable { .. })));
    answered("the second one", second).await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(world.open().await.shards().len(), 2);
}

#[tokio::test]
async fn closing_answers_who_waits_behind_a_destruction() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    engine.register("a", URL).await.unwrap();
    let destroying = destroy_up_to_the_deletion(&engine, &held).await;
    let mut registering = engine.register("a", URL).into_future();
    assert!(registering.as_mut().now_or_never().is_none(), "it waits for the deletion");
    let (closed, registered) = tokio::join!(engine.close(), async {
        let registered = answered("the registration", registering).await;
        held.release();
        registered
    });
    closed.unwrap();
    assert!(matches!(registered, Err(Error::Closed)), "{registered:?}");
    assert!(matches!(destroying.await.unwrap(), Err(Error::Closed)));
    assert_eq!(world.open().await.shards(), [], "what was begun is finished");
}
