//! Files that aren't what was written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_fs::RealFileSystem;
use dagstore_index::conformance::KEY;
use dagstore_index::{Damage, Error, FingerprintKey, FsIndexRepo, FullIndex, IndexRepo, Location, Result};

use crate::{Block, MODES, meta, names, numbered, parsed, publish, real_repo};

/// Runs a test by positioned reads and mapped.
fn in_both_modes(test: impl Fn(Sample)) {
    MODES.map(Sample::new).into_iter().for_each(test);
}

/// An index of three pages; one multihash is on all of them.
struct Sample {
    directory: tempfile::TempDir,
    repo: FsIndexRepo,
    blocks: Vec<Block>,
    bytes: Vec<u8>,
}

impl Sample {
    fn new(is_mapped: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repo = real_repo(directory.path(), usize::MAX).with_mapping(is_mapped);
        let duplicates = (0..60).map(|number| (numbered(0), 1000 + number, 1));
        let blocks: Vec<_> = (1..61).map(|number| (numbered(number), number, number)).chain(duplicates).collect();
        publish(&repo, 1, &blocks).unwrap();
        let bytes = std::fs::read(index_path(directory.path(), 1)).unwrap();
        Self { directory, repo, blocks, bytes }
    }

    fn path(&self) -> PathBuf {
        index_path(self.directory.path(), 1)
    }

    fn open_with(&self, bytes: &[u8]) -> Result<Option<Arc<dyn FullIndex>>> {
        // In place: some file systems write a file to the disk at once when it is emptied and filled again.
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        self.repo.open(meta(1).name)
    }

    /// What is wrong with a file of these bytes; it must be found when the file is opened.
    fn damage_of(&self, bytes: &[u8]) -> Damage {
        match self.open_with(bytes) {
            Err(Error::Damaged { path, what }) => {
                assert_eq!(path, self.path());
                what
            }
            other => panic!("{other:?}"),
        }
    }

    /// What look-ups find damaged. Whatever they answer is right.
    fn found_damaged(&self, index: &dyn FullIndex) -> Vec<Damage> {
        let mut damaged = Vec::new();
        for number in 0..70 {
            let multihash = numbered(number);
            let of_this = self.blocks.iter().filter(|(found, ..)| *found == multihash);
            let expected: Vec<_> = of_this
                .map(|(_, offset, data_size)| Location { offset: *offset, size: u32::try_from(*data_size).ok() })
                .collect();
            match index.find(parsed(&multihash)) {
                Ok(found) => assert_eq!(found.as_slice(), expected),
                Err(Error::Damaged { what, .. }) => damaged.push(what),
                Err(error) => panic!("{error}"),
            }
        }
        damaged.dedup();
        damaged
    }
}

fn index_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{}.idx", meta(number).name))
}

#[test]
fn every_flipped_byte_is_found() {
    in_both_modes(|sample| {
        assert_eq!(sample.bytes.len(), 1040 + 3 * 1032);
        assert_eq!(sample.found_damaged(&*sample.repo.open(meta(1).name).unwrap().unwrap()), []);
        for at in 0..sample.bytes.len() {
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            match sample.open_with(&bytes) {
                Err(Error::Damaged { .. }) => assert!(!(1024..4120).contains(&at), "{at}"),
                Ok(Some(index)) => {
                    let damaged = sample.found_damaged(&*index);
                    let page = Damage::Page { number: (at as u64 - 1024) / 1024 };
                    // The fence is looked at by every look-up.
                    let expected = if at < 4096 { page } else { Damage::Fence };
                    assert_eq!(damaged, [expected], "{at}");
                }
                other => panic!("{at}: {other:?}"),
            }
        }
    });
}

#[test]
fn every_other_length_is_found() {
    in_both_modes(|sample| {
        for length in 0..sample.bytes.len() {
            let found = sample.damage_of(&sample.bytes[..length]);
            assert!(
                matches!(found, Damage::Length { found_bytes, .. } if found_bytes == length as u64),
                "{length}: {found}"
            );
        }
        for more in [1, 15, 16, 1024, 100_000] {
            let found = sample.damage_of(&[&sample.bytes[..], &vec![0; more]].concat());
            assert!(matches!(found, Damage::Length { .. }), "{more}: {found}");
        }
    });
}

