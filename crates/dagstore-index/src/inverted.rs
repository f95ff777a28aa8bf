//! Which shards have a block: rows in a datastore, made of the shards' full indices.
//!
//! A row is the fingerprint of a multihash and a registration number, and has no value. The rows of a shard come sorted out
//! of its index, so they are loaded without being read before. Loading them again changes nothing, and so does removing them
//! again: whatever is interrupted is done once more. Nothing here knows what state a shard is in. Whoever asks for a
//! multihash gets the numbers of shards that may be gone, and has to drop those.
//!
//! Numbers never come again, so a row that stays behind can't be taken for another shard's. `docs/format/inverted.md` tells
//! the rows byte by byte.

mod leftovers;
mod row;

use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, RowPage, RowStream};
use dagstore_types::Registration;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use crate::{Error, Fingerprint, FingerprintKey, Fingerprints, Result};

pub use self::leftovers::Kept;

/// Rows: fingerprint, then registration.
const ROWS: Namespace = InvertedIndex::ROWS;

/// What the inverted index knows of itself.
const NOTES: Namespace = Namespace::new("inverted_notes");

/// The row that says that every shard that was Available when it was written has its rows. Its value is the version of the
/// rows' format.
const COMPLETE: &[u8] = b"complete";

/// The version of the rows' format.
const VERSION: u8 = 1;

/// How many rows are made at once, while the thread does nothing else: 80 KiB, some tens of microseconds.
const PAGE_ROWS: usize = 4096;

/// How many rows are removed by one write.
const REMOVED_AT_ONCE: usize = 8 * 1024;

/// The inverted index of a store.
#[derive(Debug, Clone)]
pub struct InvertedIndex {
    datastore: Arc<dyn Datastore>,
    key: FingerprintKey,
}

impl InvertedIndex {
    /// All its namespaces, for whoever copies it.
    pub const NAMESPACES: [Namespace; 2] = [ROWS, NOTES];

    /// The namespace of the rows, for backends that keep what is loaded in bulk apart.
    pub const ROWS: Namespace = Namespace::new("inverted");

    /// How many bytes of a row's key it is looked up by.
    pub const PREFIX_BYTES: usize = crate::FINGERPRINT_BYTES;

    /// An inverted index in `datastore`, which may have other rows as well, and under the store's key.
    pub fn new(datastore: Arc<dyn Datastore>, key: FingerprintKey) -> Self {
        Self { datastore, key }
    }

    /// Where the rows are.
    pub fn datastore(&self) -> &Arc<dyn Datastore> {
        &self.datastore
    }

    /// The store's key.
    pub fn key(&self) -> FingerprintKey {
        self.key
    }

    /// Whether all shards that were Available before have their rows: not so in a datastore that is new, or that an earlier
    /// program filled.
    ///
    /// # Errors
    /// [`Error::Rows`]; [`Error::NewerRows`] where a newer program made the rows.
    pub async fn is_complete(&self) -> Result<bool> {
        let found = self.datastore.get(NOTES, COMPLETE).await?;
        match found.as_deref() {
            None => Ok(false),
            Some([VERSION]) => Ok(true),
            Some(other) => Err(Error::NewerRows { found: other.first().copied().unwrap_or_default() }),
        }
    }

