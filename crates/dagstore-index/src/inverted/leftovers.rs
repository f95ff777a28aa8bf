//! Rows that nothing names any more: their shard's index was lost before they were removed.
//!
//! A shard's index names its rows, so as a rule they are removed without being looked for. Where the index is gone or
//! damaged, a note is left, and a collection looks through all rows once.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use dagstore_datastore::{Batch, Durability};
use dagstore_types::Registration;
use futures_util::StreamExt;

use super::{Failed, InvertedIndex, NOTES, REMOVED_AT_ONCE, ROWS, row};
use crate::{Error, Fingerprint, FullIndex, Result};

/// What the notes begin with of shards that may have rows that no index names. Their registration number follows: eight
/// bytes, big-endian.
const LEFTOVERS: &[u8] = b"leftovers ";

/// The rows of one shard that are to be kept.
#[derive(Debug, Clone)]
pub enum Kept {
    /// None: the shard is gone.
    None,
    /// Those that its index names.
    Of(Arc<dyn FullIndex>),
    /// All, for now: it isn't known which.
    All,
}

impl InvertedIndex {
    /// Notes, durably, that the shard may have rows that no index names.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub async fn note_leftovers(&self, registration: Registration) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(NOTES, &note_of(registration), &[]);
        Ok(self.datastore.write(batch, Durability::Synced).await?)
    }

    /// The shards that were noted.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub async fn leftovers(&self) -> Result<BTreeSet<Registration>> {
        let (mut found, mut pages) = (BTreeSet::new(), self.datastore.scan(NOTES, LEFTOVERS));
        while let Some(page) = pages.next().await {
            for (row, _) in page?.iter() {
                let number = row.strip_prefix(LEFTOVERS).and_then(|number| number.try_into().ok());
                found.extend(number.map(|number| Registration(u64::from_be_bytes(number))));
            }
        }
        Ok(found)
    }

    /// Looks through all rows and removes those of the shards in `kept` that aren't to be kept. Returns how many; when the
    /// call returns, that is durable. The notes stay: [`forget_leftovers`](Self::forget_leftovers) removes them.
    ///
    /// # Errors
    /// [`Error::Rows`], and those of the indices.
    pub async fn remove_leftovers(&self, kept: &BTreeMap<Registration, Kept>) -> Result<u64> {
        let failed = Failed::default();
        let key = self.key;
        let mut kept: BTreeMap<_, _> = kept
            .iter()
            .map(|(registration, kept)| {
                let named: KeptRows = match kept {
                    Kept::None => Some(None),
                    Kept::Of(index) => Some(Some(failed.watch(index.clone().fingerprints(key)).peekable())),
                    Kept::All => None,
                };
                (*registration, named)
            })
            .collect();
        let (mut batch, mut removed) = (Batch::new(), 0);
        let mut pages = self.datastore.scan(ROWS, &[]);
        while let Some(page) = pages.next().await {
            for (row, _) in page?.iter() {
                let Some((fingerprint, registration)) = row::parse(row) else { continue };
                let Some(named) = kept.get_mut(&registration) else { continue };
                let is_kept = is_kept(named, fingerprint);
                if failed.has_failed() {
                    return failed.or(Ok(())).map(|()| removed);
                }
                if !is_kept {
                    batch.delete(ROWS, row);
                    removed += 1;
                }
                if batch.len() >= REMOVED_AT_ONCE {
                    self.datastore.write(std::mem::take(&mut batch), Durability::Buffered).await?;
                }
            }
        }
        self.datastore.write(batch, Durability::Synced).await?;
        Ok(removed)
    }

    /// Removes the notes of these shards.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub async fn forget_leftovers(&self, of: impl IntoIterator<Item = Registration>) -> Result<()> {
        let mut batch = Batch::new();
        of.into_iter().for_each(|registration| batch.delete(NOTES, &note_of(registration)));
        self.datastore.write(batch, Durability::Buffered).await.map_err(Error::from)
    }
}

fn note_of(registration: Registration) -> Vec<u8> {
    [LEFTOVERS, &registration.0.to_be_bytes()].concat()
}

/// What an index names, in order: nothing where the shard is gone, and `None` where all is to be kept.
type KeptRows = Option<Option<Peekable<super::Watched>>>;

/// Rows come in the order of their fingerprints, as those of an index do.
fn is_kept(named: &mut KeptRows, fingerprint: Fingerprint) -> bool {
    match named {
        None => true,
        Some(None) => false,
        Some(Some(named)) => {
            while named.next_if(|kept| *kept < fingerprint).is_some() {}
            named.peek() == Some(&fingerprint)
        }
    }
}
