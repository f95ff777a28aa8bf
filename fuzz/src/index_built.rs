//! The target `index-built`: an index of made-up blocks, damaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::OwnName;
use dagstore_index::{
    Error, FingerprintKey, FsIndexRepo, FullIndex, IndexMeta, IndexRepo, Location, MAX_OFFSET, MAX_SIZE,
    MemoryIndexRepo,
};
use dagstore_types::{Attempt, Registration, ShardKey};

use crate::files::MemoryFileSystem;
use crate::probes::{PROBES, probe};

const KEY: FingerprintKey = FingerprintKey(*b"0123456789abcdef");

/// How many times a block is added at most, and how many different ones.
const MOST_TIMES: u64 = 60;
const MOST_BLOCKS: usize = 32;

/// The least that a run has: one of each entry would make thousands.
const LEAST_RUN: usize = 4;

/// An input is how many entries a run has, the length of the validator, what damage is done (1 and 8 bytes), and blocks of 8
/// bytes each: the number of a probe, a count, a shift and a number for the offset, and a size. The index of these blocks gives the right
/// answer for each probe. Damaged, it gives the right answer or none.
pub fn index_built(input: &[u8]) {
    let Some(([run, validator, damage @ ..], blocks)) = input.split_first_chunk::<11>() else { return };
    let name = OwnName::new(&ShardKey::new("fuzzed").expect("a key"), Registration(1), Attempt(1));
    let validator = (*validator > 0).then(|| "v".repeat(usize::from(*validator) * 20));
    let meta = IndexMeta { name, car_size: 1 << 40, validator };
    let files = MemoryFileSystem::default();
    let open = |files: &MemoryFileSystem| {
        let repo =
            FsIndexRepo::open(Arc::new(files.clone()), Path::new(""), KEY).expect("memory takes every directory");
        repo.with_run_entries(LEAST_RUN + usize::from(*run))
    };
    let repos: [Box<dyn IndexRepo>; 2] = [Box::new(open(&files)), Box::new(MemoryIndexRepo::new())];
    let mut right = Answers::new();
    for (number, repo) in repos.iter().enumerate() {
        right = build(&**repo, &meta, blocks);
        let index = repo.open(name).expect("it was just built").expect("it was just published");
        assert_eq!((index.meta(), index.len()), (&meta, right.values().map(|found| found.len() as u64).sum()));
        assert!(ask(&*index, &right), "repository {number} finds damage in what it has built");
    }
    let path = Path::new("").join(format!("{name}.idx"));
    let file = files.get(&path).expect("it was published");
    assert_eq!(repos[0].list().ok(), Some(vec![name]));
    assert_eq!(repos[0].remove_temporaries().ok(), Some(0), "a build has left something");
    let damaged = damage_file(&file, damage);
    let is_damaged = damaged != file;
    files.put(&path, damaged);
    match open(&files).open(name) {
        Ok(index) => {
            let index = index.expect("the file is there");
            assert_eq!(index.meta(), &meta);
            assert!(ask(&*index, &right) || is_damaged);
        }
        Err(error) => assert!(is_damaged && matches!(error, Error::Damaged { .. }), "{error:?}"),
    }
}

/// The places of each probe that has any, ascending.
type Answers = BTreeMap<usize, Vec<Location>>;

fn build(repo: &dyn IndexRepo, meta: &IndexMeta, blocks: &[u8]) -> Answers {
    let mut builder = repo.builder(meta.clone()).expect("nobody else builds it");
    let mut right = Answers::new();
    for block in blocks.as_chunks::<8>().0.iter().take(MOST_BLOCKS) {
        let number = usize::from(block[0]) % PROBES;
        let multihash = probe(number);
        let multihash = MultihashRef::parse(&multihash).expect("a probe is a multihash");
        let first = u64::from(u16::from_be_bytes([block[3], block[4]])) << (block[2] % 64);
        let size = u64::from(u32::from_be_bytes([block[5], block[6], block[7], block[1]]));
        for time in 0..=u64::from(block[1]) % MOST_TIMES {
            let offset = first.wrapping_add(time);
            let added = builder.add(multihash, offset, size);
            if offset > MAX_OFFSET {
                assert!(matches!(added, Err(Error::OffsetTooLarge { .. })), "{offset}: {added:?}");
                continue;
            }
            added.expect("memory takes every block");
            let size = u32::try_from(size).ok().filter(|size| *size <= MAX_SIZE);
            right.entry(number).or_default().push(Location { offset, size });
        }
    }
    builder.publish().expect("memory takes every file");
    for found in right.values_mut() {
        // By offset, then as the format has it: an unknown size is the greatest.
        found.sort_unstable_by_key(|location| (location.offset, location.size.unwrap_or(u32::MAX)));
    }
    right
}

/// Looks up every probe; `false` where the index says that it is damaged. A wrong answer is a panic.
fn ask(index: &dyn FullIndex, right: &Answers) -> bool {
    let mut is_whole = true;
    for number in 0..PROBES {
        let multihash = probe(number);
        let multihash = MultihashRef::parse(&multihash).expect("a probe is a multihash");
        let right = right.get(&number).map_or(&[][..], |found| found);
        match index.find(multihash) {
            Ok(found) => assert_eq!(&found[..], right, "probe {number}"),
            Err(Error::Damaged { .. }) => is_whole = false,
            Err(error) => panic!("{error:?}"),
        }
        match index.find_first(multihash) {
            Ok(found) => assert_eq!(found.as_ref(), right.first(), "probe {number}"),
            Err(Error::Damaged { .. }) => is_whole = false,
            Err(error) => panic!("{error:?}"),
        }
    }
    is_whole
}

/// Damages the file in a way that its checksums are sure to show: three bits, a burst of 32, a length, or pages that change places.
fn damage_file(file: &[u8], damage: &[u8; 9]) -> Vec<u8> {
    let mut file = file.to_vec();
    let [kind, rest @ ..] = damage;
    let number = |at: usize| usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
    match kind % 6 {
        0 => {}
        1 => {
            for at in [0, 2, 4] {
                let bit = number(at) % (file.len() * 8);
                file[bit / 8] ^= 1 << (bit % 8);
            }
        }
        2 => {
            let start = number(0) % (file.len() - 3);
            for (byte, change) in file[start..].iter_mut().zip(&rest[2..6]) {
                *byte ^= change;
            }
        }
        3 => file.truncate(number(0) % file.len()),
        4 => file.extend_from_slice(rest),
        _ => swap_pages(&mut file, number(0), number(2)),
    }
    file
}

fn swap_pages(file: &mut [u8], one: usize, other: usize) {
    const PAGE_BYTES: usize = 1024;
    let pages = file.len() / PAGE_BYTES;
    let (one, other) = ((one % pages) * PAGE_BYTES, (other % pages) * PAGE_BYTES);
    for at in 0..PAGE_BYTES {
        file.swap(one + at, other + at);
    }
}
