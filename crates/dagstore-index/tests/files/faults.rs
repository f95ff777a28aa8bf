//! Every call of the file system fails once, and from every call on all fail.

use std::path::Path;
use std::sync::Arc;

use dagstore_index::{IndexRepo, IndexSummary, Result};

use crate::{Block, meta, names, numbered, open_repo, parsed, publish, real_repo};
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
    let directory = tempfile::tempdir().unwrap();
    publish(&real_repo(directory.path(), usize::MAX), 1, &blocks()).unwrap();
    // One call creates the directory, four open the file: there and then come the reads of pages.
    for failing in 2..20 {
        let file_system = FaultyFileSystem::new(failing, false);
        let repo = open_repo(Arc::new(file_system.clone()), directory.path(), usize::MAX).unwrap();
        let mut failures = 0;
        match repo.open(meta(1).name) {
            Err(_) => failures += 1,
            Ok(index) => {
                let index = index.unwrap();
                for number in 0..150 {
                    match index.find_first(parsed(&numbered(number))) {
                        Ok(found) => assert_eq!(found.unwrap().offset, number),
                        Err(_) => failures += 1,
                    }
                }
            }
        }
        assert_eq!(failures, 1, "{failing}");
    }
    assert_complete(directory.path());
}
