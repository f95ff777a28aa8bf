//! A DAG store: *give me the block with this CID*, at any scale.
//!
//! The data lives in *shards*; a shard is one CAR file that may be anywhere, behind a *mount* that is saved as a URL. The
//! store keeps a catalogue of shards with a persisted state each, indexes them, survives being killed at any instant, and
//! hands out readers.
//!
//! ```
//! # async fn example(directory: &std::path::Path, car: &str) -> Result<(), Box<dyn std::error::Error>> {
//! use dagstore::{Dagstore, car::RawCid, mount::FileMount};
//!
//! let store = Dagstore::builder().directory(directory).open().await?;
//! store.register_mount("my-shard", &FileMount::new(car)?).await?;
//!
//! let shard = store.acquire("my-shard").await?;
//! let root: RawCid = shard.blockstore().roots()[0].clone();
//! drop(shard); // the release
//!
//! let block = store.blockstore().get(&root).await?; // whichever shards have it
//! println!("{root} has {} bytes, and they hash to it", block.len());
//! store.close().await?;
//! # Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     let directory = tempfile::tempdir()?;
//! #     let car = directory.path().join("one.car");
//! #     std::fs::write(&car, dagstore_testkit::cars::one_block(b"hello").bytes)?;
//! #     example(&directory.path().join("store"), &car.display().to_string()).await
//! # }
//! ```
//!
//! The parts can be taken one by one, and swapped: see [`Builder`], and the modules for the seams.
#![forbid(unsafe_code)]

mod builder;
mod directory;
mod error;

use std::ops::Deref;

pub use builder::{Backend, Builder, Databases, REDB_INVERTED_FILE};
pub use dagstore_blockstore::Blockstore;
pub use dagstore_engine::{
    BlockEntry, Candidate, Engine, Error, FORMAT_VERSION, Failure, Finding, GcOptions, GcReport, Identity, Indexer,
    Kept, Mode, Operation, Options, Problem, Progress, Quarantined, RecoveryPolicy, Register, Remote, ResumeReport,
    Retry, ShardAccessor, ShardBlockstore, ShardCopy, ShardInfo, Trace, UNFINISHED_COPY, Verified, Verify, Watched,
};
pub use dagstore_types::{ErrorClass, ErrorKind, ShardError, ShardKey, ShardState, UnixMillis};
pub use directory::Directory;
pub use error::OpenError;

/// One block store over all shards.
pub use dagstore_blockstore as blockstore;
/// CAR files and CIDs.
pub use dagstore_car as car;
/// How records are written.
pub use dagstore_codec as codec;
/// Where records are kept.
pub use dagstore_datastore as datastore;
/// The namespaces and keys of the store's own rows.
pub use dagstore_engine::rows;
/// Files and time.
pub use dagstore_fs as fs;
/// Full indices.
pub use dagstore_index as index;
/// Where shards are.
pub use dagstore_mount as mount;
/// The mount for HTTP and HTTPS; its templates have to be registered.
#[cfg(feature = "http")]
pub use dagstore_mount_http as http;
/// The mount for object stores; its templates have to be registered.
#[cfg(feature = "object")]
pub use dagstore_mount_object as object;
/// The datastore over the PostgreSQL wire protocol; one that is open goes to [`Builder::datastore`].
#[cfg(feature = "postgres")]
pub use dagstore_postgres as postgres;
/// The backend on redb.
#[cfg(feature = "redb")]
pub use dagstore_redb as redb;
/// The backend on RocksDB.
#[cfg(feature = "rocksdb")]
pub use dagstore_rocksdb as rocksdb;
/// Local copies of remote shards.
pub use dagstore_transient as copies;

/// An open store; all it can do is in the methods of [`Engine`], which it dereferences to.
#[derive(Debug, Clone)]
pub struct Dagstore {
    engine: Engine,
}

impl Dagstore {
    /// Begins to open a store.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The blocks of all shards. [`Blockstore::builder`] makes one that asks other shards first, or doesn't hash.
    pub fn blockstore(&self) -> Blockstore {
        Blockstore::new(&self.engine)
    }
}

impl Deref for Dagstore {
    type Target = Engine;

    fn deref(&self) -> &Self::Target {
        &self.engine
    }
}

/// The README's code, so that it goes on compiling.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
