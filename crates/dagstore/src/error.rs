//! Why a store can't be opened.

use std::io;
use std::path::PathBuf;

use dagstore_fs::LockError;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither a directory nor a datastore was given.
    #[error("the store has no place: give the builder a directory, or a datastore and an index repository")]
    NoPlace,
    /// The backend isn't among the features that this program was built with.
    #[error("this program was built without the feature {feature:?}; build it with --features {feature}")]
    BackendMissing {
        /// The feature.
        feature: &'static str,
    },
    /// The directory can't be made, read or written.
    #[error("the store's directory {} can't be used", .path.display())]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A store was to be looked at where there is none.
    #[error("there is no store in {}", .path.display())]
    NoStore {
        /// Which directory.
        path: PathBuf,
    },
    /// The directory is a store's, but its database is gone.
    #[error(
        "the store's database {} is missing; restore it from a backup, or open the store with the datastore that it was made with",
        .path.display()
    )]
    DatabaseMissing {
        /// What was looked for.
        path: PathBuf,
    },
    /// The directory belongs to another store than the datastore does.
    #[error(
        "the directory {} belongs to another store than the datastore does; open it with the datastore that it was made with",
        .path.display()
    )]
    OtherStore {
        /// Which directory.
        path: PathBuf,
    },
    /// The index repository can't be opened.
    #[error(transparent)]
    Index(#[from] dagstore_index::Error),
    /// The datastore can't be opened.
    #[error(transparent)]
    Datastore(#[from] dagstore_datastore::Error),
    /// The catalogue can't be read.
    #[error(transparent)]
    Engine(#[from] dagstore_engine::Error),
}