#[test]
fn what_is_no_index_is_told() {
    in_both_modes(|sample| {
        assert_eq!(sample.damage_of(&[0; 5000]), Damage::Magic);
        assert_eq!(sample.damage_of(&[b'x'; 5000]), Damage::Magic);
        let as_text = [&sample.bytes[..7], b"\r\n", &sample.bytes[8..]].concat();
        assert_eq!(sample.damage_of(&as_text), Damage::Magic);
    });
}

#[test]
fn parts_of_another_index_are_found() {
    in_both_modes(|sample| {
        publish(&sample.repo, 2, &sample.blocks).unwrap();
        let other = std::fs::read(index_path(sample.directory.path(), 2)).unwrap();
        assert_eq!(sample.damage_of(&other), Damage::Name { found: meta(2).name });
        assert_eq!(sample.damage_of(&[&sample.bytes[..4096], &other[4096..]].concat()), Damage::Fence);

        // Neither a page of another file nor one of this file in another place passes for the right one.
        let foreign = [&sample.bytes[..2048], &other[2048..3072], &sample.bytes[3072..]].concat();
        let moved = [&sample.bytes[..2048], &sample.bytes[1024..2048], &sample.bytes[3072..]].concat();
        for bytes in [foreign, moved] {
            let index = sample.open_with(&bytes).unwrap().unwrap();
            assert_eq!(sample.found_damaged(&*index), [Damage::Page { number: 1 }]);
        }
    });
}

#[test]
fn an_index_of_another_store_is_found() {
    in_both_modes(|sample| {
        let key = FingerprintKey([7; 16]);
        let repo = FsIndexRepo::open(Arc::new(RealFileSystem), sample.directory.path(), key).unwrap();
        let opened = repo.open(meta(1).name);
        assert!(matches!(opened, Err(Error::Damaged { what: Damage::Key, .. })), "{opened:?}");
    });
}

