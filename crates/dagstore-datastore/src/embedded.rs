//! What engines inside this process have in common: a thread that writes, one that scans, reopening, closing.
//!
//! A backend implements [`Engine`], in which everything blocks and nothing is shared, and puts an [`Embedded`] into its
//! datastore, whose methods do the rest:
//!
//! * Writes, syncs, opening, reopening and closing run on one thread, in the order in which they were asked for.
//! * Single rows, and a few at a time, are read inline: a hop to another thread costs more than the read.
//! * Scans are read page by page on a second thread, and one page ahead of whoever takes them. They don't delay writes
//!   that way, they work without a runtime, and unlike in a runtime's blocking pool a hung one doesn't hang the program's
//!   exit.
//! * After an error of class [`ErrorClass::NeedsReopen`] the engine is written to no more until it was reopened. A panic of
//!   the engine is such an error.
//!
//! # When a call of the engine hangs
//! A disk or a network file system may let a call hang for ever. Then this waits, and nothing else:
//!
//! | what hangs | what waits |
//! | --- | --- |
//! | a write, a sync | writes, syncs, reopening and closing behind it. Reads and scans go on |
//! | a page of a scan | other scans; reopening and closing, once they have begun |
//! | a read of one row, or of a few | its thread, which may be one of the runtime's; reopening and closing, once they have begun |
//! | opening again, or closing | writes, syncs, reopening and closing behind it. Reads and scans fail at once: as [`ErrorClass::Transient`] while it is opened again, with [`Error::Closed`] while it is closed |
//!
//! Whoever waits can stop waiting by dropping the future. What got into the thread's queue by then is done all the same,
//! so a close whose future was dropped still closes when the write before it is through. Dropping an [`Embedded`] never
//! waits: its threads do what they have been given, free the database and end.

mod scan;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::page::Start;
use crate::thread::{Worker, WorkerError, caught};
use crate::{Batch, Durability, Error, ErrorClass, Namespace, Result, RowPage, RowStream};

/// Writes that wait for the thread; a store's committer has one under way at a time.
const WRITE_QUEUE_LENGTH: usize = 64;

/// Pages that wait for the thread, one for each scan under way.
const SCAN_QUEUE_LENGTH: usize = 64;

/// An engine's open database. Every call may block; dropping it closes the database and frees it.
pub trait Engine: Send + Sync + 'static {
    /// The value of a row.
    ///
    /// # Errors
    /// Of any class.
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>>;

    /// The first rows whose keys start with `prefix` and come behind `after`, in order and of one state: as many as it
    /// takes for the page to be [full](RowPage::is_full), or all.
    ///
    /// # Errors
    /// Of any class.
    fn page(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>) -> Result<RowPage>;

    /// The first rows whose keys start with `prefix` and come behind `after`, which starts with `prefix` where it is given:
    /// at most `limit` of them, which is at least 1, or as many as it takes for the page to be full. Of one state, at least
    /// as new as every write that returned before the call.
    ///
    /// # Errors
    /// Of any class.
    fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage>;

    /// Applies a batch that has writes, none of them over the limits. Never called twice at the same time.
    ///
    /// # Errors
    /// As [`Datastore::write`](crate::Datastore::write).
    fn write(&self, batch: &Batch, durability: Durability) -> Result<()>;

    /// Makes every write durable. Never called while a write is under way.
    ///
    /// # Errors
    /// As [`Datastore::write`](crate::Datastore::write).
    fn sync(&self) -> Result<()>;

    /// Makes every write durable, and the next opening fast where that is worth some work. Called once, before the database
    /// is closed.
    ///
    /// # Errors
    /// As [`Datastore::write`](crate::Datastore::write).
    fn finish(&self) -> Result<()> {
        self.sync()
    }
}

/// Whether a database is opened for the first time, or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// For the first time: where there is none, one may be made.
    First,
    /// Again: where there is none, something has removed it, and a new one would hide that.
    Again,
}

/// Opens an engine's database.
type Opener<E> = Box<dyn Fn(Opening) -> Result<E> + Send + Sync>;

/// An [`Engine`] with the threads and the state around it. Its methods are those of
/// [`Datastore`](crate::Datastore), with the same contract.
pub struct Embedded<E> {
    shared: Arc<Shared<E>>,
    writer: Worker,
    scanner: Arc<Worker>,
}

