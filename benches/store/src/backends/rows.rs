//! Rows of lazy shards, written, looked up and scanned.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dagstore::codec::{Codec, ShardRecord, encode_row};
use dagstore::datastore::{Batch, Datastore, Durability};
use futures_util::StreamExt;

use super::BATCH;
use crate::crowd;
use crate::shards::{self, SHARDS, split_mix};

/// The records of so many lazy shards.
pub(super) fn records(count: usize) -> Result<Vec<ShardRecord>> {
    (0..count).map(shards::record).collect()
}

/// The row of a registration.
pub(super) async fn found(datastore: &Arc<dyn Datastore>, registration: u64) -> Result<Bytes> {
    let row = datastore.get(SHARDS, &registration.to_be_bytes()).await?;
    row.with_context(|| format!("registration {registration} is there"))
}

/// Rows in the order of their keys, encoded once; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Rows(Arc<[Vec<u8>]>);

impl Rows {
    /// The rows of so many lazy shards.
    pub(crate) fn make(codec: &dyn Codec, count: usize) -> Result<Self> {
        let rows = (0..count).map(|number| Ok(encode_row(codec, &shards::record(number)?)?));
        Ok(Self(rows.collect::<Result<_>>()?))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of the first row without its key; the others differ by a byte or two.
    pub(super) fn row_bytes(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// A batch of these rows.
    pub(super) fn batch(&self, numbers: Range<usize>) -> Batch {
        let mut batch = Batch::new();
        for number in numbers {
            batch.put(SHARDS, &key(number), &self.0[number]);
        }
        batch
    }

    /// Writes all in durable batches. Seconds.
    pub(crate) async fn fill(&self, datastore: &Arc<dyn Datastore>) -> Result<f64> {
        let (rows, datastore) = (self.clone(), Arc::clone(datastore));
        // On a worker thread, as a store's committer is.
        let filling = tokio::spawn(async move {
            let start = Instant::now();
            for first in (0..rows.len()).step_by(BATCH) {
                let batch = rows.batch(first..rows.len().min(first + BATCH));
                datastore.write(batch, Durability::Synced).await?;
            }
            anyhow::Ok(start.elapsed().as_secs_f64())
        });
        filling.await?
    }

    /// Writes the first `count` rows, each in a durable batch of its own, from so many tasks. Seconds.
    pub(super) async fn put_singly(&self, datastore: &Arc<dyn Datastore>, count: usize, tasks: usize) -> Result<f64> {
        let (rows, datastore) = (self.clone(), Arc::clone(datastore));
        let start = Instant::now();
        crowd::for_each(0..count, tasks, move |number| {
            let (datastore, batch) = (Arc::clone(&datastore), rows.batch(number..number + 1));
            async move { Ok(datastore.write(batch, Durability::Synced).await?) }
        })
        .await?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Looks so many random rows up, one after the other; others for another run. Seconds.
    pub(crate) async fn look_up_seconds(
        &self,
        datastore: &Arc<dyn Datastore>,
        count: usize,
        run: usize,
    ) -> Result<f64> {
        let (rows, datastore) = (self.clone(), Arc::clone(datastore));
        let looking = tokio::spawn(async move {
            let start = Instant::now();
            for at in 0..count {
                let number = split_mix((run * count + at) as u64) as usize % rows.len();
                let row = found(&datastore, number as u64 + 1).await?;
                ensure!(row.len() == rows.0[number].len(), "row {number} is another one");
            }
            anyhow::Ok(start.elapsed().as_secs_f64())
        });
        looking.await?
    }

    /// Scans all. Seconds.
    pub(super) async fn scan_seconds(&self, datastore: &Arc<dyn Datastore>) -> Result<f64> {
        let (count, datastore) = (self.len(), Arc::clone(datastore));
        let scanning = tokio::spawn(async move {
            let start = Instant::now();
            let (mut pages, mut seen) = (datastore.scan(SHARDS, &[]), 0);
            while let Some(page) = pages.next().await {
                seen += page?.len();
            }
            ensure!(seen == count, "a scan saw {seen} rows of {count}");
            anyhow::Ok(start.elapsed().as_secs_f64())
        });
        scanning.await?
    }
}

/// The key of a row: the registration, which begins at 1.
fn key(number: usize) -> [u8; 8] {
    (number as u64 + 1).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use dagstore::datastore::MemoryDatastore;

    use super::*;
    use crate::catalogue::RecordCodec;

    #[test]
    fn what_is_filled_is_found_and_scanned_and_what_is_missing_is_told() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(async {
            let rows = Rows::make(&*RecordCodec::Cbor.codec(), 2 * BATCH + 1).unwrap();
            let datastore: Arc<dyn Datastore> = Arc::new(MemoryDatastore::new());
            assert!(rows.look_up_seconds(&datastore, 1, 0).await.is_err());
            rows.put_singly(&datastore, 10, 2).await.unwrap();
            assert!(rows.scan_seconds(&datastore).await.is_err());
            rows.fill(&datastore).await.unwrap();
            rows.look_up_seconds(&datastore, 100, 0).await.unwrap();
            rows.scan_seconds(&datastore).await.unwrap();
            assert_eq!(records(3).unwrap()[2].registration.0.to_be_bytes(), key(2));
        });
    }
}
