//! Records in the form of the Go original.

use dagstore::Databases;
use dagstore::codec::{Codec, Codecs, GoKept, GoRecord, Row};
use dagstore::rows::SHARDS;
use futures_util::StreamExt;

use crate::error::hex;
use crate::{Error, Result};

/// What was exported, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Records that were told.
    pub records: u64,
    /// Of these, the records that were kept as Go wrote them, byte for byte.
    pub kept: u64,
    /// The keys of shards that are being destroyed. Go has no such state, so they are left out.
    pub destroying: Vec<String>,
    /// Rows that can't be read, and so can't be told in Go's form: the row in hexadecimal digits, and why.
    pub unread: Vec<(String, String)>,
}

/// Tells every record of a store to `write`, as the bytes that Go's dagstore writes for it. The store's own fields are left out:
/// Go has none for them. Nothing is changed.
///
/// # Errors
/// Those of the datastore and of `write`.
pub async fn export(
    databases: &Databases,
    write: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<ExportReport> {
    let codecs = Codecs::default();
    let mut report = ExportReport::default();
    let mut pages = databases.records.scan(SHARDS, &[]);
    while let Some(page) = pages.next().await.transpose()? {
        for (key, value) in page.iter() {
            let row = match Row::split(value) {
                // One with a line break would be two lines of an export.
                Ok(row) if row.codec == GoKept.id() && !row.record.contains(&b'\n') => {
                    write(row.record)?;
                    (report.records, report.kept) = (report.records + 1, report.kept + 1);
                    continue;
                }
                row => row.and_then(|row| row.decode(&codecs)),
            };
            match row {
                Err(error) => report.unread.push((hex(key), error.to_string())),
                Ok(record) => match GoRecord::of(&record) {
                    None => report.destroying.push(record.key.as_str().to_owned()),
                    Some(record) => {
                        write(&record.encode().map_err(Error::from)?)?;
                        report.records += 1;
                    }
                },
            }
        }
    }
    Ok(report)
}
