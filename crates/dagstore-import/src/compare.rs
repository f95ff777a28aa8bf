//! Holding the target against the source: every row, in order.

use dagstore::Databases;
use dagstore::datastore::{RowPage, RowStream};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::copy::Tell;
use crate::error::hex;
use crate::rows::{Recoding, rows_behind};
use crate::tables::{TABLES, Table};
use crate::{CopyStep, Error, Result};

/// A table of the source and of the target, which are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// The table's name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The bytes of all keys and values.
    pub bytes: u64,
    /// The SHA-256 over all rows of the target, each as the lengths of key and value (8 bytes each, big-endian) with the bytes
    /// behind them, in hexadecimal digits.
    pub sha256: String,
}

/// Compares all tables; records as `recoding` makes them.
pub(crate) async fn compare(
    source: &Databases,
    target: &Databases,
    recoding: &Recoding,
    tell: Tell<'_>,
) -> Result<Vec<TableReport>> {
    let mut reports = Vec::new();
    for table in TABLES {
        reports.push(compare_table(table, source, target, recoding, tell).await?);
    }
    Ok(reports)
}

async fn compare_table(
    table: Table,
    source: &Databases,
    target: &Databases,
    recoding: &Recoding,
    tell: Tell<'_>,
) -> Result<TableReport> {
    let name = table.namespace().name();
    let mut wanted = Side::new(rows_behind(table.of(source), table, None), Some((table, recoding)));
    let mut found = Side::new(table.of(target).scan(table.namespace(), &[]), None);
    let differs = |row: &[u8], what| Err(Error::Differs { namespace: name, row: hex(row), what });
    loop {
        let (has_wanted, has_found) = (wanted.fill().await?, found.fill().await?);
        if !has_wanted || !has_found {
            break;
        }
        // Only as many as both have at hand: the others are looked at in the next turn.
        let rows = wanted.left().zip(found.left());
        let mut count = 0;
        for ((wanted_key, wanted_value), (found_key, found_value)) in rows {
            match wanted_key.cmp(found_key) {
                std::cmp::Ordering::Less => return differs(wanted_key, "the target lacks it"),
                std::cmp::Ordering::Greater => return differs(found_key, "the source lacks it"),
                std::cmp::Ordering::Equal if wanted_value != found_value => {
                    return differs(wanted_key, "its value is another one");
                }
                std::cmp::Ordering::Equal => count += 1,
            }
        }
        wanted.take(count);
        found.take(count);
        tell(CopyStep::Comparing { table: name, rows: found.rows });
    }
    if let Some((row, _)) = wanted.left().next() {
        return differs(row, "the target lacks it");
    }
    if let Some((row, _)) = found.left().next() {
        return differs(row, "the source lacks it");
    }
    let (wanted_sum, sha256) = (wanted.digest.finalize(), found.digest.finalize());
    if wanted_sum != sha256 || wanted.rows != found.rows {
        return differs(&[], "the sums over all rows differ");
    }
    Ok(TableReport { name, rows: found.rows, bytes: found.bytes, sha256: hex(&sha256) })
}

/// The rows of one side, of which some are looked at already.
struct Side<'a> {
    pages: RowStream,
    recoding: Option<(Table, &'a Recoding)>,
    page: RowPage,
    taken: usize,
    rows: u64,
    bytes: u64,
    digest: Sha256,
}

impl<'a> Side<'a> {
    fn new(pages: RowStream, recoding: Option<(Table, &'a Recoding)>) -> Self {
        Self { pages, recoding, page: RowPage::new(), taken: 0, rows: 0, bytes: 0, digest: Sha256::new() }
    }

    /// Sees to it that there are rows to look at, and tells whether there are any.
    async fn fill(&mut self) -> Result<bool> {
        while self.taken == self.page.len() {
            let Some(page) = self.pages.next().await.transpose()? else { return Ok(false) };
            self.page = match self.recoding {
                Some((table, recoding)) => recoding.page(table, page)?.0,
                None => page,
            };
            self.taken = 0;
        }
        Ok(true)
    }

    fn left(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.page.iter().skip(self.taken)
    }

    /// Counts the next rows.
    fn take(&mut self, count: usize) {
        for (key, value) in self.page.iter().skip(self.taken).take(count) {
            for bytes in [key, value] {
                self.digest.update((bytes.len() as u64).to_be_bytes());
                self.bytes += bytes.len() as u64;
            }
            self.digest.update(key);
            self.digest.update(value);
            self.rows += 1;
        }
        self.taken += count;
    }
}
