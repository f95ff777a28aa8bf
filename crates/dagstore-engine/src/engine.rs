//! The handle.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagstore_car::RawCid;
use dagstore_fsm::{Answer, Event, Refusal};
use dagstore_mount::{Mount, MountUrl};
use dagstore_types::{ShardKey, ShardState};
use futures_util::Stream;
use futures_util::stream::BoxStream;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::accessor::ShardAccessor;
use crate::cell::Reply;
use crate::close::CloseOutcome;
use crate::copies::StoreSources;
use crate::core::Core;
use crate::gc::{GcOptions, GcReport};
use crate::info::ShardInfo;
use crate::inverted::Inverted;
use crate::loader::Loader;
use crate::metrics::Metrics;
use crate::options::{Mode, Options, Parts};
use crate::ownership::OwnedRepo;
use crate::publisher::Publisher;
use crate::quarantine::Quarantined;
use crate::queue::{Queue, semaphore};
use crate::register::Register;
use crate::registrations::Registrations;
use crate::resume::ResumeReport;
use crate::retry::Retries;
use crate::shared::Shared;
use crate::watch::{Failure, Trace, Watched};
use crate::{
    Error, Identity, Result, acquire, committer, copies, gc, inverted, quarantine, rest, restore, resume, retry,
};

/// An open store. Cheap to clone; the store closes with [`close`](Self::close), and stops as in a crash, which loses
/// nothing, when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
    closing: Arc<Closing>,
}

/// What the handles share and tasks don't, so that the last handle's end is noticed.
#[derive(Debug)]
pub(crate) struct Closing {
    core: Arc<Core>,
    pub(crate) committer: Mutex<Option<JoinHandle<()>>>,
    pub(crate) committer_ended: watch::Receiver<()>,
    /// Tasks that go on for ever.
    keepers: Vec<JoinHandle<()>>,
    resumed: watch::Receiver<Option<ResumeReport>>,
    /// What closing gave, once it is done.
    pub(crate) closed: tokio::sync::Mutex<Option<CloseOutcome>>,
}

impl Closing {
    /// Ends what would go on for ever.
    pub(crate) fn abort(&self) {
        for keeper in &self.keepers {
            keeper.abort();
        }
        if let Some(committer) = self.committer.lock().take() {
            committer.abort();
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.core.stop_working();
        self.abort();
        self.core.shared.commits.abandon();
    }
}

impl Engine {
    /// Opens the store in `parts.datastore`, or makes one there. Returns when the catalogue is complete; work that an
    /// earlier process left goes on in the background ([`resumed`](Self::resumed) waits for it).
    /// Needs a tokio runtime with its time driver; the store's tasks stay on it, whichever one a caller is on later.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::UnfinishedCopy`], [`Error::DamagedIdentity`], [`Error::Unreadable`] (only when opening strictly),
    /// [`Error::Datastore`], [`Error::Copies`].
    pub async fn open(parts: Parts, options: Options) -> Result<Self> {
        Ok(Self::open_and(parts, options, |_| ()).await?.0)
    }

    /// Opens the store as [`open`](Self::open) does, and returns the [`trace`](Self::trace) of it from the first moment on: what
    /// is done with unfinished work stands in it, too.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_traced(
        parts: Parts,
        options: Options,
    ) -> Result<(Self, impl Stream<Item = Watched<Trace>> + Send + Unpin + use<>)> {
        Self::open_and(parts, options, |shared| shared.watch.traces()).await
    }

