//! A file system that fails when it is told to.
//!
//! Syncs are counted and not done: no test here takes the power away, and they would be most of the time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dagstore_fs::{DirectoryEntry, FileSystem, ReadAt, RealFileSystem, WriteFile};

/// The real file system, with every call counted, and some failing.
#[derive(Debug, Clone)]
pub struct FaultyFileSystem {
    calls: Arc<AtomicU64>,
    /// The number of the first call that fails, counted from 1.
    first_failing: u64,
    /// Whether all calls after it fail as well.
    fails_for_ever: bool,
    /// Whether the disk is full: nothing can be created or written, everything else works.
    full: Arc<AtomicBool>,
}

impl FaultyFileSystem {
    /// Fails the call of this number, counted from 1; and, if `fails_for_ever`, all after it.
    pub fn new(first_failing: u64, fails_for_ever: bool) -> Self {
        Self { calls: Arc::default(), first_failing, fails_for_ever, full: Arc::default() }
    }

    /// A file system that never fails.
    pub fn faultless() -> Self {
        Self::new(u64::MAX, false)
    }

    /// Whether a call has failed.
    pub fn has_failed(&self) -> bool {
        self.calls.load(Ordering::Relaxed) >= self.first_failing
    }

    /// Fills the disk up, or makes room on it again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn call_that_needs_room(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.call()
    }

    fn call(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call == self.first_failing || self.fails_for_ever && call > self.first_failing {
            return Err(io::Error::other("planted"));
        }
        Ok(())
    }
}

impl FileSystem for FaultyFileSystem {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        self.call()?;
        Ok(Arc::new(FaultyRead(self.clone(), RealFileSystem.open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.call_that_needs_room()?;
        Ok(Box::new(FaultyWrite(self.clone(), RealFileSystem.create(path)?)))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        self.call()?;
        Ok(Box::new(FaultyWrite(self.clone(), RealFileSystem.append(path, length)?)))
    }

    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        self.call()?;
        RealFileSystem.available_bytes(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        RealFileSystem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealFileSystem.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        RealFileSystem.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.call()?;
        RealFileSystem.list(directory)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.call()
    }
}

#[derive(Debug)]
struct FaultyRead(FaultyFileSystem, Arc<dyn ReadAt>);

impl ReadAt for FaultyRead {
    fn size(&self) -> u64 {
        self.1.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.call()?;
        self.1.read_at(offset, buffer)
    }
}

#[derive(Debug)]
struct FaultyWrite(FaultyFileSystem, Box<dyn WriteFile>);

impl io::Write for FaultyWrite {
    /// A write that fails has written a part, as on a disk that gets full.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.0.call_that_needs_room() {
            self.1.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl WriteFile for FaultyWrite {
    fn sync(&mut self) -> io::Result<()> {
        self.0.call()
    }
}
