//! Synced batches of a datastore, without a store above it.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use dagstore::codec::{Codecs, encode_row};
use dagstore::datastore::{Batch, Durability};

use crate::backend::Backend;
use crate::shards::{self, SHARDS};

/// Rows a second where the rows of `rows` lazy shards, as a store writes them, are put in `batches` synced batches of the
/// same size. The batches are made before the clock starts: what is measured is the datastore alone.
pub(crate) async fn synced_batches(backend: Backend, path: &Path, rows: usize, batches: usize) -> Result<f64> {
    let datastore = backend.open(path).await?;
    let codecs = Codecs::default();
    let row = |batch: &mut Batch, number: usize| -> Result<()> {
        let record = shards::record(number)?;
        batch.put(SHARDS, &record.registration.0.to_be_bytes(), &encode_row(codecs.writer(), &record)?);
        Ok(())
    };
    let mut made = Vec::with_capacity(batches);
    for batch in 0..batches {
        let mut rows_of_batch = Batch::new();
        for number in batch * rows / batches..(batch + 1) * rows / batches {
            row(&mut rows_of_batch, number)?;
        }
        made.push(rows_of_batch);
    }
    // The first write makes the table.
    let mut first = Batch::new();
    row(&mut first, rows)?;
    datastore.write(first, Durability::Synced).await?;
    let writer = datastore.clone();
    // On a worker thread, as a store's committer is.
    let writing = tokio::spawn(async move {
        let start = Instant::now();
        for batch in made {
            writer.write(batch, Durability::Synced).await?;
        }
        anyhow::Ok(start.elapsed().as_secs_f64())
    });
    let seconds = writing.await??;
    datastore.close().await?;
    Ok(rows as f64 / seconds)
}
