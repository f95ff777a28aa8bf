//! The suite that every [`IndexRepo`] passes.
#![expect(clippy::expect_used, reason = "a check that fails is a panic")]

use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::OwnName;
use dagstore_types::{Attempt, Registration, ShardKey};

use crate::{Error, FingerprintKey, FullIndex, IndexBuilder, IndexMeta, IndexRepo, IndexSummary, Location};
use crate::{MAX_OFFSET, MAX_SIZE, MAX_VALIDATOR_BYTES};

/// The key of the repositories that the suite is given, where they have one.
pub const KEY: FingerprintKey = FingerprintKey(*b"0123456789abcdef");

/// Runs all checks, each on a new and empty repository of `make`, under [`KEY`].
///
/// # Panics
/// When a check fails.
pub fn run(make: impl Fn() -> Arc<dyn IndexRepo>) {
    for check in CHECKS {
        check(&*make());
    }
}

const CHECKS: &[fn(&dyn IndexRepo)] = &[
    what_is_absent_is_absent,
    an_index_answers_whatever_its_size,
    an_unpublished_index_leaves_nothing,
    duplicates_come_lowest_offset_first,
    limits_are_exact,
    multihashes_chosen_by_an_attacker_are_kept_apart,
    fingerprints_come_in_order,
    what_it_belongs_to_comes_back,
    a_name_is_built_once_at_a_time,
    groups_are_published_in_order,
    readers_outlive_replacement_and_removal,
    temporaries_of_living_builders_stay,
    indices_are_used_by_many_threads,
];

/// A multihash's bytes.
pub fn multihash(code: u64, digest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut value in [code, digest.len() as u64] {
        while let byte @ 0x80.. = value {
            bytes.push(u8::try_from(byte & 0x7f).unwrap_or_default() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap_or_default());
    }
    bytes.extend_from_slice(digest);
    bytes
}

fn name(number: u64) -> OwnName {
    OwnName::new(&ShardKey::new("conformance").expect("it is short"), Registration(number), Attempt(1))
}

fn meta(number: u64) -> IndexMeta {
    IndexMeta { name: name(number), car_size: 1 << 20, validator: None }
}

/// The multihash of sha2-256 with a number for a digest.
fn numbered(number: u64) -> Vec<u8> {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    multihash(0x12, &digest)
}

fn parsed(multihash: &[u8]) -> MultihashRef<'_> {
    MultihashRef::parse(multihash).expect("a multihash")
}

fn add(builder: &mut dyn IndexBuilder, multihash: &[u8], offset: u64, data_size: u64) {
    builder.add(parsed(multihash), offset, data_size).expect("a block is added");
}

/// Publishes blocks, given as multihash, offset and size.
fn publish(repo: &dyn IndexRepo, number: u64, blocks: &[(Vec<u8>, u64, u64)]) -> IndexSummary {
    let mut builder = repo.builder(meta(number)).expect("a builder");
    for (multihash, offset, data_size) in blocks {
        add(&mut *builder, multihash, *offset, *data_size);
    }
    builder.publish().expect("an index is published")
}

fn open(repo: &dyn IndexRepo, number: u64) -> Arc<dyn FullIndex> {
    repo.open(name(number)).expect("an index can be opened").expect("the index is there")
}

fn is_absent(repo: &dyn IndexRepo, number: u64) -> bool {
    repo.open(name(number)).expect("an absent index is no error").is_none()
}

/// Asserts that `find` gives these offsets and sizes, and that `find_first` agrees.
fn assert_found(index: &dyn FullIndex, multihash: &[u8], expected: &[(u64, Option<u32>)]) {
    let found = index.find(parsed(multihash)).expect("find");
    let pairs: Vec<_> = found.iter().map(|location| (location.offset, location.size)).collect();
    assert_eq!(pairs, expected, "find {multihash:?}");
    let first = index.find_first(parsed(multihash)).expect("find_first");
    assert_eq!(first.as_ref(), found.first(), "find_first {multihash:?}");
}

fn what_is_absent_is_absent(repo: &dyn IndexRepo) {
    assert!(is_absent(repo, 1));
    assert!(!repo.remove(name(1)).expect("removing what is absent is no error"));
    assert_eq!(repo.list().expect("list"), []);
    assert_eq!(repo.remove_temporaries().expect("remove_temporaries"), 0);
}

fn an_index_answers_whatever_its_size(repo: &dyn IndexRepo) {
    for count in [0, 1, 2, 45, 46, 47, 91, 92, 93, 1000] {
        let blocks: Vec<_> = (0..count).map(|number| (numbered(number), number * 100, number)).collect();
        let summary = publish(repo, count, &blocks);
        assert_eq!(summary.entries, count);
        let index = open(repo, count);
        assert_eq!((index.len(), index.is_empty()), (count, count == 0));
        for (multihash, offset, data_size) in &blocks {
            assert_found(&*index, multihash, &[(*offset, u32::try_from(*data_size).ok())]);
        }
        for absent in count..count + 100 {
            assert_found(&*index, &numbered(absent), &[]);
        }
    }
    assert_eq!(repo.list().expect("list").len(), 10);
}

