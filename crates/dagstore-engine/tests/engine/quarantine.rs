//! Records that were set aside: taken up again, or dropped.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, ErrorClass, Namespace, RowStream};
use dagstore_engine::{Engine, Error, Options, Parts};
use dagstore_testkit::HeldDatastore;
use dagstore_types::{Registration, ShardState};
use futures_util::StreamExt;

use super::dropping::steady_world;
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

/// Another datastore whose reads take a moment.
#[derive(Debug)]
struct Reading(Arc<dyn Datastore>);

#[async_trait]
impl Datastore for Reading {
    fn name(&self) -> &'static str {
        "reading"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> dagstore_datastore::Result<Option<Bytes>> {
        tokio::task::yield_now().await;
        self.0.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> dagstore_datastore::Result<()> {
        self.0.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.0.scan(namespace, prefix)
    }

    async fn sync(&self) -> dagstore_datastore::Result<()> {
        self.0.sync().await
    }

    async fn reopen(&self) -> dagstore_datastore::Result<()> {
        self.0.reopen().await
    }

    async fn close(&self) -> dagstore_datastore::Result<()> {
        self.0.close().await
    }
}

/// The shard "a" in quarantine, of a record that can be read again by now.
async fn open_repaired(world: &World) -> (Engine, HeldDatastore, Vec<u8>) {
    let (engine, row, value) = open_damaged(world).await;
    engine.close().await.unwrap();
    let held = HeldDatastore::new(Arc::new(Reading(Arc::new(world.datastore.clone()))));
    let parts = Parts { datastore: Arc::new(held.clone()), ..world.parts() };
    let mut options = Options::default();
    options.close_deadline = Duration::from_secs(2);
    let engine = Engine::open(parts, options).await.unwrap();
    engine.resumed().await.unwrap();
    world.datastore.put(SHARDS, &row, &value).await.unwrap();
    (engine, held, row)
}

#[tokio::test]
async fn a_record_is_taken_up_once_though_two_want_it() {
    let world = World::new();
    let (engine, _held, row) = open_repaired(&world).await;
    let (one, two) = tokio::join!(engine.retry_quarantined(&row), engine.retry_quarantined(&row));
    one.unwrap();
    assert!(matches!(two, Err(Error::NotQuarantined { .. })), "{two:?}");
    assert_eq!(engine.quarantined(), [], "dropping it would delete the row of a shard in use");
    read_all(&engine, "a", &world.car).await;
}

/// Whoever drops it may have given up, for what is being written is written all the same.
#[tokio::test]
async fn a_record_that_is_being_dropped_is_not_taken_up() {
    for gives_up in [false, true] {
        let world = World::new();
        let (engine, held, row) = open_repaired(&world).await;
        held.hold_after(0);
        let (other, its_row) = (engine.clone(), row.clone());
        let dropping = tokio::spawn(async move { other.drop_quarantined(&its_row).await });
        until("the deletion is being written", || held.is_holding()).await;
        if gives_up {
            dropping.abort();
        }
        let (other, its_row) = (engine.clone(), row.clone());
        let retrying = tokio::spawn(async move { other.retry_quarantined(&its_row).await });
        let_others_run().await;
        held.release();
        let dropped = answered("dropping", dropping).await;
        assert!(gives_up || matches!(dropped, Ok(Ok(()))), "{dropped:?}");
        let retried = answered("retrying", retrying).await.unwrap();
        assert!(matches!(retried, Err(Error::NotQuarantined { .. })), "{retried:?}");
        assert_eq!((engine.shards(), engine.quarantined()), (vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn closing_answers_whoever_waits_for_the_quarantine() {
    let world = World::new();
    let (engine, held, row) = open_repaired(&world).await;
    held.hold_after(0);
    let (other, its_row) = (engine.clone(), row.clone());
    let dropping = tokio::spawn(async move { other.drop_quarantined(&its_row).await });
    until("the deletion is being written", || held.is_holding()).await;
    let other = engine.clone();
    let retrying = tokio::spawn(async move { other.retry_quarantined(&row).await });
    let_others_run().await;
    let closed = answered("closing", engine.close()).await;
    assert!(matches!(closed, Err(Error::CloseTimedOut)), "{closed:?}");
    for waiting in [dropping, retrying] {
        let waited = answered("an answer", waiting).await.unwrap();
        assert!(matches!(waited, Err(Error::Closed)), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_back_does_not_take_the_key_of_a_shard_in_use() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let (row, value) = row_and_value(&world).await;
    // Not even its key can be read.
    world.datastore.put(SHARDS, &row, b"garbage").await.unwrap();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let registration = engine.info("a").unwrap().registration;
    assert_ne!(registration, Registration(1));
    // Whether it rests makes no difference.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.datastore.put(SHARDS, &row, &value).await.unwrap();
    let still = engine.retry_quarantined(&row).await;
    assert!(matches!(&still, Err(Error::StillQuarantined { reason, .. }) if reason.contains("same key")), "{still:?}");
    assert_eq!(engine.info("a").unwrap().registration, registration);
    read_all(&engine, "a", &world.car).await;
}
