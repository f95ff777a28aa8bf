//! What the engine's parts share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dagstore_codec::Codecs;
use dagstore_datastore::Datastore;
use dagstore_fs::Clock;
use dagstore_index::IndexRepo;
use dagstore_mount::Registry;
use dagstore_types::{ShardKey, UnixMillis};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::catalogue::Catalogue;
use crate::cell::Cell;
use crate::committer::Commits;
use crate::gc::GcReport;
use crate::options::{Hold, Mode};
use crate::quarantine::Quarantine;
use crate::registrations::Registrations;
use crate::{Error, Options, Result};

/// What the engine's parts share. Tasks and the committer hold it; cells and accessors don't, so they can outlive it.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) datastore: Arc<dyn Datastore>,
    pub(crate) codecs: Codecs,
    pub(crate) registry: Registry,
    pub(crate) index_repo: Arc<dyn IndexRepo>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) catalogue: Catalogue,
    pub(crate) quarantine: Quarantine,
    pub(crate) commits: Arc<Commits>,
    pub(crate) registrations: Registrations,
    /// Room for shards that are being initialised.
    pub(crate) initialising: Semaphore,
    /// Tasks are started on the runtime that the store was opened on, whichever one a caller is on.
    pub(crate) runtime: Handle,
    pub(crate) closed: AtomicBool,
    /// Every task holds a receiver, so the sender knows when the last one has ended.
    pub(crate) tasks: watch::Sender<()>,
    /// Held while files that belong to nobody are looked for, so that no two look at once.
    pub(crate) sweeping: tokio::sync::Mutex<()>,
    /// What was swept and not told yet.
    pub(crate) swept: Mutex<GcReport>,
    pub(crate) hold: Mutex<Option<Box<dyn Hold>>>,
}

impl Core {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`Error::Closed`], [`Error::Paused`].
    pub(crate) fn check_active(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if self.options.mode == Mode::Paused {
            return Err(Error::Paused);
        }
        Ok(())
    }

    /// Refuses requests while too many that were given up before wait to be undone.
    ///
    /// # Errors
    /// [`Error::NotDurable`].
    pub(crate) fn check_room(&self, key: &ShardKey) -> Result<()> {
        if self.commits.has_room() {
            return Ok(());
        }
        Err(Error::NotDurable { key: key.clone(), source: self.commits.degraded() })
    }

    /// The cell of a registered shard.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Quarantined`].
    pub(crate) fn cell(&self, key: &ShardKey) -> Result<Arc<Cell>> {
        if let Some(cell) = self.catalogue.get(key) {
            return Ok(cell);
        }
        self.quarantine.check(key)?;
        Err(Error::NotFound(key.clone()))
    }
}
