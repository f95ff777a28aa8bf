//! Shards as a storage provider has them: keys of 60 bytes, URLs of 80 bytes.

use std::ops::Range;

use dagstore::mount::BytesMount;
use dagstore::{Dagstore, ShardKey};
use dagstore_testkit::cars;
use dagstore_types::{Registration, ShardRecord, UnixMillis};

use crate::crowd;

/// Where a store keeps its records.
pub(crate) const SHARDS: dagstore::datastore::Namespace = dagstore::datastore::Namespace::new("shards");

/// What the digests in keys are written with.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The key of shard `number`: like a piece CID, the same beginning and then nothing that is in any order.
pub(crate) fn key(number: usize) -> String {
    text("baga6ea4seaq", number, 60)
}

/// The URL of shard `number`. Its data stand in the URL, so that looking at the source costs what parsing the URL does.
pub(crate) fn url(number: usize) -> String {
    text("bytes:", number, 80)
}

/// The record of shard `number` as a lazy registration makes it.
pub(crate) fn record(number: usize) -> anyhow::Result<ShardRecord> {
    let registration = Registration(number as u64 + 1);
    // A time of today takes as many bytes as any other of this age.
    let now = UnixMillis(1_800_000_000_000);
    Ok(ShardRecord::new(ShardKey::new(&key(number))?, url(number), true, registration, now))
}

/// Registers small shards, their data in their URLs, and returns when all are Available.
pub(crate) async fn register_indexed(store: &Dagstore, numbers: Range<usize>, in_flight: usize) -> anyhow::Result<()> {
    let mount = BytesMount::new(cars::one_block(b"one small block").bytes)?;
    let store = store.clone();
    crowd::for_each(numbers, in_flight, move |number| {
        let (store, mount) = (store.clone(), mount.clone());
        async move { Ok(store.register_mount(&key(number), &mount).await?) }
    })
    .await
}

/// `start`, filled up with letters and digits that look random and are always the same for `number`.
pub(crate) fn text(start: &str, number: usize, length: usize) -> String {
    let mut text = start.to_owned();
    let mut state = number as u64;
    while text.len() < length {
        state = split_mix(state);
        let letters = (0..12).map(|place| char::from(BASE32[(state >> (5 * place)) as usize & 31]));
        text.extend(letters.take(length - text.len()));
    }
    text
}

/// The next number of a sequence that never repeats before it has been through all 64-bit numbers.
pub(crate) fn split_mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_and_urls_have_their_lengths_and_differ() {
        let mut seen = BTreeSet::new();
        for number in 0..10_000 {
            let (key, url) = (key(number), url(number));
            assert_eq!((key.len(), url.len()), (60, 80));
            assert!(seen.insert(key) && seen.insert(url));
        }
    }
}
