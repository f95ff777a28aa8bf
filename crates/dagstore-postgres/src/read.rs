//! Reading: single rows, and pages in the order of their keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dagstore_datastore::{Error, MAX_KEY_BYTES, Namespace, Result, RowPage};
use deadpool_postgres::Client;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::{failed, is_serialisation_failure, pool_failed};
use crate::retry::Tries;
use crate::shared::Shared;

/// How often something is read again, where the connection had gone or another transaction was in the way.
const MORE_TRIES: u32 = 4;

/// How many rows a page is thought to have at first: a megabyte of rows of 250 bytes.
const FIRST_GUESS: usize = 4096;

/// The value of a row.
///
/// # Errors
/// As [`Datastore::get`](dagstore_datastore::Datastore::get).
pub(crate) async fn get(shared: Arc<Shared>, namespace: Namespace, key: Vec<u8>) -> Result<Option<Bytes>> {
    let rows = read(&shared, "get", &shared.sql.get, &[&namespace.name().as_bytes(), &key]).await?;
    let value = rows.first().map(|row| row.try_get::<_, &[u8]>(0).map(Bytes::copy_from_slice)).transpose();
    value.map_err(|error| failed("get", error).at(&shared.place))
}

/// Which rows are wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    namespace: Namespace,
    /// The first key that may be.
    from: Vec<u8>,
    /// The first key behind all that may be.
    end: Vec<u8>,
    limit: usize,
}

impl Wanted {
    pub(crate) fn new(namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Self {
        let from = match after {
            // The key that comes next is this one with a zero behind it.
            Some(after) if after >= prefix => [after, &[0]].concat(),
            _ => prefix.to_vec(),
        };
        Self { namespace, from, end: behind(prefix), limit }
    }
}

/// How many rows make a page, as far as is known by now. One for all pages of a scan.
#[derive(Debug)]
pub(crate) struct Guess(AtomicUsize);

impl Default for Guess {
    fn default() -> Self {
        Self(AtomicUsize::new(FIRST_GUESS))
    }
}

/// The first of the rows, as many as there may be or as make a full page. One statement reads them, so they are of one
/// state; where its guess of their number was too low, it is asked again.
///
/// # Errors
/// As [`Datastore::rows`](dagstore_datastore::Datastore::rows).
pub(crate) async fn page(
    shared: Arc<Shared>,
    operation: &'static str,
    wanted: Wanted,
    guess: &Guess,
) -> Result<RowPage> {
    loop {
        let limit = guess.0.load(Ordering::Relaxed).min(wanted.limit);
        let (rows, bytes) = (as_bigint(limit), as_bigint(RowPage::TARGET_BYTES));
        let namespace = wanted.namespace.name().as_bytes();
        let asked: &[&(dyn ToSql + Sync)] = &[&namespace, &wanted.from, &wanted.end, &rows, &bytes];
        let mut page = RowPage::new();
        for row in read(&shared, operation, &shared.sql.page, asked).await? {
            let of_row = |error| failed(operation, error).at(&shared.place);
            page.push(row.try_get(0).map_err(of_row)?, row.try_get(1).map_err(of_row)?);
        }
        if page.is_full() || page.len() < limit || limit == wanted.limit {
            return Ok(page);
        }
        // A quarter more than such rows would need; and more than before, should the rows have become larger since.
        let row_bytes = page.byte_len() / page.len().max(1) + 1;
        guess.0.store((RowPage::TARGET_BYTES / row_bytes * 5 / 4).max(limit * 2), Ordering::Relaxed);
    }
}

/// Reads on a connection of the pool, and again where that can help.
async fn read(shared: &Shared, operation: &'static str, sql: &str, asked: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
    let mut tries = Tries::more(MORE_TRIES);
    loop {
        shared.check(operation)?;
        let reading = async {
            let client = shared.readers.get().await.map_err(|error| pool_failed(operation, error))?;
            Ok(query(&client, sql, asked).await)
        };
        let read = shared.lease.guard(operation, reading).await?.map_err(|error: Error| error.at(&shared.place))?;
        match read {
            Ok(found) => {
                // What came behind the loss of the lease may be somebody else's by now.
                shared.check(operation)?;
                return Ok(found);
            }
            Err(error) if (is_serialisation_failure(&error) || error.is_closed()) && tries.again().await => {}
            Err(error) => return Err(failed(operation, error).at(&shared.place)),
        }
    }
}

async fn query(client: &Client, sql: &str, asked: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, asked).await
}

/// The first key behind all that start with the prefix.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // Longer than any key: behind all of them.
    vec![0xff; MAX_KEY_BYTES + 1]
}

fn as_bigint(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_and_end_where_their_prefix_does() {
        const A: Namespace = Namespace::new("a");
        for (prefix, after, from, end) in [
            (&b"b"[..], None, &b"b"[..], &b"c"[..]),
            (b"b", Some(&b"a"[..]), b"b", b"c"),
            (b"b", Some(b"b"), b"b\0", b"c"),
            (b"b", Some(b"bx"), b"bx\0", b"c"),
            (b"b", Some(b"c"), b"c\0", b"c"),
            (b"b\xff", None, b"b\xff", b"c"),
            (b"\xff", Some(b""), b"\xff", &[0xff; MAX_KEY_BYTES + 1]),
            (b"", Some(b""), b"\0", &[0xff; MAX_KEY_BYTES + 1]),
            (b"", None, b"", &[0xff; MAX_KEY_BYTES + 1]),
        ] {
            let wanted = Wanted::new(A, prefix, after, 1);
            assert_eq!((&wanted.from[..], &wanted.end[..]), (from, end), "{prefix:?} behind {after:?}");
        }
    }
}
