//! Rows of a store for what was planned.

use std::collections::HashSet;

use dagstore::codec::{Codec, Row, encode_row, kept_row};
use dagstore::datastore::{Batch, Datastore, Durability};
use dagstore::rows::{META, NEXT_REGISTRATION, SHARDS, shard_row};
use dagstore::{Databases, Identity};
use dagstore_types::{MAX_KEY_BYTES, Registration};
use futures_util::StreamExt;

use super::{Outcome, Planned};
use crate::{Error, Result};

/// How many bytes of rows are written at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A larger number is none of a registration.
const NUMBERS_END: u64 = 1 << 63;

/// Writes the records into a store that nobody has open. Those whose key the store has already become [`Outcome::Present`], so a
/// call that was interrupted can be made again. Durable when it returns.
///
/// # Errors
/// [`Error::Datastore`], [`Error::Engine`], [`Error::Codec`].
pub async fn write(databases: &Databases, codec: &dyn Codec, planned: &mut [Planned]) -> Result<()> {
    let datastore = &*databases.records;
    Identity::read_or_create(datastore).await?;
    let present = Present::read(datastore).await?;
    let mut taken = HashSet::new();
    for shard in &mut *planned {
        let key = key_of(shard);
        if present.has(&key, &shard.row.value) {
            shard.outcome = Outcome::Present;
        } else if !taken.insert(key) {
            shard.outcome =
                Outcome::Quarantined { reason: "another record of the directory has the same key".to_owned() };
        }
    }
    let count = planned.iter().filter(|shard| shard.outcome != Outcome::Present).count() as u64;
    let first = take_numbers(datastore, count).await?;
    let mut batch = Batch::new();
    let mut numbers = (first..).map(Registration);
    for shard in &mut *planned {
        let key = key_of(shard);
        let row = match &mut shard.outcome {
            Outcome::Present => continue,
            Outcome::Taken(record) => {
                record.registration = numbers.next().unwrap_or_default();
                (record.registration, encode_row(codec, record)?)
            }
            Outcome::Quarantined { .. } => (numbers.next().unwrap_or_default(), kept_row(&key, &shard.row.value)),
        };
        batch.put(SHARDS, &shard_row(row.0), &row.1);
        if batch.byte_len() >= PIECE_BYTES {
            datastore.write(std::mem::take(&mut batch), Durability::Synced).await?;
        }
    }
    Ok(datastore.write(batch, Durability::Synced).await?)
}

/// The key that a record occupies: its own where it can be read, and the name of its row otherwise.
fn key_of(shard: &Planned) -> Vec<u8> {
    match (&shard.outcome, &shard.record) {
        (Outcome::Taken(record), _) => record.key.as_bytes().to_vec(),
        (_, Some(record)) if !record.key.is_empty() => record.key.as_bytes().to_vec(),
        _ => shard.row.name.clone(),
    }
}

/// What the store has already.
#[derive(Default)]
struct Present {
    keys: HashSet<Vec<u8>>,
    /// Whole rows under keys of the greatest length: those of longer ones were cut to it, and several may begin alike.
    cut: HashSet<Vec<u8>>,
}

impl Present {
    async fn read(datastore: &dyn Datastore) -> Result<Self> {
        let mut present = Self::default();
        let mut pages = datastore.scan(SHARDS, &[]);
        while let Some(page) = pages.next().await.transpose()? {
            for (_, value) in page.iter() {
                let Ok(row) = Row::split(value) else { continue };
                present.keys.insert(row.key.to_vec());
                if row.key.len() == MAX_KEY_BYTES {
                    present.cut.insert(value.to_vec());
                }
            }
        }
        Ok(present)
    }

    fn has(&self, key: &[u8], record: &[u8]) -> bool {
        if key.len() > MAX_KEY_BYTES { self.cut.contains(&kept_row(key, record)) } else { self.keys.contains(key) }
    }
}

/// Takes registration numbers that were never given out, durably, and returns the first.
async fn take_numbers(datastore: &dyn Datastore, count: u64) -> Result<u64> {
    let damaged = || dagstore::Error::DamagedIdentity { row: NEXT_REGISTRATION };
    let row = datastore.get(META, NEXT_REGISTRATION.as_bytes()).await?;
    let next = row.map(|row| row[..].try_into().map(u64::from_be_bytes)).transpose();
    let noted = next.map_err(|_| damaged())?.unwrap_or(1).max(1);
    let mut used = 0;
    let mut pages = datastore.scan(SHARDS, &[]);
    while let Some(page) = pages.next().await.transpose()? {
        used = page
            .iter()
            .filter_map(|(key, _)| dagstore::rows::registration_of(key))
            .map(|one| one.0)
            .filter(|one| *one < NUMBERS_END)
            .fold(used, u64::max);
    }
    let first = noted.max(used.saturating_add(1));
    let end = first.checked_add(count).filter(|end| *end < NUMBERS_END).ok_or_else(|| Error::from(damaged()))?;
    let mut batch = Batch::new();
    batch.put(META, NEXT_REGISTRATION.as_bytes(), &end.to_be_bytes());
    datastore.write(batch, Durability::Synced).await?;
    Ok(first)
}
