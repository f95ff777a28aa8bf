//! What a new process finds.

use dagstore_engine::Error;
use dagstore_types::ShardState;

use super::support::*;

#[tokio::test]
async fn an_interrupted_initialisation_is_seen_paused_and_taken_up_again() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    world.crash(engine).await;

    let paused = world.open_paused().await;
    assert_eq!(paused.info("a").unwrap().state, ShardState::Initializing);
    assert!(matches!(paused.acquire("a").await, Err(Error::Paused)));
    assert!(matches!(paused.register("b", URL).await, Err(Error::Paused)));
    assert!(matches!(paused.gc().await, Err(Error::Paused)));
    let writes = world.datastore.writes();
    paused.close().await.unwrap();
    assert_eq!(world.datastore.writes(), writes, "a paused store writes nothing");

    let engine = world.open().await;
    let report = engine.resumed().await.unwrap();
    assert_eq!((report.interrupted, report.available), (1, 1));
    read_all(&engine, "a", &world.car).await;
    engine.close().await.unwrap();
    assert_eq!(world.indices(), 1, "never a second index");
}

#[tokio::test]
async fn a_finished_index_is_used_and_not_built_again() {
    let world = World::new();
    let engine = world.open().await;
    // The registration, the block of numbers and the start pass; the record that says Available doesn't.
    world.datastore.fail_writes(dagstore_datastore::ErrorClass::Permanent, 3, u64::MAX);
    let registered = engine.register("a", URL).await;
    assert!(matches!(registered, Err(Error::NotDurable { .. })), "{registered:?}");
    assert_eq!(world.indices(), 1);
    world.crash(engine).await;
    world.datastore.heal();

    let opens = world.gate.opens();
    let engine = world.open().await;
    assert_eq!(engine.resumed().await.unwrap().available, 1);
    assert_eq!(world.gate.opens(), opens, "the source was not read again");
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_destruction_that_was_accepted_is_finished() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    world.datastore.fail_writes(dagstore_datastore::ErrorClass::Permanent, 1, u64::MAX);
    engine.destroy("a").await.unwrap_err();
    world.crash(engine).await;
    world.datastore.heal();

    assert_eq!(world.open_paused().await.info("a").unwrap().state, ShardState::Destroying);
    let engine = world.open().await;
    assert_eq!(engine.resumed().await.unwrap().destroyed, 1);
    assert_eq!((engine.shards().len(), world.indices()), (0, 0));
    engine.register("a", URL).await.unwrap();
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_shard_that_ends_the_process_three_times_is_given_up() {
    let world = World::new();
    let mut engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    for _ in 0..3 {
        reader_at(&world.gate).await;
        world.crash(engine).await;
        world.gate.shut();
        engine = world.open().await;
    }
    assert_eq!(engine.resumed().await.unwrap().failed, 1);
    let info = engine.info("a").unwrap();
    assert_eq!(info.error.unwrap().kind(), dagstore_types::ErrorKind::TooManyStarts);
    world.gate.open();
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_shard_that_was_never_started_is_not_given_up() {
    let world = World::new();
    let engine = world.open_with(|options| options.max_indexing = 1).await.unwrap();
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    engine.register("b", URL).detached().await.unwrap();
    world.crash(engine).await;

    let engine = world.open_with(|options| options.max_starts = 0).await.unwrap();
    engine.resumed().await.unwrap();
    assert_eq!(engine.info("a").unwrap().error.unwrap().kind(), dagstore_types::ErrorKind::TooManyStarts);
    read_all(&engine, "b", &world.car).await;
}

#[tokio::test]
async fn closing_in_the_middle_of_the_work_is_no_start_that_was_not_survived() {
    let world = World::new();
    let mut engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    for _ in 0..5 {
        reader_at(&world.gate).await;
        let gate = world.gate.clone();
        let (closed, ()) = tokio::join!(engine.close(), async { gate.open() });
        closed.unwrap();
        world.gate.shut();
        engine = world.open().await;
    }
    world.gate.open();
    assert_eq!(engine.resumed().await.unwrap().available, 1);
    read_all(&engine, "a", &world.car).await;
}

/// Of so many shards at once that their answers are given by a task of their own.
#[tokio::test]
async fn closing_while_a_start_is_counted_is_no_start_that_was_not_survived() {
    for count in [1, 20] {
        let world = World::new();
        let (engine, held) = world.open_held_with(|options| options.max_indexing = count).await;
        let keys: Vec<_> = (0..count).map(|number| format!("shard {number}")).collect();
        engine.register("first", URL).lazy().await.unwrap();
        // The registrations pass, in one write; the starts don't.
        held.hold_after(1);
        let registered = keys.iter().map(|key| async { engine.register(key, URL).detached().await });
        for registered in futures_util::future::join_all(registered).await {
            registered.unwrap();
        }
        until("the starts are being counted", || held.is_holding()).await;
        let closing = tokio::spawn(async move { engine.close().await });
        let_others_run().await;
        held.release();
        answered("closing", closing).await.unwrap().unwrap();
        let paused = world.open_paused().await;
        for key in keys {
            let info = paused.info(&key).unwrap();
            assert_eq!((info.state, info.starts), (ShardState::Initializing, 0), "{key} of {count}: {info:?}");
        }
    }
}

#[tokio::test]
async fn numbers_are_never_given_out_twice() {
    let world = World::new();
    let mut numbers = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let engine = world.open().await;
        engine.register("a", URL).await.unwrap();
        assert!(numbers.insert(engine.info("a").unwrap().registration));
        engine.destroy("a").await.unwrap();
        engine.register("a", URL).await.unwrap();
        assert!(numbers.insert(engine.info("a").unwrap().registration));
        engine.destroy("a").await.unwrap();
        world.crash(engine).await;
    }
}

#[tokio::test]
async fn what_no_record_names_is_removed_and_nothing_else() {
    use dagstore_fs::OwnName;
    use dagstore_index::{IndexMeta, IndexRepo};
    use dagstore_types::{Attempt, Registration, ShardKey};
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let name = OwnName::new(&ShardKey::new("a").unwrap(), Registration(99), Attempt(1));
    world.index_repo.builder(IndexMeta { name, car_size: 1, validator: None }).unwrap().publish().unwrap();
    assert_eq!(world.indices(), 2);
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!(world.indices(), 1);
    read_all(&engine, "a", &world.car).await;
    assert_eq!(engine.gc().await.unwrap().indices_removed, 1, "what opening removed is told once");
    assert_eq!(engine.gc().await.unwrap().indices_removed, 0);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_with_its_files() {
    use dagstore_datastore::{Datastore, DatastoreExt};
    use futures_util::StreamExt;
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.register("b", URL).await.unwrap();
    engine.close().await.unwrap();
    let page = world.datastore.scan(SHARDS, &[]).next().await.unwrap().unwrap();
    let (row, value) = page.iter().next().unwrap();
    let mut damaged = value.to_vec();
    damaged.pop();
    world.datastore.put(SHARDS, row, &damaged).await.unwrap();

    let strict = world.open_with(|options| options.strict = true).await;
    assert!(matches!(strict, Err(Error::Unreadable { count: 1, .. })));
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    engine.gc().await.unwrap();
    assert_eq!((engine.quarantined().len(), engine.shards().len(), world.indices()), (1, 1, 2));
    let key = engine.quarantined()[0].key.clone().unwrap();
    assert!(matches!(engine.register(key.as_str(), URL).await, Err(Error::Quarantined { .. })));
    assert!(matches!(engine.acquire(key.as_str()).await, Err(Error::Quarantined { .. })));
    assert!(matches!(engine.destroy(key.as_str()).await, Err(Error::Quarantined { .. })));
    engine.close().await.unwrap();
    world.datastore.put(SHARDS, row, value).await.unwrap();
    read_all(&world.open().await, key.as_str(), &world.car).await;
}

#[tokio::test]
async fn a_scheme_that_is_unknown_now_is_quarantined_and_comes_back() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let mut parts = world.parts();
    parts.registry = dagstore_mount::Registry::with_defaults();
    let engine = dagstore_engine::Engine::open(parts, dagstore_engine::Options::default()).await.unwrap();
    engine.resumed().await.unwrap();
    assert!(engine.quarantined()[0].reason.contains("gated"));
    engine.close().await.unwrap();
    read_all(&world.open().await, "a", &world.car).await;
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    use dagstore_datastore::{DatastoreExt, Namespace};
    let world = World::new();
    world.open().await.close().await.unwrap();
    world.datastore.put(Namespace::new("meta"), b"format", &2_u32.to_be_bytes()).await.unwrap();
    let refused = world.open_with(|_| {}).await;
    assert!(matches!(refused, Err(Error::NewerFormat { found: 2, known: 1 })));
}
