//! Rows that no engine wrote.

use dagstore_datastore::{Datastore, DatastoreExt, Namespace};
use dagstore_engine::Error;
use futures_util::StreamExt;

use super::support::*;

const META: Namespace = Namespace::new("meta");

/// The highest number that a row of eight bytes can tell.
const HIGHEST: [u8; 8] = [0xff; 8];

#[tokio::test]
async fn a_row_of_the_highest_number_is_kept_and_leaves_numbers_to_give_out() {
    let world = World::new();
    world.open().await.close().await.unwrap();
    world.datastore.put(SHARDS, &HIGHEST, b"garbage").await.unwrap();
    let engine = world.open().await;
    assert_eq!(engine.quarantined().len(), 1);
    engine.register("a", URL).await.unwrap();
    read_all(&engine, "a", &world.car).await;
    engine.close().await.unwrap();
    let row = world.datastore.get(SHARDS, &HIGHEST).await.unwrap();
    assert_eq!(row.unwrap(), "garbage", "it was overwritten");
}

/// A number that is given out twice would be the end of the record that has it.
#[tokio::test]
async fn a_counter_that_was_lost_gives_no_number_out_again() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    world.datastore.delete(META, b"next-registration").await.unwrap();
    let engine = world.open().await;
    engine.register("b", URL).await.unwrap();
    engine.close().await.unwrap();
    let engine = world.open().await;
    for key in ["a", "b"] {
        read_all(&engine, key, &world.car).await;
    }
}

#[tokio::test]
async fn a_counter_without_numbers_to_give_out_is_refused() {
    let world = World::new();
    world.open().await.close().await.unwrap();
    world.datastore.put(META, b"next-registration", &HIGHEST).await.unwrap();
    let refused = world.open_with(|_| {}).await;
    assert!(matches!(refused, Err(Error::DamagedIdentity { row: "next-registration" })), "{refused:?}");
}

#[tokio::test]
async fn a_quarantined_row_does_not_hide_the_shard_whose_key_it_tells() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let page = world.datastore.scan(SHARDS, &[]).next().await.unwrap().unwrap();
    let (_, value) = page.iter().next().unwrap();
    // It can't be decoded any more, but its key can be read.
    let damaged = &value[..value.len() - 1];
    world.datastore.put(SHARDS, &999_u64.to_be_bytes(), damaged).await.unwrap();

    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!(engine.quarantined()[0].key, Some(engine.info("a").unwrap().key));
    read_all(&engine, "a", &world.car).await;
    engine.gc().await.unwrap();
    read_all(&engine, "a", &world.car).await;
}