fn an_unpublished_index_leaves_nothing(repo: &dyn IndexRepo) {
    let mut builder = repo.builder(meta(1)).expect("a builder");
    for number in 0..1000 {
        add(&mut *builder, &numbered(number), number, 1);
    }
    assert!(is_absent(repo, 1), "an index is visible before it is published");
    assert_eq!(repo.list().expect("list"), [], "an index is listed before it is published");
    drop(builder);
    assert!(is_absent(repo, 1));
    assert_eq!(repo.remove_temporaries().expect("remove_temporaries"), 0, "a dropped builder left something");
}

fn duplicates_come_lowest_offset_first(repo: &dyn IndexRepo) {
    for count in [2, 45, 46, 47, 1000] {
        let mut blocks: Vec<_> = (0..count).rev().map(|number| (numbered(7), number * 10, 3)).collect();
        blocks.extend((100..400).map(|number| (numbered(number), number, 1)));
        publish(repo, count, &blocks);
        let index = open(repo, count);
        let expected: Vec<_> = (0..count).map(|number| (number * 10, Some(3))).collect();
        assert_found(&*index, &numbered(7), &expected);
        for number in 100..400 {
            assert_found(&*index, &numbered(number), &[(number, Some(1))]);
        }
        assert_eq!(index.len(), count + 300);
    }
    publish(repo, 1, &[(numbered(1), 5, 6), (numbered(1), 5, 6)]);
    assert_found(&*open(repo, 1), &numbered(1), &[(5, Some(6)), (5, Some(6))]);
}

fn limits_are_exact(repo: &dyn IndexRepo) {
    let mut builder = repo.builder(meta(1)).expect("a builder");
    add(&mut *builder, &numbered(1), MAX_OFFSET, 0);
    for offset in [MAX_OFFSET + 1, u64::MAX] {
        let refused = builder.add(parsed(&numbered(2)), offset, 0);
        assert!(matches!(refused, Err(Error::OffsetTooLarge { offset: found }) if found == offset), "{refused:?}");
    }
    let too_large = u64::from(MAX_SIZE) + 1;
    add(&mut *builder, &numbered(3), 3, too_large - 1);
    add(&mut *builder, &numbered(4), 4, too_large);
    add(&mut *builder, &numbered(5), 5, u64::MAX);
    assert_eq!(builder.publish().expect("an index is published").entries, 4);
    let index = open(repo, 1);
    assert_found(&*index, &numbered(1), &[(MAX_OFFSET, Some(0))]);
    assert_found(&*index, &numbered(2), &[]);
    assert_found(&*index, &numbered(3), &[(3, Some(MAX_SIZE))]);
    assert_found(&*index, &numbered(4), &[(4, None)]);
    assert_found(&*index, &numbered(5), &[(5, None)]);
}

fn multihashes_chosen_by_an_attacker_are_kept_apart(repo: &dyn IndexRepo) {
    let mut multihashes = Vec::new();
    // The same digest under many codes, the one of identity among them.
    multihashes.extend((0..200).map(|code| multihash(code, &[0xab; 32])));
    // Digests that differ in their last bytes alone.
    multihashes.extend((0..500_u16).map(|last| multihash(0x12, &[&[0; 30][..], &last.to_be_bytes()].concat())));
    // Identity digests, each of which starts with all shorter ones.
    multihashes.extend((0..200).map(|length| multihash(0, &vec![0; length])));
    // Short digests of a hash function.
    multihashes.extend((0..=255).map(|byte| multihash(0x13, &[byte])));
    let with_offset = (0..).zip(multihashes).map(|(offset, multihash)| (multihash, offset, 1));
    let blocks: Vec<_> = with_offset.collect();
    publish(repo, 1, &blocks);
    let index = open(repo, 1);
    for (multihash, offset, _) in &blocks {
        assert_found(&*index, multihash, &[(*offset, Some(1))]);
    }
    for absent in [multihash(200, &[0xab; 32]), multihash(0, &[0; 200]), multihash(0x12, &[]), multihash(0x14, &[0])] {
        assert_found(&*index, &absent, &[]);
    }
}

fn fingerprints_come_in_order(repo: &dyn IndexRepo) {
    for count in [0, 1, 46, 47, 1000] {
        let blocks: Vec<_> = (0..count).map(|number| (numbered(number % 700), number * 100, number)).collect();
        publish(repo, count, &blocks);
        let mut expected: Vec<_> = blocks.iter().map(|(bytes, ..)| KEY.fingerprint(parsed(bytes))).collect();
        expected.sort_unstable();
        let found: Result<Vec<_>, _> = open(repo, count).fingerprints(KEY).collect();
        assert_eq!(found.expect("the fingerprints"), expected, "{count}");
    }
}

