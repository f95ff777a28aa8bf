//! Records that were set aside: taken up again, or dropped.

use dagstore_datastore::{Datastore, DatastoreExt, ErrorClass};
use dagstore_engine::{Engine, Error, Options};
use dagstore_types::ShardState;
use futures_util::StreamExt;

use super::dropped::steady_world;
use super::support::*;

/// The only row of a shard.
async fn row_and_value(world: &World) -> (Vec<u8>, Vec<u8>) {
    let page = world.datastore.scan(SHARDS, &[]).next().await.unwrap().unwrap();
    let (row, value) = page.iter().next().unwrap();
    (row.to_vec(), value.to_vec())
}

/// The shard "a", indexed, whose row is damaged: a store that has it in quarantine, the row's key, and what was in the row.
pub(super) async fn open_damaged(world: &World) -> (Engine, Vec<u8>, Vec<u8>) {
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let (row, value) = row_and_value(world).await;
    world.datastore.put(SHARDS, &row, &value[..value.len() - 1]).await.unwrap();
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!(engine.quarantined().len(), 1);
    assert_eq!(engine.quarantined()[0].row, row);
    (engine, row, value)
}

#[tokio::test]
async fn a_record_that_can_be_read_again_is_taken_up() {
    let world = World::new();
    let (engine, row, value) = open_damaged(&world).await;
    let still = engine.retry_quarantined(&row).await;
    assert!(matches!(still, Err(Error::StillQuarantined { .. })), "{still:?}");
    assert_eq!((engine.quarantined().len(), engine.shards().len()), (1, 0));
    world.datastore.put(SHARDS, &row, &value).await.unwrap();
    engine.retry_quarantined(&row).await.unwrap();
    assert_eq!((engine.quarantined(), engine.shards().len()), (vec![], 1));
    read_all(&engine, "a", &world.car).await;
    assert!(matches!(engine.retry_quarantined(&row).await, Err(Error::NotQuarantined { .. })));
    engine.gc().await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(world.indices(), 1, "it was never built again");
    read_all(&world.open().await, "a", &world.car).await;
}

#[tokio::test]
async fn of_two_who_take_up_the_same_record_one_does() {
    let world = steady_world();
    let (engine, row, value) = open_damaged(&world).await;
    world.datastore.put(SHARDS, &row, &value).await.unwrap();
    let (one, other) = tokio::join!(engine.retry_quarantined(&row), engine.retry_quarantined(&row));
    one.unwrap();
    assert!(matches!(other, Err(Error::NotQuarantined { .. })), "{other:?}");
    assert_eq!((engine.quarantined(), engine.shards().len()), (vec![], 1));
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_scheme_that_is_still_unknown_keeps_the_record_where_it_is() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let mut parts = world.parts();
    parts.registry = dagstore_mount::Registry::with_defaults();
    let engine = Engine::open(parts, Options::default()).await.unwrap();
    let row = engine.quarantined()[0].row.clone();
    let still = engine.retry_quarantined(&row).await;
    assert!(matches!(&still, Err(Error::StillQuarantined { reason, .. }) if reason.contains("gated")), "{still:?}");
    assert!(matches!(engine.register("a", "bytes:x").lazy().await, Err(Error::Quarantined { .. })));
    assert_eq!((engine.gc().await.unwrap().indices_removed, world.indices()), (0, 1));
    engine.close().await.unwrap();
    read_all(&world.open().await, "a", &world.car).await;
}

#[tokio::test]
async fn work_that_was_interrupted_goes_on_when_its_record_is_taken_up() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    world.crash(engine).await;
    let (row, value) = row_and_value(&world).await;
    world.datastore.put(SHARDS, &row, &value[..value.len() - 1]).await.unwrap();
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    world.datastore.put(SHARDS, &row, &value).await.unwrap();
    engine.retry_quarantined(&row).await.unwrap();
    until("the shard is Available", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_dropped_record_is_gone_for_good_and_its_key_free() {
    let world = World::new();
    let (engine, row, _) = open_damaged(&world).await;
    let kept = engine.gc().await.unwrap();
    assert_eq!((kept.indices_removed, kept.kept.len(), world.indices()), (0, 1, 1), "{kept:?}");
    engine.drop_quarantined(&row).await.unwrap();
    assert_eq!(engine.quarantined(), []);
    assert!(matches!(engine.info("a"), Err(Error::NotFound(_))));
    assert!(matches!(engine.drop_quarantined(&row).await, Err(Error::NotQuarantined { .. })));
    world.crash(engine).await;

    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!((engine.quarantined(), engine.shards()), (vec![], vec![]), "it came back");
    assert_eq!((engine.gc().await.unwrap().indices_removed, world.indices()), (1, 0));
    engine.register("a", URL).await.unwrap();
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn the_key_of_a_dropped_record_is_free_at_once() {
    let world = World::new();
    let (engine, row, _) = open_damaged(&world).await;
    assert!(matches!(engine.register("a", URL).await, Err(Error::Quarantined { .. })));
    engine.drop_quarantined(&row).await.unwrap();
    engine.register("a", URL).await.unwrap();
    assert_eq!((engine.gc().await.unwrap().indices_removed, world.indices()), (1, 1), "the old one's index");
    read_all(&engine, "a", &world.car).await;
    engine.close().await.unwrap();
    read_all(&world.open().await, "a", &world.car).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_deleted_stays_in_quarantine() {
    let world = World::new();
    let (engine, row, _) = open_damaged(&world).await;
    world.datastore.fail_writes(ErrorClass::Permanent, 0, u64::MAX);
    assert!(matches!(engine.drop_quarantined(&row).await, Err(Error::Datastore(_))));
    assert_eq!(engine.quarantined().len(), 1);
    assert!(matches!(engine.acquire("a").await, Err(Error::Quarantined { .. })));
    world.datastore.heal();
    engine.drop_quarantined(&row).await.unwrap();
    assert_eq!(engine.quarantined(), []);
}

#[tokio::test]
async fn a_store_that_is_paused_or_closed_leaves_its_quarantine_alone() {
    let world = World::new();
    let (engine, row, _) = open_damaged(&world).await;
    engine.close().await.unwrap();
    assert!(matches!(engine.retry_quarantined(&row).await, Err(Error::Closed)));
    assert!(matches!(engine.drop_quarantined(&row).await, Err(Error::Closed)));
    let paused = world.open_paused().await;
    assert_eq!(paused.quarantined().len(), 1);
    assert!(matches!(paused.retry_quarantined(&row).await, Err(Error::Paused)));
    assert!(matches!(paused.drop_quarantined(&row).await, Err(Error::Paused)));
}
