//! Runs: sorted entries that wait in temporary files until they are merged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_fs::{FileSystem, ReadAt, ReadAtExt, WriteFile};

use crate::entry::{ENTRY_BYTES, Entry};
use crate::{Damage, Error, Result};

/// What is read or written at once. A merge reads a few dozen runs.
const BUFFER_BYTES: usize = 64 * 1024 / ENTRY_BYTES * ENTRY_BYTES;

/// A temporary file of sorted entries, back to back. It is removed when it is dropped. It is never synced: it is of no
/// use after a crash.
#[derive(Debug)]
pub(crate) struct RunFile {
    file_system: Arc<dyn FileSystem>,
    path: PathBuf,
    bytes: u64,
    checksum: u32,
    /// How often its entries were merged before.
    pub(crate) level: u32,
    is_removed: bool,
}

impl RunFile {
    /// Writes a run.
    pub(crate) fn write(
        file_system: &Arc<dyn FileSystem>,
        path: &Path,
        level: u32,
        entries: impl Iterator<Item = Result<Entry>>,
    ) -> Result<Self> {
        let failed = |operation, source| Error::Io { operation, path: path.to_owned(), source };
        let mut file = file_system.create(path).map_err(|source| failed("create", source))?;
        let file_system = Arc::clone(file_system);
        let mut run = Self { file_system, path: path.to_owned(), bytes: 0, checksum: 0, level, is_removed: false };
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        for entry in entries {
            buffer.extend_from_slice(&entry?.to_bytes());
            if buffer.len() == BUFFER_BYTES {
                run.append(&mut *file, &mut buffer).map_err(|source| failed("write", source))?;
            }
        }
        run.append(&mut *file, &mut buffer).map_err(|source| failed("write", source))?;
        file.flush().map_err(|source| failed("write", source))?;
        Ok(run)
    }

    /// Writes what is in the buffer, and empties it.
    fn append(&mut self, file: &mut dyn WriteFile, buffer: &mut Vec<u8>) -> io::Result<()> {
        file.write_all(buffer)?;
        self.checksum = crc32c::crc32c_append(self.checksum, buffer);
        self.bytes += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// The entries.
    pub(crate) fn read(&self) -> Result<RunReader> {
        let file = self.file_system.open(&self.path).map_err(|source| self.failed("open", source))?;
        Ok(RunReader {
            file,
            path: self.path.clone(),
            position: 0,
            bytes: self.bytes,
            buffer: Vec::new(),
            used_bytes: 0,
            checksum: 0,
            expected_checksum: self.checksum,
        })
    }

    /// Removes the file. What fails here is tried again when the run is dropped.
    pub(crate) fn remove(&mut self) -> Result<()> {
        self.file_system.remove(&self.path).map_err(|source| self.failed("remove", source))?;
        self.is_removed = true;
        Ok(())
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        Error::Io { operation, path: self.path.clone(), source }
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if !self.is_removed {
            // What can't be removed now is removed with the other temporaries after the next start.
            let _ = self.file_system.remove(&self.path);
        }
    }
}

/// The entries of a run, checked against the checksum at its end.
#[derive(Debug)]
pub(crate) struct RunReader {
    file: Arc<dyn ReadAt>,
    path: PathBuf,
    /// How much of the file was read.
    position: u64,
    bytes: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    used_bytes: usize,
    checksum: u32,
    expected_checksum: u32,
}

impl RunReader {
    /// Fills the buffer; it stays empty at the end.
    fn fill(&mut self) -> Result<()> {
        let length = usize::try_from(self.bytes - self.position).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        self.used_bytes = 0;
        self.buffer.resize(length, 0);
        self.file.read_exact_at(self.position, &mut self.buffer).map_err(|source| {
            let path = self.path.clone();
            Error::Io { operation: "read", path, source }
        })?;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer);
        self.position += length as u64;
        if self.position == self.bytes && self.checksum != self.expected_checksum {
            return Err(Error::Damaged { path: self.path.clone(), what: Damage::Run });
        }
        Ok(())
    }
}

impl Iterator for RunReader {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.used_bytes == self.buffer.len()
            && let Err(error) = self.fill()
        {
            return Some(Err(error));
        }
        let bytes = self.buffer.get(self.used_bytes..)?.first_chunk()?;
        self.used_bytes += ENTRY_BYTES;
        Some(Ok(Entry::from_bytes(bytes)))
    }
}
