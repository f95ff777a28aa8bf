//! Drops the futures of calls after each of their polls, and looks at what is left of them.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowStream};
use dagstore_engine::{Engine, Error};
use dagstore_testkit::FaultyDatastore;
use dagstore_types::{Attempt, Registration, ShardKey, ShardState};
use futures_util::FutureExt;
use tokio::sync::Notify;

use super::support::*;

/// A datastore that carries out what was begun even if nobody waits for it any more, as those on a disk do, and that
/// makes everybody wait.
#[derive(Debug, Clone)]
pub(super) struct SteadyDatastore(Arc<dyn Datastore>);

impl SteadyDatastore {
    async fn begin<T, W>(&self, work: impl FnOnce(Arc<dyn Datastore>) -> W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let work = work(self.0.clone());
        let working = tokio::spawn(async {
            let_others_run().await;
            let done = work.await;
            let_others_run().await;
            done
        });
        working.await.unwrap()
    }
}

#[async_trait]
impl Datastore for SteadyDatastore {
    fn name(&self) -> &'static str {
        "steady"
    }

    /// Reads don't wait for writes.
    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.0.get(namespace, key).await;
        let_others_run().await;
        found
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.begin(|inner| async move { inner.write(batch, durability).await }).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.0.scan(namespace, prefix)
    }

    async fn sync(&self) -> Result<()> {
        self.begin(|inner| async move { inner.sync().await }).await
    }

    async fn reopen(&self) -> Result<()> {
        self.begin(|inner| async move { inner.reopen().await }).await
    }

    async fn close(&self) -> Result<()> {
        self.begin(|inner| async move { inner.close().await }).await
    }
}

/// A world with a datastore that makes everybody wait.
pub(super) fn steady_world() -> World {
    let mut world = World::new();
    world.datastore = FaultyDatastore::new(Arc::new(SteadyDatastore(world.disk())));
    world
}

/// When a future is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// As soon as its last poll has returned.
    AtOnce,
    /// When it was woken to be polled once more: what it waited for is there, and nobody takes it.
    Woken,
}

#[derive(Debug, Default)]
pub(super) struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls `future` so many times, each time but the first when it was woken, and drops it. Calls `go_on` behind every poll.
/// Returns what the future gave if it ended before.
pub(super) async fn dropped_after<T>(
    polls: usize,
    when: When,
    future: impl Future<Output = T>,
    go_on: impl Fn(),
) -> Option<T> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut future = Box::pin(future);
    for poll in 1..=polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        if poll == polls && when == When::AtOnce {
            break;
        }
        go_on();
        answered("the future is woken", woken.0.notified()).await;
    }
    drop(future);
    go_on();
    None
}

/// Lives beside the future that is dropped, with a shard of its own.
pub(super) async fn live_beside(engine: Engine, car: dagstore_testkit::cars::TestCar) {
    for _ in 0..2 {
        engine.register("other", "remote:other").await.unwrap();
        read_all(&engine, "other", &car).await;
        engine.destroy("other").await.unwrap();
    }
}

/// Drops the future of `act` after each of its polls. `prepare` opens the store before; `again` makes the same call once
/// more, and is told whether the first one has ended.
pub(super) async fn drop_everywhere(
    prepare: impl AsyncFn(&World) -> Engine,
    act: impl AsyncFn(&Engine),
    again: impl AsyncFn(&World, &Engine, bool),
) {
    // What a call waits for may be there before it looks; where that is so every time, there was nothing to drop.
    for _ in 0..50 {
        if drops(&prepare, &act, &again).await > 0 {
            return;
        }
    }
    panic!("the call never waits: nothing was dropped");
}

/// How many futures were dropped that had begun and not ended.
pub(super) async fn drops(
    prepare: &impl AsyncFn(&World) -> Engine,
    act: &impl AsyncFn(&Engine),
    again: &impl AsyncFn(&World, &Engine, bool),
) -> usize {
    let mut dropped = 0;
    for polls in 0.. {
        let mut all_ended = true;
        for when in [When::AtOnce, When::Woken] {
            let world = steady_world();
            let engine = prepare(&world).await;
            let beside = tokio::spawn(live_beside(engine.clone(), world.car.clone()));
            let ended = dropped_after(polls, when, act(&engine), || world.gate.open()).await.is_some();
            answered("the same call again", again(&world, &engine, ended)).await;
            answered("the life beside", beside).await.unwrap();
            nothing_is_left(&world, engine).await;
            all_ended &= ended;
            dropped += usize::from(!ended && polls > 0);
        }
        if all_ended {
            break;
        }
    }
    dropped
}

/// Nobody uses anything, nothing is being done, no file belongs to nobody, and a store that is opened again is the same.
pub(super) async fn nothing_is_left(world: &World, engine: Engine) {
    until("all shards rest", || {
        engine.shards().iter().all(|shard| {
            let is_settled = matches!(shard.state, ShardState::New | ShardState::Available) && !shard.writing;
            is_settled && shard.references == 0 && shard.progress.is_none()
        })
    })
    .await;
    engine.gc().await.unwrap();
    let states = states(&engine);
    assert_eq!(world.indices(), states.iter().filter(|(.., state)| *state == ShardState::Available).count());
    engine.close().await.unwrap();
    drop(engine);
    until("nothing of the store runs", || world.datastore.handles() == 1).await;
    assert_eq!(world.gate.open_readers(), 0);

    let engine = world.open().await;
    assert_eq!(engine.resumed().await.unwrap().interrupted, 0);
    assert_eq!((self::states(&engine), engine.quarantined()), (states, vec![]));
    engine.close().await.unwrap();
}

pub(super) fn states(engine: &Engine) -> Vec<(ShardKey, Registration, Attempt, ShardState)> {
    let shards = engine.shards().into_iter();
    shards.map(|shard| (shard.key, shard.registration, shard.attempt, shard.state)).collect()
}

pub(super) async fn until_in(engine: &Engine, state: ShardState) {
    until(state.name(), || engine.info("a").unwrap().state == state).await;
}

/// A store with the shard "a" that is Available, and not open.
pub(super) async fn open_available(world: &World) -> Engine {
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine
}

/// As [`open_available`], and whoever opens the shard waits at the gate.
pub(super) async fn open_available_behind_a_gate(world: &World) -> Engine {
    let engine = open_available(world).await;
    world.gate.shut();
    engine
}

/// A store with the shard "a", whose index is being built by a reader that stands at the gate.
pub(super) async fn open_working(world: &World) -> Engine {
    let engine = world.open().await;
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    engine
}

/// A store with the shard "a" that is Errored, though its source is good again.
pub(super) async fn open_errored(world: &World) -> Engine {
    let engine = world.open().await;
    world.gate.set_broken(true);
    assert!(matches!(engine.register("a", URL).await, Err(Error::Failed { .. })));
    world.gate.set_broken(false);
    engine
}

/// A store with the shard "a" that is Recovering, with a reader that stands at the gate.
pub(super) async fn open_recovering(world: &World) -> Engine {
    let engine = open_errored(world).await;
    world.gate.shut();
    assert!(engine.recover("a").now_or_never().is_none());
    reader_at(&world.gate).await;
    assert_eq!(engine.info("a").unwrap().state, ShardState::Recovering);
    engine
}
