//! Rows made of indices that can't be read to their end, and removed with them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::Arc;

use dagstore_datastore::{Datastore, RowPage};
use dagstore_index::{Error, FINGERPRINT_BYTES, Fingerprint, FingerprintKey, Fingerprints, InvertedIndex, Result};
use dagstore_testkit::FaultyDatastore;
use dagstore_types::Registration;
use futures_util::{FutureExt, StreamExt};

/// More than are removed at once.
const MANY: u32 = 20_000;

const SHARD: Registration = Registration(1);

fn fingerprint(number: u32) -> Fingerprint {
    let mut bytes = [0; FINGERPRINT_BYTES];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Fingerprint(bytes)
}

fn whole(count: u32) -> Fingerprints {
    Box::new((0..count).map(|number| Ok(fingerprint(number))))
}

/// As of an index whose next page has a bad sector under it.
fn broken(count: u32) -> Fingerprints {
    let source = std::io::Error::other("it was ordered to fail");
    let error = Error::Io { operation: "read", path: "an index".into(), source };
    Box::new(whole(count).chain(std::iter::once(Err(error))))
}

/// What a datastore in memory does at once.
fn done<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("a datastore in memory makes nobody wait")
}

fn index() -> (InvertedIndex, FaultyDatastore) {
    let datastore = FaultyDatastore::in_memory();
    (InvertedIndex::new(Arc::new(datastore.clone()), FingerprintKey([7; 16])), datastore)
}

fn rows(datastore: &FaultyDatastore) -> usize {
    let pages: Vec<_> = done(datastore.scan(InvertedIndex::ROWS, &[]).collect());
    pages.iter().map(|page: &dagstore_datastore::Result<RowPage>| page.as_ref().unwrap().len()).sum()
}

fn assert_failed(outcome: Result<()>) {
    assert!(matches!(outcome, Err(Error::Io { .. })), "{outcome:?}");
}

#[test]
fn the_rows_of_a_part_of_an_index_are_not_taken_for_all() {
    let (index, _) = index();
    assert_failed(done(index.add(SHARD, broken(MANY))));
}

/// Which of them are another index's nobody knows then, and a block without its row is found no more.
#[test]
fn nothing_is_removed_where_what_is_to_stay_can_not_be_read() {
    let (index, datastore) = index();
    done(index.add(SHARD, whole(MANY))).unwrap();
    assert_failed(done(index.remove(SHARD, whole(MANY), Some(broken(0)))));
    assert_eq!(rows(&datastore), MANY as usize);
    done(index.remove(SHARD, whole(MANY), Some(whole(5)))).unwrap();
    assert_eq!(rows(&datastore), 5);
}

/// Also where their number is one that leaves nothing for the last write.
#[test]
fn what_was_removed_is_durable() {
    let (index, datastore) = index();
    for count in [8 * 1024, 16 * 1024, 1] {
        done(index.add(SHARD, whole(count))).unwrap();
        let synced = datastore.synced();
        done(index.remove(SHARD, whole(count), None)).unwrap();
        assert_eq!((rows(&datastore), datastore.synced() - synced), (0, 1), "{count}");
    }
}
