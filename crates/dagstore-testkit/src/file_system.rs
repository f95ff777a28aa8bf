//! A file system that fails when it is told to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use dagstore_fs::{DirectoryEntry, FileSystem, ReadAt, RealFileSystem, WriteFile};

use crate::faults::{Call, Fault, Faults};
use crate::power::{PowerDisk, what_of};

/// Another file system, with every call counted, and some failing.
#[derive(Debug, Clone)]
pub struct FaultyFileSystem {
    inner: Arc<dyn FileSystem>,
    /// The same one, where it has to be told that a sync has failed.
    power: Option<PowerDisk>,
    faults: Faults,
    /// Whether the disk is full: nothing can be created or written, everything else works.
    full: Arc<AtomicBool>,
}

impl FaultyFileSystem {
    /// The real file system. Fails the call of this number, counted from 1; and, if `fails_for_ever`, all after it.
    ///
    /// Syncs are counted and not done: no test on it takes the power away, and they would be most of the time.
    pub fn new(first_failing: u64, fails_for_ever: bool) -> Self {
        let faults = Faults::default();
        faults.order(Fault::Io, first_failing, fails_for_ever);
        Self { inner: Arc::new(WithoutSyncs), power: None, faults, full: Arc::default() }
    }

    /// The real file system, and it never fails.
    pub fn faultless() -> Self {
        Self::new(u64::MAX, false)
    }

    /// A disk whose power can go, and which fails as `faults` say.
    pub fn over(disk: PowerDisk, faults: Faults) -> Self {
        Self { inner: Arc::new(disk.clone()), power: Some(disk), faults, full: Arc::default() }
    }

    /// Whether a call has failed by its number.
    pub fn has_failed(&self) -> bool {
        self.faults.failed() > 0
    }

    /// Fills the disk up, or makes room on it again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn call(&self, call: Call, path: &Path) -> io::Result<()> {
        let met = self.faults.meet(call, || what_of(path));
        met.map_or(Ok(()), |fault| Err(fault.io_error()))
    }

    fn check_room(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(Fault::NoSpace.io_error()) } else { Ok(()) }
    }

    fn reading(&self, path: &Path, inner: Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        Arc::new(FaultyRead { system: self.clone(), path: path.to_owned(), inner })
    }

    fn writing(&self, path: &Path, inner: Box<dyn WriteFile>) -> Box<dyn WriteFile> {
        Box::new(FaultyWrite { system: self.clone(), path: path.to_owned(), inner })
    }
}

impl FileSystem for FaultyFileSystem {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        self.call(Call::Open, path)?;
        Ok(self.reading(path, self.inner.open(path)?))
    }

    fn open_mapped(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        self.call(Call::OpenMapped, path)?;
        Ok(self.reading(path, self.inner.open_mapped(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.check_room()?;
        self.call(Call::Create, path)?;
        Ok(self.writing(path, self.inner.create(path)?))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        self.call(Call::Append, path)?;
        Ok(self.writing(path, self.inner.append(path, length)?))
    }

    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        self.call(Call::Available, directory)?;
        self.inner.available_bytes(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Rename, to)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Remove, path)?;
        self.inner.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call(Call::CreateDirectory, path)?;
        self.inner.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.call(Call::List, directory)?;
        self.inner.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.call(Call::SyncDirectory, directory)?;
        self.inner.sync_directory(directory)
    }
}

#[derive(Debug)]
struct FaultyRead {
    system: FaultyFileSystem,
    path: PathBuf,
    inner: Arc<dyn ReadAt>,
}

impl ReadAt for FaultyRead {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.system.call(Call::Read, &self.path)?;
        self.inner.read_at(offset, buffer)
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        self.system.call(Call::Look, &self.path)?;
        self.inner.is_unchanged()
    }

    /// Bytes in memory are no calls, and never fail.
    fn bytes(&self) -> Option<&Bytes> {
        self.inner.bytes()
    }
}

#[derive(Debug)]
struct FaultyWrite {
    system: FaultyFileSystem,
    path: PathBuf,
    inner: Box<dyn WriteFile>,
}

impl io::Write for FaultyWrite {
    /// A write that fails has written a part, as on a disk that gets full.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let full = self.system.check_room().err();
        let met = self.system.faults.meet(Call::Write, || what_of(&self.path));
        let some = bytes.len() / 2;
        if met == Some(Fault::ShortWrite) && full.is_none() {
            // A write of nothing would say that there will never be room for more.
            let some = some.max(1).min(bytes.len());
            self.inner.write_all(&bytes[..some])?;
            return Ok(some);
        }
        if let Some(error) = full.or(met.map(Fault::io_error)) {
            self.inner.write_all(&bytes[..some])?;
            return Err(error);
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl WriteFile for FaultyWrite {
    fn sync(&mut self) -> io::Result<()> {
        match self.system.faults.meet(Call::Sync, || what_of(&self.path)) {
            None => self.inner.sync(),
            Some(fault) => {
                if let Some(power) = &self.system.power {
                    power.fail_sync(&self.path);
                }
                Err(fault.io_error())
            }
        }
    }
}

/// The real file system, of which nobody needs that it is durable.
#[derive(Debug)]
struct WithoutSyncs;

impl FileSystem for WithoutSyncs {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealFileSystem.open(path)
    }

    fn open_mapped(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealFileSystem.open_mapped(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(WithoutSync(RealFileSystem.create(path)?)))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(WithoutSync(RealFileSystem.append(path, length)?)))
    }

    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        RealFileSystem.available_bytes(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFileSystem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        RealFileSystem.list(directory)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct WithoutSync(Box<dyn WriteFile>);

impl io::Write for WithoutSync {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl WriteFile for WithoutSync {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
