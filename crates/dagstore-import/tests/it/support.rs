//! Stores of records that nobody has to index, and datastores that a test looks into.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore::codec::{Codec, encode_row};
use dagstore::datastore::{
    Batch, Datastore, DatastoreExt, Durability, Namespace, Result, RowPage, RowStream, stream_of_rows,
};
use dagstore::fs::RealFileSystem;
use dagstore::index::InvertedIndex;
use dagstore::rows::{META, NEXT_REGISTRATION, SHARDS, shard_row};
use dagstore::{Backend, Databases, Directory, Identity, Mode, ShardKey, ShardState};
use dagstore_types::{Registration, ShardRecord, UnixMillis};

/// The record of the shard of this number: of every state that rests.
pub(crate) fn record(number: u64) -> ShardRecord {
    let key = ShardKey::new(&format!("shard-{number:07}")).unwrap();
    let url = format!("file:///nowhere/{number}.car");
    let mut record = ShardRecord::new(key, url, number.is_multiple_of(3), Registration(number), UnixMillis(number));
    if !record.lazy {
        record.state = ShardState::Available;
        record.attempt.0 = 1;
    }
    record
}

/// Fills new databases with a store of `shards` shards, whose rows differ in length, and three rows of the inverted index each.
/// The record in row 2 can't be read, and that in row 3 is of a version to come.
pub(crate) async fn fill(databases: &Databases, codec: &dyn Codec, shards: u64) {
    Identity::read_or_create(&*databases.records).await.unwrap();
    let row = |number| (shard_row(Registration(number)), encode_row(codec, &record(number)).unwrap());
    let rows: Vec<_> = (1..=shards).map(row).collect();
    databases.records.bulk_load(SHARDS, stream_of_rows(rows)).await.unwrap();
    databases.records.put(META, NEXT_REGISTRATION.as_bytes(), &(shards + 1).to_be_bytes()).await.unwrap();
    databases.records.put(SHARDS, &shard_row(Registration(2)), b"no record at all").await.unwrap();
    // Without the checksum that a row has by now, which wouldn't fit any more.
    let mut newer = encode_row(codec, &record(3)).unwrap();
    newer.truncate(newer.len() - 4);
    newer[3] &= 0x7f;
    newer[1] = 99;
    databases.records.put(SHARDS, &shard_row(Registration(3)), &newer).await.unwrap();
    let inverted = databases.inverted.as_ref().unwrap();
    let mut entries: Vec<[u8; 18]> = Vec::new();
    for number in 1..=shards {
        for block in 0..3_u64 {
            let mut entry = [0; 18];
            entry[..8].copy_from_slice(&(number * 3 + block).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            entry[10..].copy_from_slice(&number.to_be_bytes());
            entries.push(entry);
        }
    }
    entries.sort_unstable();
    let entries = entries.into_iter().map(|entry| (entry, []));
    inverted.bulk_load(InvertedIndex::ROWS, stream_of_rows(entries.collect::<Vec<_>>())).await.unwrap();
    InvertedIndex::new(inverted.clone(), dagstore::index::FingerprintKey([0; 16])).set_complete().await.unwrap();
}

/// Makes a store of records in a directory.
pub(crate) async fn make(path: &Path, backend: Backend, codec: &dyn Codec, shards: u64) {
    let directory = Directory::lock(&RealFileSystem, path).unwrap();
    let databases = backend.make_databases(&RealFileSystem, &directory, Mode::Active).await.unwrap();
    fill(&databases, codec, shards).await;
    let identity = Identity::read(&*databases.records).await.unwrap().unwrap();
    directory.claim(&RealFileSystem, &identity).unwrap();
    close(&databases).await;
}

pub(crate) async fn close(databases: &Databases) {
    databases.records.close().await.unwrap();
    databases.inverted.as_ref().unwrap().close().await.unwrap();
}

/// What a datastore is asked for that changes something, or looks into a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Before,
    Behind,
    Uses(Namespace),
}

/// A datastore that tells a test of every call.
pub(crate) struct Told {
    pub(crate) inner: Arc<dyn Datastore>,
    pub(crate) tell: Arc<dyn Fn(Call) + Send + Sync>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

#[async_trait]
impl Datastore for Told {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        (self.tell)(Call::Uses(namespace));
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        batch.iter().for_each(|write| (self.tell)(Call::Uses(write.namespace)));
        (self.tell)(Call::Before);
        let written = self.inner.write(batch, durability).await;
        (self.tell)(Call::Behind);
        written
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        (self.tell)(Call::Uses(namespace));
        self.inner.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        (self.tell)(Call::Uses(namespace));
        self.inner.rows(namespace, prefix, after, limit).await
    }

    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        (self.tell)(Call::Uses(namespace));
        (self.tell)(Call::Before);
        let loaded = self.inner.bulk_load(namespace, rows).await;
        (self.tell)(Call::Behind);
        loaded
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