fn what_it_belongs_to_comes_back(repo: &dyn IndexRepo) {
    let longest = "v".repeat(MAX_VALIDATOR_BYTES);
    let validators = [None, Some(""), Some("\"strong-\u{e9}\""), Some(&longest)];
    for (number, validator) in (0..).zip(validators) {
        let meta = IndexMeta { name: name(number), car_size: u64::MAX, validator: validator.map(str::to_owned) };
        let mut builder = repo.builder(meta.clone()).expect("a builder");
        add(&mut *builder, &numbered(1), 1, 1);
        builder.publish().expect("an index is published");
        let index = open(repo, number);
        assert_eq!(*index.meta(), meta);
        assert_found(&*index, &numbered(1), &[(1, Some(1))]);
    }
    let refused = repo.builder(IndexMeta { validator: Some(longest + "v"), ..meta(9) });
    assert!(
        matches!(refused, Err(Error::ValidatorTooLong { length_bytes }) if length_bytes == MAX_VALIDATOR_BYTES + 1)
    );
    repo.builder(meta(9)).expect("a refused builder doesn't keep its name");
}

fn a_name_is_built_once_at_a_time(repo: &dyn IndexRepo) {
    let builder = repo.builder(meta(1)).expect("a builder");
    let second = repo.builder(meta(1));
    assert!(matches!(second, Err(Error::BeingBuilt { name: found }) if found == name(1)), "{second:?}");
    let mut other = repo.builder(meta(2)).expect("a builder of another name");
    add(&mut *other, &numbered(1), 1, 1);
    other.publish().expect("an index is published");
    drop(builder);
    publish(repo, 1, &[(numbered(2), 2, 2)]);
    publish(repo, 1, &[(numbered(3), 3, 3)]);
    assert_found(&*open(repo, 1), &numbered(2), &[]);
    assert_found(&*open(repo, 1), &numbered(3), &[(3, Some(3))]);
    assert_found(&*open(repo, 2), &numbered(1), &[(1, Some(1))]);
}

fn groups_are_published_in_order(repo: &dyn IndexRepo) {
    assert!(repo.publish_group(Vec::new()).is_empty());
    for count in [1, 40] {
        let filled = |number: u64| {
            let mut builder = repo.builder(meta(number)).expect("a builder");
            (0..number).for_each(|block| add(&mut *builder, &numbered(block), number * 1000 + block, 1));
            builder
        };
        let published = repo.publish_group((0..count).map(filled).collect());
        let entries: Vec<_> = published.into_iter().map(|one| one.expect("an index is published").entries).collect();
        assert_eq!(entries, (0..count).collect::<Vec<_>>());
        for number in 0..count {
            let index = open(repo, number);
            for block in 0..number {
                assert_found(&*index, &numbered(block), &[(number * 1000 + block, Some(1))]);
            }
            assert_found(&*index, &numbered(number), &[]);
        }
    }
    // The names are free again.
    publish(repo, 1, &[(numbered(2), 2, 2)]);
}

fn readers_outlive_replacement_and_removal(repo: &dyn IndexRepo) {
    publish(repo, 1, &[(numbered(1), 1, 1)]);
    publish(repo, 2, &[(numbered(1), 9, 1)]);
    let old = open(repo, 1);
    publish(repo, 1, &[(numbered(1), 2, 1)]);
    let new = open(repo, 1);
    let mut listed = repo.list().expect("list");
    listed.sort_unstable();
    assert_eq!(listed, [name(1), name(2)]);

    assert!(repo.remove(name(1)).expect("remove"), "an index was not there");
    assert!(!repo.remove(name(1)).expect("remove"), "an index was removed twice");
    assert!(is_absent(repo, 1));
    assert_eq!(repo.list().expect("list"), [name(2)]);
    assert_found(&*old, &numbered(1), &[(1, Some(1))]);
    assert_found(&*new, &numbered(1), &[(2, Some(1))]);
}

fn temporaries_of_living_builders_stay(repo: &dyn IndexRepo) {
    publish(repo, 1, &[(numbered(1), 1, 1)]);
    let mut builder = repo.builder(meta(2)).expect("a builder");
    for number in 0..1000 {
        add(&mut *builder, &numbered(number), number, 1);
    }
    assert_eq!(repo.remove_temporaries().expect("remove_temporaries"), 0);
    assert_eq!(builder.publish().expect("an index is published").entries, 1000);
    assert_found(&*open(repo, 1), &numbered(1), &[(1, Some(1))]);
    assert_found(&*open(repo, 2), &numbered(999), &[(999, Some(1))]);
}

fn indices_are_used_by_many_threads(repo: &dyn IndexRepo) {
    std::thread::scope(|scope| {
        for shard in 0..4 {
            scope.spawn(move || {
                let blocks: Vec<_> = (0..500).map(|number| (numbered(number), number * 4 + shard, 1)).collect();
                publish(repo, shard, &blocks);
            });
        }
    });
    let index = open(repo, 3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..500 {
                    let expected = Location { offset: number * 4 + 3, size: Some(1) };
                    assert_eq!(index.find_first(parsed(&numbered(number))).expect("find_first"), Some(expected));
                }
            });
        }
    });
}