    /// Opens the store, and calls `before` before anything happens in it.
    async fn open_and<T>(
        mut parts: Parts,
        options: Options,
        before: impl FnOnce(&Shared) -> T + Send,
    ) -> Result<(Self, T)> {
        match options.mode {
            Mode::Active => drop(Identity::read_or_create(&*parts.datastore).await?),
            Mode::Paused => drop(Identity::read(&*parts.datastore).await?),
        }
        let shared = Arc::new(Shared::new(parts.codecs.clone(), options.keep_open));
        let watching = before(&shared);
        let loaded = restore::load(&parts, &options, &shared).await?;
        let is_new = options.mode == Mode::Active && loaded.catalogue.is_empty();
        let inverted = match parts.inverted {
            Some(index) => Some(Inverted::open(index, is_new).await?),
            None => None,
        };
        let hold = parts.hold.take();
        let sources = Arc::<StoreSources>::default();
        let copies = copies::open(parts.copies.take(), sources.clone(), &options).await?;
        let index_repo = Arc::new(OwnedRepo::new(parts.index_repo, shared.lost.clone()));
        let core = Arc::new(Core {
            shared,
            datastore: parts.datastore,
            registry: parts.registry,
            index_repo,
            copies,
            inverted,
            clock: parts.clock,
            catalogue: loaded.catalogue,
            quarantine: RwLock::new(loaded.quarantine),
            deciding: Arc::default(),
            registrations: Registrations::new(loaded.next_registration),
            registering: Arc::new(semaphore(options.max_registering)),
            starting: Queue::new(options.max_fetching.saturating_add(options.max_indexing)),
            thawing: Queue::new(options.max_thawing),
            fetching: semaphore(options.max_fetching),
            indexing: semaphore(options.max_indexing),
            finishing: semaphore(options.max_finishing),
            loader: Loader::default(),
            publisher: Publisher::default(),
            options,
            retries: Retries::default(),
            runtime: Handle::current(),
            tasks: watch::channel(()).0,
            closing: Notify::new(),
            closing_unused: Mutex::new(()),
            sweeping: Arc::default(),
            swept: Mutex::new(GcReport::default()),
            hold: Mutex::new(hold),
        });
        sources.bind(&core);
        let (committing, committer_ended) = watch::channel(());
        let (resuming, resumed) = watch::channel(None);
        let (mut committer, mut keepers) = (None, Vec::new());
        if core.options.mode == Mode::Active {
            committer = Some(core.runtime.spawn(committer::run(core.clone(), committing)));
            keepers = keep(&core);
            let shared = core.clone();
            core.spawn(async move {
                let report = resume::resume(shared, loaded.unfinished).await;
                let _nobody_waits = resuming.send(Some(report));
            });
        }
        let committer = Mutex::new(committer);
        let closed = tokio::sync::Mutex::new(None);
        let closing = Arc::new(Closing { core: core.clone(), committer, committer_ended, keepers, resumed, closed });
        Ok((Self { core, closing }, watching))
    }

