//! Lazy registrations a second, beside raw synced batches of the same engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use dagstore::Dagstore;
use dagstore::datastore::{Batch, Datastore, Durability, Namespace};
use dagstore_testkit::FaultyDatastore;
use futures_util::stream::{StreamExt, TryStreamExt};

/// What a record of a usual shard takes, for the raw batches.
const RECORD_BYTES: usize = 190;

/// How long raw batches are written for.
const RAW_BATCHES: u64 = 200;

pub(crate) async fn run(place: &Path, shards: usize) -> Result<()> {
    println!("register: {shards} lazy shards, each durable; raw: synced batches of the mean size that formed");
    println!(
        "{:>8} {:>9} {:>12} {:>12} {:>12} {:>8}",
        "backend", "in flight", "shards/s", "shards/sync", "raw rows/s", "ratio"
    );
    for backend in BACKENDS {
        for in_flight in [1, 64, 1_024] {
            let directory = tempfile::tempdir_in(place)?;
            let datastore = FaultyDatastore::new(open(backend, &directory.path().join("registered")).await?);
            let (rate, per_sync) = registered(datastore, shards, in_flight).await?;
            let raw = raw(&*open(backend, &directory.path().join("raw")).await?, per_sync).await?;
            println!(
                "{backend:>8} {in_flight:>9} {rate:>12.0} {per_sync:>12.1} {raw:>12.0} {:>7.0}%",
                100.0 * rate / raw
            );
        }
    }
    Ok(())
}

#[cfg(feature = "rocksdb")]
const BACKENDS: &[&str] = &["redb", "rocksdb"];
#[cfg(not(feature = "rocksdb"))]
const BACKENDS: &[&str] = &["redb"];

async fn open(backend: &str, path: &Path) -> Result<Arc<dyn Datastore>> {
    match backend {
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Ok(Arc::new(dagstore::rocksdb::RocksdbDatastore::open(path).await?)),
        _ => Ok(Arc::new(dagstore::redb::RedbDatastore::open(path).await?)),
    }
}

/// Shards a second, and shards a sync.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
async fn registered(datastore: FaultyDatastore, shards: usize, in_flight: usize) -> Result<(f64, f64)> {
    let store = Dagstore::builder().datastore(Arc::new(datastore.clone())).open().await?;
    let syncs_before = datastore.synced();
    let start = Instant::now();
    futures_util::stream::iter(0..shards)
        .map(|number| {
            let store = store.clone();
            // A task each, as callers would be: one task for all would only ever show one core.
            tokio::spawn(async move {
                let key = format!("baga6ea4seaqndwr3r3kkmwhs4cosr6hcy7nneojrtxkjupzef2icdn{number:06}");
                store
                    .register(&key, "bytes:this-stands-for-a-source-that-is-looked-at-later-and-has-a-url")
                    .lazy()
                    .await
            })
        })
        .buffer_unordered(in_flight)
        .map_err(anyhow::Error::from)
        .try_for_each(|registered| async { Ok(registered?) })
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    let syncs = datastore.synced();
    store.close().await?;
    Ok((shards as f64 / seconds, shards as f64 / (syncs - syncs_before) as f64))
}

/// Rows a second in synced batches of about `per_batch`.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of rows")]
async fn raw(datastore: &dyn Datastore, per_batch: f64) -> Result<f64> {
    const ROWS: Namespace = Namespace::new("rows");
    let per_batch = (per_batch.round() as u64).max(1);
    let value = [7; RECORD_BYTES];
    let start = Instant::now();
    for number in 0..RAW_BATCHES {
        let mut batch = Batch::new();
        for row in 0..per_batch {
            batch.put(ROWS, &(number * per_batch + row).to_be_bytes(), &value);
        }
        datastore.write(batch, Durability::Synced).await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    datastore.close().await?;
    Ok((RAW_BATCHES * per_batch) as f64 / seconds)
}
