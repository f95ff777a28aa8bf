//! Collecting rows that no index names, while shards are indexed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, Namespace, Result, RowPage, RowStream};
use dagstore_engine::{Engine, Options, Parts};
use dagstore_fs::RealFileSystem;
use dagstore_index::conformance::KEY;
use dagstore_index::{FINGERPRINT_BYTES, Fingerprint, FsIndexRepo, IndexRepo, InvertedIndex};
use dagstore_testkit::{HeldDatastore, Wired, cars};
use dagstore_types::{ShardRecord, ShardState, UnixMillis};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;

use super::support::*;

/// Another datastore, whose scans of rows wait until they are let through.
#[derive(Debug)]
struct HeldScans {
    inner: Arc<dyn Datastore>,
    /// Whether scans wait. Each that does has a receiver.
    holding: watch::Sender<bool>,
}

#[async_trait]
impl Datastore for HeldScans {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.inner.write(batch, durability).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        if namespace != InvertedIndex::ROWS || !*self.holding.borrow() {
            return self.inner.scan(namespace, prefix);
        }
        let (mut holding, inner, prefix) = (self.holding.subscribe(), self.inner.clone(), prefix.to_vec());
        let waiting = async move {
            let _released = holding.wait_for(|holding| !holding).await;
            inner.scan(namespace, &prefix)
        };
        stream::once(waiting).flatten().boxed()
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.inner.rows(namespace, prefix, after, limit).await
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.inner.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// The collection goes by the index that the shard had when it began. A shard that is indexed anew meanwhile, and whose source
/// is another by now, has rows that this index doesn't name.
#[tokio::test]
async fn rows_that_are_loaded_while_others_are_collected_stay() {
    let world = World::new();
    let scans = Arc::new(HeldScans { inner: Arc::new(world.inverted.clone()), holding: watch::Sender::new(false) });
    let records = HeldDatastore::new(Arc::new(world.datastore.clone()));
    let inverted = Some(InvertedIndex::new(scans.clone(), KEY));
    let parts = Parts { inverted, datastore: Arc::new(records.clone()), ..world.parts() };
    let mut options = Options::default();
    options.keep_open = 0;
    let engine = Engine::open(parts, options).await.unwrap();
    engine.resumed().await.unwrap();
    engine.register("a", URL).await.unwrap();
    // An index that is lost leaves a note that there may be rows that none names.
    let [name] = world.index_repo.list().unwrap()[..] else { panic!("one shard, one index") };
    world.index_repo.remove(name).unwrap();
    read_all(&engine, "a", &world.car).await;

    scans.holding.send_replace(true);
    let of = engine.clone();
    let collecting = tokio::spawn(async move { of.gc().await });
    until("rows are looked through", || scans.holding.receiver_count() > 0).await;
    let other = cars::numbered(30, 60);
    world.gate.serve(Some(other.bytes.clone().into()));
    engine.acquire("a").await.expect_err("its source has changed");
    // That the shard is to be recovered and that its attempt begins is written, that it is Available isn't yet.
    records.hold_after(2);
    let of = engine.clone();
    let recovering = tokio::spawn(async move { of.recover("a").await });
    until("the other index is published", || world.indices() == 2).await;
    let_others_run().await;
    scans.holding.send_replace(false);
    answered("the collection", collecting).await.unwrap().unwrap();
    records.release();
    answered("the recovery", recovering).await.unwrap().unwrap();
    until("the shard is Available", || engine.info("a").unwrap().state == ShardState::Available).await;
    for (cid, _) in &other.blocks {
        let found: Vec<_> = engine.locate(cid).try_collect().await.unwrap();
        assert_eq!(found.len(), 1, "a row was collected with the leftovers");
    }
    assert_eq!(world.inverted_rows().await, other.blocks.len());
}

#[tokio::test]
async fn what_a_collection_has_to_leave_is_told_with_the_cause() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let index_repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let mut options = Options::default();
    options.keep_open = 0;
    let parts = Parts { index_repo: index_repo.clone(), ..world.parts() };
    let engine = Engine::open(parts, options).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let [name] = index_repo.list().unwrap()[..] else { panic!("one shard, one index") };
    index_repo.remove(name).unwrap();
    read_all(&engine, "a", &world.car).await;
    // The index can't be read now, and so nobody knows which rows are left over.
    let [name] = index_repo.list().unwrap()[..] else { panic!("one shard, one index") };
    let path = folder.path().join(format!("{name}.idx"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let report = engine.gc().await.unwrap();
    let [kept] = &report.kept[..] else { panic!("{report:?}") };
    let (_, why) = kept.why.split_once(".idx").expect("it names the file");
    assert!(why.len() > 2, "no cause: {kept:?}");
}

#[tokio::test]
async fn what_a_collection_leaves_is_told_once() {
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(world.car.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    engine.close().await.unwrap();
    let files = world.copy_files();
    let (sidecar, _) = files.iter().find(|(name, _)| name.ends_with(".meta")).unwrap();
    // Nobody can tell any more whose these files are.
    std::fs::write(world.copies.as_ref().unwrap().path().join(sidecar), "torn").unwrap();
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    let report = engine.gc().await.unwrap();
    let mut told: Vec<_> = report.kept.iter().map(|kept| kept.what.clone()).collect();
    told.sort();
    assert_eq!(told, files.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
}

/// A store with the shard "a", whose index was built twice, and nothing noted; and its inverted index.
async fn open_rebuilt(world: &World) -> (Engine, InvertedIndex) {
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.rebuild_index("a").await.unwrap();
    engine.gc().await.unwrap();
    (engine, InvertedIndex::new(Arc::new(world.inverted.clone()), KEY))
}

/// The process ended between the new index and the rows of the old one, which is lost. The new one names other rows.
#[tokio::test]
async fn rows_of_a_lost_index_go_with_a_shard_that_a_later_attempt_had_indexed() {
    let world = World::new();
    let (engine, inverted) = open_rebuilt(&world).await;
    let info = engine.info("a").unwrap();
    engine.close().await.unwrap();
    let old = [1, 2].map(|byte| Ok(Fingerprint([byte; FINGERPRINT_BYTES])));
    inverted.add(info.registration, Box::new(old.into_iter())).await.unwrap();
    let mut record = ShardRecord::new(info.key, URL.to_owned(), false, info.registration, UnixMillis(0));
    (record.state, record.attempt) = (ShardState::Destroying, info.attempt);
    world.put_record(&record).await;
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    engine.gc().await.unwrap();
    assert_eq!((engine.shards().len(), world.inverted_rows().await), (0, 0));
}

/// A collection that looks through all rows is dear.
#[tokio::test]
async fn a_shard_that_was_available_is_destroyed_without_a_note() {
    let world = World::new();
    let (engine, inverted) = open_rebuilt(&world).await;
    engine.destroy("a").await.unwrap();
    assert_eq!((inverted.leftovers().await.unwrap().len(), world.inverted_rows().await), (0, 0));
}

/// Its record was lost: nobody else knows that there are rows.
#[tokio::test]
async fn an_index_that_belongs_to_nobody_takes_its_rows_with_it() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.register("b", URL).await.unwrap();
    let gone = engine.info("a").unwrap().registration;
    engine.close().await.unwrap();
    world.datastore.delete(SHARDS, &gone.0.to_be_bytes()).await.unwrap();
    let engine = world.open().await;
    engine.resumed().await.unwrap();
    let report = engine.gc().await.unwrap();
    assert_eq!((report.indices_removed, report.kept), (1, vec![]));
    assert_eq!((world.index_repo.list().unwrap().len(), world.inverted_rows().await), (1, world.car.blocks.len()));
    read_all(&engine, "b", &world.car).await;
}
