//! Every call of the file system fails once, and from every call on all fail.

use std::path::Path;
use std::sync::Arc;

use dagstore_index::conformance::KEY;
use dagstore_index::{Error, FsIndexRepo, IndexBuilder, IndexRepo, IndexSummary, Result};

use crate::{Block, MODES, meta, names, numbered, open_repo, parsed, publish, real_repo};
use dagstore_testkit::FaultyFileSystem;

/// Enough for a merge within the build, and for some runs of both levels at its end.
const RUN_ENTRIES: usize = 5;

fn blocks() -> Vec<Block> {
    (0..190).map(|number| (numbered(number % 150), number, 1)).collect()
}

fn build(file_system: &FaultyFileSystem, directory: &Path) -> Result<IndexSummary> {
    let repo = open_repo(Arc::new(file_system.clone()), directory, RUN_ENTRIES)?;
    publish(&repo, 1, &blocks())
}

fn assert_complete(directory: &Path) {
    let index = real_repo(directory, RUN_ENTRIES).open(meta(1).name).unwrap().unwrap();
    for number in 0..150 {
        let expected = if number < 40 { vec![number, number + 150] } else { vec![number] };
        let offsets: Vec<_> = index.find(parsed(&numbered(number))).unwrap().iter().map(|found| found.offset).collect();
        assert_eq!(offsets, expected);
    }
}

#[test]
fn a_build_that_fails_at_any_call_leaves_nothing() {
    for failing in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let file_system = FaultyFileSystem::new(failing, false);
        let built = build(&file_system, directory.path());
        if !file_system.has_failed() {
            assert!(failing > 100, "only {failing} calls were made");
            assert_eq!(built.unwrap().entries, 190);
            return assert_complete(directory.path());
        }
        assert!(built.is_err(), "call {failing} failed unnoticed");
        assert_eq!(names(directory.path()), [""; 0], "call {failing} failed");
        build(&FaultyFileSystem::faultless(), directory.path()).unwrap();
        assert_eq!(names(directory.path()).len(), 1);
        assert_complete(directory.path());
    }
}

#[test]
fn a_disk_that_fails_for_ever_shows_nothing_incomplete() {
    for failing in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let file_system = FaultyFileSystem::new(failing, true);
        let built = build(&file_system, directory.path());
        if !file_system.has_failed() {
            return;
        }
        assert!(built.is_err(), "call {failing} failed unnoticed");
        let repo = real_repo(directory.path(), RUN_ENTRIES);
        let left = names(directory.path());
        let temporaries = left.iter().filter(|name| name.strip_suffix(".idx").is_none()).count();
        assert_eq!(repo.remove_temporaries().unwrap(), temporaries, "{left:?}");
        if !repo.list().unwrap().is_empty() {
            assert_complete(directory.path());
        }
        build(&FaultyFileSystem::faultless(), directory.path()).unwrap();
        assert_complete(directory.path());
    }
}

/// Each index of a group is there as a whole or not at all, and its result tells which.
#[test]
fn a_group_that_fails_at_any_call_tells_what_there_is() {
    for for_ever in [false, true] {
        for failing in 1.. {
            let directory = tempfile::tempdir().unwrap();
            let file_system = FaultyFileSystem::new(failing, for_ever);
            let Ok(repo) = open_repo(Arc::new(file_system.clone()), directory.path(), 40) else { continue };
            let Ok(builders) = builders(&repo) else { continue };
            let results = repo.publish_group(builders);
            let temporaries = names(directory.path()).iter().filter(|name| !name.ends_with(".idx")).count();
            assert!(for_ever || temporaries == 0, "call {failing} failed");
            let repo = real_repo(directory.path(), usize::MAX);
            assert_eq!(repo.remove_temporaries().unwrap(), temporaries);
            for (number, result) in (0..3).zip(&results) {
                let index = repo.open(meta(number).name).unwrap();
                // Where nothing can be removed any more, an index whose directory couldn't be synced stays, complete.
                assert!(result.is_ok() == index.is_some() || for_ever, "call {failing} failed: {result:?}");
                let Some(index) = index else { continue };
                for block in 0..50 {
                    let found = index.find_first(parsed(&numbered(number * 100 + block))).unwrap();
                    assert_eq!(found.unwrap().offset, block);
                }
            }
            if !file_system.has_failed() {
                assert!(failing > 25, "only {failing} calls were made");
                assert!(results.iter().all(|result| result.as_ref().unwrap().entries == 50));
                break;
            }
            assert!(results.iter().any(Result::is_err), "call {failing} failed unnoticed");
            publish(&repo, 1, &blocks()).unwrap();
        }
    }
}

