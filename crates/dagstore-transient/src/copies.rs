//! A folder of copies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_fs::{FileSystem, OwnName, ReadAt};
use dagstore_mount::{Mount, Stat};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::failed;
use crate::fetch::{Job, supervise};
use crate::lease::{Hold, Lease};
use crate::look::look_at_all;
use crate::names::{Id, Paths};
use crate::observer::Observer;
use crate::room::Ledger;
use crate::sidecar::Form;
use crate::state::{Fetching, Held, OnDisk, Progress, Shared, Slot};
use crate::{Error, Options, Result, adopt, off_the_runtime};

/// How often one call looks for the copy: a few more than it takes, for copies that go away behind every look.
const MOST_LOOKS: usize = 8;

/// The local copies of a store, in a folder of its own.
///
/// There is one copy for each registration of a shard: the attempt in an [`OwnName`] means nothing here, so a later attempt
/// goes on with what an earlier one has fetched. Clones are of the same copies. The methods may be called at the
/// same time from any number of tasks, and need a tokio runtime with time, which is that of the store: fetches are tasks of
/// their own on it, which end with nobody but it.
#[derive(Debug, Clone)]
pub struct Copies {
    pub(crate) shared: Arc<Shared>,
}

impl Copies {
    /// Takes a folder, which is created if it doesn't exist, and looks at what is in it. Blocks.
    ///
    /// The folder may hold other files; they are never touched. Only one process at a time may use it
    /// ([`DirectoryLock`](dagstore_fs::DirectoryLock) is the caller's), and only one value that isn't a clone. Nothing
    /// is removed but what a crash left half-written beside copies and chunks, and chunks of which there is a copy;
    /// [`gc`](Self::gc) removes what nobody names. With [`Options::read_only`] not even these are.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(file_system: Arc<dyn FileSystem>, directory: &Path, options: Options) -> Result<Self> {
        if !options.read_only {
            file_system.create_directory(directory).map_err(failed("create the directory", directory))?;
        }
        let ledger = Ledger::new(options.quota_bytes, options.keep_free_bytes);
        let directory = directory.to_owned();
        let (requests, closing) = (Arc::default(), watch::channel(false).0);
        let shared = Shared { file_system, directory, options, ledger, state: Mutex::default(), requests, closing };
        let mut state = look_at_all(&shared)?;
        state.is_closed = shared.options.read_only;
        *shared.state.lock() = state;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes or finds the copy of one registration, and opens it.
    ///
    /// With `expected` the copy is of that content; without it a complete copy is taken as it is, and for a new one
    /// the source is asked. However many ask at once, the source is streamed once, and the fetch doesn't end with a caller
    /// who goes away. `observer` is shown the bytes where this call begins the fetch, and is dropped otherwise
    /// ([`Lease::was_observed`]). A partial copy is gone on with where the source has a validator and can be
    /// streamed from any place. A fetch that failed leaves nothing that could make the next one fail.
    ///
    /// At return the copy is durable.
    ///
    /// # Errors
    /// [`Error::Source`], [`Error::SourceChanged`], [`Error::WrongSize`] as the source gives cause;
    /// [`Error::TooLarge`], [`Error::TooManyWaiters`], [`Error::NoRoom`], [`Error::DiskFull`] where there is no room;
    /// [`Error::Stopped`], [`Error::Cancelled`], [`Error::BrokeOff`], [`Error::Damaged`], [`Error::Io`], [`Error::Closed`].
    pub async fn fetch(
        &self,
        name: OwnName,
        mount: Arc<dyn Mount>,
        expected: Option<&Stat>,
        observer: Option<Box<dyn Observer>>,
    ) -> Result<Lease> {
        let (mut observer, mut was_observed, mut has_waited) = (observer, false, false);
        // Held from one look to the next, so that nothing is evicted between the end of the fetch and the opening.
        let mut since_last_look = None;
        for _ in 0..MOST_LOOKS {
            let (hold, step) = self.step(name, expected, has_waited)?;
            let is_own = matches!(step, Step::Begin(_));
            let fetching = match step {
                Step::Open(on_disk) => match self.lease(hold, name, on_disk, was_observed).await {
                    Err(Error::Damaged { .. } | Error::Unfit { .. }) => {
                        (was_observed, has_waited) = (false, false);
                        continue;
                    }
                    lease => return lease,
                },
                Step::Wait(fetching) => {
                    // Of somebody else, whatever came of an own one before.
                    was_observed = false;
                    fetching
                }
                Step::Begin(start) => {
                    was_observed = observer.is_some();
                    let fetching = start.fetching.clone();
                    self.begin(start, Arc::clone(&mount), expected.cloned(), observer.take());
                    fetching
                }
            };
            since_last_look = Some(hold);
            match outcome(name, fetching).await {
                // It failed because of what its caller expected, or of its caller's observer.
                Err(Error::SourceChanged { .. } | Error::Stopped { .. }) if !is_own => {}
                ended => {
                    ended?;
                    has_waited = true;
                }
            }
        }
        drop(since_last_look);
        Err(Error::NotLocal { name })
    }

