//! A file system that weighs a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dagstore_fs::{DirectoryEntry, FileSystem, ReadAt, RealFileSystem, WriteFile};

use super::disk_use;

/// Weighs the directory before and after each call.
#[derive(Debug, Clone)]
pub(crate) struct Weighing {
    directory: PathBuf,
    pub(crate) most: Arc<AtomicU64>,
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Weighing {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), most: Arc::default(), calls: Arc::default() }
    }

    fn call<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let done = call();
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(disk_use(&self.directory), Ordering::Relaxed);
        done
    }
}

#[derive(Debug)]
struct WeighedFile(Weighing, Box<dyn WriteFile>);

impl io::Write for WeighedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.call(|| self.1.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl WriteFile for WeighedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.call(|| Ok(()))
    }
}

impl FileSystem for Weighing {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        self.call(|| RealFileSystem.open(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(WeighedFile(self.clone(), self.call(|| RealFileSystem.create(path))?)))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(WeighedFile(self.clone(), self.call(|| RealFileSystem.append(path, length))?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| RealFileSystem.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealFileSystem.remove(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        RealFileSystem.list(directory)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.call(|| Ok(()))
    }
}
