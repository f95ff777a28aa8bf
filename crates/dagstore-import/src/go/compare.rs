//! go-car's index of a shard, held against the CAR once the store has the shard.

use std::sync::Arc;

use dagstore::Dagstore;
use dagstore::car::{GoIndex, Limits};
use dagstore::fs::RegularFile;

use super::GoFile;

/// The most findings that are looked for: one is enough to know.
const MOST_FINDINGS: usize = 1;

/// What came of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The index names every block where it is; the store has an index of its own.
    Agrees {
        /// How many records it has.
        records: u64,
    },
    /// It doesn't fit the CAR. The store's own index, where it has one, is made of the CAR.
    Differs {
        /// How many things are wrong.
        findings: u64,
    },
    /// The index file can't be read.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// The shard isn't one that can be compared with.
    NotCompared {
        /// Why.
        reason: String,
    },
}

/// Compares an index file of Go's with the CAR of the shard `key` of an open store. The shard is indexed where it wasn't yet.
pub async fn compare_index(store: &Dagstore, key: &str, file: &GoFile) -> Compared {
    let path = file.path.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let opened = RegularFile::open(&path).map_err(|error| error.to_string())?;
        GoIndex::open(Arc::new(opened), &Limits::default()).map_err(|error| error.to_string())
    });
    let index = match opening.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(index) => index,
        Err(reason) => return Compared::Unreadable { reason },
    };
    match store.import_index(key, index, MOST_FINDINGS).await {
        Ok(report) if report.findings.is_empty() && report.left_out == 0 => {
            Compared::Agrees { records: report.records }
        }
        Ok(report) => Compared::Differs { findings: report.findings.len() as u64 + report.left_out },
        Err(error) => Compared::NotCompared { reason: error.to_string() },
    }
}
