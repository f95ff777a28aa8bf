//! Indices: complete, of this content, and told of when the shard is Available.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_car::{GoIndexBuilder, IndexCodec, RawCid, v2_head};
use dagstore_datastore::{Batch, Datastore, Durability, ErrorClass, Namespace, RowPage, RowStream};
use dagstore_engine::{Engine, Error, Options, Parts};
use dagstore_fs::{OwnName, RealFileSystem};
use dagstore_index::conformance::KEY;
use dagstore_index::{FsIndexRepo, IndexRepo, InvertedIndex};
use dagstore_testkit::cars;
use dagstore_types::{Attempt, ErrorKind, Registration, ShardKey, ShardState};
use futures_util::TryStreamExt;

use super::support::*;

async fn shards_with(engine: &Engine, cid: &RawCid) -> Vec<String> {
    engine.locate(cid).map_ok(|key| key.to_string()).try_collect().await.unwrap()
}

#[tokio::test]
async fn fault_08_a_torn_index_is_none() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let parts = || Parts { index_repo: repo.clone(), ..world.parts() };
    let engine = Engine::open(parts(), Options::default()).await.unwrap();
    engine.register("a", URL).await.unwrap();
    engine.close().await.unwrap();
    let mut attempt = Attempt(1);
    for kept_bytes in [0, 1, 16, 1024, 1500] {
        let name = OwnName::new(&ShardKey::new("a").unwrap(), Registration(1), attempt);
        let file = std::fs::OpenOptions::new().write(true).open(folder.path().join(format!("{name}.idx"))).unwrap();
        file.set_len(kept_bytes).unwrap();
        let engine = Engine::open(parts(), Options::default()).await.unwrap();
        read_all(&engine, "a", &world.car).await;
        let built_again = engine.info("a").unwrap().attempt;
        assert!(built_again > attempt, "an index of {kept_bytes} bytes counts as complete");
        attempt = built_again;
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn fault_08_an_index_found_damaged_while_it_is_read_is_built_again() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let engine = Engine::open(Parts { index_repo: repo.clone(), ..world.parts() }, Options::default()).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let [name] = repo.list().unwrap()[..] else { panic!("one shard, one index") };
    let file = folder.path().join(format!("{name}.idx"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[1024 + 100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (cid, data) = &world.car.blocks[3];
    let reader = engine.acquire("a").await.unwrap();
    let damaged = reader.blockstore().get(cid).await;
    assert!(matches!(damaged, Err(Error::Index(_))), "a damaged index is believed: {damaged:?}");
    let another = engine.acquire("a").await.unwrap();
    let read = another.blockstore().get(cid).await;
    assert_eq!(read.expect("the index is built again"), *data);
    drop(reader);
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn fault_12_rows_that_a_crash_kept_from_being_written_are_written_after_it() {
    let world = World::new();
    let engine = world.open().await;
    world.inverted.fail_writes(ErrorClass::Transient, 0, u64::MAX);
    engine.register("a", URL).detached().await.unwrap();
    until("the index is published", || world.indices() == 1).await;
    assert!(shards_with(&engine, &world.car.roots[0]).await.is_empty());
    world.crash(engine).await;
    let opens = world.gate.opens();
    world.inverted.heal();
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
    assert_eq!(world.gate.opens(), opens, "the source is read again, though its index is complete");
    for (cid, _) in &world.car.blocks {
        assert_eq!(shards_with(&engine, cid).await, ["a"], "the rows were never written");
    }
}

#[tokio::test]
async fn fault_35_an_inline_index_is_not_believed() {
    let world = World::new();
    let engine = world.open().await;
    let car = cars::numbered(5, 60);
    let offsets = [4, 0, 1, 2];
    // The last block is left out, and all others are somewhere else.
    let mut lies = GoIndexBuilder::new(IndexCodec::MultihashSorted);
    for ((cid, _), offset) in car.blocks.iter().zip(offsets) {
        lies.add(cid.multihash(), offset * 100);
    }
    let mut index = Vec::new();
    lies.write(&mut index).unwrap();
    world.gate.serve(Some(with_inline_index(&car.bytes, &index).into()));
    engine.register("lies", URL).await.unwrap();
    read_all(&engine, "lies", &car).await;

    // More buckets than there is memory.
    let endless = [&[0x80, 0x08][..], &i32::MAX.to_le_bytes(), &8_u32.to_le_bytes(), &u64::MAX.to_le_bytes()].concat();
    world.gate.serve(Some(with_inline_index(&car.bytes, &endless).into()));
    engine.register("endless", URL).await.expect_err("an index of which there is nothing is believed");
    assert_eq!(engine.info("endless").unwrap().error.unwrap().kind(), ErrorKind::MalformedCar);
}

/// A CARv2 whose inline index is these bytes.
fn with_inline_index(payload: &[u8], index: &[u8]) -> Vec<u8> {
    let mut head = v2_head(payload.len() as u64);
    let end = head.len();
    let index_offset = (end + payload.len()) as u64;
    head[end - 8..].copy_from_slice(&index_offset.to_le_bytes());
    [&head[..], payload, index].concat()
}

#[tokio::test]
async fn fault_36_a_car_cut_in_its_last_block_is_not_indexed() {
    let world = World::new();
    let engine = world.open().await;
    let whole = world.car.bytes.clone();
    for (number, missing) in [1, 50, 99].into_iter().enumerate() {
        world.gate.serve(Some(Bytes::from(whole[..whole.len() - missing].to_vec())));
        let key = number.to_string();
        engine.register(&key, URL).await.expect_err("a CAR that was cut is indexed");
        let error = engine.info(&key).unwrap().error.unwrap();
        assert_eq!(error.kind(), ErrorKind::TruncatedCar, "{error}");
        assert!(shards_with(&engine, &world.car.roots[0]).await.is_empty());
    }
    assert_eq!(world.indices(), 0);
}

#[tokio::test]
async fn fault_40_removing_an_index_tells_one_thing() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let engine = Engine::open(Parts { index_repo: repo.clone(), ..world.parts() }, Options::default()).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let [name] = repo.list().unwrap()[..] else { panic!("one shard, one index") };
    assert!(repo.remove(name).unwrap(), "it was there");
    assert!(!repo.remove(name).expect("an absent index is no error"), "it was gone already");
    // A shard whose index is gone already is destroyed all the same.
    engine.destroy("a").await.expect("an absent index is no error");
    assert!(engine.shards().is_empty());
}

/// Counts reads of rows, and the largest write.
#[derive(Debug, Clone)]
struct Watched {
    inner: Arc<dyn Datastore>,
    counts: Arc<(AtomicU64, AtomicU64)>,
}

impl Watched {
    fn reads(&self, namespace: Namespace) {
        self.counts.0.fetch_add(u64::from(namespace == InvertedIndex::ROWS), Ordering::Relaxed);
    }
}

#[async_trait]
impl Datastore for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> dagstore_datastore::Result<Option<Bytes>> {
        self.reads(namespace);
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> dagstore_datastore::Result<()> {
        self.counts.1.fetch_max(batch.byte_len() as u64, Ordering::Relaxed);
        self.inner.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.reads(namespace);
        self.inner.scan(namespace, prefix)
    }

    async fn rows(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> dagstore_datastore::Result<RowPage> {
        self.reads(namespace);
        self.inner.rows(namespace, prefix, after, limit).await
    }

    async fn sync(&self) -> dagstore_datastore::Result<()> {
        self.inner.sync().await
    }

    async fn reopen(&self) -> dagstore_datastore::Result<()> {
        self.inner.reopen().await
    }

    async fn close(&self) -> dagstore_datastore::Result<()> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn fault_42_rows_are_written_in_bounded_pieces_without_being_read() {
    const BLOCKS: u64 = 40_000;
    let world = World::new();
    let rows = Watched { inner: Arc::new(world.inverted.clone()), counts: Arc::default() };
    let car = cars::numbered(BLOCKS, 8);
    world.gate.serve(Some(car.bytes.clone().into()));
    let inverted = Some(InvertedIndex::new(Arc::new(rows.clone()), KEY));
    let engine = Engine::open(Parts { inverted, ..world.parts() }, Options::default()).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let (reads, largest) = (&rows.counts.0, &rows.counts.1);
    assert_eq!(reads.load(Ordering::Relaxed), 0, "rows are read before they are written");
    let largest = largest.load(Ordering::Relaxed);
    assert!(largest <= 512 * 1024, "one write has {largest} bytes");
    let last = &car.blocks[car.blocks.len() - 1].0;
    assert_eq!(shards_with(&engine, last).await, ["a"]);
}
