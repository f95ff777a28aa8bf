//! A store whose datastore, mount and codec are this test's own: what `CONTRIBUTING.md` says about adding each, done.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore::codec::{self, Codec, CodecId, Json};
use dagstore::datastore::{self, Batch, Datastore, Durability, Namespace, RowPage, RowStream};
use dagstore::mount::{self, Capabilities, Mount, Opened, Registry, Stat};
use dagstore::{Dagstore, ShardState};
use dagstore_testkit::cars;
use futures_util::FutureExt;

/// A datastore in a locked map, whose rows outlive it, as those on a disk would.
#[derive(Debug, Clone, Default)]
struct MapDatastore {
    rows: Arc<Mutex<Rows>>,
}

type Rows = BTreeMap<(Namespace, Vec<u8>), Vec<u8>>;

#[async_trait]
impl Datastore for MapDatastore {
    fn name(&self) -> &'static str {
        "map"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> datastore::Result<Option<Bytes>> {
        let rows = self.rows.lock().unwrap();
        Ok(rows.get(&(namespace, key.to_vec())).map(|value| Bytes::copy_from_slice(value)))
    }

    async fn write(&self, batch: Batch, _durability: Durability) -> datastore::Result<()> {
        let mut rows = self.rows.lock().unwrap();
        for write in batch.iter() {
            let key = (write.namespace, write.key.to_vec());
            match write.value {
                Some(value) => drop(rows.insert(key, value.to_vec())),
                None => drop(rows.remove(&key)),
            }
        }
        Ok(())
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let mut page = RowPage::new();
        for ((found, key), value) in &*self.rows.lock().unwrap() {
            if *found == namespace && key.starts_with(prefix) {
                page.push(key, value);
            }
        }
        Box::pin(async move { Ok(page) }.into_stream())
    }

    async fn sync(&self) -> datastore::Result<()> {
        Ok(())
    }

    async fn reopen(&self) -> datastore::Result<()> {
        Ok(())
    }

    async fn close(&self) -> datastore::Result<()> {
        Ok(())
    }
}

/// A mount whose bytes are counted out rather than stored: `ones:<count>` is a CAR of one block of so many ones. The
/// template carries what is to be repeated.
#[derive(Debug, Clone)]
struct RepeatMount {
    byte: u8,
    count: usize,
}

impl RepeatMount {
    fn content(&self) -> Bytes {
        cars::one_block(&vec![self.byte; self.count]).bytes.into()
    }
}

#[async_trait]
impl Mount for RepeatMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        self.count.to_string()
    }

    fn instantiate(&self, location: &str) -> mount::Result<Arc<dyn Mount>> {
        let why =
            |error: std::num::ParseIntError| mount::Error::BadUrl { url: location.to_owned(), why: error.to_string() };
        Ok(Arc::new(Self { byte: self.byte, count: location.parse().map_err(why)? }))
    }

    async fn stat(&self) -> mount::Result<Stat> {
        Ok(Stat::new(self.content().len() as u64, None))
    }

    async fn open(&self) -> mount::Result<Opened> {
        Ok(Opened::new(self.stat().await?, Arc::new(self.content())))
    }
}

/// JSON, backwards.
#[derive(Debug)]
struct BackwardsJson;

impl Codec for BackwardsJson {
    fn id(&self) -> CodecId {
        CodecId(200)
    }

    fn name(&self) -> &'static str {
        "backwards-json"
    }

    fn version(&self) -> u8 {
        1
    }

    fn encode(&self, record: &codec::ShardRecord, out: &mut Vec<u8>) -> codec::Result<()> {
        let start = out.len();
        Json.encode(record, out)?;
        out[start..].reverse();
        Ok(())
    }

    fn decode(&self, version: u8, bytes: &[u8]) -> codec::Result<codec::ShardRecord> {
        let forwards: Vec<u8> = bytes.iter().rev().copied().collect();
        Json.decode(version, &forwards)
    }
}

#[tokio::test]
async fn a_store_on_parts_of_its_own() {
    let rows = MapDatastore::default();
    let open = || async {
        let mut registry = Registry::new();
        registry.register("ones", RepeatMount { byte: 1, count: 0 }).unwrap();
        registry.register("twos", RepeatMount { byte: 2, count: 0 }).unwrap();
        let builder = Dagstore::builder().datastore(Arc::new(rows.clone())).registry(registry).codec(BackwardsJson);
        builder.open().await.unwrap()
    };
    let store = open().await;
    store.register("a", "ones:1000").await.unwrap();
    store.register("b", "twos:1000").lazy().await.unwrap();
    store.close().await.unwrap();

    let store = open().await;
    assert_eq!(store.info("b").unwrap().state, ShardState::New);
    for (key, byte) in [("a", 1), ("b", 2)] {
        let shard = store.acquire(key).await.unwrap();
        let root = shard.blockstore().roots()[0].clone();
        assert_eq!(shard.blockstore().get(&root).await.unwrap(), vec![byte; 1000]);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_mount_and_the_codec_pass_their_suites() {
    let template = RepeatMount { byte: 1, count: 0 };
    let mount = RepeatMount { byte: 1, count: 10 };
    mount::conformance::check(&template, &mount, &mount.content()).await;
    codec::conformance::check(&BackwardsJson);
}
