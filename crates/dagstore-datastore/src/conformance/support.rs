//! What the checks share: a problem, a store, reading all rows.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::Factory;
use crate::{Batch, Datastore, Durability, Error, Namespace, RowStream};

/// A namespace for checks that need only one.
pub(super) const ROWS: Namespace = Namespace::new("rows");

/// What a check found.
#[derive(Debug)]
pub(super) struct Problem(String);

pub(super) type Outcome<T = ()> = Result<T, Problem>;

/// A row as key and value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut text = format!("unexpected error: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        Self(text)
    }
}

/// Ends the check with a problem unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::support::Problem::new(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

/// One check's place in the world.
pub(super) struct Bench<'a> {
    factory: &'a dyn Factory,
    name: &'static str,
}

impl<'a> Bench<'a> {
    pub(super) fn new(factory: &'a dyn Factory, name: &'static str) -> Self {
        Self { factory, name }
    }

    /// Opens the check's store: empty at first, and the same one later where rows persist.
    pub(super) async fn open(&self) -> crate::Result<Arc<dyn Datastore>> {
        self.factory.open(self.name).await
    }

    /// How long to wait for what a broken store never does.
    pub(super) fn patience(&self) -> Duration {
        self.factory.patience()
    }
}

/// A batch that puts rows into one namespace.
pub(super) fn puts<'a>(namespace: Namespace, rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(namespace, key, value);
    }
    batch
}

/// Writes rows, durably.
pub(super) async fn put_all(store: &dyn Datastore, namespace: Namespace, rows: &[Row]) -> Outcome {
    let rows = rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    Ok(store.write(puts(namespace, rows), Durability::Synced).await?)
}

/// Checks one row: `None` means that there must be none.
pub(super) async fn expect_row(
    store: &dyn Datastore,
    namespace: Namespace,
    key: &[u8],
    value: Option<&[u8]>,
) -> Outcome {
    let found = store.get(namespace, key).await?;
    ensure!(
        found.as_deref() == value,
        "row {} of {namespace} is {}, not {}",
        show(key),
        found.as_deref().map_or("absent".to_owned(), show),
        value.map_or("absent".to_owned(), show)
    );
    Ok(())
}

/// Checks all rows that a scan yields.
pub(super) async fn expect_rows(
    store: &dyn Datastore,
    namespace: Namespace,
    prefix: &[u8],
    expected: &[Row],
) -> Outcome {
    let found = all_rows(store, namespace, prefix).await?;
    if let Some(at) = (0..found.len().max(expected.len())).find(|&at| found.get(at) != expected.get(at)) {
        let row = |rows: &[Row]| {
            rows.get(at).map_or("the end".to_owned(), |(key, value)| format!("{} = {}", show(key), show(value)))
        };
        return Err(Problem::new(format!(
            "a scan of {namespace} with prefix {} yields {} rows, not {}; row {at} is {}, not {}",
            show(prefix),
            found.len(),
            expected.len(),
            row(&found),
            row(expected)
        )));
    }
    Ok(())
}

/// All rows of a scan.
pub(super) async fn all_rows(store: &dyn Datastore, namespace: Namespace, prefix: &[u8]) -> Outcome<Vec<Row>> {
    rest_of(store.scan(namespace, prefix), prefix, None).await
}

/// The rows that a stream still has, checked for order and prefix; `last` is the key before them.
pub(super) async fn rest_of(mut stream: RowStream, prefix: &[u8], last: Option<Vec<u8>>) -> Outcome<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    while let Some(page) = stream.next().await {
        for (key, value) in page?.iter() {
            ensure!(key.starts_with(prefix), "a scan with prefix {} yields {}", show(prefix), show(key));
            if let Some(before) = rows.last().map(|(key, _)| key).or(last.as_ref()) {
                ensure!(before.as_slice() < key, "a scan yields {} behind {}", show(key), show(before));
            }
            rows.push((key.to_vec(), value.to_vec()));
        }
    }
    Ok(rows)
}

/// Bytes in hexadecimal, cut where they are many.
pub(super) fn show(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(24).fold(String::from("<"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if bytes.len() > 24 {
        let _ = write!(text, "... {} bytes", bytes.len());
    }
    text + ">"
}

/// Bytes that look random and are the same each time.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    // Knuth's multiplier for a linear congruential generator; its upper bits are good enough here.
    let mut state = seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(length);
    bytes
}
