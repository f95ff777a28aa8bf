//! A file system in a process that is killed.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use dagstore::fs::{DirectoryEntry, FileSystem, ReadAt, RealFileSystem, WriteFile};

use crate::killer::Killer;
use crate::point::Point;

/// The real file system. What is done to indices is a point.
#[derive(Debug)]
pub(crate) struct KilledFileSystem {
    killer: Killer,
}

impl KilledFileSystem {
    pub(crate) fn new(killer: Killer) -> Self {
        Self { killer }
    }

    fn at<T>(&self, point: Option<Point>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(point) = point else { return work() };
        self.killer.before(point);
        let done = work()?;
        self.killer.after(point);
        Ok(done)
    }
}

impl FileSystem for KilledFileSystem {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealFileSystem.open(path)
    }

    fn open_mapped(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealFileSystem.open_mapped(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let is_index = is_temporary(path);
        let file = self.at(is_index.then_some(Point::IndexCreate), || RealFileSystem.create(path))?;
        if !is_index {
            return Ok(file);
        }
        Ok(Box::new(KilledFile { killer: self.killer.clone(), file }))
    }

    /// Indices are written once, so none of the points is here.
    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        RealFileSystem.append(path, length)
    }

    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        RealFileSystem.available_bytes(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at(is_index(to).then_some(Point::IndexRename), || RealFileSystem.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let temporary = is_temporary(path).then_some(Point::TemporaryRemove);
        self.at(is_index(path).then_some(Point::IndexRemove).or(temporary), || RealFileSystem.remove(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        RealFileSystem.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.at(Some(Point::DirectorySync), || RealFileSystem.sync_directory(directory))
    }
}

#[derive(Debug)]
struct KilledFile {
    killer: Killer,
    file: Box<dyn WriteFile>,
}

impl Write for KilledFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.killer.before(Point::IndexWrite);
        let written = self.file.write(bytes)?;
        self.killer.after(Point::IndexWrite);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WriteFile for KilledFile {
    fn sync(&mut self) -> io::Result<()> {
        self.killer.before(Point::IndexSync);
        self.file.sync()?;
        self.killer.after(Point::IndexSync);
        Ok(())
    }
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "idx")
}

fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}
