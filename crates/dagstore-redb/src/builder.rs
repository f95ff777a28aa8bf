//! Options, and how a database file is opened and made.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use dagstore_datastore::embedded::Opening;
use dagstore_datastore::{Error, Result};
use redb::{Database, DatabaseError, StorageError};
use tempfile::NamedTempFile;

use crate::RedbDatastore;
use crate::error;

/// redb's own default of 1 GiB would be most of what a store of a million shards takes.
const DEFAULT_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// How to open a [`RedbDatastore`].
#[derive(Debug, Clone)]
pub struct RedbBuilder {
    cache_bytes: usize,
    create_if_missing: bool,
}

impl Default for RedbBuilder {
    fn default() -> Self {
        Self { cache_bytes: DEFAULT_CACHE_BYTES, create_if_missing: true }
    }
}

impl RedbBuilder {
    /// Bounds redb's page cache, 64 MiB unless told: what was read, and up to half of it what is to be written.
    #[must_use]
    pub fn cache_bytes(mut self, cache_bytes: usize) -> Self {
        self.cache_bytes = cache_bytes;
        self
    }

    /// Whether a database is made where there is none, which it is unless told. Its directory must exist.
    #[must_use]
    pub fn create_if_missing(mut self, create_if_missing: bool) -> Self {
        self.create_if_missing = create_if_missing;
        self
    }

    /// Opens the database file `path`.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process or handle has it open. Of class
    /// [`Corrupt`](dagstore_datastore::ErrorClass::Corrupt) when the file is damaged or none of redb's, and
    /// [`Permanent`](dagstore_datastore::ErrorClass::Permanent) when it can't be reached or made.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<RedbDatastore> {
        // Reopening must find the same file, wherever the process has gone by then.
        let path = std::path::absolute(path.as_ref()).map_err(|error| error::failed("open", redb::Error::Io(error)))?;
        let place = path.display().to_string();
        RedbDatastore::open_with(place, move |opening| self.open_database(&path, opening)).await
    }

    fn open_database(&self, path: &Path, opening: Opening) -> Result<Database> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(self.cache_bytes);
        let opened = match builder.open(path) {
            Err(DatabaseError::Storage(StorageError::Io(error)))
                if error.kind() == io::ErrorKind::NotFound && self.create_if_missing && opening == Opening::First =>
            {
                create(&builder, path).and_then(|()| builder.open(path))
            }
            opened => opened,
        };
        opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => {
                Error::InUse { backend: error::BACKEND, place: path.display().to_string() }
            }
            error => error::failed("open", error),
        })
    }
}

/// Makes an empty database, as a whole or not at all. redb itself would leave a file without its magic number when the
/// process is killed while making it, and never open that again. A crash may leave the temporary file behind.
fn create(builder: &redb::Builder, path: &Path) -> std::result::Result<(), DatabaseError> {
    let directory = path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    // The file is this user's only, as all of the store's are.
    let file = NamedTempFile::with_suffix_in(".redb-new", &directory)?;
    drop(builder.create_file(file.as_file().try_clone()?)?);
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        // Somebody else made one meanwhile: then that is the database.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        persisted => drop(persisted.map_err(|error| error.error)?),
    }
    Ok(File::open(directory)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use dagstore_datastore::ErrorClass;

    use super::*;

    #[test]
    fn a_database_that_has_vanished_is_not_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.redb");
        let builder = RedbBuilder::default();
        let error = builder.open_database(&path, Opening::Again).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Permanent);
        let refusing = builder.clone().create_if_missing(false);
        assert_eq!(refusing.open_database(&path, Opening::First).unwrap_err().class(), ErrorClass::Permanent);
        assert!(!path.exists());
        drop(builder.open_database(&path, Opening::First).unwrap());
        drop(builder.open_database(&path, Opening::Again).unwrap());
        drop(refusing.open_database(&path, Opening::First).unwrap());
        let names: Vec<_> = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["rows.redb"], "making a database left something behind");
    }

    #[test]
    fn a_database_that_somebody_else_made_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.redb");
        std::fs::write(&path, "theirs").unwrap();
        create(&redb::Builder::new(), &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_users_only() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.redb");
        drop(RedbBuilder::default().open_database(&path, Opening::First).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
