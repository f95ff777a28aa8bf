//! A regular file, open for positioned reads.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::ReadAt;

/// An open regular file. It is the file that was opened, whatever its name stands for by now.
#[derive(Debug)]
pub struct RegularFile {
    file: File,
    size: u64,
    /// When it had been modified last, in seconds and nanoseconds, as it was opened.
    modified: (i64, i64),
}

impl RegularFile {
    /// Opens the regular file at `path`, following links.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where there is a directory, a device or a pipe; whatever else the
    /// operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OFlags::empty())
    }

    pub(crate) fn open_with(path: &Path, flags: OFlags) -> io::Result<Self> {
        let file = open_without_waiting(path, OFlags::RDONLY | flags)?;
        Self::of(file)
    }

    /// Takes an open file that turns out to be a regular one.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        let metadata = regular_file(&file)?;
        Ok(Self { file, size: metadata.len(), modified: modified(&metadata) })
    }

    /// The file itself.
    pub(crate) fn descriptor(&self) -> &File {
        &self.file
    }

    /// What the file system says of the open file now.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

impl ReadAt for RegularFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // Positions that the system can't express lie behind the end of every file.
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| i64::try_from(end).is_err()) {
            return Ok(0);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// By size and time of modification: a file system that keeps that time in large steps doesn't show a change soon after
    /// another.
    fn is_unchanged(&self) -> io::Result<bool> {
        let now = self.file.metadata()?;
        Ok((now.len(), modified(&now)) == (self.size, self.modified))
    }
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// Opens a file so that neither a FIFO without a writer nor a terminal can hold the caller up. What was opened is to
/// be checked by [`regular_file_size`].
pub(crate) fn open_without_waiting(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, mode))?;
    Ok(File::from(file))
}

/// The size of an open file, which is asked of the descriptor, because a path can change its meaning in between.
pub(crate) fn regular_file_size(file: &File) -> io::Result<u64> {
    regular_file(file).map(|metadata| metadata.len())
}

fn regular_file(file: &File) -> io::Result<Metadata> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
}
