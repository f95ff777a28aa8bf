//! Files in memory, as the repository of indices sees them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dagstore_fs::{DirectoryEntry, FileSystem, ReadAt, WriteFile};
use parking_lot::Mutex;

/// Bytes that can't be shared, as a file's.
#[derive(Debug)]
pub(crate) struct Positioned(pub(crate) Bytes);

impl ReadAt for Positioned {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
}

/// A file system without directories: every path can be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryFileSystem(Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>);

impl MemoryFileSystem {
    /// The bytes of a file.
    pub(crate) fn get(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.lock().get(path).cloned()
    }

    /// Puts a file there, in place of what there was.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.0.lock().insert(path.to_owned(), bytes);
    }
}

impl FileSystem for MemoryFileSystem {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let bytes = self.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(Positioned(bytes.into())))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        if self.0.lock().contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.put(path, Vec::new());
        Ok(Box::new(MemoryFile { files: self.clone(), path: path.to_owned() }))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        let mut files = self.0.lock();
        let bytes = files.get_mut(path).ok_or(ErrorKind::NotFound)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
        bytes.truncate(length.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(Box::new(MemoryFile { files: self.clone(), path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.0.lock().remove(from).ok_or(ErrorKind::NotFound)?;
        self.put(to, bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().remove(path).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let files = self.0.lock();
        let inside = files.iter().filter(|(path, _)| path.parent() == Some(directory));
        let entries = inside.filter_map(|(path, bytes)| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(DirectoryEntry { name, size: bytes.len() as u64, is_file: true })
        });
        Ok(entries.collect())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A file being written. What is written is there at once.
#[derive(Debug)]
struct MemoryFile {
    files: MemoryFileSystem,
    path: PathBuf,
}

impl io::Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut files = self.files.0.lock();
        files.get_mut(&self.path).ok_or(ErrorKind::NotFound)?.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for MemoryFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