    /// Says, durably, that all shards that are Available have their rows.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub async fn set_complete(&self) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(NOTES, COMPLETE, &[VERSION]);
        Ok(self.datastore.write(batch, Durability::Synced).await?)
    }

    /// Says, durably, that shards may come and go without their rows from now on.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub async fn set_incomplete(&self) -> Result<()> {
        let mut batch = Batch::new();
        batch.delete(NOTES, COMPLETE);
        Ok(self.datastore.write(batch, Durability::Synced).await?)
    }

    /// Adds the rows of a shard. When the call returns they are durable; behind an error, some of them may be there.
    ///
    /// # Errors
    /// Those of the fingerprints; [`Error::Rows`].
    pub async fn add(&self, registration: Registration, fingerprints: Fingerprints) -> Result<()> {
        let failed = Failed::default();
        let rows = failed.watch(fingerprints).dedup().map(move |fingerprint| row::of(fingerprint, registration));
        let loaded = self.datastore.bulk_load(ROWS, pages(rows)).await;
        failed.or(loaded.map_err(Error::from))
    }

    /// Adds the rows of several shards at once, which for small ones is much cheaper than one after the other. The
    /// fingerprints need no order.
    ///
    /// # Errors
    /// Those of [`Datastore::bulk_load`].
    pub async fn add_group(&self, shards: &[(Registration, Vec<Fingerprint>)]) -> dagstore_datastore::Result<()> {
        let of_shard = |(registration, fingerprints): &(Registration, Vec<Fingerprint>)| {
            let registration = *registration;
            fingerprints.iter().map(move |fingerprint| row::of(*fingerprint, registration)).collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = shards.iter().flat_map(of_shard).collect();
        rows.sort_unstable();
        rows.dedup();
        self.datastore.bulk_load(ROWS, pages(rows.into_iter())).await
    }

    /// Removes the rows of a shard that `fingerprints` names, but for those of `except`, which is as sorted. When the call
    /// returns, that is durable.
    ///
    /// # Errors
    /// Those of the fingerprints; [`Error::Rows`].
    pub async fn remove(
        &self,
        registration: Registration,
        fingerprints: Fingerprints,
        except: Option<Fingerprints>,
    ) -> Result<()> {
        let failed = Failed::default();
        let mut except = except.map(|except| failed.watch(except).peekable());
        let mut batch = Batch::new();
        for fingerprint in failed.watch(fingerprints).dedup() {
            if let Some(except) = &mut except {
                while except.next_if(|kept| *kept < fingerprint).is_some() {}
                if except.peek() == Some(&fingerprint) {
                    continue;
                }
            }
            if failed.has_failed() {
                break;
            }
            batch.delete(ROWS, row::of(fingerprint, registration).as_ref());
            if batch.len() >= REMOVED_AT_ONCE {
                self.datastore.write(std::mem::take(&mut batch), Durability::Buffered).await?;
            }
        }
        failed.or(Ok(()))?;
        // Also where nothing is left to be removed: this makes the writes before it durable.
        Ok(self.datastore.write(batch, Durability::Synced).await?)
    }

    /// The numbers of shards with this multihash, in ascending order: those behind `after`, `limit` of them or as many as
    /// there are. Some may be of shards that are gone or not Available.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub async fn find(
        &self,
        multihash: MultihashRef<'_>,
        after: Option<Registration>,
        limit: usize,
    ) -> Result<Vec<Registration>> {
        let fingerprint = self.key.fingerprint(multihash);
        let after = after.map(|after| row::of(fingerprint, after));
        let page = self.datastore.rows(ROWS, &fingerprint.0, after.as_ref().map(row::Row::as_ref), limit).await?;
        Ok(page.iter().filter_map(|(key, _)| Some(row::parse(key)?.1)).collect())
    }
}

/// Rows without values, as a stream of pages.
fn pages(rows: impl Iterator<Item = row::Row> + Send + 'static) -> RowStream {
    let mut rows = rows;
    let pages = std::iter::from_fn(move || {
        let mut page = RowPage::new();
        for row in rows.by_ref().take(PAGE_ROWS) {
            page.push(row.as_ref(), &[]);
        }
        (!page.is_empty()).then_some(Ok(page))
    });
    stream::iter(pages).boxed()
}

/// Keeps the error of an iterator that somebody else reads, and ends it there.
#[derive(Debug, Clone, Default)]
struct Failed(Arc<Mutex<Option<Error>>>);

impl Failed {
    fn watch(&self, fingerprints: Fingerprints) -> Watched {
        Watched { fingerprints, failed: self.clone() }
    }

    fn has_failed(&self) -> bool {
        self.0.lock().is_some()
    }

    /// The error where there was one, else `outcome`.
    fn or(&self, outcome: Result<()>) -> Result<()> {
        self.0.lock().take().map_or(outcome, Err)
    }
}

struct Watched {
    fingerprints: Fingerprints,
    failed: Failed,
}

impl Iterator for Watched {
    type Item = Fingerprint;

    fn next(&mut self) -> Option<Fingerprint> {
        match self.fingerprints.next()? {
            Ok(fingerprint) => Some(fingerprint),
            Err(error) => {
                *self.failed.0.lock() = Some(error);
                None
            }
        }
    }
}

impl Watched {
    /// The same without those that are equal to the one before.
    fn dedup(self) -> impl Iterator<Item = Fingerprint> + Send + 'static {
        let mut last = None;
        self.filter(move |fingerprint| last.replace(*fingerprint) != Some(*fingerprint))
    }
}
