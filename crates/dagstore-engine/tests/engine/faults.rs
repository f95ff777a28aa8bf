//! A datastore that fails.

use std::time::Duration;

use dagstore_datastore::ErrorClass;
use dagstore_engine::Error;
use dagstore_types::{ErrorKind, ShardState};

use super::support::*;

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_durable() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("first", URL).await.unwrap();
    world.datastore.fail_writes(ErrorClass::Permanent, 0, u64::MAX);
    assert!(matches!(engine.register("a", URL).lazy().await, Err(Error::NotDurable { source: Some(_), .. })));
    assert!(matches!(engine.info("a"), Err(Error::NotFound(_))));
    read_all(&engine, "first", &world.car).await;
    world.datastore.heal();
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(world.open().await.shards().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_not_noticed() {
    let world = World::new();
    let engine = world.open().await;
    for class in [ErrorClass::Transient, ErrorClass::NeedsReopen] {
        let reopened = world.datastore.reopened();
        world.datastore.fail_writes(class, 0, 3);
        let key = format!("{class:?}");
        engine.register(&key, "bytes:no-car").lazy().await.unwrap();
        let expected = if class == ErrorClass::NeedsReopen { 2..=3 } else { 0..=0 };
        assert!(expected.contains(&(world.datastore.reopened() - reopened)), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_happened_is_written_when_the_datastore_is_back() {
    let world = World::new();
    let engine = world.open_with(|options| options.persist_deadline = Duration::from_secs(1)).await.unwrap();
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    world.datastore.fail_writes(ErrorClass::Transient, 0, u64::MAX);
    world.gate.open();
    let acquired = engine.acquire("a").await;
    assert!(matches!(acquired, Err(Error::NotDurable { .. })), "{acquired:?}");
    world.datastore.heal();
    until("the shard becomes Available", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_panic_while_indexing_fails_the_shard_and_nothing_else() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.set_panicking(true);
    let Err(Error::Failed { source, .. }) = engine.register("a", URL).await else { panic!("no error") };
    assert_eq!(source.kind(), ErrorKind::Internal);
    world.gate.set_panicking(false);
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
}
