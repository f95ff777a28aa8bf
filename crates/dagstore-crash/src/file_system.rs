//! A file system in a process that is killed. Which file is meant is told by its name, as `docs/format` has them.

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

    fn watch(&self, path: &Path, file: Box<dyn WriteFile>) -> Box<dyn WriteFile> {
        let (write, sync) = match () {
            () if is_temporary(path) => (Point::IndexWrite, Point::IndexSync),
            () if has_extension(path, "part") => (Point::CopyWrite, Point::CopySync),
            () => return file,
        };
        Box::new(KilledFile { killer: self.killer.clone(), write, sync, file })
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
        let create = match () {
            () if is_temporary(path) => Some(Point::IndexCreate),
            () if has_extension(path, "part") => Some(Point::CopyCreate),
            () => None,
        };
        let file = self.at(create, || RealFileSystem.create(path))?;
        Ok(self.watch(path, file))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        Ok(self.watch(path, RealFileSystem.append(path, length)?))
    }

    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        RealFileSystem.available_bytes(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let point = match () {
            () if is_index(to) => Some(Point::IndexRename),
            () if has_extension(to, "copy") => Some(Point::CopyRename),
            () if has_extension(to, "meta") => Some(Point::SidecarRename),
            () => None,
        };
        self.at(point, || RealFileSystem.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let point = match () {
            () if is_index(path) => Some(Point::IndexRemove),
            () if is_temporary(path) => Some(Point::TemporaryRemove),
            // Before a new copy is made it is made sure that there is none: that is no point.
            () if is_copy(path) && path.exists() => Some(Point::CopyRemove),
            () => None,
        };
        self.at(point, || RealFileSystem.remove(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        RealFileSystem.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let point = if directory.ends_with("copies") { Point::CopiesSync } else { Point::DirectorySync };
        self.at(Some(point), || RealFileSystem.sync_directory(directory))
    }
}

#[derive(Debug)]
struct KilledFile {
    killer: Killer,
    write: Point,
    sync: Point,
    file: Box<dyn WriteFile>,
}

impl Write for KilledFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.killer.before(self.write);
        let written = self.file.write(bytes)?;
        self.killer.after(self.write);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WriteFile for KilledFile {
    fn sync(&mut self) -> io::Result<()> {
        self.killer.before(self.sync);
        self.file.sync()?;
        self.killer.after(self.sync);
        Ok(())
    }
}

fn is_index(path: &Path) -> bool {
    has_extension(path, "idx")
}

fn is_temporary(path: &Path) -> bool {
    has_extension(path, "tmp")
}

fn is_copy(path: &Path) -> bool {
    has_extension(path, "part") || has_extension(path, "copy")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
