//! The handle.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_fsm::{Answer, Event, Refusal, Shard};
use dagstore_mount::{Mount, MountUrl};
use dagstore_types::{ShardKey, ShardRecord};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::accessor::ShardAccessor;
use crate::cell::{Cell, Reply};
use crate::committer::Commits;
use crate::core::Core;
use crate::gc::GcReport;
use crate::info::ShardInfo;
use crate::options::{Mode, Options, Parts};
use crate::quarantine::Quarantined;
use crate::registrations::Registrations;
use crate::restore::ResumeReport;
use crate::{Error, Identity, Result, acquire, committer, gc, restore};

/// An open store. Cheap to clone; the store closes with [`close`](Self::close), and stops as in a crash, which loses
/// nothing, when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    core: Arc<Core>,
    closing: Arc<Closing>,
}

/// What the handles share and tasks don't, so that the last handle's end is noticed.
#[derive(Debug)]
struct Closing {
    core: Arc<Core>,
    committer: Mutex<Option<tokio::task::JoinHandle<()>>>,
    committer_ended: watch::Receiver<()>,
    resumed: watch::Receiver<Option<ResumeReport>>,
    /// What closing gave, once it is done.
    closed: tokio::sync::Mutex<Option<CloseOutcome>>,
}

/// How closing ended.
#[derive(Debug)]
enum CloseOutcome {
    Clean,
    TimedOut,
    NotDurable(dagstore_datastore::Error),
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.core.stop_working();
        if let Some(committer) = self.committer.lock().take() {
            committer.abort();
        }
        self.core.commits.abandon();
    }
}

impl Engine {
    /// Opens the store in `parts.datastore`, or makes one there. Returns when the catalogue is complete; work that an
    /// earlier process left goes on in the background ([`resumed`](Self::resumed) waits for it).
    /// Needs a tokio runtime with its time driver; the store's tasks stay on it, whichever one a caller is on later.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::DamagedIdentity`], [`Error::Unreadable`] (only when opening strictly),
    /// [`Error::Datastore`].
    pub async fn open(mut parts: Parts, options: Options) -> Result<Self> {
        match options.mode {
            Mode::Active => drop(Identity::read_or_create(&*parts.datastore).await?),
            Mode::Paused => drop(Identity::read(&*parts.datastore).await?),
        }
        let commits = Arc::new(Commits::default());
        let loaded = restore::load(&parts, &options, &commits).await?;
        let hold = parts.hold.take();
        let core = Arc::new(Core {
            datastore: parts.datastore,
            codecs: parts.codecs,
            registry: parts.registry,
            index_repo: parts.index_repo,
            clock: parts.clock,
            initialising: Semaphore::new(options.max_initialising.clamp(1, Semaphore::MAX_PERMITS)),
            options,
            catalogue: loaded.catalogue,
            quarantine: loaded.quarantine,
            commits,
            registrations: Registrations::new(loaded.next_registration),
            runtime: Handle::current(),
            closed: false.into(),
            tasks: watch::channel(()).0,
            sweeping: tokio::sync::Mutex::new(()),
            swept: Mutex::new(GcReport::default()),
            hold: Mutex::new(hold),
        });
        let (committing, committer_ended) = watch::channel(());
        let (resuming, resumed) = watch::channel(None);
        let mut committer = None;
        if core.options.mode == Mode::Active {
            committer = Some(core.runtime.spawn(committer::run(core.clone(), committing)));
            let shared = core.clone();
            core.spawn(async move {
                let report = restore::resume(shared, loaded.unfinished).await;
                let _nobody_waits = resuming.send(Some(report));
            });
        }
        let committer = Mutex::new(committer);
        let closed = tokio::sync::Mutex::new(None);
        let closing = Arc::new(Closing { core: core.clone(), committer, committer_ended, resumed, closed });
        Ok(Self { core, closing })
    }

