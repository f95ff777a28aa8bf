//! Putting a store together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_codec::{Codec, Codecs};
use dagstore_datastore::Datastore;
use dagstore_engine::{Engine, Identity, LocalCopies, Mode, Options, Parts, Trace, Watched};
use dagstore_fs::{Clock, FileSystem, RealFileSystem, SystemClock};
use dagstore_index::{FingerprintKey, FsIndexRepo, IndexRepo, InvertedIndex, MemoryIndexRepo};
use dagstore_mount::Registry;
use futures_util::Stream;

use crate::directory::Directory;
use crate::{Dagstore, OpenError};

/// Puts a store together: [`directory`](Self::directory) is all that an ordinary one needs. Every part can be swapped.
#[derive(Debug)]
pub struct Builder {
    directory: Option<PathBuf>,
    backend: Backend,
    datastore: Option<Arc<dyn Datastore>>,
    #[cfg(feature = "postgres")]
    postgres_url: Option<String>,
    index_repo: Option<Arc<dyn IndexRepo>>,
    inverted: Inverted,
    codecs: Codecs,
    registry: Registry,
    clock: Arc<dyn Clock>,
    file_system: Arc<dyn FileSystem>,
    copies: Option<dagstore_transient::Options>,
    options: Options,
}

/// Where the inverted index is.
#[derive(Debug, Clone)]
enum Inverted {
    /// Where the backend wants it, or with the records.
    Usual,
    In(Arc<dyn Datastore>),
    None,
}

/// The datastores of a store.
#[derive(Debug, Clone)]
pub struct Databases {
    /// The records, and what the store knows of itself.
    pub records: Arc<dyn Datastore>,
    /// The rows of the inverted index, where there are any; often it is the same datastore.
    pub inverted: Option<Arc<dyn Datastore>>,
}

impl Databases {
    /// Those of a store in the database at this URL; see [`Builder::postgres`]. A look makes no tables.
    ///
    /// # Errors
    /// [`OpenError::Datastore`].
    #[cfg(feature = "postgres")]
    pub async fn postgres(url: &str, mode: Mode) -> Result<Self, OpenError> {
        let builder = dagstore_postgres::PostgresDatastore::builder().create_if_missing(mode == Mode::Active);
        let records: Arc<dyn Datastore> = Arc::new(builder.open(url).await?);
        Ok(Self { inverted: Some(records.clone()), records })
    }

    /// Leaves the rows where they usually are. They are not kept up any more, so they aren't believed when somebody comes back
    /// to them.
    async fn leave_inverted(&mut self, mode: Mode) -> Result<(), OpenError> {
        let Some(usual) = self.inverted.take() else { return Ok(()) };
        // The key matters to look-ups only.
        let index = InvertedIndex::new(usual.clone(), FingerprintKey([0; 16]));
        if mode == Mode::Active && index.is_complete().await? {
            index.set_incomplete().await?;
        }
        if !Arc::ptr_eq(&usual, &self.records) {
            usual.close().await?;
        }
        Ok(())
    }

    /// Closes both, whatever comes of the first.
    ///
    /// # Errors
    /// Those of [`Datastore::close`].
    pub async fn close(&self) -> Result<(), dagstore_datastore::Error> {
        let records = self.records.close().await;
        if let Some(inverted) = &self.inverted {
            inverted.close().await?;
        }
        records
    }
}

