//! What somebody chooses who wants an index to be slow. Work is counted, in comparisons and in pages read.

use std::cell::Cell;
use std::cmp::Ordering;

use crate::entry::{Entry, location};
use crate::sample::{KEY, Sample};
use crate::sorter::sort;

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

/// How many pages so many look-ups read.
fn pages_read(entries: &[Entry], asked: impl Iterator<Item = Chosen>) -> u64 {
    let sample = Sample::of_entries(entries, false);
    asked.map(|(code, digest)| sample.first(KEY.of_parts(code, &digest)).1).sum()
}

#[test]
fn nobody_makes_a_build_or_a_look_up_slow() {
    for (blocks, choose) in [
        (200_000, honest as fn(u32) -> Chosen),
        (200_000, equal_prefixes),
        (200_000, equal_digests),
        (200_000, counted),
        (200_000, short),
        (1_000_000, the_same),
    ] {
        let (entries, comparisons) = built(blocks, choose);
        assert!(entries.is_sorted());
        // Each comparison of the first words looks at two of them.
        let most = 3 * u64::from(blocks) * u64::from(blocks.ilog2() + 2);
        assert!(comparisons < most, "{comparisons} comparisons, and {most} at most");

        let asked = || (0..blocks).step_by(997);
        let count = asked().count() as u64;
        // Three for a multihash that fills pages, and mostly one.
        let pages = pages_read(&entries, asked().map(choose));
        assert!(pages <= 3 * count, "{pages} pages for {count}");
        let pages = pages_read(&entries, asked().map(|number| (0x55, number.to_be_bytes().to_vec())));
        assert!(pages <= count + count / 10, "{pages} pages for {count} that are absent");
    }
}
