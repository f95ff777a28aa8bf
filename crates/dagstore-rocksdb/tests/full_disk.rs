//! A disk that is full while the store writes, and has room again later.
#![cfg(test)]
#![cfg(unix)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, ErrorClass, Namespace};
use dagstore_rocksdb::RocksdbDatastore;
use dagstore_testkit::full_disk::{self, small_disk};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const ROWS: Namespace = Namespace::new("rows");

/// Starts itself again as a child for whom no file can grow beyond a limit. The shell sets that, and lets the child see
/// an error instead of the signal that would end it.
#[tokio::test]
async fn a_full_disk_needs_reopening_and_loses_nothing_that_was_acknowledged() {
    const DATABASE: &str = "DAGSTORE_ROCKSDB_FULL_DISK_TEST";
    if let Some(path) = env::var_os(DATABASE) {
        return fill_up_and_go_on(&PathBuf::from(path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 4096; exec "$0" "$@""#])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_needs_reopening_and_loses_nothing_that_was_acknowledged", "--nocapture"])
        .env(DATABASE, directory.path().join("rows"))
        // Kept apart: the child's own count of tests would be read as one of this program's.
        .output()
        .unwrap();
    let said = [child.stdout, child.stderr].concat();
    assert!(child.status.success(), "{}: {}", child.status, String::from_utf8_lossy(&said));
}

async fn fill_up_and_go_on(path: &Path) {
    let store = RocksdbDatastore::open(path).await.unwrap();
    let mut acknowledged = 0_u32;
    let error = loop {
        let mut batch = Batch::new();
        batch.put(ROWS, &acknowledged.to_be_bytes(), &vec![7; 100_000]);
        match store.write(batch, Durability::Synced).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "there is no limit");
    };
    assert_eq!(error.class(), ErrorClass::NeedsReopen, "{error:?}");
    assert!(error.to_string().contains("make room") && error.to_string().contains("rows"), "{error}");
    assert!(acknowledged > 3, "the limit leaves no room for the test");
    assert_eq!(store.put(ROWS, b"refused", b"").await.unwrap_err().class(), ErrorClass::NeedsReopen);
    assert_eq!(store.sync().await.unwrap_err().class(), ErrorClass::NeedsReopen);
    assert!(store.get(ROWS, &0_u32.to_be_bytes()).await.unwrap().is_some(), "reading goes on");

    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    store.reopen().await.unwrap();
    store.put(ROWS, &acknowledged.to_be_bytes(), b"written again").await.unwrap();
    store.close().await.unwrap();
    let store = RocksdbDatastore::open(path).await.unwrap();
    for at in 0..acknowledged {
        let value = store.get(ROWS, &at.to_be_bytes()).await.unwrap();
        assert!(value.is_some_and(|value| value == vec![7; 100_000]), "row {at} of {acknowledged} is lost");
    }
    let last = store.get(ROWS, &acknowledged.to_be_bytes()).await.unwrap();
    assert_eq!(last.as_deref(), Some(&b"written again"[..]));
    assert!(store.get(ROWS, b"refused").await.unwrap().is_none());
}

/// The log alone fills the disk, or files of rows and their compaction do so as well.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_disk_without_room_nothing_acknowledged_is_lost() {
    let Some(disk) = small_disk("on_a_disk_without_room_nothing_acknowledged_is_lost", 32) else { return };
    for write_buffer_bytes in [64 * 1024 * 1024, 1024 * 1024] {
        let place = disk.join(write_buffer_bytes.to_string());
        let open = || RocksdbDatastore::builder().write_buffer_bytes(write_buffer_bytes).open(&place);
        full_disk::fill_up_and_go_on(&disk, 16 * 1024 * 1024, open).await;
        std::fs::remove_dir_all(&place).unwrap();
    }
}
