//! A copy that somebody reads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_fs::ReadAt;
use dagstore_mount::Stat;
use dagstore_types::CopyRecord;

use crate::names::Id;
use crate::room::Room;
use crate::sidecar::Sidecar;
use crate::state::Shared;

/// An open copy. As long as it lives the copy isn't evicted, and where it was removed by force or replaced all the same,
/// reading goes on and its room stays counted.
pub struct Lease {
    pub(crate) reader: Arc<dyn ReadAt>,
    pub(crate) path: PathBuf,
    pub(crate) sidecar: Sidecar,
    pub(crate) was_observed: bool,
    pub(crate) _hold: Hold,
}

impl Lease {
    /// The bytes. What is cloned of it stays readable without the lease, which alone keeps the copy on disk.
    pub fn reader(&self) -> &Arc<dyn ReadAt> {
        &self.reader
    }

    /// The size and validator of the content.
    pub fn stat(&self) -> Stat {
        self.sidecar.stat()
    }

    /// Where the copy is, as the shard's record keeps it.
    pub fn record(&self) -> CopyRecord {
        let path = self.path.to_string_lossy().into_owned();
        CopyRecord { path, size: Some(self.sidecar.size), validator: self.sidecar.validator.clone() }
    }

    /// Where the copy is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the observer that was handed in has seen every byte. It hasn't where the copy was there already, or another
    /// caller's fetch made it.
    pub fn was_observed(&self) -> bool {
        self.was_observed
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was_observed = self.was_observed;
        f.debug_struct("Lease").field("path", &self.path).field("was_observed", &was_observed).finish_non_exhaustive()
    }
}

/// Keeps a registration's copy from being evicted, and its room counted. Never dropped under the lock of the state.
pub(crate) struct Hold {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: Id,
    pub(crate) interest: Option<Arc<()>>,
    pub(crate) room: Option<Arc<Room>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop((self.interest.take(), self.room.take()));
        // What nobody holds any more can be evicted: who waits for room looks again.
        self.shared.ledger.freed.notify_one();
        self.shared.forget_if_empty(self.id);
    }
}
