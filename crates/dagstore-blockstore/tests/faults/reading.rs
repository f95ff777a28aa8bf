//! Reading across shards.

use dagstore_blockstore::{Blockstore, Error};
use dagstore_engine::Error as EngineError;

use super::support::*;

#[tokio::test]
async fn fault_34_data_that_does_not_match_its_cid_is_not_returned() {
    let world = World::new();
    // Nothing of the engine hashes: the block store does.
    let engine = world.open_with(|options| {
        options.verify_on_index = false;
        options.verify_on_read = false;
    });
    let engine = engine.await;
    let (cid, data) = world.car.blocks[3].clone();
    engine.register_mount("forged", &forged(&world.car, 3)).await.unwrap();
    let blocks = Blockstore::new(&engine);
    let read = blocks.get(&cid).await;
    assert!(
        matches!(&read, Err(Error::Unanswered { failures, .. })
            if matches!(&failures[..], [one] if one.key.as_str() == "forged" && matches!(one.error, EngineError::Car(_)))),
        "forged data: {read:?}"
    );
    engine.register_mount("good", &mount(&world.car)).await.unwrap();
    assert_eq!(blocks.get(&cid).await.unwrap(), data, "though another shard has the block");
}

#[tokio::test]
async fn fault_39_a_shard_that_fails_is_no_shard_without_the_block() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    engine.register("a", URL).await.unwrap();
    world.gate.set_broken(true);
    let blocks = Blockstore::new(&engine);
    let (cid, data) = &world.car.blocks[0];
    let has = blocks.has(cid).await;
    let names_it = |error: &Error| matches!(error, Error::Unanswered { failures, .. } if failures.len() == 1);
    assert!(has.as_ref().is_err_and(names_it), "mistaken for an answer: {has:?}");
    let size = blocks.size(cid).await;
    assert!(size.as_ref().is_err_and(names_it), "mistaken for an answer: {size:?}");
    world.gate.set_broken(false);
    assert_eq!(blocks.get(cid).await.unwrap(), *data);
}
