//! Mounts whose sources change, in every wrapper.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::conformance::{self, Source};
use dagstore_mount::{Counting, Counts, FileMount, FsMount, Mount, Throttled};

/// A file that is replaced, as whoever writes files with care does it.
struct FileSource {
    path: PathBuf,
    mount: Counting,
    counts: Arc<Counts>,
    versions: AtomicU64,
    in_place: bool,
}

impl FileSource {
    fn new(path: &Path, mount: impl Mount, in_place: bool) -> Self {
        let mount = Counting::new(mount);
        let counts = mount.counts();
        Self { path: path.to_owned(), mount, counts, versions: AtomicU64::new(0), in_place }
    }
}

#[async_trait]
impl Source for FileSource {
    fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(self.mount.clone())
    }

    async fn serve(&self, content: Option<Bytes>) {
        let Some(content) = content else {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            };
        };
        if self.in_place {
            std::fs::write(&self.path, content).unwrap();
            // The time of modification moves in steps of some milliseconds, and this must not depend on luck.
            let version = self.versions.fetch_add(1, Ordering::Relaxed);
            let file = std::fs::File::options().write(true).open(&self.path).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + version);
            return file.set_modified(time).unwrap();
        }
        let new = self.path.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, &self.path).unwrap();
    }

    fn held(&self) -> Option<u64> {
        Some(self.counts.held())
    }
}

#[tokio::test]
async fn a_file_that_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    conformance::check_source(&FileSource::new(&path, FileMount::new(&path).unwrap(), false)).await;
}

#[tokio::test]
async fn a_file_that_is_written_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    conformance::check_source(&FileSource::new(&path, FileMount::new(&path).unwrap(), true)).await;
}

#[tokio::test]
async fn a_file_in_a_tree() {
    let directory = tempfile::tempdir().unwrap();
    let mount = FsMount::template(directory.path()).unwrap().at("a.car").unwrap();
    conformance::check_source(&FileSource::new(&directory.path().join("a.car"), mount, false)).await;
}

#[tokio::test]
async fn a_file_behind_a_throttle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    let mount = Throttled::new(FileMount::new(&path).unwrap(), u64::MAX);
    conformance::check_source(&FileSource::new(&path, mount, false)).await;
}
