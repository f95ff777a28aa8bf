//! What failures mean.

use std::time::Duration;

use dagstore_blockstore::{Blockstore, Error};
use dagstore_car::RawCid;
use dagstore_datastore::{Batch, Datastore, Durability};
use dagstore_engine::Error as EngineError;
use dagstore_index::conformance::KEY;
use dagstore_index::{IndexRepo, InvertedIndex};
use dagstore_testkit::cars;
use dagstore_types::{ErrorKind, ShardState};

use super::support::*;

#[tokio::test]
async fn another_shard_answers_for_one_that_fails() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    engine.register("broken", URL).await.unwrap();
    engine.register_mount("good", &mount(&world.car)).await.unwrap();
    world.gate.set_broken(true);
    let blocks = Blockstore::new(&engine);
    for (cid, data) in &world.car.blocks {
        let found = blocks.find(cid).await.unwrap();
        assert_eq!((found.shard.unwrap().as_str(), &found.data[..]), ("good", &data[..]));
        assert!(blocks.has(cid).await.unwrap());
        assert_eq!(blocks.size(cid).await.unwrap(), data.len() as u64);
    }
}

#[tokio::test]
async fn an_error_names_every_shard_that_failed_and_why() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    for key in ["a", "b", "c"] {
        engine.register(key, URL).await.unwrap();
    }
    world.gate.set_broken(true);
    let (cid, _) = &world.car.blocks[0];
    let failed = Blockstore::new(&engine).get(cid).await.unwrap_err();
    let Error::Unanswered { failures, skipped: false, .. } = &failed else { panic!("{failed:?}") };
    let keys: Vec<_> = failures.iter().map(|failure| failure.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    let is_unavailable = |error: &EngineError| matches!(error, EngineError::Failed { source, .. } if source.kind() == ErrorKind::SourceUnavailable);
    assert!(failures.iter().all(|failure| is_unavailable(&failure.error)), "{failures:?}");
    let text = failed.to_string();
    assert!(text.contains("shard a: ") && text.contains("; shard c: ") && text.contains("ordered to fail"), "{text}");
}

#[tokio::test]
async fn a_shard_that_failed_before_is_not_taken_for_one_without_the_block() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    engine.register("a", URL).await.unwrap();
    world.gate.serve(Some(cars::numbered(3, 90).bytes.into()));
    engine.acquire("a").await.expect_err("its source has changed");
    assert_eq!(engine.info("a").unwrap().state, ShardState::Errored);
    let (blocks, cid) = (Blockstore::new(&engine), &world.car.blocks[0].0);
    for answer in [blocks.get(cid).await.map(drop), blocks.has(cid).await.map(drop), blocks.size(cid).await.map(drop)] {
        let Err(Error::Unanswered { failures, skipped: false, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(failures.len(), 1);
        assert!(failures[0].to_string().starts_with("shard a: the source"), "{}", failures[0]);
    }
    let absent = RawCid::of_data(0x55, b"nowhere");
    assert!(!blocks.has(&absent).await.unwrap());
    assert!(matches!(blocks.get(&absent).await, Err(Error::NotFound { .. })));
    // Another one that has it is enough.
    engine.register_mount("good", &mount(&world.car)).await.unwrap();
    assert!(blocks.has(cid).await.unwrap());
}

#[tokio::test]
async fn so_many_are_asked_and_no_more() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    for number in 0..10 {
        engine.register(&number.to_string(), URL).await.unwrap();
    }
    world.gate.set_broken(true);
    let opens = world.gate.opens();
    let blocks = Blockstore::builder(&engine).most_asked(3).build();
    let failed = blocks.has(&world.car.blocks[0].0).await;
    let Err(Error::Unanswered { failures, skipped: true, .. }) = &failed else { panic!("{failed:?}") };
    assert_eq!((failures.len(), world.gate.opens() - opens), (3, 3));
}

#[tokio::test]
async fn a_shard_that_hangs_holds_no_other_one_up() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    engine.register("hanging", URL).await.unwrap();
    engine.register_mount("good", &mount(&world.car)).await.unwrap();
    world.gate.shut();
    let blocks = Blockstore::builder(&engine).patience(Duration::from_millis(1)).build();
    let (cid, data) = &world.car.blocks[0];
    let found = answered("an answer of the other shard", blocks.find(cid)).await.unwrap();
    assert_eq!((found.shard.unwrap().as_str(), &found.data[..]), ("good", &data[..]));
}

/// It says nothing about any shard.
#[tokio::test]
async fn a_store_that_is_closed_meanwhile_says_so() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    engine.register("a", URL).await.unwrap();
    world.gate.shut();
    let opens = world.gate.opens();
    let (blocks, cid) = (Blockstore::new(&engine), world.car.blocks[0].0.clone());
    let asked = tokio::spawn(async move { blocks.get(&cid).await });
    answered("the source is being opened", async {
        while world.gate.opens() == opens {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (_, closed) = answered("closing", async { tokio::join!(engine.close(), asked) }).await;
    let closed = closed.unwrap();
    assert!(matches!(closed, Err(Error::Engine(EngineError::Closed))), "{closed:?}");
}

#[tokio::test]
async fn a_row_without_a_block_is_no_block() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let absent = RawCid::of_data(0x55, b"nowhere");
    let fingerprint = KEY.fingerprint(absent.multihash());
    let registration = engine.info("a").unwrap().registration;
    let mut batch = Batch::new();
    let row = [&fingerprint.0[..], &registration.0.to_be_bytes()[3..]].concat();
    batch.put(InvertedIndex::ROWS, &row, &[]);
    world.inverted.write(batch, Durability::Synced).await.unwrap();
    let blocks = Blockstore::new(&engine);
    assert_eq!(futures_util::StreamExt::count(blocks.locate(&absent)).await, 1, "the row leads to the shard");
    assert!(!blocks.has(&absent).await.unwrap());
    assert!(matches!(blocks.get(&absent).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_lost_index_is_built_again_and_the_block_found() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await;
    engine.register("a", URL).await.unwrap();
    for name in world.index_repo.list().unwrap() {
        world.index_repo.remove(name).unwrap();
    }
    let (cid, data) = &world.car.blocks[0];
    assert_eq!(Blockstore::new(&engine).get(cid).await.unwrap(), *data);
}

#[tokio::test]
async fn what_is_not_to_be_checked_is_returned_as_it_is() {
    let world = World::new();
    let engine = world.open_with(|options| options.verify_on_index = false).await;
    engine.register_mount("forged", &forged(&world.car, 0)).await.unwrap();
    let (cid, data) = &world.car.blocks[0];
    let blocks = Blockstore::builder(&engine).unverified().build();
    assert_eq!(blocks.get(cid).await.unwrap(), vec![b'?'; data.len()]);
}