/// An embedded datastore, made inside the store's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// redb, in pure Rust; needs the feature `redb`, a default one.
    #[default]
    Redb,
    /// RocksDB, for heavy load; needs the feature `rocksdb`.
    Rocksdb,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            directory: None,
            backend: Backend::default(),
            datastore: None,
            #[cfg(feature = "postgres")]
            postgres_url: None,
            index_repo: None,
            inverted: Inverted::Usual,
            codecs: Codecs::default(),
            registry: Registry::with_defaults(),
            clock: Arc::new(SystemClock),
            file_system: Arc::new(RealFileSystem),
            copies: Some(dagstore_transient::Options::default()),
            options: Options::default(),
        }
    }

    /// The directory of the store's own files. It is made where there is none, and one process at a time has it open.
    #[must_use]
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// Which embedded datastore to keep in the directory.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Keeps the records in `datastore`. Nobody else may write to it. Closing the store closes it.
    #[must_use]
    pub fn datastore(mut self, datastore: Arc<dyn Datastore>) -> Self {
        self.datastore = Some(datastore);
        self
    }

    /// Keeps the records in the database at this URL, `postgres://user@host:port/database`, in place of an embedded datastore.
    /// It is opened as [`PostgresDatastore::open`](crate::postgres::PostgresDatastore::open) does, with its defaults.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres(mut self, url: impl Into<String>) -> Self {
        self.postgres_url = Some(url.into());
        self
    }

    /// Keeps the indices in `index_repo`, instead of in the directory; or in memory, where there is no directory.
    #[must_use]
    pub fn index_repo(mut self, index_repo: Arc<dyn IndexRepo>) -> Self {
        self.index_repo = Some(index_repo);
        self
    }

    /// Keeps the rows of the inverted index in `datastore`, instead of with the records. Closing the store closes it, too. One
    /// that is empty is filled, in the background, from the full indices.
    #[must_use]
    pub fn inverted_datastore(mut self, datastore: Arc<dyn Datastore>) -> Self {
        self.inverted = Inverted::In(datastore);
        self
    }

    /// Keeps no inverted index: blocks can be read shard by shard only. A store that is opened so, and written to, makes its
    /// inverted index anew when it is opened with one again.
    #[must_use]
    pub fn without_inverted_index(mut self) -> Self {
        self.inverted = Inverted::None;
        self
    }

    /// Writes records with `codec`. Records of JSON and CBOR are read in any case.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codecs = Codecs::new(Arc::new(codec));
        self
    }

    /// Which codecs to write and to read.
    #[must_use]
    pub fn codecs(mut self, codecs: Codecs) -> Self {
        self.codecs = codecs;
        self
    }

    /// The templates of mounts. A shard whose scheme has none is quarantined.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How the store's own files are written.
    #[must_use]
    pub fn file_system(mut self, file_system: Arc<dyn FileSystem>) -> Self {
        self.file_system = file_system;
        self
    }

    /// Changes quota and bounds of the local copies of remote shards, which are kept in the directory. The time and the sources
    /// are the store's.
    #[must_use]
    pub fn configure_copies(mut self, change: impl FnOnce(&mut dagstore_transient::Options)) -> Self {
        change(self.copies.get_or_insert_default());
        self
    }

    /// Keeps no local copies: sources that can't be read where they are can't be registered.
    #[must_use]
    pub fn without_copies(mut self) -> Self {
        self.copies = None;
        self
    }

    /// Bounds and policies.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Changes some bounds and policies.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Opens the store to be looked at only: it resumes nothing, collects nothing, and writes no row and no file of its own.
    #[must_use]
    pub fn paused(self) -> Self {
        self.configure(|options| options.mode = Mode::Paused)
    }

    /// Opens the store, or makes one. Returns when the catalogue is complete.
    ///
    /// # Errors
    /// [`OpenError::Locked`] at once when another process has the directory open; [`OpenError::NoStore`] when a store that
    /// isn't there is to be opened paused; [`OpenError::DatabaseMissing`]; see [`OpenError`] for the others.
    pub async fn open(self) -> Result<Dagstore, OpenError> {
        self.open_and(async |parts, options| Ok(Dagstore { engine: Engine::open(parts, options).await? })).await
    }

    /// Opens the store as [`open`](Self::open) does, and returns the trace of it from the first moment on: see
    /// [`Engine::open_traced`](dagstore_engine::Engine::open_traced).
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_traced(
        self,
    ) -> Result<(Dagstore, impl Stream<Item = Watched<Trace>> + Send + Unpin + use<>), OpenError> {
        let open = async |parts, options| {
            let (engine, trace) = Engine::open_traced(parts, options).await?;
            Ok((Dagstore { engine }, trace))
        };
        self.open_and(open).await
    }

    async fn open_and<T>(self, open: impl AsyncFnOnce(Parts, Options) -> Result<T, OpenError>) -> Result<T, OpenError> {
        let directory = match &self.directory {
            Some(path) if self.options.mode == Mode::Paused => Some(Directory::lock_existing(path)?),
            Some(path) => Some(Directory::lock(&*self.file_system, path)?),
            None if self.datastore.is_some() || self.has_url() => None,
            None => return Err(OpenError::NoPlace),
        };
        let (own, mut databases) = match (self.datastore.clone(), &directory) {
            (Some(records), _) => (None, Databases { inverted: Some(records.clone()), records }),
            #[cfg(feature = "postgres")]
            (None, _) if self.has_url() => {
                let own = self.open_url().await?;
                (Some(own.clone()), own)
            }
            (None, Some(directory)) => {
                let own = self.backend.open(&*self.file_system, directory, self.options.mode).await?;
                (Some(own.clone()), own)
            }
            (None, None) => return Err(OpenError::NoPlace),
        };
        let opened = async {
            if !matches!(self.inverted, Inverted::Usual) {
                databases.leave_inverted(self.options.mode).await?;
            }
            if let Inverted::In(other) = &self.inverted {
                databases.inverted = Some(other.clone());
            }
            let (parts, options) = self.parts(databases, directory).await?;
            open(parts, options).await
        };
        let opened = opened.await;
        if let (Err(_), Some(own)) = (&opened, own) {
            // Nobody else has a handle to them, and they must be free when this call returns.
            let _told_of_worse = own.close().await;
        }
        opened
    }

    #[cfg(feature = "postgres")]
    fn has_url(&self) -> bool {
        self.postgres_url.is_some()
    }

    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    fn has_url(&self) -> bool {
        false
    }

    #[cfg(feature = "postgres")]
    async fn open_url(&self) -> Result<Databases, OpenError> {
        Databases::postgres(self.postgres_url.as_deref().unwrap_or_default(), self.options.mode).await
    }

    /// Makes the parts that are missing.
    async fn parts(self, databases: Databases, directory: Option<Directory>) -> Result<(Parts, Options), OpenError> {
        let file_system = self.file_system;
        let identity = identify(&*databases.records, &*file_system, directory.as_ref(), self.options.mode).await?;
        let key = FingerprintKey(identity.fingerprint_key);
        let copies = match (self.copies, &directory) {
            (Some(mut options), Some(directory)) => {
                options.clock = self.clock.clone();
                Some(LocalCopies { file_system: file_system.clone(), directory: directory.copies(), options })
            }
            _ => None,
        };
        let index_repo: Arc<dyn IndexRepo> = match (self.index_repo, &directory) {
            (Some(index_repo), _) => index_repo,
            (None, None) => Arc::new(MemoryIndexRepo::new()),
            // A look makes no folder; where there is none there is no index.
            (None, Some(directory)) if self.options.mode == Mode::Paused && !directory.indices().is_dir() => {
                Arc::new(MemoryIndexRepo::new())
            }
            (None, Some(directory)) => Arc::new(FsIndexRepo::open(file_system, &directory.indices(), key)?),
        };
        let parts = Parts {
            copies,
            inverted: databases.inverted.map(|datastore| InvertedIndex::new(datastore, key)),
            datastore: databases.records,
            codecs: self.codecs,
            registry: self.registry,
            index_repo,
            clock: self.clock,
            hold: directory.map(|directory| Box::new(directory.lock) as Box<_>),
        };
        Ok((parts, self.options))
    }
}

