//! What is read where nothing fails.

use dagstore_blockstore::{Blockstore, Error};
use dagstore_car::RawCid;
use dagstore_engine::Error as EngineError;
use dagstore_testkit::cars;
use futures_util::{StreamExt, TryStreamExt};

use super::support::*;

#[tokio::test]
async fn blocks_of_all_shards_are_found() {
    let world = World::new();
    let engine = world.open().await;
    let other = cars::of_blocks([b"one".to_vec(), b"two".to_vec()]);
    engine.register("a", URL).await.unwrap();
    engine.register_mount("b", &mount(&other)).await.unwrap();
    let blocks = Blockstore::new(&engine);
    for (key, car) in [("a", &world.car), ("b", &other)] {
        for (cid, data) in &car.blocks {
            let found = blocks.find(cid).await.unwrap();
            assert_eq!((found.shard.unwrap().as_str(), &found.data[..]), (key, &data[..]));
            assert_eq!(blocks.get(cid).await.unwrap(), *data);
            assert!(blocks.has(cid).await.unwrap());
            assert_eq!(blocks.size(cid).await.unwrap(), data.len() as u64);
            let keys: Vec<_> = blocks.locate(cid).try_collect().await.unwrap();
            assert_eq!(keys.len(), 1);
        }
    }
    let absent = RawCid::of_data(0x55, b"nowhere");
    assert!(!blocks.has(&absent).await.unwrap());
    assert!(matches!(blocks.get(&absent).await, Err(Error::NotFound { .. })));
    assert!(matches!(blocks.size(&absent).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_identity_cid_is_answered_out_of_itself() {
    let world = World::new();
    let engine = world.open().await;
    let blocks = Blockstore::new(&engine);
    let cid = RawCid::from_bytes(&[1, 0x55, 0x00, 2, b'h', b'i']).unwrap();
    let found = blocks.find(&cid).await.unwrap();
    assert_eq!((found.shard, &found.data[..]), (None, &b"hi"[..]));
    assert!(blocks.has(&cid).await.unwrap());
    assert_eq!(blocks.size(&cid).await.unwrap(), 2);
    assert_eq!(blocks.locate(&cid).count().await, 0);
}

#[tokio::test]
async fn many_blocks_come_in_the_order_in_which_they_were_asked_for() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let blocks = Blockstore::new(&engine);
    let mut wanted: Vec<_> = world.car.blocks.iter().cycle().take(100).cloned().collect();
    wanted[50] = (RawCid::of_data(0x55, b"nowhere"), Vec::new());
    let got: Vec<_> = blocks.get_many(wanted.iter().map(|(cid, _)| cid.clone())).collect().await;
    assert_eq!(got.len(), wanted.len());
    for (at, ((cid, data), (of, got))) in wanted.into_iter().zip(got).enumerate() {
        assert_eq!(cid, of);
        match got {
            Ok(got) => assert_eq!(got, data),
            Err(error) => assert!(at == 50 && matches!(error, Error::NotFound { .. }), "{at}: {error}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_kept_that_a_destruction_would_have_to_wait_for() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let blocks = Blockstore::new(&engine);
    let cid = &world.car.blocks[0].0;
    blocks.get(cid).await.unwrap();
    engine.destroy("a").await.unwrap();
    assert_eq!(world.gate.open_readers(), 0);
    assert!(!blocks.has(cid).await.unwrap());
}

#[tokio::test]
async fn a_store_that_is_closed_says_so() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let blocks = Blockstore::new(&engine);
    engine.close().await.unwrap();
    let closed = blocks.has(&world.car.blocks[0].0).await;
    assert!(matches!(closed, Err(Error::Engine(EngineError::Closed))), "{closed:?}");
}

#[tokio::test]
async fn its_futures_and_streams_can_go_to_other_threads() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let blocks = Blockstore::new(&engine);
    let (cid, data) = world.car.blocks[0].clone();
    let read = tokio::spawn(async move {
        let _many: Vec<_> = blocks.get_many([cid.clone()]).collect().await;
        blocks.get(&cid).await
    });
    assert_eq!(read.await.unwrap().unwrap(), data);
}
