//! Small shards are finished together: what one of them wants of the disk is done with what the others want.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dagstore_engine::{Engine, Error, Options, Parts};
use dagstore_fs::OwnName;
use dagstore_index::{FullIndex, IndexBuilder, IndexMeta, IndexRepo, IndexSummary, MemoryIndexRepo, Result};
use dagstore_types::{ErrorKind, ShardState};
use parking_lot::{Condvar, Mutex};

use super::support::*;

const SHARDS: usize = 20;

/// Publishes groups, the first of which waits until it is let through.
#[derive(Debug)]
struct GroupRepo {
    inner: Arc<MemoryIndexRepo>,
    /// How many indices each group had.
    groups: Mutex<Vec<usize>>,
    is_open: Mutex<bool>,
    opened: Condvar,
    panics: AtomicBool,
}

impl GroupRepo {
    fn new(world: &World) -> Arc<Self> {
        let inner = world.index_repo.clone();
        let (groups, is_open, opened) = (Mutex::default(), Mutex::new(false), Condvar::new());
        Arc::new(Self { inner, groups, is_open, opened, panics: AtomicBool::new(false) })
    }

    fn open_gate(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }
}

impl IndexRepo for GroupRepo {
    fn builder(&self, meta: IndexMeta) -> Result<Box<dyn IndexBuilder>> {
        self.inner.builder(meta)
    }

    fn publish_group(&self, builders: Vec<Box<dyn IndexBuilder>>) -> Vec<Result<IndexSummary>> {
        self.groups.lock().push(builders.len());
        let mut is_open = self.is_open.lock();
        self.opened.wait_while(&mut is_open, |is_open| !*is_open);
        drop(is_open);
        assert!(!self.panics.load(Ordering::Relaxed), "planted");
        self.inner.publish_group(builders)
    }

    fn open(&self, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>> {
        self.inner.open(name)
    }

    fn remove(&self, name: OwnName) -> Result<bool> {
        self.inner.remove(name)
    }

    fn list(&self) -> Result<Vec<OwnName>> {
        self.inner.list()
    }

    fn remove_temporaries(&self) -> Result<usize> {
        self.inner.remove_temporaries()
    }
}

async fn open(world: &World, index_repo: &Arc<GroupRepo>) -> Engine {
    Engine::open(Parts { index_repo: index_repo.clone(), ..world.parts() }, Options::default()).await.unwrap()
}

fn key(number: usize) -> String {
    format!("shard {number}")
}

#[tokio::test]
async fn indices_that_wait_are_published_as_one_group() {
    let world = World::new();
    let index_repo = GroupRepo::new(&world);
    let engine = open(&world, &index_repo).await;
    engine.register("first", URL).detached().await.unwrap();
    until("the first is being published", || *index_repo.groups.lock() == [1]).await;
    for number in 0..SHARDS {
        engine.register(&key(number), URL).detached().await.unwrap();
    }
    // A shard that waits for its index to be published has read its source to the end.
    let is_read = |number| {
        let progress = engine.info(&key(number)).unwrap().progress;
        progress.is_some_and(|progress| progress.total_bytes() > 0 && progress.done_bytes() == progress.total_bytes())
    };
    until("the others are indexed", || (0..SHARDS).all(is_read)).await;
    let_others_run().await;
    index_repo.open_gate();
    let is_available = |number| engine.info(&key(number)).unwrap().state == ShardState::Available;
    until("all are Available", || (0..SHARDS).all(is_available)).await;
    let groups = index_repo.groups.lock().clone();
    assert_eq!(groups.iter().sum::<usize>(), 1 + SHARDS, "{groups:?}");
    assert!(groups.iter().any(|&indices| indices > 1), "{groups:?}");
    read_all(&engine, &key(SHARDS - 1), &world.car).await;
}

#[tokio::test]
async fn a_panic_while_publishing_fails_who_took_part_and_nobody_after_them() {
    let world = World::new();
    let index_repo = GroupRepo::new(&world);
    let engine = open(&world, &index_repo).await;
    index_repo.panics.store(true, Ordering::Relaxed);
    index_repo.open_gate();
    let registered = answered("the registration", async { engine.register("a", URL).await }).await;
    assert!(
        matches!(&registered, Err(Error::Failed { source, .. }) if source.kind() == ErrorKind::Internal),
        "{registered:?}"
    );
    index_repo.panics.store(false, Ordering::Relaxed);
    answered("the other one", async { engine.register("b", URL).await }).await.unwrap();
    answered("the recovery", async { engine.recover("a").await }).await.unwrap();
    read_all(&engine, "a", &world.car).await;
}
