//! What the store does to its own files.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::ReadAt;

/// A file system, as far as the store needs one. All paths are the store's own.
///
/// What a method has done is durable only where it says so: a crash may undo a creation, a rename or a removal until
/// [`sync_directory`](Self::sync_directory) has returned for the directory, and bytes until [`WriteFile::sync`] has.
pub trait FileSystem: Debug + Send + Sync + 'static {
    /// Opens a regular file for positioned reads.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none; whatever else the operating system says.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>>;

    /// Opens one of the store's own files that nobody changes as long as it is open, and maps it into memory where that
    /// can be done: [`ReadAt::bytes`] tells. Positioned reads of it are those of [`open`](Self::open), so a failing disk
    /// is an error there; a touch of a mapped byte that can't be read ends the process.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_mapped(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        self.open(path)
    }

    /// Creates a file that didn't exist, for this user only (mode 0600), without following a link.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where there is something; whatever else the operating system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a regular file of the store's own to be written on, without following a link: what it has beyond `length`
    /// bytes is cut off, and writing begins there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none; [`io::ErrorKind::UnexpectedEof`] where it is shorter than `length`;
    /// [`io::ErrorKind::Unsupported`] where files are only written once; whatever else the operating system says.
    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        let _ = (path, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How many bytes can still be written beneath `directory`; `None` where that isn't known.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        let _ = directory;
        Ok(None)
    }

    /// Renames a file, replacing what bears the new name.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none; whatever else the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory and its parents, for this user only (mode 0700), durably. One that exists is left as it is.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, in no order.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>>;

    /// Makes creations, renames and removals in `directory` durable.
    ///
    /// # Errors
    /// Whatever the operating system says. They may be undone by a crash then.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// A file being written.
pub trait WriteFile: io::Write + Debug + Send {
    /// Makes the bytes written so far durable.
    ///
    /// # Errors
    /// Whatever the operating system says. The file is worth nothing then: a second sync can succeed though bytes
    /// were lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, without the directory. A name that isn't UTF-8 is none of the store's and left out of listings.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
}
