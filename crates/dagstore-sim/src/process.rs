//! One process: a runtime whose time is the sequence's own, the store, and the calls that wait for an answer.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dagstore_codec::Codecs;
use dagstore_engine::{Blocking, Engine, Error, Mode, Options, Parts, RecoveryPolicy, Retry, ShardAccessor};
use dagstore_index::{FingerprintKey, InvertedIndex};
use dagstore_mount::Registry;
use tokio::runtime::{Builder, Runtime};

use crate::event::{How, Setup};
use crate::ledger::Mark;
use crate::repo::SimRepo;
use crate::source::SimMount;
use crate::store::SimDatastore;
use crate::world::World;

/// The store's key of fingerprints.
pub(crate) const KEY: FingerprintKey = FingerprintKey([7; 16]);

/// How long the store waits before it tries again the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// A call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Register { key: usize, how: How },
    Acquire { key: usize },
    Recover { key: usize },
    Rebuild { key: usize },
    Destroy { key: usize },
    Collect,
    Resumed,
}

impl Call {
    pub(crate) fn key(self) -> Option<usize> {
        match self {
            Self::Register { key, .. }
            | Self::Acquire { key }
            | Self::Recover { key }
            | Self::Rebuild { key }
            | Self::Destroy { key } => Some(key),
            Self::Collect | Self::Resumed => None,
        }
    }
}

/// What a call gave.
pub(crate) type Outcome = Result<Option<ShardAccessor>, Error>;

/// A call that waits for its answer.
pub(crate) struct Pending {
    pub(crate) call: Call,
    /// How things were when it was made.
    pub(crate) mark: Mark,
    future: Pin<Box<dyn Future<Output = Outcome>>>,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) engine: Engine,
    /// Held beside the engine, to see at the end that nothing else holds it.
    store: Arc<SimDatastore>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) number: u64,
}

/// A runtime of one thread, whose time passes only when nothing can run.
pub(crate) fn runtime(setup: &Setup) -> std::io::Result<Rc<Runtime>> {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).event_interval(setup.turn).build().map(Rc::new)
}

impl Process {
    /// Opens the store.
    pub(crate) async fn open(world: &Arc<World>, setup: &Setup, mode: Mode, number: u64) -> Result<Self, Error> {
        let store = Arc::new(SimDatastore::open(world));
        let mut registry = Registry::new();
        registry.register("sim", SimMount::template(world))?;
        let inverted = InvertedIndex::new(store.clone(), KEY);
        let parts = Parts {
            datastore: store.clone(),
            inverted: Some(inverted),
            codecs: Codecs::default(),
            copies: None,
            registry,
            index_repo: Arc::new(SimRepo { world: world.clone() }),
            clock: Arc::new(world.clock()),
            hold: None,
        };
        let mut options = Options::default();
        options.mode = mode;
        options.blocking = Blocking::Inline;
        options.verify_on_index = true;
        options.max_indexing = setup.max_initialising;
        options.max_starts = setup.max_starts;
        options.persist_deadline = setup.persist_deadline;
        options.recovery = match setup.policy {
            0 => RecoveryPolicy::DoNotRecover,
            1 => RecoveryPolicy::RecoverOnAcquire,
            _ => RecoveryPolicy::RecoverNow,
        };
        options.retry = (setup.retries > 0).then(|| {
            let mut retry = Retry::default();
            (retry.max_retries, retry.first_pause) = (setup.retries, FIRST_PAUSE);
            retry
        });
        let engine = Engine::open(parts, options).await?;
        Ok(Self { engine, store, pending: Vec::new(), number })
    }

    /// Makes a call. It does nothing before it is polled.
    pub(crate) fn call(&mut self, call: Call, mark: Mark) {
        let engine = self.engine.clone();
        let future = Box::pin(async move {
            match call {
                Call::Register { key, how } => {
                    let (name, url) = (name(key), url(key));
                    let register = engine.register(&name, &url);
                    let register = match how {
                        How::Eager => register,
                        How::Lazy => register.lazy(),
                        How::Detached => register.detached(),
                    };
                    register.await.map(|()| None)
                }
                Call::Acquire { key } => engine.acquire(&name(key)).await.map(Some),
                Call::Recover { key } => engine.recover(&name(key)).await.map(|()| None),
                Call::Rebuild { key } => engine.rebuild_index(&name(key)).await.map(|()| None),
                Call::Destroy { key } => engine.destroy(&name(key)).await.map(|()| None),
                Call::Collect => engine.gc().await.map(|_| None),
                Call::Resumed => engine.resumed().await.map(|_| None),
            }
        });
        self.pending.push(Pending { call, mark, future });
    }

    /// Gives every call that waits a turn, in the order in which they were made, and returns those that are answered.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Vec<(Call, Mark, Outcome)> {
        let mut answered = Vec::new();
        self.pending.retain_mut(|pending| match pending.future.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                answered.push((pending.call, pending.mark.clone(), outcome));
                false
            }
        });
        answered
    }

    /// How many references those who wait may have: whoever has an index built anew has the shard open, and acquires it again.
    pub(crate) fn pending_acquires(&self, key: usize) -> usize {
        let references = |pending: &Pending| match pending.call {
            Call::Acquire { key: of } if of == key => 1,
            Call::Rebuild { key: of } if of == key => 2,
            _ => 0,
        };
        self.pending.iter().map(references).sum()
    }

    /// Ends the process as if it were killed; what it had open is dropped with it. Returns whether anything of it still
    /// holds the disk then.
    pub(crate) fn kill(self, runtime: Rc<Runtime>) -> bool {
        let Self { engine, store, pending, number: _ } = self;
        drop(pending);
        drop(engine);
        drop(runtime);
        Arc::strong_count(&store) > 1
    }
}

pub(crate) fn name(key: usize) -> String {
    format!("k{key}")
}

fn url(key: usize) -> String {
    format!("sim:{key}")
}