    /// Opens the copy where there is one, of this content if one is told. Nothing is fetched, and a fetch that is under way
    /// isn't waited for.
    ///
    /// # Errors
    /// [`Error::NotLocal`]; [`Error::Unfit`] where a user's file that was adopted isn't what it was; [`Error::Io`],
    /// [`Error::Closed`].
    pub async fn local(&self, name: OwnName, expected: Option<&Stat>) -> Result<Lease> {
        let found = {
            let state = self.shared.state.lock();
            if state.is_closed {
                return Err(Error::Closed);
            }
            match state.slots.get(&Id::of(name)) {
                Some(slot) => match &slot.held {
                    Held::OnDisk(on_disk) if on_disk.serves(expected) => Some((self.hold(slot), on_disk.clone())),
                    _ => None,
                },
                None => None,
            }
        };
        let (hold, on_disk) = found.ok_or(Error::NotLocal { name })?;
        match self.lease(hold, name, on_disk, false).await {
            Err(Error::Damaged { .. }) => Err(Error::NotLocal { name }),
            lease => lease,
        }
    }

    /// Opens what has come so far of a copy that is being fetched, or all of it where the fetch has just ended; `None` where no fetch
    /// is under way. What the observer was shown can be read; what is behind it can't, though the size is that of the whole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn peek(&self, name: OwnName) -> Result<Option<Arc<dyn ReadAt>>> {
        let size = match self.shared.state.lock().slots.get(&Id::of(name)) {
            Some(Slot { held: Held::Fetching(fetching), .. }) => fetching.progress.total.load(Ordering::Relaxed),
            _ => return Ok(None),
        };
        let shared = Arc::clone(&self.shared);
        off_the_runtime(name, move || {
            let Paths { partial, copy, .. } = shared.paths(Id::of(name));
            let opened = match shared.file_system.open(&partial) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => shared.file_system.open(&copy),
                opened => opened,
            };
            let inner = opened.map_err(failed("open", &partial))?;
            Ok(Some(Arc::new(Peek { inner, size }) as Arc<dyn ReadAt>))
        })
        .await
    }

    /// Ends the fetch that is under way, and returns whether there was one. What was fetched is kept where it can be gone on
    /// with. At return the fetch has ended, and those who waited for it are told.
    pub async fn cancel(&self, name: OwnName) -> bool {
        let fetching = match self.shared.state.lock().slots.get(&Id::of(name)) {
            Some(Slot { held: Held::Fetching(fetching), .. }) => fetching.clone(),
            _ => return false,
        };
        // Nobody listens any more where it has just ended.
        let _ = fetching.cancel.send(true);
        let _ = outcome(name, fetching).await;
        true
    }

    /// Ends all fetches and requests and begins no new one. Leases stay good, and readers read what is on disk. At return no
    /// fetch is under way, nothing is being written or removed, though nobody waits for it any more, and nothing will be:
    /// who asks for it gets [`Error::Closed`].
    pub async fn close(&self) {
        let names: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.is_closed = true;
            let fetching = state.slots.values().filter(|slot| matches!(slot.held, Held::Fetching(_)));
            fetching.map(|slot| slot.name).collect()
        };
        for name in &names {
            if let Some(Slot { held: Held::Fetching(fetching), .. }) =
                self.shared.state.lock().slots.get(&Id::of(*name))
            {
                let _ = fetching.cancel.send(true);
            }
        }
        self.shared.closing.send_replace(true);
        for name in names {
            self.cancel(name).await;
        }
        drop(self.shared.requests.write().await);
    }

    /// Uses a user's own file, where it is, as the copy of one registration. It is never written, renamed or removed, and
    /// takes nothing of the quota; what it is held to from now on is its size, inode and time of modification. `stat` is the
    /// source's, where it is known. Durable at return.
    ///
    /// # Errors
    /// [`Error::Unfit`] where the file isn't a regular one, is in the folder of the copies, or has another size than
    /// `stat`; [`Error::Kept`] where there is a copy already; as [`fetch`](Self::fetch) where there is no room for
    /// the few bytes that are kept about it.
    pub async fn adopt_foreign(&self, name: OwnName, path: &Path, stat: Option<&Stat>) -> Result<()> {
        adopt::adopt(&self.shared, name, path, stat).await
    }

    /// What is to be done next for one who wants the copy, and what keeps it there meanwhile.
    fn step(&self, name: OwnName, expected: Option<&Stat>, has_waited: bool) -> Result<(Hold, Step)> {
        let mut state = self.shared.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        let slot = state.slots.entry(Id::of(name)).or_insert_with(|| Slot::new(name, Held::Nothing));
        slot.name = name;
        let step = match &slot.held {
            Held::OnDisk(on_disk) if on_disk.serves(expected) => Step::Open(on_disk.clone()),
            // The fetch that was waited for was of another content.
            Held::OnDisk(on_disk) if has_waited && !on_disk.is_partial() => return Err(Error::SourceChanged { name }),
            Held::Fetching(fetching) => Step::Wait(fetching.clone()),
            Held::OnDisk(_) | Held::Nothing => Step::Begin(Start::of(name, slot)),
        };
        Ok((self.hold(slot), step))
    }

    /// Under the lock of the state.
    fn hold(&self, slot: &Slot) -> Hold {
        let room = if let Held::OnDisk(on_disk) = &slot.held { Some(Arc::clone(&on_disk.room)) } else { None };
        let interest = Some(Arc::clone(&slot.interest));
        Hold { shared: Arc::clone(&self.shared), id: Id::of(slot.name), interest, room }
    }

    fn begin(&self, start: Start, mount: Arc<dyn Mount>, expected: Option<Stat>, observer: Option<Box<dyn Observer>>) {
        let (turn, marks) = {
            let state = self.shared.state.lock();
            let Some(slot) = state.slots.get(&Id::of(start.name)) else { return };
            (Arc::clone(&slot.turn), Arc::clone(&slot.marks))
        };
        marks.use_now(self.shared.now());
        let job = Job {
            shared: Arc::clone(&self.shared),
            name: start.name,
            mount,
            expected,
            turn,
            marks,
            progress: Arc::clone(&start.fetching.progress),
            cancelled: start.fetching.cancel.subscribe(),
            room: start.before.into(),
        };
        tokio::spawn(supervise(job, observer, start.outcome));
    }

    async fn lease(&self, hold: Hold, name: OwnName, on_disk: OnDisk, was_observed: bool) -> Result<Lease> {
        let (shared, id) = (Arc::clone(&self.shared), Id::of(name));
        let lease = off_the_runtime(name, move || {
            let OnDisk { sidecar, room } = on_disk;
            drop(room);
            let (path, reader) = match &sidecar.form {
                Form::Foreign(foreign) => (foreign.path.clone(), adopt::open(name, &sidecar, foreign)?),
                Form::Complete | Form::Partial => {
                    let path = shared.paths(id).copy;
                    let opened = shared.file_system.open_mapped(&path);
                    let what = match opened {
                        Ok(reader) if reader.size() == sidecar.size => {
                            return Ok(Lease { reader, path, sidecar, was_observed, _hold: hold });
                        }
                        Ok(_) => "it has another size than it had",
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "it is gone",
                        Err(error) => return Err(failed("open", &path)(error)),
                    };
                    return Err(Error::Damaged { path, what });
                }
            };
            Ok(Lease { reader, path, sidecar, was_observed, _hold: hold })
        });
        let lease = lease.await;
        match &lease {
            Ok(lease) => self.used(id, lease),
            Err(Error::Damaged { .. } | Error::Unfit { .. }) => self.distrust(id),
            Err(_) => {}
        }
        lease
    }

    /// Takes a copy that isn't what it was for a partial one of which nothing is there: the next fetch removes it.
    fn distrust(&self, id: Id) {
        if let Some(slot) = self.shared.state.lock().slots.get_mut(&id)
            && let Held::OnDisk(on_disk) = &mut slot.held
        {
            on_disk.sidecar.form = Form::Partial;
            on_disk.sidecar.durable = 0;
        }
    }

    /// Remembers the use, and writes it down where the last one on disk is too long ago.
    fn used(&self, id: Id, lease: &Lease) {
        let now = self.shared.now();
        let marks = self.shared.state.lock().slots.get(&id).map(|slot| Arc::clone(&slot.marks));
        let Some(marks) = marks else { return };
        marks.use_now(now);
        let age = now.0.saturating_sub(lease.sidecar.used.0);
        if u128::from(age) > self.shared.options.use_step.as_millis() {
            let copies = self.clone();
            // A use that can't be written down is no reason to refuse the copy.
            tokio::spawn(async move { copies.write_marks(id).await.is_ok() });
        }
    }
}

