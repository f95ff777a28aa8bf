//! A datastore that is down for long, or panics: whoever asks is told, and what waits to be written is bounded.

use std::future::IntoFuture;
use std::time::Duration;

use dagstore_datastore::ErrorClass;
use dagstore_engine::{Engine, Error};
use dagstore_types::{Registration, ShardKey, ShardRecord, ShardState, UnixMillis};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::support::*;

/// A store with the shard "a", whose index is built, which can't be written down: the datastore fails from now on.
async fn open_with_a_fact_that_cannot_be_written(world: &World, class: ErrorClass) -> Engine {
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    world.datastore.fail_writes(class, 0, u64::MAX);
    world.gate.open();
    assert!(matches!(engine.acquire("a").await, Err(Error::NotDurable { .. })));
    engine
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_while_a_fact_waits_to_be_written() {
    let world = World::new();
    let engine = open_with_a_fact_that_cannot_be_written(&world, ErrorClass::Transient).await;
    for _ in 0..3 {
        let acquired = answered("the acquire", engine.acquire("a")).await;
        assert!(matches!(acquired, Err(Error::NotDurable { source: Some(_), .. })), "{acquired:?}");
        let destroyed = answered("the destruction", engine.destroy("a")).await;
        assert!(matches!(destroyed, Err(Error::NotDurable { source: Some(_), .. })), "{destroyed:?}");
    }
    world.datastore.heal();
    until("the fact is written", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

/// Who resumes a store on a disk that is full learns that it isn't done.
#[tokio::test(start_paused = true)]
async fn what_can_not_be_taken_up_for_want_of_writing_is_told() {
    let world = World::new();
    world.open().await.close().await.unwrap();
    let key = ShardKey::new("a").unwrap();
    world.put_record(&ShardRecord::new(key, URL.to_owned(), false, Registration(1), UnixMillis(0))).await;
    world.datastore.fail_writes(ErrorClass::Transient, 0, u64::MAX);
    let engine = world.open().await;
    let report = answered("the report", engine.resumed()).await.unwrap();
    assert_eq!((report.interrupted, report.unsettled), (1, 1));
    world.datastore.heal();
    until("it goes on", || engine.info("a").unwrap().state == ShardState::Available).await;
}

#[tokio::test(start_paused = true)]
async fn an_acquire_is_answered_when_the_start_that_it_waits_for_cannot_be_counted() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    // The step that puts the shard in line passes; the one that counts its start doesn't.
    world.datastore.fail_writes(ErrorClass::Transient, 1, u64::MAX);
    let acquired = answered("the acquire", engine.acquire("a")).await;
    assert!(matches!(acquired, Err(Error::NotDurable { .. })), "{acquired:?}");
    world.datastore.heal();
    until("the start is counted", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_given_up_do_not_pile_up() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    world.datastore.fail_writes(ErrorClass::Permanent, 0, u64::MAX);
    for _ in 0..200 {
        assert!(matches!(engine.destroy("a").await, Err(Error::NotDurable { .. })));
    }
    world.datastore.heal();
    let before = world.datastore.rows();
    engine.register("b", URL).lazy().await.unwrap();
    let rows = world.datastore.rows() - before;
    assert!(rows < 10, "{rows} writes for two rows");
}

#[tokio::test(start_paused = true)]
async fn closing_tells_that_a_fact_was_not_written() {
    let world = World::new();
    let engine = open_with_a_fact_that_cannot_be_written(&world, ErrorClass::Permanent).await;
    for _ in 0..2 {
        let closed = answered("closing", engine.close()).await;
        assert!(matches!(closed, Err(Error::Datastore(_))), "{closed:?}");
    }
    world.datastore.heal();
    assert_eq!(world.open().await.resumed().await.unwrap().available, 1);
}

#[tokio::test]
async fn a_datastore_that_panics_closes_the_store_and_answers_everybody() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    world.datastore.panic_at_next_write();
    let registered = answered("the registration", engine.register("b", URL).lazy().into_future()).await;
    assert!(matches!(registered, Err(Error::Closed)), "{registered:?}");
    assert!(matches!(answered("the acquire", engine.acquire("a")).await, Err(Error::Closed)));
    answered("closing", engine.close()).await.unwrap();
    read_all(&world.open().await, "a", &world.car).await;
}

#[tokio::test]
async fn a_deadline_beyond_what_a_clock_can_tell_is_none() {
    let world = World::new();
    let engine = world.open_with(|options| options.persist_deadline = Duration::MAX).await.unwrap();
    world.datastore.fail_writes(ErrorClass::Transient, 0, 2);
    answered("the registration", engine.register("a", URL).into_future()).await.unwrap();
    read_all(&engine, "a", &world.car).await;
}

/// Nobody has a row to write any more, and yet it is found out that they could be written.
#[tokio::test(start_paused = true)]
async fn rows_that_can_be_written_again_are_no_trouble_any_more() {
    let world = World::new();
    let engine = world.open().await;
    world.inverted.fail_writes(ErrorClass::Transient, 0, u64::MAX);
    engine.register("a", URL).await.unwrap_err();
    assert!(engine.degraded().is_some());
    world.inverted.heal();
    until("it is known that rows can be written", || engine.degraded().is_none()).await;
}

/// A database on a full disk takes a second to say that it can't be opened.
#[tokio::test(start_paused = true)]
async fn who_waits_to_open_rows_again_does_not_wait_for_each_of_the_others() {
    let world = World::new();
    let engine = world.open_with(|options| options.persist_deadline = Duration::from_secs(3)).await.unwrap();
    world.inverted.fail_writes(ErrorClass::NeedsReopen, 0, u64::MAX);
    world.inverted.reopening_takes(Duration::from_secs(1));
    let begin = Instant::now();
    let keys: Vec<_> = (0..40).map(|number| format!("shard {number}")).collect();
    for registered in join_all(keys.iter().map(|key| async { engine.register(key, URL).await })).await {
        assert!(matches!(registered, Err(Error::Failed { .. })), "{registered:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    world.inverted.heal();
    until("it is known that rows can be written", || engine.degraded().is_none()).await;
    for key in keys {
        engine.recover(&key).await.unwrap();
    }
}

/// A start that can't be counted keeps no room that others wait for: they would never hear why.
#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_told_that_nothing_can_be_begun() {
    let world = World::new();
    let engine = world.open_with(|options| (options.max_fetching, options.max_indexing) = (1, 1)).await.unwrap();
    let keys: Vec<_> = (0..8).map(|number| format!("shard {number}")).collect();
    for key in &keys {
        engine.register(key, URL).lazy().await.unwrap();
    }
    // The shards are queued, and then no start can be counted.
    world.datastore.fail_writes(ErrorClass::Transient, 1, u64::MAX);
    let acquired = join_all(keys.iter().map(|key| engine.acquire(key)));
    for acquired in answered("all of them", acquired).await {
        assert!(matches!(acquired, Err(Error::NotDurable { source: Some(_), .. })), "{acquired:?}");
    }
    world.datastore.heal();
    for key in &keys {
        read_all(&engine, key, &world.car).await;
    }
}