/// Both checksums are made right again: nothing but the number tells.
#[test]
fn a_newer_version_is_no_damage() {
    in_both_modes(|sample| {
        for (version, is_newer) in [(0, false), (2, true), (u16::MAX, true)] {
            let mut bytes = sample.bytes.clone();
            bytes[8..10].copy_from_slice(&u16::to_be_bytes(version));
            seal(&mut bytes[..16]);
            match sample.open_with(&bytes) {
                Err(Error::NewerVersion { found, supported: 1, .. }) => assert!(is_newer && found == version),
                Err(Error::Damaged { what: Damage::Header, .. }) => assert!(!is_newer),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// Counts that are made up, under right checksums, are held against the file's length before anything is allocated.
#[test]
fn a_made_up_count_is_found() {
    in_both_modes(|sample| {
        for entries in [0, 1, 92, 139, u64::MAX / 1032 * 46, u64::MAX] {
            let mut bytes = sample.bytes.clone();
            bytes[72..80].copy_from_slice(&u64::to_be_bytes(entries));
            seal(&mut bytes[..1024]);
            let found = sample.damage_of(&bytes);
            assert!(matches!(found, Damage::Length { .. } | Damage::Header), "{entries}: {found}");
        }
        let mut bytes = sample.bytes.clone();
        bytes[10..12].copy_from_slice(&u16::MAX.to_be_bytes());
        seal(&mut bytes[..16]);
        let (found_bytes, expected_bytes) = (bytes.len() as u64, u64::from(u16::MAX) * 1024 + 16);
        assert_eq!(sample.damage_of(&bytes), Damage::Length { found_bytes, expected_bytes });
    });
}

/// A file that is cut or emptied under an open reader: look-ups fail and answer nothing.
#[test]
fn a_file_cut_under_a_reader_is_found() {
    in_both_modes(|sample| {
        let index = sample.repo.open(meta(1).name).unwrap().unwrap();
        OpenOptions::new().write(true).open(sample.path()).unwrap().set_len(1500).unwrap();
        for number in 0..70 {
            let found = index.find(parsed(&numbered(number)));
            assert!(matches!(found, Err(Error::Damaged { what: Damage::Length { .. }, .. })), "{found:?}");
        }
    });
}

/// What was read before stays right, and what wasn't is found. (Mapped, it would end the process.)
#[test]
fn a_file_cut_under_a_reader_that_is_at_work_is_found() {
    let sample = Sample::new(false);
    let index = sample.repo.open(meta(1).name).unwrap().unwrap();
    assert_eq!(sample.found_damaged(&*index), []);
    OpenOptions::new().write(true).open(sample.path()).unwrap().set_len(2048).unwrap();
    let damaged = sample.found_damaged(&*index);
    let is_cut = |damage: &Damage| matches!(damage, Damage::Length { found_bytes, expected_bytes } if found_bytes < expected_bytes);
    assert!(!damaged.is_empty() && damaged.iter().all(is_cut), "{damaged:?}");
}

/// A walk over all fingerprints gives what stands before the damage, tells of it, and ends.
#[test]
fn a_walk_ends_with_the_first_damage() {
    in_both_modes(|sample| {
        for page in 0..3 {
            let mut bytes = sample.bytes.clone();
            bytes[1024 + 1024 * page + 500] ^= 1;
            let index = sample.open_with(&bytes).unwrap().unwrap();
            let found: Vec<_> = index.fingerprints(KEY).take(1000).collect();
            let (last, before) = found.split_last().unwrap();
            let number = page as u64;
            assert!(
                matches!(last, Err(Error::Damaged { what: Damage::Page { number: found }, .. }) if *found == number)
            );
            assert!(before.len() == page * 46 && before.iter().all(Result::is_ok), "{}", before.len());
        }
        let index = sample.open_with(&sample.bytes).unwrap().unwrap();
        assert_eq!(index.clone().fingerprints(KEY).map(Result::unwrap).count(), 120);
        OpenOptions::new().write(true).open(sample.path()).unwrap().set_len(3000).unwrap();
        let found: Vec<_> = index.fingerprints(KEY).take(1000).collect();
        assert!(matches!(found[..], [Err(Error::Damaged { what: Damage::Length { .. }, .. })]), "{found:?}");
    });
}

/// Runs aren't synced, but they are read back long after they were written.
#[test]
fn a_damaged_run_stops_the_build() {
    for is_cut in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let repo = real_repo(directory.path(), 10);
        let mut builder = repo.builder(meta(1)).unwrap();
        for number in 0..25 {
            builder.add(parsed(&numbered(number)), number, 1).unwrap();
        }
        let run =
            OpenOptions::new().write(true).open(directory.path().join(format!("{}.1.run", meta(1).name))).unwrap();
        if is_cut {
            run.set_len(219).unwrap();
        } else {
            run.write_all_at(&[0xff], 219).unwrap();
        }
        match builder.publish() {
            Err(Error::Io { operation: "read", .. }) => assert!(is_cut),
            Err(Error::Damaged { what: Damage::Run, .. }) => assert!(!is_cut),
            other => panic!("{other:?}"),
        }
        assert_eq!(names(directory.path()), [""; 0]);
    }
}

/// A damaged file is removed and replaced like any other.
#[test]
fn a_damaged_index_is_built_anew() {
    in_both_modes(|sample| {
        sample.damage_of(&sample.bytes[..2000]);
        assert_eq!(sample.repo.list().unwrap(), [meta(1).name]);
        publish(&sample.repo, 1, &sample.blocks).unwrap();
        assert_eq!(std::fs::read(sample.path()).unwrap(), sample.bytes);
        sample.damage_of(&sample.bytes[..2000]);
        assert!(sample.repo.remove(meta(1).name).unwrap());
        assert!(sample.repo.open(meta(1).name).unwrap().is_none());
    });
}

/// Writes the checksum into the last four bytes.
fn seal(bytes: &mut [u8]) {
    let (body, checksum) = bytes.split_last_chunk_mut::<4>().unwrap();
    *checksum = crc32c::crc32c(body).to_be_bytes();
}
