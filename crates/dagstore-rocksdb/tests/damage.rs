//! Directories that are no databases, or damaged ones, and paths that can't be opened.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, Namespace, Result};
use dagstore_rocksdb::RocksdbDatastore;
use futures_util::StreamExt;
use tempfile::TempDir;

const ROWS: Namespace = Namespace::new("rows");

async fn refusal(path: &Path) -> Error {
    let error = RocksdbDatastore::open(path).await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "the path is missing: {error}");
    error
}

/// A closed database of 200 rows, most of them in files of their own: the write buffer is small.
async fn database() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let store = RocksdbDatastore::builder().write_buffer_bytes(64 * 1024).open(&path).await.unwrap();
    for at in 0..200_u8 {
        let mut batch = Batch::new();
        // Values that can't be compressed to nothing.
        batch.put(ROWS, &[at], &value(at));
        store.write(batch, Durability::Synced).await.unwrap();
    }
    store.close().await.unwrap();
    (directory, path)
}

fn value(at: u8) -> Vec<u8> {
    let mut state = u32::from(at) + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24).to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(2_000).collect()
}

fn files(path: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| is_wanted(file.file_name().unwrap().to_str().unwrap()));
    files.sort();
    assert!(!files.is_empty(), "the database has no such file");
    files
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// Reads all rows; each must be the one that was written.
async fn read_all(path: &Path) -> Result<usize> {
    let store = RocksdbDatastore::open(path).await?;
    let (mut count, mut stream) = (0, store.scan(ROWS, b""));
    while let Some(page) = stream.next().await {
        for (key, found) in page?.iter() {
            assert!(found == value(key[0]), "wrong data");
            count += 1;
        }
    }
    drop(stream);
    store.close().await?;
    Ok(count)
}

#[tokio::test]
async fn a_database_that_lost_a_file_is_corrupt_and_not_made_anew() {
    type IsLost = fn(&str) -> bool;
    let kinds: [(&str, IsLost); 4] = [
        ("CURRENT", |name| name == "CURRENT"),
        ("CURRENT and logs", |name| name == "CURRENT" || has_extension(name, "log")),
        ("the manifest", |name| name.starts_with("MANIFEST-")),
        ("files of rows", |name| has_extension(name, "sst")),
    ];
    for (what, is_lost) in kinds {
        let (_directory, path) = database().await;
        let lost: Vec<_> = files(&path, is_lost).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
        for (_, file) in &lost {
            fs::remove_file(file).unwrap();
        }
        let error = refusal(&path).await;
        assert_eq!(error.class(), ErrorClass::Corrupt, "without {what}: {error:?}");
        assert!(error.to_string().contains("backup"), "{error}");
        for (bytes, file) in &lost {
            fs::write(file, bytes).unwrap();
        }
        assert_eq!(read_all(&path).await.unwrap(), 200, "the refusal did harm to a database without {what}");
    }
}

#[tokio::test]
async fn flipped_bytes_are_found_or_do_no_harm() {
    for is_manifest in [true, false] {
        let (_directory, path) = database().await;
        let wanted = |name: &str| if is_manifest { name.starts_with("MANIFEST-") } else { has_extension(name, "sst") };
        let file = &files(&path, wanted)[0];
        let whole = fs::read(file).unwrap();
        let mut found = 0;
        for part in 0..20 {
            let copy = tempfile::tempdir().unwrap();
            for from in files(&path, |_| true) {
                fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
            }
            let mut bytes = whole.clone();
            bytes[whole.len() * part / 20] ^= 0x55;
            fs::write(copy.path().join(file.file_name().unwrap()), &bytes).unwrap();
            match read_all(copy.path()).await {
                Ok(count) => assert_eq!(count, 200, "part {part} of {}", file.display()),
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::Corrupt, "part {part} of {}: {error:?}", file.display());
                    found += 1;
                }
            }
        }
        assert!(found > 0, "no flipped byte of {} was found", file.display());
    }
}

/// The log is replayed up to its first gap: rows are there as they were at one moment.
#[tokio::test]
async fn a_log_that_was_cut_gives_the_rows_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let store = RocksdbDatastore::open(&path).await.unwrap();
    for at in 0..100_u8 {
        store.put(ROWS, &[at], &value(at)).await.unwrap();
    }
    // Without closing, as after a crash: a copy of the files as they are now.
    let mut last_count = 0;
    for tenth in 0..=10 {
        let copy = tempfile::tempdir().unwrap();
        for from in files(&path, |name| name != "LOCK") {
            let mut bytes = fs::read(&from).unwrap();
            if has_extension(from.to_str().unwrap(), "log") {
                bytes.truncate(bytes.len() * tenth / 10);
            }
            fs::write(copy.path().join(from.file_name().unwrap()), bytes).unwrap();
        }
        let count = read_all(copy.path()).await.unwrap();
        assert!(count >= last_count && count <= 100, "{count} rows of a log cut to {tenth} tenths");
        last_count = count;
    }
    assert_eq!(last_count, 100);
}

