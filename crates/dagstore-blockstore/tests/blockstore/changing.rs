//! What becomes of a question while the store changes, or its datastore fails for a moment.

use std::sync::Arc;

use dagstore_blockstore::{Blockstore, Error};
use dagstore_car::RawCid;
use dagstore_datastore::{ErrorClass, MemoryDatastore};
use dagstore_engine::Error as EngineError;
use dagstore_testkit::{FailingDatastore, Fault, Faults, FaultyDatastore};
use dagstore_types::{ShardKey, ShardState};

use super::support::*;

#[tokio::test]
async fn a_look_up_that_fails_once_is_no_look_up_that_finds_nothing() {
    let (mut world, faults) = (World::new(), Faults::default());
    let datastore = FailingDatastore::new(Arc::new(MemoryDatastore::new()), faults.clone());
    world.inverted = FaultyDatastore::new(Arc::new(datastore));
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let (blocks, (cid, data)) = (Blockstore::new(&engine), &world.car.blocks[0]);
    faults.order(Fault::RowsFail, 1, false);
    let failed = blocks.has(cid).await;
    assert!(matches!(failed, Err(Error::Engine(EngineError::Index(_)))), "{failed:?}");
    assert_eq!(blocks.get(cid).await.unwrap(), *data);
}

/// As one that is gone.
#[tokio::test]
async fn a_shard_that_is_being_destroyed_meanwhile_has_no_block_any_more() {
    let world = World::new();
    let engine = world.open().await;
    for key in ["a", "b"] {
        engine.register(key, URL).await.unwrap();
    }
    world.inverted.fail_writes(ErrorClass::Permanent, 0, u64::MAX);
    engine.destroy("a").await.unwrap_err();
    assert_eq!(engine.info("a").unwrap().state, ShardState::Destroying);
    let cid = &world.car.blocks[0].0;
    for key in ["a", "gone"] {
        let chosen = move |_: &RawCid, _| vec![ShardKey::new(key).unwrap()];
        let blocks = Blockstore::builder(&engine).selector(chosen).build();
        let answer = blocks.get(cid).await;
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{key}: {answer:?}");
    }
}
