//! An inverted index as a datastore holds it: rows of a fingerprint and the number of a registration, without a value.

pub(crate) mod insert;
pub(crate) mod lookup;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use dagstore::datastore::{Datastore, Namespace, RowStream, stream_of_rows};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::cpu;
use crate::setup::Setup;

const INVERTED: Namespace = Namespace::new("inverted");

const FINGERPRINT_BYTES: usize = 14;

/// A fingerprint, and behind it the number of a registration.
const ROW_BYTES: usize = FINGERPRINT_BYTES + 5;

type Fingerprint = [u8; FINGERPRINT_BYTES];

/// How long nothing must have happened for a datastore to be at rest.
const SILENCE: Duration = Duration::from_secs(1);

/// How long to wait before looking again whether something happens.
const LOOK: Duration = Duration::from_millis(100);

/// Up to so large a part of a processor is what looking takes.
const IDLE: f64 = 0.05;

/// How long a datastore is given to come to rest.
const PATIENCE: Duration = Duration::from_mins(5);

/// The fingerprint of a block of a shard: as good as random, and the same each time.
fn fingerprint(shard: u64, block: u64) -> Fingerprint {
    let first = mixed(shard << 40 | block);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    bytes[8..].copy_from_slice(&mixed(first ^ 0x5851_f42d_4c95_7f2d).to_be_bytes());
    std::array::from_fn(|at| bytes[at])
}

/// A step of the generator `SplitMix64`.
fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

/// The fingerprints of a shard, sorted as its index has them.
fn fingerprints(shard: u64, blocks: u64) -> Arc<[Fingerprint]> {
    let mut fingerprints: Vec<_> = (0..blocks).map(|block| fingerprint(shard, block)).collect();
    fingerprints.sort_unstable();
    fingerprints.into()
}

fn row(fingerprint: &Fingerprint, registration: u64) -> [u8; ROW_BYTES] {
    let registration = registration.to_be_bytes();
    std::array::from_fn(|at| {
        fingerprint.get(at).copied().unwrap_or_else(|| registration[at + registration.len() - ROW_BYTES])
    })
}

fn rows(fingerprints: &Arc<[Fingerprint]>, registration: u64) -> RowStream {
    let fingerprints = Arc::clone(fingerprints);
    let at = 0..fingerprints.len();
    stream_of_rows(at.map(move |at| (row(&fingerprints[at], registration), [])))
}

/// A datastore in a directory of its own.
struct Place {
    directory: TempDir,
    backend: Backend,
    cache_mib: usize,
}

impl Place {
    fn new(setup: &Setup, backend: Backend, cache_mib: usize) -> Result<Self> {
        Ok(Self { directory: tempfile::tempdir_in(setup.place())?, backend, cache_mib })
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rows")
    }

    async fn open(&self) -> Result<Arc<dyn Datastore>> {
        self.backend.open_bulk(&self.path(), INVERTED, FINGERPRINT_BYTES, self.cache_mib).await
    }

    fn bytes_on_disk(&self) -> Result<f64> {
        Ok(bytes_in(self.directory.path())? as f64)
    }
}

fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        // A file may go meanwhile.
        let Ok(metadata) = entry.as_ref().map_err(drop).and_then(|entry| entry.metadata().map_err(drop)) else {
            continue;
        };
        bytes += if metadata.is_dir() { bytes_in(&entry?.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Loads a shard and returns the seconds that took.
async fn load(store: &Arc<dyn Datastore>, fingerprints: &Arc<[Fingerprint]>, registration: u64) -> Result<f64> {
    let (store, rows) = (Arc::clone(store), rows(fingerprints, registration));
    // On a worker thread, as a store's tasks are.
    let loading = tokio::spawn(async move {
        let start = Instant::now();
        store.bulk_load(INVERTED, rows).await?;
        anyhow::Ok(start.elapsed().as_secs_f64())
    });
    loading.await?
}

/// Bytes that this process has written to files so far.
fn written() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/io")?;
    let field = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(field.and_then(|bytes| bytes.parse().ok()).unwrap_or(f64::NAN))
}

/// Waits until the datastore writes nothing any more and its threads are idle, and returns when that began.
async fn at_rest() -> Result<Instant> {
    let begin = Instant::now();
    let (mut last, mut since) = ((written()?, cpu::seconds()?), begin);
    while since.elapsed() < SILENCE && begin.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        let now = (written()?, cpu::seconds()?);
        if now.0 > last.0 || now.1 - last.1 > LOOK.as_secs_f64() * IDLE {
            since = Instant::now();
        }
        last = now;
    }
    Ok(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_end_with_their_registration() {
        let fingerprints = fingerprints(3, 1_000);
        assert!(fingerprints.is_sorted() && fingerprints.contains(&fingerprint(3, 999)));
        assert!(!fingerprints.contains(&fingerprint(4, 0)));
        let row = row(&fingerprints[0], 0x01_02_03_04_05);
        assert_eq!(
            (&row[..FINGERPRINT_BYTES], &row[FINGERPRINT_BYTES..]),
            (&fingerprints[0][..], &[1, 2, 3, 4, 5][..])
        );
    }
}
