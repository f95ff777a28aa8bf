//! Many callers at once, and callers that go away.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dagstore_engine::Error;
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

#[tokio::test]
async fn destroying_ends_the_work_and_answers_who_waits_for_it() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    let (acquired, destroyed) = tokio::join!(engine.acquire("a"), async {
        let gate = world.gate.clone();
        let destroying = engine.destroy("a");
        // The task ends at its next look, which it takes when its read returns.
        tokio::task::yield_now().await;
        gate.open();
        destroying.await
    });
    assert!(matches!(acquired, Err(Error::Destroyed(_))), "{acquired:?}");
    destroyed.unwrap();
    assert_eq!((engine.shards().len(), world.indices()), (0, 0));
}

#[tokio::test]
async fn closing_answers_who_waits() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    let (acquired, closed) = tokio::join!(engine.acquire("a"), async {
        tokio::task::yield_now().await;
        let gate = world.gate.clone();
        let opening = tokio::task::spawn_blocking(move || gate.open());
        let closed = engine.close().await;
        opening.await.unwrap();
        closed
    });
    assert!(matches!(acquired, Err(Error::Closed)), "{acquired:?}");
    closed.unwrap();
    assert_eq!(world.open().await.resumed().await.unwrap().available, 1);
}

/// Polls an acquire `polls` times and drops it.
async fn drop_after(engine: &dagstore_engine::Engine, polls: usize) -> bool {
    let mut acquire = pin!(engine.acquire("a"));
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(acquired) = acquire.as_mut().poll(&mut context) {
            acquired.unwrap();
            return true;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    false
}

#[tokio::test]
async fn an_acquire_dropped_at_any_point_leaves_no_reference() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    let mut polls = 1;
    while !drop_after(&engine, polls).await {
        polls += 1;
        assert!(polls < 1_000, "it never ends");
    }
    let none = || engine.info("a").is_ok_and(|info| info.references == 0 && info.state == ShardState::Available);
    until("all references are back", none).await;
    read_all(&engine, "a", &world.car).await;
    engine.destroy("a").await.unwrap();
}