/// What stands behind the damage was acknowledged, so the rest isn't opened as if it were all.
#[tokio::test]
async fn a_log_that_is_damaged_before_its_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let store = RocksdbDatastore::open(&path).await.unwrap();
    for at in 0..100_u8 {
        store.put(ROWS, &[at], &value(at)).await.unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    for from in files(&path, |name| name != "LOCK") {
        let mut bytes = fs::read(&from).unwrap();
        if has_extension(from.to_str().unwrap(), "log") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
        }
        fs::write(copy.path().join(from.file_name().unwrap()), bytes).unwrap();
    }
    let error = read_all(copy.path()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error:?}");
}

/// Where the entries of a log or manifest of less than one block begin.
fn entries(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut entries) = (0, Vec::new());
    while at + 7 <= bytes.len() {
        entries.push(at);
        let head = if bytes[at + 6] < 5 { 7 } else { 11 };
        at += head + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
    }
    assert!(at == bytes.len() && entries.len() > 5, "no log of one block: {entries:?}");
    entries
}

/// A length that leaves the file looks like a last write that was cut, and zeros like room that was never written: neither may hide
/// what was acknowledged.
#[tokio::test]
async fn the_end_of_a_log_or_manifest_is_where_nothing_comes_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let store = RocksdbDatastore::open(&path).await.unwrap();
    store.put(ROWS, &[0], &value(0)).await.unwrap();
    store.close().await.unwrap();
    let store = RocksdbDatastore::open(&path).await.unwrap();
    for at in 1..10_u8 {
        store.put(ROWS, &[at], &value(at)).await.unwrap();
    }
    // Without closing, as after a crash: copies of the files as they are now.
    for is_wanted in [|name: &str| has_extension(name, "log"), |name: &str| name.starts_with("MANIFEST-")] {
        let damaged = files(&path, is_wanted).pop().unwrap();
        let whole = fs::read(&damaged).unwrap();
        let mut found = 0;
        for at in entries(&whole) {
            let changes: [(usize, &[u8]); 3] = [(at + 4, &[0xff]), (at + 5, &[0xff]), (at, &[0; 7])];
            for (at, change) in changes {
                let copy = tempfile::tempdir().unwrap();
                for from in files(&path, |name| name != "LOCK") {
                    fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
                }
                let mut bytes = whole.clone();
                bytes[at..at + change.len()].copy_from_slice(change);
                fs::write(copy.path().join(damaged.file_name().unwrap()), &bytes).unwrap();
                match read_all(copy.path()).await {
                    Ok(count) => assert_eq!(count, 10, "{at}: {change:?}"),
                    Err(error) => {
                        assert_eq!(error.class(), ErrorClass::Corrupt, "{at}: {error:?}");
                        found += 1;
                    }
                }
            }
        }
        assert!(found > 10, "{found} found in {}", damaged.display());
    }
}

#[tokio::test]
async fn directories_of_others_are_refused_and_left_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let error = refusal(directory.path()).await;
    assert_eq!(error.class(), ErrorClass::Permanent, "{error:?}");
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);
}

#[tokio::test]
async fn what_an_interrupted_making_left_is_no_hindrance() {
    let directory = tempfile::tempdir().unwrap();
    let left =
        [("LOCK", ""), ("LOG", "text"), ("IDENTITY", "x"), ("MANIFEST-000001", "half"), ("000001.dbtmp", "half")];
    for (name, bytes) in left {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    let store = RocksdbDatastore::open(directory.path()).await.unwrap();
    store.put(ROWS, b"key", b"value").await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn paths_that_cant_be_opened_are_refused_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), directory.path().join("no/rows"), file.join("rows")] {
        let error = refusal(&path).await;
        assert_eq!(error.class(), ErrorClass::Permanent, "{}: {error:?}", path.display());
    }
    let absent = directory.path().join("absent");
    let opened = RocksdbDatastore::builder().create_if_missing(false).open(&absent).await;
    assert_eq!(opened.unwrap_err().class(), ErrorClass::Permanent);
    assert!(!absent.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn the_directory_is_its_users_only() {
    use std::os::unix::fs::PermissionsExt;

    let (_directory, path) = database().await;
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}
