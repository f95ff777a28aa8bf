//! The file system and clock seams: small traits, so that tests can fail every call of them, and the real ones.
//!
//! * [`ReadAt`]: positioned reads, the one way in which CARs and indices are read.
//! * [`RegularFile`]: a regular file, checked to be one, open for positioned reads.
//! * [`open_beneath`] opens one beneath a root directory, which no link and no `..` leads out of.
//! * [`FileSystem`] and its real implementation [`RealFileSystem`]: what the store does to its own files.
//! * [`publish`]: temporary file, sync, rename, directory sync; the one way in which a file comes into being.
//! * [`publish_group`]: the same for many files at once, with one sync of their directory.
//! * [`DirectoryLock`]: one process per directory.
//! * [`OwnName`]: names of the store's own files, made from a hash of the key and never from the key.
//! * [`Clock`] and [`SystemClock`].
//!
//! Everything here blocks. The crate knows nothing of shards, CARs or indices beyond their file names.
#![deny(unsafe_code)]

mod beneath;
mod clock;
mod file;
mod group;
mod lock;
mod mapped;
mod names;
mod publish;
mod read;
mod real;
#[cfg(test)]
mod recorder;
mod system;

pub use beneath::{LeavesRoot, open_beneath};
pub use clock::{Clock, SystemClock};
pub use file::RegularFile;
pub use group::{GroupFile, GroupWrite, publish_group};
pub use lock::{DirectoryLock, LockError};
pub use names::OwnName;
pub use publish::{PublishError, publish};
pub use read::{ReadAt, ReadAtExt};
pub use real::RealFileSystem;
pub use system::{DirectoryEntry, FileSystem, WriteFile};
