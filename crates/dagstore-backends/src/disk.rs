//! What outlives a store: the database, and how it comes back when its handle was left without a word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagstore_datastore::{Datastore, Error, MemoryDatastore, Result};
use dagstore_redb::RedbDatastore;
use tempfile::TempDir;

use crate::Backend;
use crate::steady::{Steady, outside};

/// How long a database may take to be free of the handle before.
const PATIENCE: Duration = Duration::from_mins(1);

/// A new database on one backend, which is removed with this.
#[derive(Debug)]
pub struct Disk {
    place: Place,
    /// `None` for memory, which has no handle apart from its rows.
    steady: Option<Steady>,
    datastore: Arc<dyn Datastore>,
}

#[derive(Debug)]
enum Place {
    Memory,
    Redb(TempDir),
    #[cfg(feature = "rocksdb")]
    Rocksdb(TempDir),
    #[cfg(unix)]
    Postgres(crate::server::Table),
}

impl Disk {
    /// A database on the [backend](Backend::chosen) of the environment. Where that is PostgreSQL and there is none, `test`
    /// is skipped, which is said and counted, and goes on with memory.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn new(test: &str) -> Self {
        Self::of(match Backend::chosen() {
            Backend::Memory => Place::Memory,
            Backend::Redb => Place::Redb(tempfile::tempdir().unwrap()),
            Backend::Rocksdb => rocksdb(),
            Backend::Postgres => postgres(test),
        })
    }

    fn of(place: Place) -> Self {
        let Some(first) = place.open() else {
            return Self { place, steady: None, datastore: Arc::new(MemoryDatastore::new()) };
        };
        let steady = Steady::new(first.unwrap());
        let datastore = Arc::new(steady.clone());
        Self { place, steady: Some(steady), datastore }
    }

    /// The rows. A call to a backend other than memory is done outside the test's runtime, whose clock stands still
    /// meanwhile where the test has paused it.
    pub fn datastore(&self) -> Arc<dyn Datastore> {
        self.datastore.clone()
    }

    /// Leaves the handle without closing it, and opens the database again: redb and RocksDB read their files as a new
    /// process would, PostgreSQL gets a new lease and new connections. What the operating system has is not lost, so it is
    /// less than a power cut, and what a handle does when it is dropped is done, so it is less than a kill. Memory stays.
    ///
    /// # Panics
    /// When it can't be opened again.
    pub fn crash(&self) {
        let Some(steady) = &self.steady else { return };
        steady.abandon();
        let begin = Instant::now();
        let again = loop {
            match self.place.open() {
                // The handle before is on its way out.
                Some(Err(Error::InUse { .. })) if begin.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                opened => break opened,
            }
        };
        steady.go_on(again.unwrap().unwrap());
    }
}

impl Place {
    /// `None` for memory.
    fn open(&self) -> Option<Result<Arc<dyn Datastore>>> {
        match self {
            Self::Memory => None,
            Self::Redb(folder) => {
                let path = folder.path().join("rows.redb");
                Some(outside(async move { opened(RedbDatastore::open(&path).await) }))
            }
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb(folder) => {
                let path = folder.path().join("rows");
                Some(outside(async move { opened(dagstore_rocksdb::RocksdbDatastore::open(&path).await) }))
            }
            #[cfg(unix)]
            Self::Postgres(table) => {
                let opening = table.builder().wait(PATIENCE);
                let url = table.url();
                Some(outside(async move { opened(opening.open(&url).await) }))
            }
        }
    }
}

fn opened(datastore: Result<impl Datastore>) -> Result<Arc<dyn Datastore>> {
    datastore.map(|datastore| Arc::new(datastore) as Arc<dyn Datastore>)
}

#[cfg(feature = "rocksdb")]
fn rocksdb() -> Place {
    Place::Rocksdb(tempfile::tempdir().unwrap())
}

#[cfg(not(feature = "rocksdb"))]
fn rocksdb() -> Place {
    unreachable!("no such choice without the feature")
}

#[cfg(unix)]
fn postgres(test: &str) -> Place {
    crate::server::Table::new(test).map_or(Place::Memory, Place::Postgres)
}

#[cfg(not(unix))]
fn postgres(test: &str) -> Place {
    dagstore_testkit::skipped(test, "PostgreSQL is run on Unix only");
    Place::Memory
}