    /// Registers the shard `key` for the mount of `url`; await it. An eager registration returns when the shard is
    /// Available or has failed (it stays then, Errored, until it is recovered or destroyed); see [`Register`] for the
    /// other ways. Dropping the future cancels the wait, not the work.
    pub fn register(&self, key: &str, url: &str) -> Register<'_> {
        Register::new(&self.core, ShardKey::new(key), MountUrl::parse(url))
    }

    /// Registers the shard `key` for a mount made by hand; see [`register`](Self::register). Its type must stand in the
    /// registry under exactly one scheme.
    pub fn register_mount(&self, key: &str, mount: &dyn Mount) -> Register<'_> {
        let url = self.core.registry.represent(mount);
        Register::new(&self.core, ShardKey::new(key), url)
    }

    /// Acquires the shard, for reading. A shard that waits for its first acquire, or whose index was lost, is initialised
    /// first. Dropping the future leaves no trace.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Failed`], [`Error::Destroyed`], [`Error::Quarantined`], [`Error::Paused`],
    /// [`Error::Closed`], [`Error::NotDurable`].
    pub async fn acquire(&self, key: &str) -> Result<ShardAccessor> {
        let acquired = acquire::acquire(&self.core, key).await;
        self.core.shared.metrics.acquired(&acquired);
        acquired
    }

    /// Initialises a failed shard again, and returns when it is Available.
    ///
    /// # Errors
    /// [`Error::NotErrored`], [`Error::Failed`] when it failed again, and those of [`acquire`](Self::acquire).
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn recover(&self, key: &str) -> Result<()> {
        let key = ShardKey::new(key)?;
        let recovered = self.request(&key, |waiter, now| Event::Recover { waiter: Some(waiter), now }).await;
        Metrics::operation("recover", &recovered);
        recovered
    }

    /// Destroys the shard: its index, its local copy and its record, but never its source. When the call returns, the destruction is
    /// durable. Once it was accepted it is finished even if the process dies.
    ///
    /// # Errors
    /// [`Error::InUse`], which changes nothing; [`Error::CleanupIncomplete`]; and those of [`acquire`](Self::acquire).
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn destroy(&self, key: &str) -> Result<()> {
        let key = ShardKey::new(key)?;
        let destroyed = self.request(&key, |waiter, now| Event::Destroy { waiter, now }).await;
        Metrics::operation("destroy", &destroyed);
        destroyed
    }

    /// What is known of the shard. Answers in a paused store, too.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Quarantined`], [`Error::InvalidKey`].
    pub fn info(&self, key: &str) -> Result<ShardInfo> {
        self.core.catalogue.look(key).and_then(ShardInfo::of_found).ok_or_else(|| self.core.not_found(key))
    }

    /// What is known of every shard, by key. Answers in a paused store, too.
    pub fn shards(&self) -> Vec<ShardInfo> {
        let mut shards: Vec<_> = self.core.catalogue.all().filter_map(ShardInfo::of_found).collect();
        shards.sort_by(|one, other| one.key.cmp(&other.key));
        shards
    }

    /// How many shards are in each state; states without any are left out. Much cheaper than [`shards`](Self::shards).
    pub fn counts(&self) -> BTreeMap<ShardState, usize> {
        let counts = ShardState::ALL.into_iter().zip(rest::counts(&self.core));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The keys of the shards that have a block of this CID's multihash and are Available, in the order of their registration.
    /// Their sources aren't read. An identity CID has its block in it, and no shard is told for it. What is registered
    /// while the stream is read may or may not be in it. An error ends the stream. Answers in a paused store, too.
    ///
    /// The stream's errors: [`Error::NoInvertedIndex`], [`Error::InvertedIncomplete`], [`Error::InvertedWaits`],
    /// [`Error::Index`], [`Error::Closed`].
    pub fn locate(&self, cid: &RawCid) -> BoxStream<'static, Result<ShardKey>> {
        inverted::locate(self.core.clone(), cid.clone())
    }

    /// Shards that had a block of this CID's multihash when they were indexed last and aren't Available now, in the order of their
    /// registration, `most` at most: those that have failed since, or are being recovered. Where [`locate`](Self::locate)
    /// tells no shard, they are the reason not to call the block absent. Answers in a paused store, too.
    ///
    /// # Errors
    /// Those of the stream of [`locate`](Self::locate).
    pub async fn locate_unavailable(&self, cid: &RawCid, most: usize) -> Result<Vec<ShardInfo>> {
        if cid.multihash().is_identity() {
            return Ok(Vec::new());
        }
        inverted::unavailable(&self.core, cid, most).await
    }

    /// What happens from now on, operation by operation. Nobody is held up by a reader, and one that is too slow is told how
    /// much it has [`Missed`](Watched::Missed). The stream ends when the store is closed; the crates `futures-util` and
    /// `tokio-stream` have the `next()` to read it with.
    pub fn trace(&self) -> impl Stream<Item = Watched<Trace>> + Send + Unpin + use<> {
        self.core.shared.watch.traces()
    }

    /// The shards that fail from now on; otherwise as [`trace`](Self::trace).
    pub fn failures(&self) -> impl Stream<Item = Watched<Failure>> + Send + Unpin + use<> {
        self.core.shared.watch.failures()
    }

    /// What the datastore said last, while it refuses writes, or that of the inverted index rows. Changes fail with [`Error::NotDurable`] then; shards that are
    /// Available are acquired and read as ever. The store tries again by itself.
    pub fn degraded(&self) -> Option<dagstore_datastore::Error> {
        let rows = || self.core.inverted.as_ref().and_then(Inverted::degraded);
        self.core.shared.commits.degraded().or_else(rows)
    }

    /// The records that can't be read. They are kept, and occupy their keys.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.core.quarantine.read().entries().to_vec()
    }

    /// Reads a record in quarantine again, and takes its shard up where that can be done now: because its scheme is known
    /// again, for instance. `row` is the [row's key](Quarantined::row).
    ///
    /// # Errors
    /// [`Error::StillQuarantined`], [`Error::NotQuarantined`], [`Error::Datastore`], [`Error::Paused`], [`Error::Closed`].
    pub async fn retry_quarantined(&self, row: &[u8]) -> Result<()> {
        self.core.check_active()?;
        quarantine::retry(&self.core, row).await
    }

    /// Deletes a record in quarantine; when the call returns, that is durable. Nothing is left of the shard then, and the next
    /// [`gc`](Self::gc) removes its files. `row` is the [row's key](Quarantined::row).
    ///
    /// # Errors
    /// [`Error::NotQuarantined`], [`Error::Datastore`], [`Error::Paused`], [`Error::Closed`].
    pub async fn drop_quarantined(&self, row: &[u8]) -> Result<()> {
        self.core.check_active()?;
        quarantine::discard(&self.core, row).await
    }

    /// The registry of the store.
    pub fn registry(&self) -> &dagstore_mount::Registry {
        &self.core.registry
    }

    /// Removes files of the store that belong to no shard, and finishes destructions that could not be finished before. The
    /// report counts what opening the store has removed, too, unless an earlier report did.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Copies`], [`Error::Paused`], [`Error::Closed`].
    pub async fn gc(&self) -> Result<GcReport> {
        self.gc_with(GcOptions::default()).await
    }

    /// As [`gc`](Self::gc), and as `options` say.
    ///
    /// # Errors
    /// Those of [`gc`](Self::gc).
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn gc_with(&self, options: GcOptions) -> Result<GcReport> {
        self.core.check_active()?;
        // What is being swept goes on to its end; nobody has to wait for a disk that hangs.
        let collected = self.core.unless_closed(gc::collect(&self.core, options)).await?;
        collected.map_err(|error| match error {
            Error::Closed => self.core.shared.closed_error(),
            error => error,
        })
    }

    /// Waits until all that an earlier process left unfinished is finished, and tells what became of it. It waits only some
    /// seconds for rows of the inverted index that have to be made and can't be: because an index can't be read, or the rows
    /// can't be written. That goes on.
    ///
    /// # Errors
    /// [`Error::Paused`], [`Error::Closed`].
    pub async fn resumed(&self) -> Result<ResumeReport> {
        self.core.check_active()?;
        let mut resumed = self.closing.resumed.clone();
        let report = resumed.wait_for(Option::is_some).await.map_err(|_| self.core.shared.closed_error())?;
        report.clone().ok_or_else(|| self.core.shared.closed_error())
    }

    /// Closes the store: refuses new calls, answers whoever waits with [`Error::Closed`], ends tasks, makes everything
    /// durable and frees the datastore. Accessors outlive it. A second call returns the same.
    ///
    /// # Errors
    /// [`Error::CloseTimedOut`] after the deadline of the options; [`Error::Datastore`] when the last writes are not
    /// durable. The store is closed all the same, and the next opening mends what was left.
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn close(&self) -> Result<()> {
        let mut closed = self.closing.closed.lock().await;
        if closed.is_none() {
            *closed = Some(self.core.close(&self.closing).await);
        }
        closed.as_ref().map_or(Ok(()), CloseOutcome::result)
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
            let cell = self.core.cell(key.as_str())?;
            let now = self.core.now();
            if let Some(reply) = self.core.ask(&cell, |waiter| event(waiter, now)).await? {
                return self.core.answered(key, reply);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Starts the tasks that go on for ever.
fn keep(core: &Arc<Core>) -> Vec<JoinHandle<()>> {
    vec![
        core.runtime.spawn(rest::run(core.clone())),
        core.runtime.spawn(retry::run(core.clone())),
        core.runtime.spawn(inverted::ask_again(core.clone())),
    ]
}

impl Core {
    pub(crate) fn answered(&self, key: &ShardKey, reply: Reply) -> Result<()> {
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
            Refusal::NotDurable => Error::NotDurable { key, source: self.shared.commits.degraded() },
        }
    }
}
