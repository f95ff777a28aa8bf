//! The suite of all repositories, and what only files can get wrong.

use std::cell::Cell;
use std::sync::Arc;

use dagstore_index::{IndexRepo, Location, MAX_OFFSET, MAX_SIZE, MemoryIndexRepo, conformance};

use crate::{meta, names, numbered, parsed, publish, real_repo};

#[test]
fn it_conforms() {
    for (run_entries, is_mapped) in [(usize::MAX, false), (usize::MAX, true), (100, true), (1, false)] {
        let directory = tempfile::tempdir().unwrap();
        let count = Cell::new(0);
        conformance::run(|| {
            count.set(count.get() + 1);
            let directory = directory.path().join(count.get().to_string());
            Arc::new(real_repo(&directory, run_entries).with_mapping(is_mapped))
        });
        for number in 1..=count.get() {
            let left = names(&directory.path().join(number.to_string()));
            assert!(left.iter().all(|name| name.strip_suffix(".idx").is_some()), "{left:?}");
        }
    }
}

/// There are enough runs for files of three levels at the end.
#[test]
fn runs_of_several_levels_are_merged() {
    let directory = tempfile::tempdir().unwrap();
    let repo = real_repo(directory.path(), 1);
    let blocks: Vec<_> = (0..1100).map(|number| (numbered(number % 900), number, 1)).collect();
    let mut builder = repo.builder(meta(1)).unwrap();
    let mut most_files = 0;
    for (multihash, offset, data_size) in &blocks {
        builder.add(parsed(multihash), *offset, *data_size).unwrap();
        most_files = most_files.max(names(directory.path()).len());
    }
    assert_eq!(most_files, 62, "31 runs of each of two levels");
    assert_eq!(builder.publish().unwrap().entries, 1100);
    assert_eq!(names(directory.path()).len(), 1);
    let index = repo.open(meta(1).name).unwrap().unwrap();
    for number in 0..900 {
        let offsets: Vec<_> = index.find(parsed(&numbered(number))).unwrap().iter().map(|found| found.offset).collect();
        let expected: Vec<_> = (0..1100).filter(|offset| offset % 900 == number).collect();
        assert_eq!(offsets, expected);
    }
}

/// Builders of elsewhere are published, too, though not together with the others.
#[test]
fn a_group_may_have_builders_of_another_repository() {
    let directory = tempfile::tempdir().unwrap();
    let [ours, other] = ["ours", "other"].map(|name| real_repo(&directory.path().join(name), usize::MAX));
    let memory = MemoryIndexRepo::new();
    let builders = [&ours as &dyn IndexRepo, &other, &memory, &ours].into_iter().zip(1..);
    let filled = |(repo, count): (&dyn IndexRepo, u64)| {
        let mut builder = repo.builder(meta(count)).unwrap();
        (0..count).for_each(|number| builder.add(parsed(&numbered(number)), number, 1).unwrap());
        builder
    };
    let published = ours.publish_group(builders.map(filled).collect());
    let entries: Vec<_> = published.into_iter().map(|one| one.unwrap().entries).collect();
    assert_eq!(entries, [1, 2, 3, 4]);
    let is_there = |repo: &dyn IndexRepo, count| repo.open(meta(count).name).unwrap().is_some();
    assert!(is_there(&ours, 1) && is_there(&other, 2) && is_there(&memory, 3) && is_there(&ours, 4));
}

#[test]
fn files_have_the_size_of_the_format() {
    let directory = tempfile::tempdir().unwrap();
    let repo = real_repo(directory.path(), usize::MAX);
    for (count, file_bytes) in [(0, 1040), (1, 2072), (46, 2072), (47, 3104), (4600, 1040 + 100 * 1032)] {
        let blocks: Vec<_> = (0..count).map(|number| (numbered(number), number, 1)).collect();
        assert_eq!(publish(&repo, count, &blocks).unwrap().file_bytes, file_bytes);
        let path = directory.path().join(format!("{}.idx", meta(count).name));
        assert_eq!(std::fs::metadata(path).unwrap().len(), file_bytes);
    }
}

/// `version-1.idx` was made from `docs/format/index.md` alone, by another program. It is never made anew: files of this
/// version are to be readable, and the same, for ever.
#[test]
fn a_file_of_version_1_is_read_and_written_byte_for_byte() {
    let fixture = include_bytes!("../fixtures/version-1.idx");
    let identity = conformance::multihash(0, b"abc");
    let mut blocks: Vec<_> = (0..45).map(|number| (numbered(number), number * 1000, number)).collect();
    blocks.push((identity.clone(), MAX_OFFSET, 3));
    blocks.push((numbered(7), 1, u64::from(MAX_SIZE) + 2));

    let directory = tempfile::tempdir().unwrap();
    let repo = real_repo(directory.path(), usize::MAX);
    let path = directory.path().join(format!("{}.idx", meta(1).name));
    publish(&repo, 1, &blocks).unwrap();
    assert!(std::fs::read(&path).unwrap() == fixture, "the format has changed");

    std::fs::write(&path, fixture).unwrap();
    let index = repo.open(meta(1).name).unwrap().unwrap();
    assert_eq!((index.meta(), index.len()), (&meta(1), 47));
    let find = |multihash: &[u8]| index.find(parsed(multihash)).unwrap().to_vec();
    assert_eq!(find(&identity), [Location { offset: MAX_OFFSET, size: Some(3) }]);
    let duplicates = [Location { offset: 1, size: None }, Location { offset: 7000, size: Some(7) }];
    assert_eq!(find(&numbered(7)), duplicates);
    assert_eq!(find(&numbered(44)), [Location { offset: 44_000, size: Some(44) }]);
    assert_eq!(find(&numbered(45)), []);
}

#[test]
fn only_our_own_temporaries_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let repo = real_repo(directory.path(), 10);
    let [dead, living] = [1, 2].map(|number| meta(number).name);
    let ours = [format!("{dead}.tmp"), format!("{dead}.0.run"), format!("{dead}.17.run")];
    let others = [
        format!("{dead}.idx"),
        format!("{dead}.car"),
        format!("{dead}.tmp.bak"),
        format!("{dead}.x.run"),
        format!("x{dead}.tmp"),
        "notes.tmp".to_owned(),
        "1.run".to_owned(),
        "lock".to_owned(),
    ];
    for name in ours.iter().chain(&others) {
        std::fs::write(directory.path().join(name), b"").unwrap();
    }
    // A directory under such a name isn't ours.
    std::fs::create_dir(directory.path().join(format!("{dead}.99.run"))).unwrap();
    let mut builder = repo.builder(meta(2)).unwrap();
    for number in 0..25 {
        builder.add(parsed(&numbered(number)), number, 1).unwrap();
    }
    assert_eq!(repo.remove_temporaries().unwrap(), 3);
    let mut expected = others.to_vec();
    expected.extend([format!("{living}.0.run"), format!("{living}.1.run"), format!("{dead}.99.run")]);
    expected.sort_unstable();
    assert_eq!(names(directory.path()), expected);
    assert_eq!(repo.list().unwrap(), [dead]);
    assert_eq!(builder.publish().unwrap().entries, 25);
}
