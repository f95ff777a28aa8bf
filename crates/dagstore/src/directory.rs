//! A store's directory: its lock, and the name of the store that it belongs to.
//!
//! ```text
//! lock              held while the store is open
//! store-id          32 hexadecimal digits: the store whose files these are
//! index/            full indices
//! copies/           local copies of remote shards
//! redb/, rocksdb/   the datastore, where it is an embedded one
//! ```

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use dagstore_engine::Identity;
use dagstore_fs::{DirectoryLock, FileSystem, ReadAtExt, publish};

use crate::OpenError;

const ID_FILE: &str = "store-id";
const ID_BYTES: usize = 32;

/// A store's directory that this process has locked, for work on what is in it while no store is open. [`Builder`](crate::Builder)
/// has one of its own.
#[derive(Debug)]
pub struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) lock: DirectoryLock,
}

impl Directory {
    /// Locks the directory of a store that is to be looked at only: one that isn't there isn't made.
    ///
    /// # Errors
    /// [`OpenError::NoStore`], [`OpenError::Locked`].
    pub fn lock_existing(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { path: path.to_owned(), source };
        let path = std::path::absolute(path).map_err(failed)?;
        if !path.join(ID_FILE).exists() {
            return Err(OpenError::NoStore { path });
        }
        let lock = DirectoryLock::acquire(&path)?;
        Ok(Self { path, lock })
    }

    /// Makes the directory where there is none, and locks it.
    ///
    /// # Errors
    /// [`OpenError::Locked`], [`OpenError::Directory`].
    pub fn lock(file_system: &dyn FileSystem, path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { path: path.to_owned(), source };
        let path = std::path::absolute(path).map_err(failed)?;
        file_system.create_directory(&path).map_err(failed)?;
        let lock = DirectoryLock::acquire(&path)?;
        Ok(Self { path, lock })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the full indices.
    pub fn indices(&self) -> PathBuf {
        self.path.join("index")
    }

    /// The folder of the local copies.
    pub(crate) fn copies(&self) -> PathBuf {
        self.path.join("copies")
    }

    /// Whether the directory is a store's already.
    pub(crate) fn has_owner(&self) -> bool {
        self.path.join(ID_FILE).exists()
    }

    /// Checks that the directory belongs to the store of `identity`; `None` stands for a store that is yet to be made.
    ///
    /// Opening a directory with another datastore than its own would find none of its shards, take all its indices for
    /// garbage and remove them.
    ///
    /// # Errors
    /// [`OpenError::OtherStore`], [`OpenError::Directory`].
    pub fn check_owner(&self, file_system: &dyn FileSystem, identity: Option<&Identity>) -> Result<(), OpenError> {
        let owner = self.owner(file_system).map_err(|source| self.failed(source))?;
        match (owner, identity) {
            // Indices of a store whose name is lost are nobody's to remove.
            (None, _) if self.has_indices(file_system) => Err(OpenError::OtherStore { path: self.path.clone() }),
            (None, _) => Ok(()),
            (Some(owner), Some(identity)) if owner == name_of(identity) => Ok(()),
            (Some(_), _) => Err(OpenError::OtherStore { path: self.path.clone() }),
        }
    }

    /// Writes down whose directory this is, durably, unless it stands there already.
    ///
    /// # Errors
    /// [`OpenError::Directory`].
    pub fn claim(&self, file_system: &dyn FileSystem, identity: &Identity) -> Result<(), OpenError> {
        if self.owner(file_system).map_err(|source| self.failed(source))?.is_some() {
            return Ok(());
        }
        let (temporary, path) = (self.path.join("store-id.tmp"), self.path.join(ID_FILE));
        // Left by a process that died at this very place.
        let _absent_as_a_rule = file_system.remove(&temporary);
        publish(file_system, &temporary, &path, |file| file.write_all(name_of(identity).as_bytes()))
            .map_err(|source| self.failed(source))
    }

    fn has_indices(&self, file_system: &dyn FileSystem) -> bool {
        file_system.list(&self.indices()).is_ok_and(|entries| !entries.is_empty())
    }

    fn owner(&self, file_system: &dyn FileSystem) -> io::Result<Option<String>> {
        let file = match file_system.open(&self.path.join(ID_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut name = vec![0; ID_BYTES];
        file.read_exact_at(0, &mut name)?;
        Ok(Some(String::from_utf8_lossy(&name).into_owned()))
    }

    fn failed(&self, source: io::Error) -> OpenError {
        OpenError::Directory { path: self.path.join(ID_FILE), source }
    }
}

fn name_of(identity: &Identity) -> String {
    identity.id.iter().fold(String::with_capacity(ID_BYTES), |mut name, byte| {
        // Writing to a String can't fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}
