//! Every call to a disk that fails can fail, and none is left to a default that passes it by.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use dagstore_fs::{FileSystem, ReadAt, WriteFile};
use dagstore_testkit::power::{Image, Power};
use dagstore_testkit::{Fault, Faults, FaultyFileSystem};

const FOLDER: &str = "folder";
const FILE: &str = "folder/file";

/// A disk with a file whose first half is synced.
fn disk() -> (Power, FaultyFileSystem, Faults) {
    let (power, faults) = (Power::of(&Image::default()), Faults::default());
    let file_system = FaultyFileSystem::over(power.disk(), faults.clone());
    file_system.create_directory(Path::new(FOLDER)).unwrap();
    let mut file = file_system.create(Path::new(FILE)).unwrap();
    file.write_all(b"0123").unwrap();
    file.sync().unwrap();
    file_system.sync_directory(Path::new(FOLDER)).unwrap();
    file.write_all(b"4567").unwrap();
    (power, file_system, faults)
}

type Call = fn(&FaultyFileSystem, &mut dyn WriteFile, &Arc<dyn ReadAt>) -> io::Result<()>;

#[test]
fn every_call_fails_when_it_is_its_turn() {
    let (file, folder) = (Path::new(FILE), Path::new(FOLDER));
    let calls: [(&str, Call); 14] = [
        ("open", |system, _, _| system.open(Path::new(FILE)).map(drop)),
        ("open_mapped", |system, _, _| system.open_mapped(Path::new(FILE)).map(drop)),
        ("create", |system, _, _| system.create(Path::new("folder/new")).map(drop)),
        ("append", |system, _, _| system.append(Path::new(FILE), 2).map(drop)),
        ("available_bytes", |system, _, _| system.available_bytes(Path::new(FOLDER)).map(drop)),
        ("rename", |system, _, _| system.rename(Path::new(FILE), Path::new("folder/other"))),
        ("remove", |system, _, _| system.remove(Path::new(FILE))),
        ("create_directory", |system, _, _| system.create_directory(Path::new("other"))),
        ("list", |system, _, _| system.list(Path::new(FOLDER)).map(drop)),
        ("sync_directory", |system, _, _| system.sync_directory(Path::new(FOLDER))),
        ("write", |_, file, _| file.write(b"x").map(drop)),
        ("sync", |_, file, _| file.sync()),
        ("read_at", |_, _, reader| reader.read_at(0, &mut [0; 2]).map(drop)),
        ("is_unchanged", |_, _, reader| reader.is_unchanged().map(drop)),
    ];
    for (name, call) in calls {
        let (_, system, faults) = disk();
        let reader = system.open(file).unwrap();
        let mut writing = system.append(file, 8).unwrap();
        faults.order(Fault::Io, 1, false);
        assert!(call(&system, &mut *writing, &reader).is_err(), "{name} doesn't fail");
        assert_eq!(faults.failed(), 1, "{name}");
        assert!(call(&system, &mut *writing, &reader).is_ok(), "{name} fails again");
    }
    assert_eq!(folder.parent(), Some(Path::new("")));
}

/// A method with a default in the trait would pass the wrapper by without a word.
#[test]
fn no_method_is_left_to_its_default() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let methods = |path: &str, of: &str| {
        let text = std::fs::read_to_string(here.join(path)).unwrap();
        let block =
            text.split(of).nth(1).unwrap_or_else(|| panic!("{path} has no {of}")).split("\n}\n").next().unwrap();
        let names = block.lines().filter_map(|line| line.strip_prefix("    fn "));
        names.map(|name| name.split('(').next().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let file_system = methods("../dagstore-fs/src/system.rs", "pub trait FileSystem");
    let reader = methods("../dagstore-fs/src/read.rs", "pub trait ReadAt:");
    assert!(file_system.len() >= 10 && reader.len() >= 4, "the traits look otherwise by now");
    for (path, of, wanted) in [
        ("src/file_system.rs", "impl FileSystem for FaultyFileSystem", &file_system),
        ("src/file_system.rs", "impl FileSystem for WithoutSyncs", &file_system),
        ("src/power/disk.rs", "impl FileSystem for PowerDisk", &file_system),
        ("../dagstore-crash/src/file_system.rs", "impl FileSystem for KilledFileSystem", &file_system),
        ("src/file_system.rs", "impl ReadAt for FaultyRead", &reader),
    ] {
        assert_eq!(methods(path, of), *wanted, "{of}");
    }
}

#[test]
fn a_failed_sync_loses_what_was_written_since_the_last_one_for_good() {
    let (power, system, faults) = disk();
    let mut file = system.append(Path::new(FILE), 8).unwrap();
    faults.order(Fault::FailedSync, 1, false);
    file.sync().unwrap_err();
    file.write_all(b"89").unwrap();
    file.sync().unwrap();
    assert_eq!(*power.least().files[Path::new(FILE)], b"0123\0\0\0\089");
}

#[test]
fn a_short_write_is_told_and_a_full_disk_has_taken_a_part() {
    let (power, system, faults) = disk();
    let mut file = system.append(Path::new(FILE), 8).unwrap();
    faults.order(Fault::ShortWrite, 1, true);
    file.write_all(b"89ab").unwrap();
    assert_eq!(*power.kept().files[Path::new(FILE)], b"0123456789ab");
    faults.order(Fault::NoSpace, 1, false);
    assert_eq!(file.write_all(b"cdef").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(*power.kept().files[Path::new(FILE)], b"0123456789abcd");
}

/// Names are lost or kept one by one, and bytes to zeros, to the half or to what they were.
#[test]
fn a_cut_leaves_all_that_it_can() {
    let (power, system, _) = disk();
    system.rename(Path::new(FILE), Path::new("folder/other")).unwrap();
    power.watch();
    let images = power.take_moments()[0].images();
    for name in [FILE, "folder/other"] {
        for bytes in [&b"0123"[..], b"0123\0\0\0\0", b"012345", b"01234567"] {
            let is_it = |image: &Image| {
                image.files.len() == 1 && image.files.get(Path::new(name)).is_some_and(|file| **file == bytes)
            };
            assert!(images.iter().any(is_it), "{name} with {bytes:?}");
        }
    }
    assert_eq!(images.len(), 8);
}
