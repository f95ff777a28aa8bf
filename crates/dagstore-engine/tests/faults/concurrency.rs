//! Concurrency.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dagstore_engine::Watched;
use futures_util::StreamExt;

use super::support::*;

#[test]
fn fault_28_shards_are_listed_while_others_are_destroyed() {
    answered_by_a_thread("shards are listed, registered and destroyed at once", || async {
        let world = World::new();
        let engine = world.open().await;
        let done = Arc::new(AtomicBool::new(false));
        let listing: Vec<_> = (0..2)
            .map(|_| {
                let (engine, done) = (engine.clone(), done.clone());
                std::thread::spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        engine.shards();
                        engine.counts();
                    }
                })
            })
            .collect();
        let churning = (0..4).map(|worker| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for round in 0..500 {
                    let key = format!("{worker}, {}", round % 10);
                    engine.register(&key, URL).lazy().await.unwrap();
                    engine.destroy(&key).await.unwrap();
                }
            })
        });
        for worker in churning.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for list in listing {
            list.join().unwrap();
        }
        assert_eq!(engine.shards(), []);
        engine.close().await.unwrap();
    });
}

#[test]
fn fault_29_who_does_not_read_holds_nobody_up() {
    answered_by_a_thread("everything goes on, and the store closes", || async {
        let world = World::new();
        let engine = world.open().await;
        let (mut traces, mut failures) = (engine.trace(), engine.failures());
        engine.register("a", URL).await.unwrap();
        // Each pair makes two events.
        for _ in 0..10_000 {
            drop(engine.acquire("a").await.unwrap());
        }
        engine.register("b", "bytes:no-car").await.unwrap_err();
        engine.close().await.unwrap();
        assert!(matches!(traces.next().await, Some(Watched::Missed(_))), "it has missed the first events");
        while traces.next().await.is_some() {}
        assert!(matches!(failures.next().await, Some(Watched::Event(_))));
        assert!(failures.next().await.is_none(), "it ends when the store is closed");
    });
}

#[tokio::test(start_paused = true)]
async fn fault_30_a_collection_writes_nothing_about_shards_that_rest() {
    let world = World::new();
    let engine = world.open().await;
    for number in 0..100 {
        let key = format!("shard {number}");
        engine.register(&key, URL).await.unwrap();
        read_all(&engine, &key, &world.car).await;
    }
    // What is written behind is written by then.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (rows, writes) = (world.datastore.rows(), world.datastore.writes());
    for _ in 0..3 {
        engine.gc().await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!((world.datastore.rows(), world.datastore.writes()), (rows, writes), "rows and writes");
    engine.close().await.unwrap();
    assert_eq!(world.datastore.rows(), rows);
}
