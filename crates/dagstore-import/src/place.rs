//! Where a store's datastore is: `redb:DIRECTORY`, `postgres://user@host/database`, and whatever other schemes a program adds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use dagstore::datastore::ReadOnly;
use dagstore::fs::RealFileSystem;
use dagstore::{Backend, Databases, Directory, Mode};

use crate::{Error, Result};

/// A datastore by name: a scheme, a colon, and a location that the scheme understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The scheme, `rocksdb` for instance.
    pub scheme: String,
    /// What stands behind the colon. For an embedded datastore that is the directory of its store.
    pub location: String,
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some((scheme, location)) if !scheme.is_empty() && !location.is_empty() => {
                Ok(Self { scheme: scheme.to_owned(), location: location.to_owned() })
            }
            _ => Err(Error::BadPlace { text: text.to_owned(), known: Schemes::built_in().and_postgres(None).names() }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, dagstore::mount::redacted(&self.location))
    }
}

/// What is done with a datastore that is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is read; it must be there.
    Source,
    /// It is written; it is made where it isn't there.
    Target,
}

/// A kind of datastore that stores can be copied from and to.
#[async_trait]
pub trait Scheme: fmt::Debug + Send + Sync + 'static {
    /// The directory of the store's own files, where there is one. It is locked before [`open`](Self::open) is called.
    fn directory(&self, location: &str) -> Option<PathBuf>;

    /// Whether the datastore is inside that directory, so that two of one directory are the same.
    fn is_embedded(&self) -> bool {
        true
    }

    /// Opens the datastore.
    ///
    /// # Errors
    /// Those of the datastore; [`Error::NoStore`] where a source isn't there.
    async fn open(&self, location: &str, directory: Option<&Directory>, role: Role) -> Result<Databases>;
}

/// The schemes that are known, by name.
#[derive(Debug, Clone, Default)]
pub struct Schemes(BTreeMap<String, Arc<dyn Scheme>>);

impl Schemes {
    /// The embedded datastores: `redb` and `rocksdb`. One that the program was built without is known, and says so when it is
    /// opened.
    pub fn built_in() -> Self {
        let mut schemes = Self::default();
        for backend in [Backend::Redb, Backend::Rocksdb] {
            schemes.add(backend.name(), Arc::new(Embedded(backend)));
        }
        schemes
    }

    /// Adds databases that speak the PostgreSQL wire protocol: `postgres` and `postgresql`, whose places are URLs. Of such a
    /// store only the catalogue is at the URL; `directory` has its index files and settings. Without it the rows are copied alone.
    #[must_use]
    pub fn and_postgres(mut self, directory: Option<PathBuf>) -> Self {
        let scheme = Arc::new(Postgres { directory });
        for name in ["postgres", "postgresql"] {
            self.add(name, scheme.clone());
        }
        self
    }

    /// Adds a scheme, in place of one of the same name.
    pub fn add(&mut self, name: &str, scheme: Arc<dyn Scheme>) {
        self.0.insert(name.to_owned(), scheme);
    }

    /// The scheme of a place.
    ///
    /// # Errors
    /// [`Error::BadPlace`].
    pub fn of(&self, place: &Place) -> Result<&dyn Scheme> {
        let found = self.0.get(&place.scheme).map(|scheme| &**scheme);
        found.ok_or_else(|| Error::BadPlace { text: place.to_string(), known: self.names() })
    }

    fn names(&self) -> String {
        self.0.keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

/// A datastore inside the directory of its store.
#[derive(Debug)]
struct Embedded(Backend);

#[async_trait]
impl Scheme for Embedded {
    fn directory(&self, location: &str) -> Option<PathBuf> {
        Some(Path::new(location).to_owned())
    }

    async fn open(&self, location: &str, directory: Option<&Directory>, role: Role) -> Result<Databases> {
        let no_store = || Error::NoStore { place: format!("{}:{location}", self.0.name()) };
        let directory = directory.ok_or_else(no_store)?;
        Ok(match role {
            Role::Source => read_only(self.0.open_databases(&RealFileSystem, directory, Mode::Paused).await?),
            Role::Target => self.0.make_databases(&RealFileSystem, directory, Mode::Active).await?,
        })
    }
}

/// A database at a URL.
#[derive(Debug)]
struct Postgres {
    directory: Option<PathBuf>,
}

#[async_trait]
impl Scheme for Postgres {
    fn directory(&self, _location: &str) -> Option<PathBuf> {
        self.directory.clone()
    }

    fn is_embedded(&self) -> bool {
        false
    }

    #[cfg(feature = "postgres")]
    async fn open(&self, location: &str, _directory: Option<&Directory>, role: Role) -> Result<Databases> {
        // Both names of the scheme mean the same.
        let url = format!("postgres:{location}");
        Ok(match role {
            Role::Source => read_only(Databases::postgres(&url, Mode::Paused).await?),
            Role::Target => Databases::postgres(&url, Mode::Active).await?,
        })
    }

    #[cfg(not(feature = "postgres"))]
    async fn open(&self, _location: &str, _directory: Option<&Directory>, _role: Role) -> Result<Databases> {
        Err(dagstore::OpenError::BackendMissing { feature: "postgres" }.into())
    }
}

fn read_only(databases: Databases) -> Databases {
    let guard = |datastore| Arc::new(ReadOnly::new(datastore)) as Arc<_>;
    Databases { records: guard(databases.records), inverted: databases.inverted.map(guard) }
}