/// Finds out which store this is, and that the directory is its own; makes a new one where there is none.
async fn identify(
    datastore: &dyn Datastore,
    file_system: &dyn FileSystem,
    directory: Option<&Directory>,
    mode: Mode,
) -> Result<Identity, OpenError> {
    let found = Identity::read(datastore).await?;
    if let Some(directory) = directory {
        directory.check_owner(file_system, found.as_ref())?;
    }
    if mode == Mode::Paused {
        // A store that isn't there has no shards, and a random identity is as good as any to say so.
        return Ok(found.map_or_else(Identity::random, Ok)?);
    }
    let identity = Identity::read_or_create(datastore).await?;
    if let Some(directory) = directory {
        directory.claim(file_system, &identity)?;
    }
    Ok(identity)
}

/// redb's files, inside its folder. Rows of the inverted index have one of their own, so that records never wait for them.
const REDB_FILE: &str = "store.redb";
/// The file of redb's rows of the inverted index, inside the folder of its records. They can be made of the full indices
/// again, so a file that is damaged may be moved away.
pub const REDB_INVERTED_FILE: &str = "inverted.redb";

impl Backend {
    /// The name of the backend, of its feature and of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Rocksdb => "rocksdb",
        }
    }

    /// Checked before a folder is made for it.
    fn check_feature(self) -> Result<(), OpenError> {
        let present = match self {
            Self::Redb => cfg!(feature = "redb"),
            Self::Rocksdb => cfg!(feature = "rocksdb"),
        };
        if present { Ok(()) } else { Err(OpenError::BackendMissing { feature: self.name() }) }
    }

    /// Whether its database is in the directory of a store; the file that tells so is returned either way.
    fn find(self, directory: &Path) -> (PathBuf, bool) {
        let sign = directory.join(self.name()).join(match self {
            Self::Redb => REDB_FILE,
            Self::Rocksdb => "CURRENT",
        });
        let is_there = sign.exists();
        (sign, is_there)
    }

    async fn open(
        self,
        file_system: &dyn FileSystem,
        directory: &Directory,
        mode: Mode,
    ) -> Result<Databases, OpenError> {
        self.check_feature()?;
        match self.find(&directory.path) {
            (sign, false) if directory.has_owner() => Err(OpenError::DatabaseMissing { path: sign }),
            _ => self.make_databases(file_system, directory, mode).await,
        }
    }

    /// Opens the databases in a store's directory, without a look at what is in them.
    ///
    /// # Errors
    /// [`OpenError::DatabaseMissing`], [`OpenError::BackendMissing`], [`OpenError::Datastore`].
    pub async fn open_databases(
        self,
        file_system: &dyn FileSystem,
        directory: &Directory,
        mode: Mode,
    ) -> Result<Databases, OpenError> {
        self.check_feature()?;
        match self.find(&directory.path) {
            (sign, false) => Err(OpenError::DatabaseMissing { path: sign }),
            (_, true) => self.make_databases(file_system, directory, mode).await,
        }
    }

    /// Opens the databases in a directory, and makes those that aren't there, whatever else is in it.
    ///
    /// # Errors
    /// [`OpenError::BackendMissing`], [`OpenError::Datastore`], [`OpenError::Directory`].
    pub async fn make_databases(
        self,
        file_system: &dyn FileSystem,
        directory: &Directory,
        #[cfg_attr(not(feature = "redb"), expect(unused))] mode: Mode,
    ) -> Result<Databases, OpenError> {
        self.check_feature()?;
        let path = directory.path.join(self.name());
        file_system.create_directory(&path).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
        match self {
            #[cfg(feature = "redb")]
            Self::Redb => {
                let records = Arc::new(dagstore_redb::RedbDatastore::open(path.join(REDB_FILE)).await?);
                let inverted_path = path.join(REDB_INVERTED_FILE);
                // A look makes no file; where there is none, nothing is known.
                if mode == Mode::Paused && !inverted_path.exists() {
                    return Ok(Databases { inverted: Some(records.clone()), records });
                }
                let inverted = dagstore_redb::RedbDatastore::open(inverted_path).await;
                match inverted {
                    Ok(inverted) => Ok(Databases { records, inverted: Some(Arc::new(inverted)) }),
                    Err(error) => {
                        let _told_of_worse = Databases { records, inverted: None }.close().await;
                        Err(error.into())
                    }
                }
            }
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => {
                let builder = dagstore_rocksdb::RocksdbDatastore::builder();
                let builder = builder.bulk_namespace(InvertedIndex::ROWS, InvertedIndex::PREFIX_BYTES);
                let records: Arc<dyn Datastore> = Arc::new(builder.open(path).await?);
                Ok(Databases { inverted: Some(records.clone()), records })
            }
            #[cfg(not(all(feature = "redb", feature = "rocksdb")))]
            _ => Err(OpenError::BackendMissing { feature: self.name() }),
        }
    }
}
