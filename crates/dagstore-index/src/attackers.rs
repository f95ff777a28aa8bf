//! What somebody chooses who wants an index to be slow. Work is counted, in comparisons and in pages read.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use dagstore_car::RawCid;
use dagstore_datastore::{Datastore, MemoryDatastore, RowPage};
use dagstore_types::Registration;
use futures_util::{FutureExt, TryStreamExt};

use crate::entry::{Entry, location};
use crate::sample::{KEY, Sample};
use crate::sorter::sort;
use crate::{Fingerprint, InvertedIndex};

/// A multihash's code and digest.
type Chosen = (u64, Vec<u8>);

/// Digests that differ in their last bytes alone.
fn equal_prefixes(number: u32) -> Chosen {
    (0x12, [&[0; 28][..], &number.to_be_bytes()].concat())
}

/// The same digest under many codes.
fn equal_digests(number: u32) -> Chosen {
    (u64::from(number), vec![0xab; 32])
}

/// Identity digests of no hash at all, in ascending order.
fn counted(number: u32) -> Chosen {
    (0, number.to_be_bytes().to_vec())
}

/// Digests of two bytes, each many times.
fn short(number: u32) -> Chosen {
    (0x13, number.to_be_bytes()[2..].to_vec())
}

/// One multihash.
fn the_same(_: u32) -> Chosen {
    (0x12, vec![7; 32])
}

/// Digests that look random, as those of a hash do.
fn honest(number: u32) -> Chosen {
    let words = (0..4).map(|word| (u64::from(number) * 4 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    (0x12, words.flatten().collect())
}

/// An entry whose comparisons are counted.
#[derive(Clone, Copy)]
struct Counted<'a>(Entry, &'a Cell<u64>);

impl Counted<'_> {
    fn count(&self) {
        self.1.set(self.1.get() + 1);
    }
}

impl Ord for Counted<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.count();
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Counted<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Counted<'_> {}

/// The sorted entries, and how often two were compared.
fn built(blocks: u32, choose: fn(u32) -> Chosen) -> (Vec<Entry>, u64) {
    let comparisons = Cell::new(0);
    let entry = |number| {
        let (code, digest) = choose(number);
        Counted(Entry::new(KEY.of_parts(code, &digest), location(u64::from(number), 1).unwrap()), &comparisons)
    };
    let mut entries: Vec<_> = (0..blocks).map(entry).collect();
    sort(&mut entries, |entry| {
        entry.count();
        entry.0.first_word()
    });
    (entries.into_iter().map(|entry| entry.0).collect(), comparisons.get())
}

/// Looks up what was chosen, which must be at its place, and something that is absent: pages read for each of both.
fn pages_read(entries: &[Entry], choose: fn(u32) -> Chosen, asked: &[u32], first: fn(u32) -> u32) -> (u64, u64) {
    let sample = Sample::of_entries(entries, false);
    let (mut present, mut absent) = (0, 0);
    for &number in asked {
        let (code, digest) = choose(number);
        let (found, pages) = sample.first(KEY.of_parts(code, &digest));
        assert_eq!(found, Some(u64::from(first(number))));
        present += pages;
        let (found, pages) = sample.first(KEY.of_parts(code + 1_000_000, &digest));
        assert_eq!(found, None);
        absent += pages;
    }
    (present, absent)
}

#[test]
fn nobody_makes_a_build_or_a_look_up_slow() {
    type Kind = (u32, fn(u32) -> Chosen, fn(u32) -> u32);
    let kinds: [Kind; 6] = [
        (200_000, honest, |number| number),
        (200_000, equal_prefixes, |number| number),
        (200_000, equal_digests, |number| number),
        (200_000, counted, |number| number),
        (200_000, short, |number| number & 0xffff),
        (1_000_000, the_same, |_| 0),
    ];
    for (blocks, choose, first) in kinds {
        let (entries, comparisons) = built(blocks, choose);
        assert!(entries.is_sorted());
        // Each comparison of the first words looks at two of them.
        let most = 3 * u64::from(blocks) * u64::from(blocks.ilog2() + 2);
        assert!(comparisons < most, "{comparisons} comparisons, and {most} at most");

        let asked: Vec<_> = (0..blocks).step_by(997).collect();
        let (present, absent) = pages_read(&entries, choose, &asked, first);
        let count = asked.len() as u64;
        // Three for a multihash that fills pages, and mostly one.
        assert!(present <= 3 * count, "{present} pages for {count}");
        assert!(absent <= count + count / 10, "{absent} pages for {count} that are absent");
    }
}

/// So many multihashes of each kind; there are four.
const ROWS_OF_A_KIND: u32 = 250_000;

/// A raw CIDv1.
fn cid((code, digest): &Chosen) -> RawCid {
    let mut bytes = vec![1, 0x55];
    let mut rest = *code;
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.extend([rest.to_le_bytes()[0], u8::try_from(digest.len()).unwrap()]);
    RawCid::from_bytes(&[&bytes[..], digest].concat()).unwrap()
}

#[test]
fn nobody_makes_rows_meet() {
    // Memory answers at once.
    rows_that_were_chosen().now_or_never().unwrap();
}

async fn rows_that_were_chosen() {
    let datastore = Arc::new(MemoryDatastore::new());
    let index = InvertedIndex::new(datastore.clone(), KEY);
    let kinds: [fn(u32) -> Chosen; 4] =
        [honest, equal_prefixes, |number| equal_digests(number + 1), |number| (0x13, number.to_be_bytes().to_vec())];
    for (shard, choose) in (1..).zip(kinds) {
        let fingerprint = |number| {
            let (code, digest) = choose(number);
            KEY.of_parts(code, &digest)
        };
        let fingerprints: Vec<Fingerprint> = (0..ROWS_OF_A_KIND).map(fingerprint).collect();
        index.add_group(&[(Registration(shard), fingerprints)]).await.unwrap();
    }
    // What is looked for by its first bytes finds hardly more than itself, whatever was chosen.
    let mut beginnings: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let pages: Vec<RowPage> = datastore.scan(InvertedIndex::ROWS, b"").try_collect().await.unwrap();
    for (row, _) in pages.iter().flat_map(RowPage::iter) {
        *beginnings.entry(row[..6].to_vec()).or_default() += 1;
    }
    let rows: u32 = beginnings.values().sum();
    assert_eq!(rows, 4 * ROWS_OF_A_KIND, "a row for each");
    assert!(beginnings.values().all(|&rows| rows <= 2), "rows that begin alike");
    for (shard, choose) in (1..).zip(kinds) {
        for number in (0..ROWS_OF_A_KIND).step_by(9_973) {
            let (code, digest) = choose(number);
            let found = index.find(cid(&(code, digest.clone())).multihash(), None, 10).await.unwrap();
            assert_eq!(found, [Registration(shard)]);
            let absent = index.find(cid(&(code + 1_000_000, digest)).multihash(), None, 10).await.unwrap();
            assert_eq!(absent, []);
        }
    }
}
