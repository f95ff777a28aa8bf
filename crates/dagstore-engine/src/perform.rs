//! Carrying out what a transition asks of the engine.

use std::future::Future;
use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_fsm::{Effect, Effects, Event};
use dagstore_types::{Attempt, Registration};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::cell::{Asked, Cell, Reply};
use crate::core::Core;
use crate::options::Blocking;
use crate::{Result, cleanup, initialise, inverted};

impl Core {
    /// Carries out the effects, in order. Never waits: work is started as tasks.
    pub(crate) fn perform(self: &Arc<Self>, cell: &Arc<Cell>, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Enqueue { registration } => initialise::enqueue(self, cell, registration),
                Effect::CleanUp { registration } => {
                    self.spawn(cleanup::run(self.clone(), cell.clone(), registration));
                }
                Effect::Retry { registration, at } => self.retries.add(at, cell.key().clone(), registration),
                Effect::Discard { registration, attempt } => self.discard(cell, registration, attempt),
                Effect::Forget => self.catalogue.remove(cell),
                // The cell itself has done these.
                Effect::Persist
                | Effect::Rewrite { .. }
                | Effect::WriteBehind
                | Effect::Reply { .. }
                | Effect::Open { .. }
                | Effect::Defer(_)
                | Effect::Trace(_)
                | Effect::Failure(_)
                | Effect::Stale => {}
            }
        }
    }

    /// Lets an event happen and does what follows.
    pub(crate) fn tell(self: &Arc<Self>, cell: &Arc<Cell>, event: Event) {
        let effects = cell.tell(event);
        self.perform(cell, effects);
    }

    /// Lets an event happen and waits for its answer; `None` where the cell is out of the catalogue by now.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::OwnershipLost`](crate::Error::OwnershipLost).
    pub(crate) async fn ask(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        event: impl FnOnce(dagstore_fsm::WaiterId) -> Event,
    ) -> Result<Option<Reply>> {
        self.ask_with(None, cell, event).await
    }

    /// As [`ask`](Self::ask), with a permit that is held until the registration that it is for is durable.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::OwnershipLost`](crate::Error::OwnershipLost).
    pub(crate) async fn ask_with(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
        cell: &Arc<Cell>,
        event: impl FnOnce(dagstore_fsm::WaiterId) -> Event,
    ) -> Result<Option<Reply>> {
        let Asked::Waiting(waiting, effects) = cell.ask(permit, event) else { return Ok(None) };
        self.perform(cell, effects);
        // Closing drops all waiters once; whoever comes after that must not wait.
        if self.is_closed() {
            return Err(self.shared.closed_error());
        }
        waiting.answer().await
    }

    /// Starts a task that closing waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let running = self.tasks.subscribe();
        self.runtime.spawn(async move {
            work.await;
            drop(running);
        });
    }

    /// Starts work that blocks its thread. Aborting or dropping the handle leaves it running.
    pub(crate) fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self.options.blocking {
            Blocking::Threads => self.runtime.spawn_blocking(work),
            Blocking::Inline => self.runtime.spawn(async move { work() }),
        }
    }

    /// Removes the index of an attempt that was given up. One whose rows may have to go stays, until the shard has others.
    fn discard(self: &Arc<Self>, cell: &Arc<Cell>, registration: Registration, attempt: Attempt) {
        if self.inverted.is_some() {
            return;
        }
        let name = OwnName::new(cell.key(), registration, attempt);
        let core = self.clone();
        self.spawn(async move {
            // What stays behind is named by no record, so the next sweep removes it.
            if let Err(error) = inverted::remove_file(&core, name).await {
                tracing::warn!(%name, %error, "an index that was given up can't be removed yet");
            }
        });
    }
}
