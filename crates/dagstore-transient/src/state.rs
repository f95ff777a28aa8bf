//! What is known of every copy, in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dagstore_fs::{FileSystem, OwnName};
use dagstore_mount::Stat;
use dagstore_types::UnixMillis;
use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, watch};

use crate::chunks::Chunks;
use crate::names::{Id, Paths};
use crate::room::{Ledger, Room};
use crate::sidecar::{Form, Sidecar};
use crate::{Error, Options, Result};

/// What all parts share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) file_system: Arc<dyn FileSystem>,
    pub(crate) directory: std::path::PathBuf,
    pub(crate) options: Options,
    pub(crate) ledger: Arc<Ledger>,
    /// Held for moments only, never across I/O or a wait.
    pub(crate) state: Mutex<State>,
    /// Read-locked by every request for a chunk and by whoever changes files outside of a fetch, so that closing waits for them.
    pub(crate) requests: Arc<tokio::sync::RwLock<()>>,
    /// Told when the copies are closed.
    pub(crate) closing: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn paths(&self, id: Id) -> Paths {
        Paths::new(&self.directory, id)
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.options.clock.now()
    }

    /// Leave to change files outside of a fetch. Whoever closes waits for its end, whether or not the one who asked still waits.
    pub(crate) fn at_work(&self) -> Result<OwnedRwLockReadGuard<()>> {
        let at_work = Arc::clone(&self.requests).try_read_owned().map_err(|_| Error::Closed)?;
        if self.state.lock().is_closed { Err(Error::Closed) } else { Ok(at_work) }
    }

    /// Files that nobody claimed are gone or replaced, and count no longer as such.
    pub(crate) fn forget_strays(&self, files: &[&Path]) {
        let mut state = self.state.lock();
        for path in files {
            state.strays.remove(&*file_name(path));
        }
    }

    /// A file that could not be removed counts with so many bytes.
    pub(crate) fn keep_stray(&self, file: &Path, bytes: u64) {
        let room = self.ledger.existing(bytes);
        self.state.lock().strays.insert(file_name(file).into_owned(), room);
    }

    /// Whether one of the files is there that nobody claims.
    pub(crate) fn has_strays(&self, files: &[&Path]) -> bool {
        let state = self.state.lock();
        files.iter().any(|path| state.strays.contains_key(&*file_name(path)))
    }

    /// How many bytes the files have that nobody claims.
    pub(crate) fn unclaimed_bytes(&self) -> u64 {
        self.state.lock().strays.values().map(Room::bytes).sum()
    }
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<Id, Slot>,
    /// The registrations of which there are chunks, or that are read piecewise.
    pub(crate) chunks: BTreeMap<Id, Arc<Chunks>>,
    /// Files that bear our names without a sidecar that says so: kept, counted and shown.
    pub(crate) strays: BTreeMap<String, Room>,
    pub(crate) is_closed: bool,
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Slot {
    /// As it was asked for last.
    pub(crate) name: OwnName,
    /// Who changes files of this registration stands in this line; fetching, removing and pinning never meet.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// Cloned by everybody who wants the copy to stay. Clones are made under the lock of the state.
    pub(crate) interest: Arc<()>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) held: Held,
}

/// What may be set while files are changed.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) is_pinned: AtomicBool,
    /// Milliseconds since 1970.
    pub(crate) used: AtomicU64,
    /// Whether the source was seen to exist in this run.
    pub(crate) source_seen: AtomicBool,
}

/// What there is of a copy.
#[derive(Debug)]
pub(crate) enum Held {
    Nothing,
    /// On disk, and nobody fetches.
    OnDisk(OnDisk),
    Fetching(Fetching),
}

/// A partial or complete copy, or a user's file.
#[derive(Debug, Clone)]
pub(crate) struct OnDisk {
    pub(crate) sidecar: Sidecar,
    pub(crate) room: Arc<Room>,
}

impl OnDisk {
    pub(crate) fn is_partial(&self) -> bool {
        self.sidecar.form == Form::Partial
    }

    /// Whether it can be read, and is what is wanted.
    pub(crate) fn serves(&self, expected: Option<&Stat>) -> bool {
        !self.is_partial() && expected.is_none_or(|stat| stat.same_content(&self.sidecar.stat()))
    }
}

/// A fetch that is under way.
#[derive(Debug, Clone)]
pub(crate) struct Fetching {
    pub(crate) progress: Arc<Progress>,
    /// The outcome, once there is one.
    pub(crate) outcome: watch::Receiver<Option<Result<()>>>,
    pub(crate) cancel: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// How many bytes are on disk.
    pub(crate) done: AtomicU64,
    /// How many there will be; 0 as long as that isn't known.
    pub(crate) total: AtomicU64,
}

impl Slot {
    pub(crate) fn new(name: OwnName, held: Held) -> Self {
        let (is_pinned, used) = match &held {
            Held::OnDisk(on_disk) => (on_disk.sidecar.is_pinned, on_disk.sidecar.used.0),
            Held::Nothing | Held::Fetching(_) => (false, 0),
        };
        let marks = Marks { is_pinned: is_pinned.into(), used: used.into(), source_seen: false.into() };
        Self { name, turn: Arc::default(), interest: Arc::default(), marks: Arc::new(marks), held }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.interest) > 1
    }

    /// Whether nothing would be lost with this slot.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.held, Held::Nothing) && !self.is_wanted() && Arc::strong_count(&self.turn) == 1
    }
}

impl Marks {
    pub(crate) fn is_pinned(&self) -> bool {
        self.is_pinned.load(Ordering::Relaxed)
    }

    pub(crate) fn used(&self) -> UnixMillis {
        UnixMillis(self.used.load(Ordering::Relaxed))
    }

    pub(crate) fn use_now(&self, now: UnixMillis) {
        self.used.fetch_max(now.0, Ordering::Relaxed);
    }

    pub(crate) fn source_seen(&self) -> bool {
        self.source_seen.load(Ordering::Relaxed)
    }

    pub(crate) fn see_source(&self, seen: bool) {
        self.source_seen.store(seen, Ordering::Relaxed);
    }

    /// The sidecar with the marks of now.
    pub(crate) fn on(&self, sidecar: &Sidecar) -> Sidecar {
        Sidecar { is_pinned: self.is_pinned(), used: self.used(), ..sidecar.clone() }
    }
}
