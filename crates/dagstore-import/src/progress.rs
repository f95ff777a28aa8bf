//! How far a copy is: a row in the target, which is no store as long as it is there.

use dagstore::datastore::{Batch, Datastore, DatastoreExt, Durability};
use dagstore::rows::{FORMAT, META};
use dagstore::{Identity, UNFINISHED_COPY};
use serde::{Deserialize, Serialize};

use crate::error::hex;
use crate::{Error, Result};

/// The key of the row, beside the store's own description.
pub(crate) const PROGRESS: &str = "copy";

/// How far a copy is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// The id of the source, in hexadecimal digits.
    source: String,
    /// The codec that records are written in; none where they stay as they are.
    codec: Option<String>,
    /// How many tables are copied as a whole.
    pub(crate) tables: usize,
    /// The last row of the next one that is durable, in hexadecimal digits.
    after: Option<String>,
    /// How many rows are copied.
    pub(crate) rows: u64,
}

impl Progress {
    pub(crate) fn new(source: &Identity, codec: Option<&str>) -> Self {
        Self { source: hex(&source.id), codec: codec.map(str::to_owned), tables: 0, after: None, rows: 0 }
    }

    /// Whether the target is unfinished; nothing is read but the version.
    pub(crate) async fn is_unfinished(target: &dyn Datastore) -> Result<bool> {
        let format = target.get(META, FORMAT.as_bytes()).await?;
        Ok(format.is_some_and(|format| format[..] == UNFINISHED_COPY.to_be_bytes()))
    }

    /// Reads how far the target is with a copy of the same source in the same way.
    pub(crate) async fn read(&self, target: &dyn Datastore, place: &str) -> Result<Self> {
        let damaged = || Error::DamagedProgress { place: place.to_owned() };
        let row = target.get(META, PROGRESS.as_bytes()).await?.ok_or_else(damaged)?;
        let found: Self = serde_json::from_slice(&row).map_err(|_| damaged())?;
        let other = |what: String| Err(Error::OtherCopy { place: place.to_owned(), what });
        if found.source != self.source {
            return other(format!("of another store, {}", found.source));
        }
        if found.codec != self.codec {
            let name = |codec: &Option<String>| codec.clone().unwrap_or_else(|| "as they are".to_owned());
            return other(format!("with records {}, and this one has {}", name(&found.codec), name(&self.codec)));
        }
        if found.tables > crate::tables::TABLES.len() || (found.after.is_some() && found.after().is_none()) {
            return Err(damaged());
        }
        Ok(found)
    }

    /// Makes the target an unfinished copy; durable when this returns.
    pub(crate) async fn begin(&self, target: &dyn Datastore) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(META, FORMAT.as_bytes(), &UNFINISHED_COPY.to_be_bytes());
        batch.put(META, PROGRESS.as_bytes(), &self.bytes());
        Ok(target.write(batch, Durability::Synced).await?)
    }

    /// Writes it down; durable when this returns.
    pub(crate) async fn write(&self, target: &dyn Datastore) -> Result<()> {
        Ok(target.put(META, PROGRESS.as_bytes(), &self.bytes()).await?)
    }

    /// The row behind which the next table goes on.
    pub(crate) fn after(&self) -> Option<Vec<u8>> {
        let text = self.after.as_deref()?.as_bytes();
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        text.chunks(2).map(|pair| (pair.len() == 2).then(|| digits(pair)).flatten()).collect()
    }

    /// `rows` more are durable, the last of them with this key.
    pub(crate) fn advance(&mut self, last_key: &[u8], rows: u64) {
        self.after = Some(hex(last_key));
        self.rows += rows;
    }

    /// The table is copied as a whole.
    pub(crate) fn next_table(&mut self) {
        self.after = None;
        self.tables += 1;
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
