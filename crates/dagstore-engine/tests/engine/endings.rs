//! How things end: work that nobody wants any more, a store that closes, a runtime that goes away.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use dagstore_engine::{Engine, Error};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use super::support::*;

#[tokio::test]
async fn destroying_a_shard_in_line_does_not_wait_for_those_before_it() {
    let world = World::new();
    let engine = world.open_with(|options| options.max_indexing = 1).await.unwrap();
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    engine.register("b", URL).detached().await.unwrap();
    answered("the destruction", engine.destroy("b")).await.unwrap();
    assert!(matches!(engine.info("b"), Err(Error::NotFound(_))));
    world.gate.open();
    read_all(&engine, "a", &world.car).await;
}

/// Begins with the shard "a", whose source hangs while it is opened.
async fn open_with_a_hanging_shard(world: &World) -> Engine {
    let engine = world.open().await;
    engine.register("a", "hanging:source").detached().await.unwrap();
    until("the work is begun", || engine.info("a").unwrap().attempt.0 == 1).await;
    engine
}

#[tokio::test]
async fn a_shard_whose_source_hangs_can_be_destroyed() {
    let world = World::new();
    let engine = open_with_a_hanging_shard(&world).await;
    answered("the destruction", engine.destroy("a")).await.unwrap();
    assert_eq!(engine.shards(), []);
}

#[tokio::test]
async fn a_source_that_hangs_does_not_keep_a_closed_store_open() {
    let world = World::new();
    let engine = open_with_a_hanging_shard(&world).await;
    answered("closing", engine.close()).await.unwrap();
    drop(engine);
    until("nothing of the store is left", || world.datastore.handles() == 1).await;
}

#[tokio::test]
async fn a_source_that_hangs_does_not_keep_a_dropped_store_open() {
    let world = World::new();
    let engine = open_with_a_hanging_shard(&world).await;
    drop(engine);
    until("nothing of the store is left", || world.datastore.handles() == 1).await;
}

#[tokio::test]
async fn nothing_is_written_after_closing() {
    let world = World::new();
    let (engine, held) = world.open_held().await;
    held.hold_after(0);
    let other = engine.clone();
    let registering = tokio::spawn(async move { other.register("a", URL).lazy().await });
    until("the block of numbers is being written", || held.is_holding()).await;
    let datastore = world.datastore.clone();
    let closing = tokio::spawn(async move {
        engine.close().await.unwrap();
        datastore.writes()
    });
    // Lets closing come as far as it can.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    held.release();
    let writes = answered("closing", closing).await.unwrap();
    let registered = answered("the registration", registering).await.unwrap();
    assert!(matches!(registered, Err(Error::Closed)), "{registered:?}");
    assert_eq!(world.datastore.writes(), writes);
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn open_with_a_shard(world: &World) -> Engine {
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine
}

#[test]
fn a_store_whose_runtime_is_gone_is_closed() {
    let world = World::new();
    let own = runtime();
    let engine = own.block_on(open_with_a_shard(&world));
    drop(own);
    runtime().block_on(async {
        let registered = answered("the registration", engine.register("b", URL).lazy().into_future()).await;
        assert!(matches!(registered, Err(Error::Closed)), "{registered:?}");
        assert!(matches!(answered("the acquire", engine.acquire("a")).await, Err(Error::Closed)));
        answered("closing", engine.close()).await.unwrap();
        read_all(&world.open().await, "a", &world.car).await;
    });
}

/// Runs `work` on this thread, without any runtime.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut work = pin!(work);
    loop {
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn callers_need_no_runtime_of_their_own() {
    let world = World::new();
    let own = runtime();
    let engine = own.block_on(open_with_a_shard(&world));
    block_on(async {
        read_all(&engine, "a", &world.car).await;
        engine.register("b", URL).await.unwrap();
        read_all(&engine, "b", &world.car).await;
        engine.destroy("a").await.unwrap();
        engine.gc().await.unwrap();
    });
}

#[test]
fn an_accessor_is_released_on_a_thread_without_a_runtime() {
    let world = World::new();
    let own = runtime();
    let engine = own.block_on(open_with_a_shard(&world));
    let [first, second] = [(), ()].map(|()| block_on(engine.acquire("a")).unwrap());
    drop(first);
    assert_eq!(engine.info("a").unwrap().references, 1);
    std::thread::spawn(move || drop(second)).join().unwrap();
    assert_eq!(engine.info("a").unwrap().references, 0);
    block_on(engine.destroy("a")).unwrap();
}

#[test]
fn what_is_dropped_after_the_runtime_has_ended_does_no_harm() {
    let world = World::new();
    let own = runtime();
    let engine = own.block_on(open_with_a_shard(&world));
    let accessor = own.block_on(engine.acquire("a")).unwrap();
    own.block_on(async { engine.register("b", URL).lazy().await }).unwrap();
    world.gate.shut();
    let mut acquiring = Box::pin(engine.acquire("b"));
    let mut registering = engine.register("c", URL).into_future();
    let mut destroying = Box::pin(engine.destroy("b"));
    own.block_on(async {
        assert!(acquiring.as_mut().now_or_never().is_none());
        assert!(registering.as_mut().now_or_never().is_none());
        assert!(destroying.as_mut().now_or_never().is_none());
        reader_at(&world.gate).await;
    });
    world.gate.open();
    drop(own);
    drop((acquiring, registering, destroying));
    assert_eq!(engine.info("a").unwrap().references, 1);
    for (cid, data) in &world.car.blocks {
        assert_eq!(block_on(accessor.blockstore().get(cid)).unwrap(), *data);
    }
    drop(accessor);
    assert_eq!(engine.info("a").unwrap().references, 0);
    drop(engine);
    assert_eq!((world.datastore.handles(), world.gate.open_readers()), (1, 0));
    runtime().block_on(async { read_all(&world.open().await, "a", &world.car).await });
}
