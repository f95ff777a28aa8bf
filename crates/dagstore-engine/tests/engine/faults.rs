//! A datastore that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dagstore_codec::{Codec, CodecId};
use dagstore_datastore::ErrorClass;
use dagstore_engine::{Engine, Error, Options};
use dagstore_mount::{BytesMount, Capabilities, Mount, Opened, Stat};
use dagstore_types::{ErrorKind, ShardRecord, ShardState};

use super::support::*;

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_durable() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("first", URL).await.unwrap();
    world.datastore.fail_writes(ErrorClass::Permanent, 0, u64::MAX);
    assert!(matches!(engine.register("a", URL).lazy().await, Err(Error::NotDurable { source: Some(_), .. })));
    assert!(matches!(engine.info("a"), Err(Error::NotFound(_))));
    read_all(&engine, "first", &world.car).await;
    world.datastore.heal();
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(world.open().await.shards().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_not_noticed() {
    let world = World::new();
    let engine = world.open().await;
    for class in [ErrorClass::Transient, ErrorClass::NeedsReopen] {
        let reopened = world.datastore.reopened();
        world.datastore.fail_writes(class, 0, 3);
        let key = format!("{class:?}");
        engine.register(&key, "bytes:no-car").lazy().await.unwrap();
        let expected = if class == ErrorClass::NeedsReopen { 2..=3 } else { 0..=0 };
        assert!(expected.contains(&(world.datastore.reopened() - reopened)), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_happened_is_written_when_the_datastore_is_back() {
    let world = World::new();
    let engine = world.open_with(|options| options.persist_deadline = Duration::from_secs(1)).await.unwrap();
    world.gate.shut();
    engine.register("a", URL).detached().await.unwrap();
    reader_at(&world.gate).await;
    world.datastore.fail_writes(ErrorClass::Transient, 0, u64::MAX);
    world.gate.open();
    let acquired = engine.acquire("a").await;
    assert!(matches!(acquired, Err(Error::NotDurable { .. })), "{acquired:?}");
    world.datastore.heal();
    until("the shard becomes Available", || engine.info("a").unwrap().state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_panic_while_indexing_fails_the_shard_and_nothing_else() {
    let world = World::new();
    let engine = world.open().await;
    world.gate.set_panicking(true);
    let Err(Error::Failed { source, .. }) = engine.register("a", URL).await else { panic!("no error") };
    assert_eq!(source.kind(), ErrorKind::Internal);
    world.gate.set_panicking(false);
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
}

/// Another codec, which panics for as long as it is told to.
#[derive(Debug)]
struct PanickingCodec(dagstore_codec::Json, Arc<AtomicBool>);

impl Codec for PanickingCodec {
    fn id(&self) -> CodecId {
        self.0.id()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u8 {
        self.0.version()
    }

    fn encode(&self, record: &ShardRecord, out: &mut Vec<u8>) -> dagstore_codec::Result<()> {
        assert!(!self.1.load(Ordering::Relaxed), "as the test wants");
        self.0.encode(record, out)
    }

    fn decode(&self, version: u8, bytes: &[u8]) -> dagstore_codec::Result<ShardRecord> {
        self.0.decode(version, bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_leaves_no_key_occupied() {
    let panics = Arc::new(AtomicBool::new(false));
    let world = World::with_codec(Arc::new(PanickingCodec(dagstore_codec::Json, panics.clone())));
    let engine = world.open().await;
    engine.register("b", URL).await.unwrap();
    panics.store(true, Ordering::Relaxed);
    let registering = engine.clone();
    let registered = tokio::spawn(async move { registering.register("a", URL).lazy().await });
    let registered = answered("the registration", registered).await.unwrap();
    assert!(matches!(registered, Err(Error::NotDurable { .. })), "{registered:?}");
    let destroyed = answered("the destruction", engine.destroy("b")).await;
    assert!(matches!(destroyed, Err(Error::NotDurable { .. })), "{destroyed:?}");
    panics.store(false, Ordering::Relaxed);
    answered("the registration", async { engine.register("a", URL).await }).await.unwrap();
    for key in ["a", "b"] {
        answered("reading", read_all(&engine, key, &world.car)).await;
    }
}

/// A mount that panics when it is asked what it can do, after the first time.
#[derive(Debug, Clone, Default)]
struct PanickingMount(Arc<AtomicBool>);

#[async_trait]
impl Mount for PanickingMount {
    fn capabilities(&self) -> Capabilities {
        assert!(!self.0.swap(true, Ordering::Relaxed), "as the test wants");
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        String::new()
    }

    fn instantiate(&self, _location: &str) -> dagstore_mount::Result<Arc<dyn Mount>> {
        Ok(Arc::new(self.clone()))
    }

    async fn stat(&self) -> dagstore_mount::Result<Stat> {
        Ok(Stat::new(1, None))
    }

    async fn open(&self) -> dagstore_mount::Result<Opened> {
        BytesMount::template().open().await
    }
}

#[tokio::test]
async fn a_panic_before_the_work_fails_the_shard_and_nothing_else() {
    let world = World::new();
    let mut parts = world.parts();
    parts.registry.register("panicking", PanickingMount::default()).unwrap();
    let mut options = Options::default();
    (options.max_fetching, options.max_indexing) = (1, 1);
    let engine = Engine::open(parts, options).await.unwrap();
    let registered = answered("the registration", async { engine.register("a", "panicking:x").await }).await;
    let Err(Error::Failed { source, .. }) = registered else { panic!("{registered:?}") };
    assert_eq!(source.kind(), ErrorKind::Internal);
    engine.register("b", URL).await.unwrap();
    answered("the destruction", engine.destroy("a")).await.unwrap();
}
