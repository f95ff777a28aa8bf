//! A datastore whose write never returns, or fails again and again: everybody is answered, and nothing that was said is false.

use std::error::Error as _;
use std::time::Duration;

use dagstore_datastore::ErrorClass;
use dagstore_engine::{Engine, Error};
use dagstore_testkit::HeldDatastore;
use dagstore_types::ShardState;
use futures_util::future::join_all;

use super::support::*;

const DEADLINE: Duration = Duration::from_millis(200);

/// A store with a shard in each state that something can be asked of, whose writes are held from now on.
async fn open_hanging(world: &World) -> (Engine, HeldDatastore) {
    let change = |options: &mut dagstore_engine::Options| {
        options.persist_deadline = DEADLINE;
        options.close_deadline = Duration::from_secs(2);
    };
    let (engine, held) = world.open_held_with(change).await;
    for key in ["available", "other"] {
        engine.register(key, URL).await.unwrap();
    }
    engine.register("lazy", URL).lazy().await.unwrap();
    engine.register("failed", "bytes:no-car").await.unwrap_err();
    held.hold_after(0);
    (engine, held)
}

/// Everything that needs a write, at once.
async fn ask_everything(engine: &Engine) -> [(&'static str, Result<(), Error>); 5] {
    let (registered, eager, destroyed, recovered, acquired) = tokio::join!(
        answered("a registration", async { engine.register("new", URL).lazy().await }),
        answered("an eager registration", async { engine.register("new and eager", URL).await }),
        answered("a destruction", engine.destroy("other")),
        answered("a recovery", engine.recover("failed")),
        answered("a first acquire", engine.acquire("lazy")),
    );
    [
        ("register", registered),
        ("register eagerly", eager),
        ("destroy", destroyed),
        ("recover", recovered),
        ("acquire", acquired.map(drop)),
    ]
}

fn states(engine: &Engine) -> Vec<(String, ShardState)> {
    engine.shards().into_iter().map(|shard| (shard.key.to_string(), shard.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn everybody_is_answered_while_a_write_never_returns() {
    let world = World::new();
    let (engine, held) = open_hanging(&world).await;
    let before = states(&engine);
    assert!(engine.degraded().is_none());
    // Those of the first round are in the write that hangs or right behind it, those of the others come later.
    for round in 0..3 {
        for (request, answer) in ask_everything(&engine).await {
            assert!(matches!(answer, Err(Error::NotDurable { .. })), "{request} in round {round}: {answer:?}");
        }
        assert!(held.is_holding(), "it still hangs");
        let degraded = engine.degraded().unwrap();
        let why = degraded.source().unwrap().to_string();
        assert!(why.contains("has not answered"), "{degraded}: {why}");
        assert_eq!(states(&engine), before);
        read_all(&engine, "available", &world.car).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_goes_on_when_the_write_returns_after_all() {
    let world = World::new();
    let (engine, held) = open_hanging(&world).await;
    let before = states(&engine);
    for (request, answer) in ask_everything(&engine).await {
        assert!(matches!(answer, Err(Error::NotDurable { .. })), "{request}: {answer:?}");
    }
    held.release();
    until("the store writes again", || engine.degraded().is_none()).await;
    assert_eq!(states(&engine), before, "what was refused hasn't happened");
    engine.register("afterwards", URL).await.unwrap();
    // Long enough for all rows to be set right.
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(held);
    world.crash(engine).await;

    let engine = world.open().await;
    engine.resumed().await.unwrap();
    let mut expected = before;
    expected.insert(0, ("afterwards".to_owned(), ShardState::Available));
    assert_eq!(states(&engine), expected);
    for key in ["available", "other", "lazy", "afterwards", "new"] {
        if key == "new" {
            engine.register(key, URL).await.unwrap();
        }
        read_all(&engine, key, &world.car).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_hanging_write_has_written_before_a_crash_is_there_whole() {
    let world = World::new();
    let (engine, held) = open_hanging(&world).await;
    let writes = world.datastore.writes();
    for (request, answer) in ask_everything(&engine).await {
        assert!(matches!(answer, Err(Error::NotDurable { .. })), "{request}: {answer:?}");
    }
    held.release();
    until("the write has returned", || world.datastore.writes() > writes).await;
    drop(held);
    world.crash(engine).await;

    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!(engine.quarantined(), []);
    // Whatever had been told that it isn't durable has happened, or it hasn't.
    for key in ["available", "lazy", "new", "new and eager", "other"] {
        match engine.info(key) {
            Ok(_) => read_all(&engine, key, &world.car).await,
            Err(error) => assert!(matches!(error, Error::NotFound(_)), "{key}: {error}"),
        }
    }
    for key in ["available", "lazy"] {
        assert!(engine.info(key).is_ok(), "{key} was acknowledged, and nobody wanted to destroy it");
    }
    engine.gc().await.unwrap();
    let indexed = engine.shards().iter().filter(|shard| shard.state == ShardState::Available).count();
    assert_eq!(world.indices(), indexed);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_a_write_that_never_returns() {
    let world = World::new();
    let (engine, held) = open_hanging(&world).await;
    let other = engine.clone();
    let asking = tokio::spawn(async move { other.register("new", URL).lazy().await });
    until("the registration is being written", || held.is_holding()).await;
    let closed = answered("closing", engine.close()).await;
    assert!(matches!(closed, Err(Error::CloseTimedOut)), "{closed:?}");
    let registered = answered("the registration", asking).await.unwrap();
    assert!(matches!(registered, Err(Error::Closed)), "{registered:?}");
    drop((engine, held));
    until("nothing of the store is left", || world.datastore.handles() == 1).await;
    let engine = world.open().await;
    read_all(&engine, "available", &world.car).await;
    assert!(matches!(engine.info("new"), Err(Error::NotFound(_))));
}

/// Lives a little with a datastore that fails every second write, and looks for all of it afterwards.
async fn live_with_every_second_write_failing(class: ErrorClass) {
    let world = World::new();
    let engine = world.open().await;
    world.datastore.fail_every_second_write(class);
    let keys: Vec<String> = (0..20).map(|number| format!("shard {number:02}")).collect();
    for registered in join_all(keys.iter().map(|key| async { engine.register(key, URL).await })).await {
        registered.unwrap();
    }
    for key in &keys[..10] {
        read_all(&engine, key, &world.car).await;
        engine.destroy(key).await.unwrap();
    }
    engine.register("failed", "bytes:no-car").await.unwrap_err();
    assert!(matches!(engine.recover("failed").await, Err(Error::Failed { .. })));
    assert_eq!(world.datastore.reopened() > 0, class == ErrorClass::NeedsReopen);
    world.crash(engine).await;
    world.datastore.heal();

    let engine = world.open().await;
    engine.resumed().await.unwrap();
    let mut expected: Vec<_> = keys[10..].iter().map(|key| (key.clone(), ShardState::Available)).collect();
    expected.insert(0, ("failed".to_owned(), ShardState::Errored));
    assert_eq!(states(&engine), expected);
    assert_eq!(world.indices(), 10);
    for key in &keys[10..] {
        read_all(&engine, key, &world.car).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_second_write_may_fail() {
    live_with_every_second_write_failing(ErrorClass::Transient).await;
    live_with_every_second_write_failing(ErrorClass::NeedsReopen).await;
}
