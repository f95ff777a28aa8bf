//! Which shards are asked.

use std::sync::{Arc, Mutex};

use dagstore_blockstore::{Blockstore, Error};
use dagstore_car::RawCid;
use dagstore_engine::Engine;
use dagstore_types::ShardKey;

use super::support::*;

async fn found_in(blocks: &Blockstore, cid: &RawCid) -> String {
    blocks.find(cid).await.unwrap().shard.unwrap().as_str().to_owned()
}

async fn with_shards(world: &World, keys: &[&str]) -> Engine {
    let engine = world.open_with(|options| options.keep_open = 0).await;
    for key in keys {
        engine.register(key, URL).await.unwrap();
    }
    engine
}

#[tokio::test]
async fn the_first_that_was_registered_is_asked_unless_another_one_is_open() {
    let world = World::new();
    let engine = with_shards(&world, &["c", "a", "b"]).await;
    let blocks = Blockstore::new(&engine);
    let cid = &world.car.blocks[0].0;
    assert_eq!(found_in(&blocks, cid).await, "c");
    let open = engine.acquire("b").await.unwrap();
    assert_eq!(found_in(&blocks, cid).await, "b");
    drop(open);
    assert_eq!(found_in(&blocks, cid).await, "c");
}

#[tokio::test]
async fn a_selector_orders_and_leaves_out() {
    let world = World::new();
    let engine = with_shards(&world, &["c", "a", "b"]).await;
    let cid = &world.car.blocks[0].0;
    let last_first = |_: &RawCid, mut keys: Vec<ShardKey>| {
        keys.reverse();
        keys
    };
    let blocks = Blockstore::builder(&engine).selector(last_first).build();
    assert_eq!(found_in(&blocks, cid).await, "b");
    let nobody = Blockstore::builder(&engine).selector(|_: &RawCid, _| Vec::new()).build();
    assert!(!nobody.has(cid).await.unwrap());
    assert!(matches!(nobody.get(cid).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn of_a_block_in_many_shards_no_more_are_looked_up_than_are_asked() {
    let world = World::new();
    let keys: Vec<String> = (0..100).map(|number| format!("s{number:03}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let engine = with_shards(&world, &keys).await;
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let noted = seen.clone();
    let selector = move |_: &RawCid, keys: Vec<ShardKey>| {
        noted.lock().unwrap().push(keys.len());
        keys
    };
    let blocks = Blockstore::builder(&engine).selector(selector).build();
    let opens = world.gate.opens();
    blocks.get(&world.car.blocks[0].0).await.unwrap();
    assert_eq!(world.gate.opens() - opens, 1, "shards that were opened");
    let candidates = seen.lock().unwrap().clone();
    assert!(matches!(candidates[..], [count] if count < 100), "{candidates:?}");
}
