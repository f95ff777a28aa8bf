//! Futures that are dropped half-way: nothing is left of them, and nobody else notices.
//!
//! Each call is made again and again, in a world of its own every time, and its future is dropped after one poll more than
//! the last time, until the call ends before that.

use dagstore_datastore::DatastoreExt;
use dagstore_engine::{Engine, Error, Options};
use dagstore_fs::OwnName;
use dagstore_index::{IndexMeta, IndexRepo};
use dagstore_types::{Attempt, Registration, ShardKey, ShardState};
use futures_util::{FutureExt, StreamExt};

use super::dropping::*;
use super::quarantine::open_damaged;
use super::support::*;

async fn registrations() {
    let registered_again = |again| assert!(matches!(again, Ok(()) | Err(Error::Exists(_))), "{again:?}");
    drop_everywhere(
        World::open,
        async |engine| engine.register("a", URL).await.unwrap(),
        async |world, engine, _| {
            registered_again(engine.register("a", URL).await);
            until_in(engine, ShardState::Available).await;
            read_all(engine, "a", &world.car).await;
        },
    )
    .await;
    drop_everywhere(
        World::open,
        async |engine| engine.register("a", URL).detached().await.unwrap(),
        async |world, engine, _| {
            registered_again(engine.register("a", URL).detached().await);
            until_in(engine, ShardState::Available).await;
            read_all(engine, "a", &world.car).await;
        },
    )
    .await;
    drop_everywhere(
        World::open,
        async |engine| engine.register("a", URL).lazy().await.unwrap(),
        async |_, engine, _| {
            registered_again(engine.register("a", URL).lazy().await);
            until_in(engine, ShardState::New).await;
        },
    )
    .await;
}

async fn acquires() {
    let acquire = async |engine: &Engine| drop(engine.acquire("a").await.unwrap());
    let again = async |world: &World, engine: &Engine, _| read_all(engine, "a", &world.car).await;
    drop_everywhere(open_available_behind_a_gate, acquire, again).await;
    let open_new = async |world: &World| {
        let engine = world.open().await;
        engine.register("a", URL).lazy().await.unwrap();
        engine
    };
    drop_everywhere(open_new, acquire, again).await;
    drop_everywhere(open_working, acquire, again).await;
    drop_everywhere(open_recovering, acquire, again).await;
    let open_without_index = async |world: &World| {
        let engine = open_available(world).await;
        for name in world.index_repo.list().unwrap() {
            assert!(world.index_repo.remove(name).unwrap());
        }
        engine
    };
    drop_everywhere(open_without_index, acquire, again).await;
}

async fn recoveries() {
    let recover = async |engine: &Engine| engine.recover("a").await.unwrap();
    let again = async |world: &World, engine: &Engine, _| {
        let again = engine.recover("a").await;
        assert!(matches!(again, Ok(()) | Err(Error::NotErrored(_))), "{again:?}");
        until_in(engine, ShardState::Available).await;
        read_all(engine, "a", &world.car).await;
    };
    drop_everywhere(open_errored, recover, again).await;
}

async fn destructions() {
    let destroy = async |engine: &Engine| engine.destroy("a").await.unwrap();
    let again = async |_: &World, engine: &Engine, _| {
        let again = engine.destroy("a").await;
        assert!(matches!(again, Ok(()) | Err(Error::NotFound(_))), "{again:?}");
        assert!(matches!(engine.info("a"), Err(Error::NotFound(_))));
        engine.register("a", URL).lazy().await.unwrap();
    };
    drop_everywhere(open_available, destroy, again).await;
    drop_everywhere(open_working, destroy, again).await;
    drop_everywhere(open_recovering, destroy, again).await;
}

async fn collections() {
    let open_with_garbage = async |world: &World| {
        let engine = open_available(world).await;
        engine.resumed().await.unwrap();
        let name = OwnName::new(&ShardKey::new("nobody's").unwrap(), Registration(1 << 40), Attempt(1));
        let garbage = IndexMeta { name, car_size: 0, validator: None };
        world.index_repo.builder(garbage).unwrap().publish().unwrap();
        engine
    };
    let collect = async |engine: &Engine| drop(engine.gc().await.unwrap());
    let again = async |world: &World, engine: &Engine, ended: bool| {
        let report = engine.gc().await.unwrap();
        assert_eq!(report.indices_removed, usize::from(!ended), "told once: {report:?}");
        read_all(engine, "a", &world.car).await;
    };
    drop_everywhere(open_with_garbage, collect, again).await;
}

async fn waits_for_what_was_interrupted() {
    let open_interrupted = async |world: &World| {
        let engine = open_working(world).await;
        world.crash(engine).await;
        world.gate.shut();
        world.open().await
    };
    let wait = async |engine: &Engine| assert_eq!(engine.resumed().await.unwrap().available, 1);
    let again = async |_: &World, engine: &Engine, _| assert_eq!(engine.resumed().await.unwrap().available, 1);
    drop_everywhere(open_interrupted, wait, again).await;
}

/// The row of the first shard of a store.
const FIRST_ROW: [u8; 8] = 1_u64.to_be_bytes();