impl<E: Engine> Embedded<E> {
    /// Starts the threads and opens the database on the first of them.
    ///
    /// `place` names the database in errors.
    ///
    /// # Errors
    /// What `open` returns; [`ErrorClass::Transient`] when no thread can be started.
    pub async fn open<O>(backend: &'static str, place: impl Into<Arc<str>>, open: O) -> Result<Self>
    where
        O: Fn(Opening) -> Result<E> + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared {
            backend,
            place: place.into(),
            open: Box::new(open),
            slot: RwLock::new(Slot::Down),
            openings: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            needs_reopen: AtomicBool::new(false),
            has_buffered: AtomicBool::new(false),
        });
        let no_thread = |error| shared.failed("open", ErrorClass::Transient, error);
        // The writing thread is the last to let go, so that a database's closing never blocks the one who drops this.
        let writer =
            Worker::spawn_owning("dagstore-write", WRITE_QUEUE_LENGTH, Arc::clone(&shared)).map_err(no_thread)?;
        let scanner = Worker::spawn("dagstore-scan", SCAN_QUEUE_LENGTH).map_err(no_thread)?;
        let embedded = Self { shared, writer, scanner: Arc::new(scanner) };
        embedded.on_writer("open", |shared| shared.open_slot(&mut shared.slot.write(), Opening::First)).await?;
        Ok(embedded)
    }

    /// As [`Datastore::get`](crate::Datastore::get).
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.read("get", |engine| engine.get(namespace, key))
    }

    /// As [`Datastore::rows`](crate::Datastore::rows).
    ///
    /// # Errors
    /// As there.
    pub fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.read("rows", |engine| match Start::of(prefix, after) {
            Start::First if limit > 0 => engine.rows(namespace, prefix, None, limit),
            Start::Behind(after) if limit > 0 => engine.rows(namespace, prefix, Some(after), limit),
            _ => Ok(RowPage::new()),
        })
    }

    /// Reads from the engine here and now, in a way of its own.
    ///
    /// # Errors
    /// What `job` returns, and what [`get`](Self::get) returns where there is no open database.
    pub fn read<T>(&self, operation: &'static str, job: impl FnOnce(&E) -> Result<T>) -> Result<T> {
        self.shared.read(operation, job)
    }

    /// As [`Datastore::write`](crate::Datastore::write).
    ///
    /// # Errors
    /// As there.
    pub async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        batch.check_limits(self.shared.backend)?;
        self.on_writer("write", move |shared| shared.write(&batch, durability)).await
    }

    /// Changes the engine's database in a way of its own, on the writing thread and in its turn, with the rules that hold
    /// for writes. What returns `Ok` must have made durable whatever was written before.
    ///
    /// # Errors
    /// What `job` returns, and as [`write`](Self::write).
    pub async fn change<F>(&self, operation: &'static str, job: F) -> Result<()>
    where
        F: FnOnce(&E) -> Result<()> + Send + 'static,
    {
        self.on_writer(operation, move |shared| shared.change(operation, Durability::Synced, job)).await
    }

    /// As [`Datastore::scan`](crate::Datastore::scan). A stream doesn't keep the database open: behind the drop of the
    /// datastore it fails as behind its closing.
    pub fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        scan::Scan::new(&self.shared, &self.scanner, namespace, prefix).into_stream()
    }

    /// As [`Datastore::sync`](crate::Datastore::sync).
    ///
    /// # Errors
    /// As there.
    pub async fn sync(&self) -> Result<()> {
        self.on_writer("sync", Shared::sync).await
    }

    /// As [`Datastore::reopen`](crate::Datastore::reopen).
    ///
    /// # Errors
    /// As there.
    pub async fn reopen(&self) -> Result<()> {
        self.on_writer("reopen", Shared::reopen).await
    }

    /// As [`Datastore::close`](crate::Datastore::close).
    ///
    /// # Errors
    /// As there.
    pub async fn close(&self) -> Result<()> {
        self.on_writer("close", Shared::close).await
    }

    async fn on_writer<F>(&self, operation: &'static str, job: F) -> Result<()>
    where
        F: FnOnce(&Shared<E>) -> Result<()> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let done = self.writer.run(move || job(&shared)).await;
        done.map_err(|error| worker_failed(self.shared.backend, operation, error).at(&self.shared.place))?
    }
}

impl<E> fmt::Debug for Embedded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("backend", &self.shared.backend)
            .field("place", &self.shared.place)
            .finish_non_exhaustive()
    }
}

/// What the threads share.
struct Shared<E> {
    backend: &'static str,
    place: Arc<str>,
    open: Opener<E>,
    /// Locked for writing on the writing thread only, while the database is opened or closed. Whoever reads holds it for
    /// the time of one read, and never waits for it.
    slot: RwLock<Slot<E>>,
    /// How often somebody began to open the database: a page that was read before the last time is read again.
    openings: AtomicU64,
    /// Set for good before the slot is locked in order to close.
    is_closing: AtomicBool,
    /// Whether an error of the engine has said so.
    needs_reopen: AtomicBool,
    /// Whether there are writes that returned and that nothing has made durable yet. Used on the writing thread only.
    has_buffered: AtomicBool,
}

enum Slot<E> {
    Open(E),
    /// Not opened yet, or the last reopening failed.
    Down,
    Closed,
}

