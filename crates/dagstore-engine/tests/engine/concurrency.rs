//! Many callers at once.

use dagstore_types::ShardState;
use futures_util::future::join_all;

use super::support::*;

/// On one thread, so that all have asked before the committer looks: how many share a sync is then a fact, not a race.
#[tokio::test]
async fn registrations_in_flight_share_syncs() {
    let world = World::new();
    let engine = world.open().await;
    let before = world.datastore.synced();
    let keys: Vec<String> = (0..500).map(|number| format!("shard {number}")).collect();
    for registered in join_all(keys.iter().map(|key| async { engine.register(key, URL).lazy().await })).await {
        registered.unwrap();
    }
    let syncs = world.datastore.synced() - before;
    assert!(syncs < 10, "{syncs} syncs for 500 registrations");
    world.crash(engine).await;
    assert_eq!(world.open().await.shards().len(), 500);
}

#[tokio::test]
async fn acquire_and_release_write_nothing_that_anybody_waits_for() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let synced = world.datastore.synced();
    for _ in 0..1_000 {
        drop(engine.acquire("a").await.unwrap());
    }
    assert_eq!(world.datastore.synced(), synced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_want_one_shard_share_its_work() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    let accessors = join_all((0..64).map(|_| engine.acquire("a"))).await;
    assert!(accessors.iter().all(Result::is_ok));
    assert_eq!(engine.info("a").unwrap().references, 64);
    assert_eq!(world.gate.opens(), 2, "once to index it, once to read it");
    drop(accessors);
    assert_eq!((engine.info("a").unwrap().references, engine.info("a").unwrap().state), (0, ShardState::Available));
}