async fn rows_in_quarantine() {
    let open_mended = async |world: &World| {
        let (engine, row, value) = open_damaged(world).await;
        assert_eq!(row, FIRST_ROW);
        world.datastore.put(SHARDS, &row, &value).await.unwrap();
        engine
    };
    let retry = async |engine: &Engine| engine.retry_quarantined(&FIRST_ROW).await.unwrap();
    let discard = async |engine: &Engine| engine.drop_quarantined(&FIRST_ROW).await.unwrap();
    let done_already = |again| assert!(matches!(again, Ok(()) | Err(Error::NotQuarantined { .. })), "{again:?}");
    let retried = async |world: &World, engine: &Engine, _| {
        done_already(engine.retry_quarantined(&FIRST_ROW).await);
        read_all(engine, "a", &world.car).await;
    };
    drop_everywhere(open_mended, retry, retried).await;
    let discarded = async |_: &World, engine: &Engine, _| {
        done_already(engine.drop_quarantined(&FIRST_ROW).await);
        assert_eq!(states(engine).iter().filter(|(key, ..)| key.as_str() == "a").count(), 0);
    };
    drop_everywhere(open_mended, discard, discarded).await;
    // Whoever gave up the deletion wants the shard back: it is there and stays, or it is gone.
    let either = async |_: &World, engine: &Engine, _| done_already(engine.retry_quarantined(&FIRST_ROW).await);
    drop_everywhere(open_mended, discard, either).await;
}

/// There is nobody beside whoever closes a store, or opens it.
async fn openings_and_closings() {
    let mut polls = 0;
    for when in [When::AtOnce, When::Woken] {
        for closing_at in 0.. {
            let world = steady_world();
            for opening_at in 0.. {
                let opening = Engine::open(world.parts(), Options::default());
                let opened = dropped_after(opening_at, when, opening, || ()).await;
                polls = opening_at;
                let ended = opened.is_some();
                drop(opened);
                until("nothing of the store runs", || world.datastore.handles() == 1).await;
                if ended {
                    break;
                }
            }
            let engine = open_available(&world).await;
            let accessor = engine.acquire("a").await.unwrap();
            world.gate.shut();
            engine.register("b", URL).detached().await.unwrap();
            reader_at(&world.gate).await;
            let closed = dropped_after(closing_at, when, engine.close(), || world.gate.open()).await;
            let ended = closed.is_some();
            if closing_at > 0 {
                assert!(matches!(engine.register("c", URL).await, Err(Error::Closed)));
            }
            answered("closing", engine.close()).await.unwrap();
            drop((engine, accessor));
            until("nothing of the store runs", || world.datastore.handles() == 1).await;
            let engine = world.open().await;
            engine.resumed().await.unwrap();
            read_all(&engine, "a", &world.car).await;
            read_all(&engine, "b", &world.car).await;
            nothing_is_left(&world, engine).await;
            if ended {
                assert!(closing_at > 1, "closing ended within {closing_at} polls: nothing was dropped");
                break;
            }
        }
    }
    assert!(polls > 0);
}

async fn reads() {
    let world = World::new();
    let engine = open_available(&world).await;
    let shard = engine.acquire("a").await.unwrap();
    let (cid, data) = &world.car.blocks[3];
    for polls in [0, 1] {
        for when in [When::AtOnce, When::Woken] {
            drop(dropped_after(polls, when, shard.blockstore().get(cid), || ()).await);
            drop(dropped_after(polls, when, shard.blockstore().has(cid), || ()).await);
            drop(dropped_after(polls, when, shard.blockstore().size(cid), || ()).await);
            assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
        }
    }
    for taken in 0..=world.car.blocks.len() {
        let blockstore = shard.blockstore();
        let mut blocks = blockstore.blocks();
        for (cid, _) in &world.car.blocks[..taken] {
            assert_eq!(blocks.next().await.unwrap().unwrap().cid, *cid);
        }
    }
    assert_eq!(engine.info("a").unwrap().references, 1);
    drop(shard);
    nothing_is_left(&world, engine).await;
}

#[tokio::test]
async fn a_registration_that_is_dropped_is_made_or_not() {
    registrations().await;
}

#[tokio::test]
async fn an_acquire_that_is_dropped_leaves_no_trace() {
    acquires().await;
}

#[tokio::test]
async fn an_acquire_that_is_dropped_while_a_step_holds_it_up_keeps_nobody_from_destroying() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    held.hold_after(0);
    world.gate.open();
    until("the index is written down", || held.is_holding()).await;
    assert!(engine.acquire("a").now_or_never().is_none());
    let mut destroying = Box::pin(engine.destroy("a"));
    assert!(destroying.as_mut().now_or_never().is_none());
    held.release();
    answered("the destruction", destroying).await.unwrap();
}

#[tokio::test]
async fn a_recovery_that_is_dropped_goes_on() {
    recoveries().await;
}

#[tokio::test]
async fn a_destruction_that_is_dropped_goes_on() {
    destructions().await;
}

#[tokio::test]
async fn a_collection_that_is_dropped_is_told_by_the_next() {
    collections().await;
}

#[tokio::test]
async fn a_wait_for_what_was_interrupted_can_be_dropped() {
    waits_for_what_was_interrupted().await;
}

#[tokio::test]
async fn what_is_done_with_a_row_in_quarantine_can_be_dropped() {
    rows_in_quarantine().await;
}

#[tokio::test]
async fn an_opening_and_a_closing_can_be_dropped() {
    openings_and_closings().await;
}

#[tokio::test]
async fn a_read_that_is_dropped_leaves_no_trace() {
    reads().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_dropped_on_several_threads() {
    registrations().await;
    acquires().await;
    recoveries().await;
    destructions().await;
    collections().await;
    waits_for_what_was_interrupted().await;
    rows_in_quarantine().await;
    openings_and_closings().await;
    reads().await;
}
