//! Which call fails, and how.

use std::fmt;
use std::io;
use std::sync::Arc;

use dagstore_datastore::ErrorClass;
use parking_lot::Mutex;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Calls to the file system that need room find the disk full; a write has written a part then.
    NoSpace,
    /// Any call to the file system fails with an error of the device.
    Io,
    /// A write writes a part, and says so.
    ShortWrite,
    /// A sync of a file or of a directory fails. What was written to the file since the last one never becomes durable, though a
    /// later sync succeeds.
    FailedSync,
    /// Any call to the datastore fails for now.
    RowsFail,
    /// Any call to the datastore fails, and trying again is said to be no help.
    RowsRefuse,
    /// A write or sync of the datastore fails, and nothing of it was done; the datastore has to be reopened, which loses what
    /// wasn't synced.
    RowsNotSynced,
    /// The same, but the write was done, and is durable.
    RowsInDoubt,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NoSpace,
        Self::Io,
        Self::ShortWrite,
        Self::FailedSync,
        Self::RowsFail,
        Self::RowsRefuse,
        Self::RowsNotSynced,
        Self::RowsInDoubt,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "no-space",
            Self::Io => "io",
            Self::ShortWrite => "short-write",
            Self::FailedSync => "failed-sync",
            Self::RowsFail => "rows-fail",
            Self::RowsRefuse => "rows-refuse",
            Self::RowsNotSynced => "rows-not-synced",
            Self::RowsInDoubt => "rows-in-doubt",
        }
    }

    fn concerns(self, call: Call) -> bool {
        use Call::{
            Append, Create, CreateDirectory, Load, Rename, RowsClose, RowsSync, RowsWrite, Sync, SyncDirectory, Write,
        };
        match self {
            Self::NoSpace => {
                matches!(call, Create | Append | Write | Sync | Rename | CreateDirectory | SyncDirectory)
            }
            Self::Io => !call.is_of_rows(),
            Self::ShortWrite => call == Write,
            Self::FailedSync => matches!(call, Sync | SyncDirectory),
            Self::RowsFail | Self::RowsRefuse => call.is_of_rows(),
            Self::RowsNotSynced | Self::RowsInDoubt => matches!(call, RowsWrite | RowsSync | Load | RowsClose),
        }
    }

    /// What the file system says.
    pub(crate) fn io_error(self) -> io::Error {
        match self {
            Self::NoSpace => io::Error::new(io::ErrorKind::StorageFull, "planted: the disk is full"),
            _ => io::Error::other("planted"),
        }
    }

    /// What the datastore says.
    pub(crate) fn class(self) -> ErrorClass {
        match self {
            Self::RowsRefuse => ErrorClass::Permanent,
            Self::RowsNotSynced | Self::RowsInDoubt => ErrorClass::NeedsReopen,
            _ => ErrorClass::Transient,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call to a file system or to a datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// [`FileSystem::open`](dagstore_fs::FileSystem::open).
    Open,
    /// [`FileSystem::open_mapped`](dagstore_fs::FileSystem::open_mapped).
    OpenMapped,
    /// [`ReadAt::read_at`](dagstore_fs::ReadAt::read_at).
    Read,
    /// [`ReadAt::is_unchanged`](dagstore_fs::ReadAt::is_unchanged).
    Look,
    /// [`FileSystem::create`](dagstore_fs::FileSystem::create).
    Create,
    /// [`FileSystem::append`](dagstore_fs::FileSystem::append).
    Append,
    /// A write to a file.
    Write,
    /// [`WriteFile::sync`](dagstore_fs::WriteFile::sync).
    Sync,
    /// [`FileSystem::available_bytes`](dagstore_fs::FileSystem::available_bytes).
    Available,
    /// [`FileSystem::rename`](dagstore_fs::FileSystem::rename).
    Rename,
    /// [`FileSystem::remove`](dagstore_fs::FileSystem::remove).
    Remove,
    /// [`FileSystem::create_directory`](dagstore_fs::FileSystem::create_directory).
    CreateDirectory,
    /// [`FileSystem::list`](dagstore_fs::FileSystem::list).
    List,
    /// [`FileSystem::sync_directory`](dagstore_fs::FileSystem::sync_directory).
    SyncDirectory,
    /// [`Datastore::get`](dagstore_datastore::Datastore::get).
    Get,
    /// [`Datastore::write`](dagstore_datastore::Datastore::write).
    RowsWrite,
    /// A page of [`Datastore::scan`](dagstore_datastore::Datastore::scan).
    Scan,
    /// [`Datastore::rows`](dagstore_datastore::Datastore::rows).
    Rows,
    /// [`Datastore::bulk_load`](dagstore_datastore::Datastore::bulk_load).
    Load,
    /// [`Datastore::sync`](dagstore_datastore::Datastore::sync).
    RowsSync,
    /// [`Datastore::reopen`](dagstore_datastore::Datastore::reopen).
    Reopen,
    /// [`Datastore::close`](dagstore_datastore::Datastore::close).
    RowsClose,
}

impl Call {
    fn is_of_rows(self) -> bool {
        use Call::{Get, Load, Reopen, Rows, RowsClose, RowsSync, RowsWrite, Scan};
        matches!(self, Get | RowsWrite | Scan | Rows | Load | RowsSync | Reopen | RowsClose)
    }
}

/// An order to fail, which the file system and the datastore of a test share, so that it counts the calls to both in one
/// order.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Order>>);

#[derive(Debug, Default)]
struct Order {
    fault: Option<Fault>,
    /// The number of the first call that fails, counted from 1 among those that the fault concerns.
    first: u64,
    /// Whether all after it fail as well.
    for_ever: bool,
    /// How many there were.
    calls: u64,
    failed: u64,
    /// The first that has failed.
    point: Option<String>,
}

impl Faults {
    /// Fails the call of this number, counted from 1 among those that the fault concerns, and, if `for_ever`, all after it.
    pub fn order(&self, fault: Fault, first: u64, for_ever: bool) {
        *self.0.lock() = Order { fault: Some(fault), first, for_ever, ..Order::default() };
    }

    /// Nothing fails any more. What has failed is still told.
    pub fn heal(&self) {
        self.0.lock().fault = None;
    }

    /// How many calls have failed since the order was given.
    pub fn failed(&self) -> u64 {
        self.0.lock().failed
    }

    /// The first call that has failed since then, and what it was done to.
    pub fn point(&self) -> Option<String> {
        self.0.lock().point.clone()
    }

    /// How this call fails, if it does. `what` says what it is done to.
    pub(crate) fn meet(&self, call: Call, what: impl FnOnce() -> String) -> Option<Fault> {
        let mut order = self.0.lock();
        let fault = order.fault.filter(|fault| fault.concerns(call))?;
        order.calls += 1;
        if order.calls != order.first && !(order.for_ever && order.calls > order.first) {
            return None;
        }
        order.failed += 1;
        if order.point.is_none() {
            order.point = Some(format!("{call:?} {}", what()));
        }
        Some(fault)
    }
}