impl<E: Engine> Shared<E> {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        if batch.is_empty() {
            return self.sync();
        }
        self.change("write", durability, |engine| engine.write(batch, durability))
    }

    fn sync(&self) -> Result<()> {
        self.change("sync", Durability::Synced, Engine::sync)
    }

    fn read<T>(&self, operation: &'static str, job: impl FnOnce(&E) -> Result<T>) -> Result<T> {
        match self.slot.try_read() {
            Some(slot) => self.with_engine(&slot, operation, job),
            None if self.is_closing.load(Ordering::Acquire) => Err(Error::Closed { backend: self.backend }),
            None => Err(self
                .failed(operation, ErrorClass::Transient, "the database is just being opened again")
                .advise("try again in a moment")),
        }
    }

    /// Lets the engine write, unless an earlier failure forbids it.
    fn change(
        &self,
        operation: &'static str,
        durability: Durability,
        change: impl FnOnce(&E) -> Result<()>,
    ) -> Result<()> {
        // Only this thread ever locks it for writing.
        let slot = self.slot.read();
        if matches!(&*slot, Slot::Open(_)) && self.needs_reopen.load(Ordering::Acquire) {
            return Err(self.must_reopen(operation, "an earlier operation on this handle failed"));
        }
        self.with_engine(&slot, operation, change)?;
        self.has_buffered.store(durability == Durability::Buffered, Ordering::Release);
        Ok(())
    }

    fn reopen(&self) -> Result<()> {
        let needs_none = |slot: &Slot<E>| matches!(slot, Slot::Open(_)) && !self.needs_reopen.load(Ordering::Acquire);
        // Locked for writing, it waits for reads, and one of them may hang.
        if needs_none(&self.slot.read()) {
            return Ok(());
        }
        let mut slot = self.slot.write();
        match &*slot {
            Slot::Closed => Err(Error::Closed { backend: self.backend }),
            Slot::Open(_) | Slot::Down => self.open_slot(&mut slot, Opening::Again),
        }
    }

    fn open_slot(&self, slot: &mut Slot<E>, opening: Opening) -> Result<()> {
        // Dropping the old handle frees the database, which couldn't be opened otherwise.
        let old = mem::replace(slot, Slot::Down);
        // Whatever it says to that: it is done for.
        let _ = caught(|| drop(old));
        self.openings.fetch_add(1, Ordering::AcqRel);
        *slot = Slot::Open(self.guarded("open", ErrorClass::Corrupt, || (self.open)(opening))?);
        self.needs_reopen.store(false, Ordering::Release);
        tracing::debug!(backend = self.backend, place = &*self.place, ?opening, "database opened");
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.is_closing.store(true, Ordering::Release);
        let mut slot = self.slot.write();
        let lost = || {
            if self.has_buffered.load(Ordering::Acquire) {
                return Err(self.must_reopen("close", "buffered writes were not made durable"));
            }
            Ok(())
        };
        match mem::replace(&mut *slot, Slot::Closed) {
            Slot::Closed => Ok(()),
            Slot::Down => lost(),
            Slot::Open(_) if self.needs_reopen.load(Ordering::Acquire) => lost(),
            // Dropped in there, too: that is when it closes its files.
            Slot::Open(engine) => self.guarded("close", ErrorClass::NeedsReopen, move || engine.finish()),
        }
    }

    /// Uses the engine, where there is one, and notes what its error says about it.
    fn with_engine<T>(&self, slot: &Slot<E>, operation: &'static str, job: impl FnOnce(&E) -> Result<T>) -> Result<T> {
        match slot {
            Slot::Open(engine) => {
                self.guarded(operation, ErrorClass::NeedsReopen, || job(engine)).inspect_err(|error| {
                    if error.class() == ErrorClass::NeedsReopen {
                        self.needs_reopen.store(true, Ordering::Release);
                    }
                })
            }
            Slot::Down => Err(self.must_reopen(operation, "the database could not be opened again")),
            Slot::Closed => Err(Error::Closed { backend: self.backend }),
        }
    }
}

impl<E> Shared<E> {
    /// What `job` gives. Where it panics the error is of this `class`: engines do so over damage that they don't look for,
    /// on the thread of whoever reads, and nobody knows what they had done by then.
    fn guarded<T>(&self, operation: &'static str, class: ErrorClass, job: impl FnOnce() -> Result<T>) -> Result<T> {
        let way_out = if class == ErrorClass::Corrupt { DAMAGED } else { PERHAPS_DAMAGED };
        caught(job)
            .unwrap_or_else(|said| Err(self.failed(operation, class, Panicked(said)).advise(way_out)))
            .map_err(|error| error.at(&self.place))
    }

    fn must_reopen(&self, operation: &'static str, why: &'static str) -> Error {
        self.failed(operation, ErrorClass::NeedsReopen, why).advise("the database must be opened again")
    }

    fn failed(
        &self,
        operation: &'static str,
        class: ErrorClass,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::failed(self.backend, operation, class, source).at(&self.place)
    }
}

fn worker_failed(backend: &'static str, operation: &'static str, error: WorkerError) -> Error {
    // A thread that has ended can't reopen anything.
    let class = match error {
        WorkerError::Panicked { .. } => ErrorClass::NeedsReopen,
        WorkerError::Ended { .. } => ErrorClass::Permanent,
    };
    Error::failed(backend, operation, class, error)
}

/// What the engine's panic said.
#[derive(Debug, thiserror::Error)]
#[error("it panicked: {0}")]
struct Panicked(String);

const DAMAGED: &str = "the database is damaged: restore it from a backup";
const PERHAPS_DAMAGED: &str = "open it again; if that comes back the database is damaged: restore it from a backup";
