//! A disk that is truly full: a small one of its own, which only a child process sees.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use dagstore_datastore::{
    Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, Namespace, Result, stream_of_rows,
};

use crate::skipped;

const DISK: &str = "DAGSTORE_TEST_SMALL_DISK";
const ROWS: Namespace = Namespace::new("rows");
const LOADED: Namespace = Namespace::new("loaded");
const VALUE_BYTES: usize = 50_000;

/// A file system of `mebibytes` for the test `test` alone.
///
/// Making one takes namespaces of Linux, so the test runs again in a child that has them: there this returns the place of
/// the empty disk. In the first process it returns `None` when the child is through, or at once, with the test counted as
/// [skipped], where no such disk can be made.
///
/// # Panics
/// With what the child said, when the test fails there.
pub fn small_disk(test: &str, mebibytes: u32) -> Option<PathBuf> {
    if let Some(disk) = env::var_os(DISK) {
        return Some(disk.into());
    }
    let place = env::temp_dir().join(format!("dagstore-small-disk-{}-{test}", std::process::id()));
    let made = fs::create_dir(&place);
    assert!(made.is_ok(), "{} can't be made: {made:?}", place.display());
    let outcome = run_on_small_disk(test, mebibytes, &place);
    // It is empty: what was mounted on it was the child's only.
    let removed = fs::remove_dir(&place);
    match outcome {
        Err(reason) => skipped(test, &reason),
        Ok(child) => {
            let has_run = said(&child).contains("1 passed");
            assert!(child.status.success() && has_run, "{}: {}", child.status, said(&child));
        }
    }
    assert!(removed.is_ok(), "{} can't be removed: {removed:?}", place.display());
    None
}

/// The child's output, or why there is none.
fn run_on_small_disk(test: &str, mebibytes: u32, place: &Path) -> Result<Output, String> {
    let with_disk = |and_then: &str| {
        let mut shell = Command::new("unshare");
        let script = format!(r#"mount -t tmpfs -o size={mebibytes}m small-disk "$0" && {and_then}"#);
        shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(place);
        shell
    };
    let tried = with_disk("true").output().map_err(|error| format!("there is no program unshare: {error}"))?;
    if !tried.status.success() {
        return Err(format!("a file system can't be mounted here: {}", said(&tried).trim()));
    }
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let child = with_disk(r#"exec "$@""#).arg(program).args(["--exact", test, "--nocapture"]).env(DISK, place).output();
    child.map_err(|error| error.to_string())
}

fn said(child: &Output) -> String {
    String::from_utf8_lossy(&[&child.stdout[..], &child.stderr].concat()).into_owned()
}

/// Writes to a datastore on the small disk `disk` until that is full, makes room, and goes on with the same handle.
/// Nothing that was acknowledged may be lost at any time. `open` opens the datastore.
///
/// # Panics
/// When the datastore breaks its contract.
pub async fn fill_up_and_go_on<O, F, D>(disk: &Path, ballast_bytes: usize, open: O)
where
    O: Fn() -> F,
    F: Future<Output = Result<D>>,
    D: Datastore,
{
    let ballast = disk.join("ballast");
    let made = fs::write(&ballast, vec![1; ballast_bytes]);
    assert!(made.is_ok(), "the ballast can't be written: {made:?}");
    let store: Arc<dyn Datastore> = Arc::new(right(open().await));
    let (mut acknowledged, error) = fill(&*store, 0).await;
    assert_eq!(error.class(), ErrorClass::NeedsReopen, "{error:?}");
    assert!(error.to_string().contains("make room"), "{error}");
    assert!(acknowledged > 20, "the disk leaves no room for the test: {acknowledged} rows");
    assert!(store.put(ROWS, b"refused", b"").await.is_err(), "a write passes behind one that failed");
    assert!(store.sync().await.is_err(), "a sync passes behind a write that failed");

    // While the disk is full, reopening may fail; where it works, everything is there, and the disk is full again soon.
    for _ in 0..3 {
        if store.reopen().await.is_ok() {
            check(&*store, acknowledged).await;
            let (more, error) = fill(&*store, acknowledged).await;
            assert!(matches!(error.class(), ErrorClass::NeedsReopen | ErrorClass::Transient), "{error:?}");
            acknowledged = more;
            let loaded = store.bulk_load(LOADED, stream_of_rows((0..200).map(row))).await;
            assert!(loaded.is_err(), "10 MB are loaded onto a full disk");
        }
    }
    right(fs::remove_file(&ballast));
    right(store.reopen().await);
    check(&*store, acknowledged).await;
    for at in acknowledged..acknowledged + 20 {
        right(write(&*store, at).await);
    }
    acknowledged += 20;
    right(store.bulk_load(LOADED, stream_of_rows((0..10).map(row))).await);
    check(&*store, acknowledged).await;
    right(store.close().await);

    let store = right(open().await);
    check(&store, acknowledged).await;
    for (key, value) in (0..10).map(row) {
        assert!(right(store.get(LOADED, &key).await).is_some_and(|found| found == value), "a loaded row is lost");
    }
    right(store.close().await);
}

/// Writes rows until one fails. Returns how many are acknowledged then, and the error.
async fn fill(store: &dyn Datastore, mut acknowledged: u32) -> (u32, Error) {
    loop {
        match write(store, acknowledged).await {
            Ok(()) => acknowledged += 1,
            Err(error) => return (acknowledged, error),
        }
        assert!(acknowledged < 10_000, "the disk is never full");
    }
}

async fn write(store: &dyn Datastore, at: u32) -> Result<()> {
    let (key, value) = row(at);
    let mut batch = Batch::new();
    batch.put(ROWS, &key, &value);
    store.write(batch, Durability::Synced).await
}

async fn check(store: &dyn Datastore, acknowledged: u32) {
    for (key, value) in (0..acknowledged).map(row) {
        let found = right(store.get(ROWS, &key).await);
        assert!(found.is_some_and(|found| found == value), "row {key:?} of {acknowledged} is lost or wrong");
    }
    assert!(right(store.get(ROWS, b"refused").await).is_none());
}

/// A row whose value can't be compressed.
fn row(at: u32) -> (Vec<u8>, Vec<u8>) {
    let mut state = u64::from(at) + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (at.to_be_bytes().to_vec(), std::iter::repeat_with(next).take(VALUE_BYTES).collect())
}

#[track_caller]
fn right<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