/// A copy that isn't whole yet, with the size that it will have.
#[derive(Debug)]
struct Peek {
    inner: Arc<dyn ReadAt>,
    size: u64,
}

impl ReadAt for Peek {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read_at(offset, buffer)
    }
}

/// What is to be done next.
enum Step {
    Open(OnDisk),
    Wait(Fetching),
    Begin(Start),
}

/// A fetch that is about to begin. Its slot says already that it is under way.
struct Start {
    name: OwnName,
    fetching: Fetching,
    before: Option<OnDisk>,
    outcome: watch::Sender<Option<Result<()>>>,
}

impl Start {
    fn of(name: OwnName, slot: &mut Slot) -> Self {
        let (sender, outcome) = watch::channel(None);
        let (progress, cancel) = (Arc::<Progress>::default(), Arc::new(watch::channel(false).0));
        let fetching = Fetching { progress, outcome, cancel };
        let before = match std::mem::replace(&mut slot.held, Held::Fetching(fetching.clone())) {
            Held::OnDisk(on_disk) => {
                fetching.progress.total.store(on_disk.sidecar.size, Ordering::Relaxed);
                Some(on_disk)
            }
            Held::Nothing | Held::Fetching(_) => None,
        };
        Self { name, fetching, before, outcome: sender }
    }
}

/// Waits for the end of a fetch.
async fn outcome(name: OwnName, mut fetching: Fetching) -> Result<()> {
    match fetching.outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
        Err(_) => Err(Error::BrokeOff { name, why: "its runtime has ended".to_owned() }),
    }
}
