//! A process that is killed in the middle of a fetch, and the next one.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::RealFileSystem;
use dagstore_transient::{Copies, Options};

use crate::common::{Source, content, files, mount, name, options, read};

const SIZE: usize = 32 << 20;
/// Where the child's source stops: a little behind the middle.
const STOPS_AT: u64 = 17 << 20;
const FOLDER: &str = "DAGSTORE_TEST_COPIES";
const TEST: &str = "kill::half_a_copy_survives_a_kill";

fn settings() -> Options {
    let mut settings = options();
    (settings.chunk_bytes, settings.checkpoint_bytes) = (128 << 10, 256 << 10);
    settings
}

fn source() -> Arc<Source> {
    let source = Source::new(content(1, SIZE), Some("v1"));
    source.change(|manners| manners.piece_bytes = 64 << 10);
    source
}

#[tokio::test]
async fn half_a_copy_survives_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let copies = Copies::open(Arc::new(RealFileSystem), folder.as_ref(), settings()).unwrap();
        let source = source();
        source.change(|manners| manners.hangs_at = Some(STOPS_AT));
        drop(copies.fetch(name(1), mount(&source), None, None).await);
        panic!("the source hangs, so this is never reached");
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(FOLDER, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let fetched = || {
        let partial = files(directory.path()).into_iter().find(|file| file.ends_with(".part"));
        partial.and_then(|file| directory.path().join(file).metadata().ok()).map_or(0, |partial| partial.len())
    };
    while fetched() < STOPS_AT - (512 << 10) {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();

    let (source, data) = (source(), content(1, SIZE));
    let copies = Copies::open(Arc::new(RealFileSystem), directory.path(), settings()).unwrap();
    let lease = copies.fetch(name(1), mount(&source), None, None).await.unwrap();
    assert!(read(&lease) == data, "another content");
    assert!(source.given() * 100 < 51 * SIZE as u64, "{} of {SIZE} bytes were fetched again", source.given());
    assert_eq!(source.streams(), 1);
    assert_eq!(files(directory.path()).len(), 2);
}
