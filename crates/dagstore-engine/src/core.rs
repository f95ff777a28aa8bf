//! What the engine's parts share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_datastore::Datastore;
use dagstore_fs::Clock;
use dagstore_index::IndexRepo;
use dagstore_mount::Registry;
use dagstore_transient::Copies;
use dagstore_types::{ShardKey, UnixMillis};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};

use crate::catalogue::Catalogue;
use crate::cell::Cell;
use crate::gc::GcReport;
use crate::inverted::Inverted;
use crate::loader::Loader;
use crate::options::{Hold, Mode};
use crate::publisher::Publisher;
use crate::quarantine::Quarantine;
use crate::queue::Queue;
use crate::registrations::Registrations;
use crate::retry::Retries;
use crate::shared::Shared;
use crate::{Error, Options, Result};

/// What the engine's parts share. Tasks and the committer hold it; cells and accessors don't, so they can outlive it.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) datastore: Arc<dyn Datastore>,
    pub(crate) registry: Registry,
    pub(crate) index_repo: Arc<dyn IndexRepo>,
    /// Local copies of sources that can't be read where they are.
    pub(crate) copies: Option<Copies>,
    pub(crate) inverted: Option<Inverted>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) catalogue: Catalogue,
    pub(crate) quarantine: RwLock<Quarantine>,
    /// Held while a row in quarantine is taken up or deleted, so that nobody takes up what is being deleted.
    pub(crate) deciding: Arc<tokio::sync::Mutex<()>>,
    pub(crate) registrations: Registrations,
    /// Registrations that aren't durable yet.
    pub(crate) registering: Arc<Semaphore>,
    /// Shards whose work begins as soon as there is room.
    pub(crate) starting: Queue,
    /// Shards whose source isn't ready. They wait apart, so that they don't keep the others waiting.
    pub(crate) thawing: Queue,
    /// Room for sources that are being fetched.
    pub(crate) fetching: Semaphore,
    /// Room for sources that are being indexed.
    pub(crate) indexing: Semaphore,
    /// Room for shards that are indexed, and whose indices are being published and rows loaded.
    pub(crate) finishing: Semaphore,
    pub(crate) loader: Loader,
    pub(crate) publisher: Publisher,
    pub(crate) retries: Retries,
    /// Tasks are started on the runtime that the store was opened on, whichever one a caller is on.
    pub(crate) runtime: Handle,
    /// Every task holds a receiver, so the sender knows when the last one has ended.
    pub(crate) tasks: watch::Sender<()>,
    /// Tells those who wait for something else than the store that it closes.
    pub(crate) closing: Notify,
    /// Held while what nobody uses is taken from the cells and closed, so that who evicts a copy doesn't meet it in between.
    pub(crate) closing_unused: Mutex<()>,
    /// Held while files that belong to nobody are looked for, so that no two look at once.
    pub(crate) sweeping: Arc<tokio::sync::Mutex<()>>,
    /// What was swept and not told yet.
    pub(crate) swept: Mutex<GcReport>,
    pub(crate) hold: Mutex<Option<Box<dyn Hold>>>,
}

impl Core {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// What `work` gives, unless the store closes before: `work` is dropped then. For a caller that waits for a source,
    /// which may hang for as long as it likes.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::OwnershipLost`].
    pub(crate) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        // Made before the look, so that no closing is missed.
        let closing = self.closing.notified();
        if self.is_closed() {
            return Err(self.shared.closed_error());
        }
        tokio::select! {
            biased;
            value = work => Ok(value),
            () = closing => Err(self.shared.closed_error()),
        }
    }

    /// # Errors
    /// [`Error::Closed`], [`Error::OwnershipLost`], [`Error::Paused`].
    pub(crate) fn check_active(&self) -> Result<()> {
        if self.is_closed() {
            return Err(self.shared.closed_error());
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
        if self.shared.commits.has_room() {
            return Ok(());
        }
        Err(Error::NotDurable { key: key.clone(), source: self.shared.commits.degraded() })
    }

    /// The cell of a registered shard.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Quarantined`], [`Error::InvalidKey`].
    pub(crate) fn cell(&self, key: &str) -> Result<Arc<Cell>> {
        self.catalogue.get(key).ok_or_else(|| self.not_found(key))
    }

    /// Why there is no shard of this key.
    pub(crate) fn not_found(&self, key: &str) -> Error {
        match ShardKey::new(key) {
            Err(error) => error.into(),
            Ok(key) => self.quarantine.read().check(&key).err().unwrap_or(Error::NotFound(key)),
        }
    }
}