/// Builders of three indices of 50 blocks each, with runs.
fn builders(repo: &FsIndexRepo) -> Result<Vec<Box<dyn IndexBuilder>>> {
    let build = |number| {
        let mut builder = repo.builder(meta(number))?;
        for block in 0..50 {
            builder.add(parsed(&numbered(number * 100 + block)), block, 1)?;
        }
        Ok(builder)
    };
    (0..3).map(build).collect()
}

/// An error in the middle of adding concerns that block alone.
#[test]
fn a_failed_addition_can_be_done_again() {
    for failing in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let file_system = FaultyFileSystem::new(failing, false);
        let Ok(repo) = open_repo(Arc::new(file_system.clone()), directory.path(), RUN_ENTRIES) else { continue };
        let mut builder = repo.builder(meta(1)).unwrap();
        for (multihash, offset, data_size) in blocks() {
            if builder.add(parsed(&multihash), offset, data_size).is_err() {
                assert!(file_system.has_failed());
                builder.add(parsed(&multihash), offset, data_size).unwrap();
            }
        }
        if !file_system.has_failed() {
            return;
        }
        assert_eq!(builder.publish().unwrap().entries, 190);
        assert_eq!(names(directory.path()).len(), 1);
        assert_complete(directory.path());
    }
}

#[test]
fn look_ups_tell_of_failed_reads() {
    for is_mapped in MODES {
        let directory = tempfile::tempdir().unwrap();
        publish(&real_repo(directory.path(), usize::MAX), 1, &blocks()).unwrap();
        // One call creates the directory, four open the file, one reads the fence; then come the reads of pages. There
        // are five, each of which is read once where it is mapped.
        for failing in 2..20 {
            let faulty = FaultyFileSystem::new(failing, false);
            let repo =
                open_repo(Arc::new(faulty.clone()), directory.path(), usize::MAX).unwrap().with_mapping(is_mapped);
            let (mut failures, mut opened) = (0, repo.open(meta(1).name));
            if opened.is_err() {
                failures += 1;
                opened = repo.open(meta(1).name);
            }
            let index = opened.unwrap().unwrap();
            for number in 0..150 {
                let mut found = index.find_first(parsed(&numbered(number)));
                if found.is_err() {
                    failures += 1;
                    found = index.find_first(parsed(&numbered(number)));
                }
                assert_eq!(found.unwrap().unwrap().offset, number);
            }
            assert_eq!(failures, u64::from(faulty.has_failed()), "{failing}");
            assert!(is_mapped && failing > 11 || faulty.has_failed(), "{failing}");
            assert!(!is_mapped || failing <= 11 || !faulty.has_failed(), "{failing}: a page was read again");
        }
    }
}

/// A walk reads the pages a few dozen at a time.
#[test]
fn a_walk_tells_of_failed_reads() {
    for is_mapped in MODES {
        let directory = tempfile::tempdir().unwrap();
        let blocks: Vec<_> = (0..46 * 200).map(|number| (numbered(number), number, 1)).collect();
        publish(&real_repo(directory.path(), usize::MAX), 1, &blocks).unwrap();
        for read in 0..4 {
            // The directory and the opening take five calls.
            let file_system = FaultyFileSystem::new(6 + read, true);
            let repo = open_repo(Arc::new(file_system), directory.path(), usize::MAX).unwrap().with_mapping(is_mapped);
            let found: Vec<_> = repo.open(meta(1).name).unwrap().unwrap().fingerprints(KEY).take(100_000).collect();
            let (last, before) = found.split_last().unwrap();
            assert!(matches!(last, Err(Error::Io { operation: "read", .. })), "{last:?}");
            assert_eq!(before.len() as u64, read * 64 * 46);
            assert!(before.iter().all(Result::is_ok));
        }
    }
}