    /// Registers the shard `key` for the mount of `url`; await it. An eager registration returns when the shard is
    /// Available or has failed (it stays then, Errored, until it is recovered or destroyed); see [`Register`] for the
    /// other ways. Dropping the future cancels the wait, not the work.
    pub fn register(&self, key: &str, url: &str) -> Register<'_> {
        Register { engine: self, key: ShardKey::new(key), url: MountUrl::parse(url), lazy: false, detached: false }
    }

    /// Registers the shard `key` for a mount made by hand; see [`register`](Self::register). Its type must stand in the
    /// registry under exactly one scheme.
    pub fn register_mount(&self, key: &str, mount: &dyn Mount) -> Register<'_> {
        let url = self.core.registry.represent(mount);
        Register { engine: self, key: ShardKey::new(key), url, lazy: false, detached: false }
    }

    /// Acquires the shard, for reading. A shard that waits for its first acquire, or whose index was lost, is initialised
    /// first. Dropping the future leaves no trace.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Failed`], [`Error::Destroyed`], [`Error::Quarantined`], [`Error::Paused`],
    /// [`Error::Closed`], [`Error::NotDurable`].
    pub async fn acquire(&self, key: &str) -> Result<ShardAccessor> {
        acquire::acquire(&self.core, &ShardKey::new(key)?).await
    }

    /// Initialises a failed shard again, and returns when it is Available.
    ///
    /// # Errors
    /// [`Error::NotErrored`], [`Error::Failed`] when it failed again, and those of [`acquire`](Self::acquire).
    pub async fn recover(&self, key: &str) -> Result<()> {
        let key = ShardKey::new(key)?;
        self.request(&key, |waiter, now| Event::Recover { waiter: Some(waiter), now }).await
    }

    /// Destroys the shard: its index and its record, but never its source. When the call returns, the destruction is
    /// durable. Once it was accepted it is finished even if the process dies.
    ///
    /// # Errors
    /// [`Error::InUse`], which changes nothing; [`Error::CleanupIncomplete`]; and those of [`acquire`](Self::acquire).
    pub async fn destroy(&self, key: &str) -> Result<()> {
        let key = ShardKey::new(key)?;
        self.request(&key, |waiter, now| Event::Destroy { waiter, now }).await
    }

    /// What is known of the shard. Answers in a paused store, too.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Quarantined`], [`Error::InvalidKey`].
    pub fn info(&self, key: &str) -> Result<ShardInfo> {
        let key = ShardKey::new(key)?;
        let cell = self.core.cell(&key)?;
        ShardInfo::of(&cell).ok_or(Error::NotFound(key))
    }

    /// What is known of every shard, by key. Answers in a paused store, too.
    pub fn shards(&self) -> Vec<ShardInfo> {
        let mut shards: Vec<_> = self.core.catalogue.cells().filter_map(|cell| ShardInfo::of(&cell)).collect();
        shards.sort_by(|one, other| one.key.cmp(&other.key));
        shards
    }

    /// The records that can't be read. They are kept, and occupy their keys.
    pub fn quarantined(&self) -> &[Quarantined] {
        self.core.quarantine.entries()
    }

    /// The registry of the store.
    pub fn registry(&self) -> &dagstore_mount::Registry {
        &self.core.registry
    }

    /// Removes files of the store that belong to no shard, and finishes destructions that could not be finished before. The
    /// report counts what opening the store has removed, too, unless an earlier report did.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Paused`], [`Error::Closed`].
    pub async fn gc(&self) -> Result<GcReport> {
        self.core.check_active()?;
        gc::collect(&self.core).await
    }

    /// Waits until all that an earlier process left unfinished is finished, and tells what became of it.
    ///
    /// # Errors
    /// [`Error::Paused`], [`Error::Closed`].
    pub async fn resumed(&self) -> Result<ResumeReport> {
        self.core.check_active()?;
        let mut resumed = self.closing.resumed.clone();
        let report = resumed.wait_for(Option::is_some).await.map_err(|_| Error::Closed)?;
        report.clone().ok_or(Error::Closed)
    }

    /// Closes the store: refuses new calls, answers whoever waits with [`Error::Closed`], ends tasks, makes everything
    /// durable and frees the datastore. Accessors outlive it. A second call returns the same.
    ///
    /// # Errors
    /// [`Error::CloseTimedOut`] after the deadline of the options; [`Error::Datastore`] when the last writes are not
    /// durable. The store is closed all the same, and the next opening mends what was left.
    pub async fn close(&self) -> Result<()> {
        let mut closed = self.closing.closed.lock().await;
        if closed.is_none() {
            *closed = Some(self.close_once().await);
        }
        match &*closed {
            None | Some(CloseOutcome::Clean) => Ok(()),
            Some(CloseOutcome::TimedOut) => Err(Error::CloseTimedOut),
            Some(CloseOutcome::NotDurable(error)) => Err(error.clone().into()),
        }
    }

    async fn close_once(&self) -> CloseOutcome {
        let core = &self.core;
        core.stop_working();
        let mut committer_ended = self.closing.committer_ended.clone();
        let ending = async {
            core.tasks.closed().await;
            core.commits.stop();
            while committer_ended.changed().await.is_ok() {}
        };
        let ended = tokio::time::timeout(core.options.close_deadline, ending).await;
        if let Some(committer) = self.closing.committer.lock().take() {
            committer.abort();
        }
        core.commits.abandon();
        let closed = core.datastore.close().await;
        drop(core.hold.lock().take());
        match (ended, core.commits.degraded(), closed) {
            (Err(_), _, _) => CloseOutcome::TimedOut,
            (Ok(()), Some(error), _) | (Ok(()), None, Err(error)) => CloseOutcome::NotDurable(error),
            (Ok(()), None, Ok(())) => CloseOutcome::Clean,
        }
    }

    /// Sends a request and translates its answer.
    async fn request(
        &self,
        key: &ShardKey,
        event: impl Fn(dagstore_fsm::WaiterId, dagstore_types::UnixMillis) -> Event,
    ) -> Result<()> {
        loop {
            self.core.check_active()?;
            self.core.check_room(key)?;
            let cell = self.core.cell(key)?;
            let now = self.core.now();
            if let Some(reply) = self.core.ask(&cell, |waiter| event(waiter, now)).await? {
                return self.core.answered(key, reply);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Core {
    /// Refuses new calls, drops everybody who waits, and asks tasks to end.
    pub(crate) fn stop_working(&self) {
        self.closed.store(true, Ordering::Release);
        self.initialising.close();
        for cell in self.catalogue.cells() {
            cell.drop_waiters();
            if let Some(task) = cell.with(|state| state.task.clone()) {
                task.cancel();
            }
        }
    }

    fn answered(&self, key: &ShardKey, reply: Reply) -> Result<()> {
        match reply {
            Reply::Answer(Answer::Refused(refusal)) => Err(self.refused(key, refusal)),
            Reply::Answer(Answer::Registered | Answer::Ready | Answer::Destroyed | Answer::Begin(_))
            | Reply::Open(_) => Ok(()),
        }
    }

    /// The error for a refusal.
    pub(crate) fn refused(&self, key: &ShardKey, refusal: Refusal) -> Error {
        let key = key.clone();
        match refusal {
            Refusal::NotFound | Refusal::Stale => Error::NotFound(key),
            Refusal::Exists => Error::Exists(key),
            Refusal::BeingDestroyed => Error::BeingDestroyed(key),
            Refusal::Destroyed => Error::Destroyed(key),
            Refusal::NotErrored => Error::NotErrored(key),
            Refusal::InUse { references } => Error::InUse { key, references },
            Refusal::Failed(source) => Error::Failed { key, source },
            Refusal::CleanupIncomplete(source) => Error::CleanupIncomplete { key, source },
            Refusal::NotDurable => Error::NotDurable { key, source: self.commits.degraded() },
        }
    }
}

/// A registration, to be awaited; see [`Engine::register`].
#[must_use = "nothing is registered before it is awaited"]
#[derive(Debug)]
pub struct Register<'a> {
    engine: &'a Engine,
    key: Result<ShardKey, dagstore_types::InvalidKey>,
    url: dagstore_mount::Result<MountUrl>,
    lazy: bool,
    detached: bool,
}

impl Register<'_> {
    /// Leaves the work to the first acquire.
    pub fn lazy(self) -> Self {
        Self { lazy: true, ..self }
    }

    /// Returns as soon as the registration is durable, and lets the work go on in the background.
    pub fn detached(self) -> Self {
        Self { detached: true, ..self }
    }

    /// Checks everything that can be checked first, so that a refusal leaves nothing.
    async fn run(self) -> Result<()> {
        let core = &self.engine.core;
        core.check_active()?;
        let (key, url) = (self.key?, self.url?);
        core.check_room(&key)?;
        core.quarantine.check(&key)?;
        let mount = core.registry.instantiate(&url)?;
        if !mount.capabilities().random_access {
            return Err(Error::NeedsCopy { url: url.as_str().to_owned() });
        }
        mount.stat().await?;
        let registration = core.registrations.next(core).await?;
        loop {
            let new = || Cell::new(key.clone(), core.commits.clone(), Shard::absent());
            let cell = core.catalogue.get_or_insert(&key, new);
            let record = ShardRecord::new(key.clone(), url.as_str().to_owned(), self.lazy, registration, core.now());
            let wait = !self.detached;
            let reply = core.ask(&cell, |waiter| Event::Register { waiter, record, wait }).await?;
            if let Some(reply) = reply {
                return core.answered(&key, reply);
            }
            core.catalogue.remove(&cell);
            tokio::task::yield_now().await;
            core.check_active()?;
        }
    }
}

impl<'a> IntoFuture for Register<'a> {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
