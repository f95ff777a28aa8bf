//! Closing a store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::core::Core;
use crate::engine::Closing;
use crate::{Error, Result};

/// How long the datastore may take to close where nothing is left of the deadline.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How closing ended.
#[derive(Debug)]
pub(crate) enum CloseOutcome {
    Clean,
    TimedOut,
    NotDurable(dagstore_datastore::Error),
    Lost(dagstore_datastore::Error),
}

impl CloseOutcome {
    pub(crate) fn result(&self) -> Result<()> {
        match self {
            Self::Clean => Ok(()),
            Self::TimedOut => Err(Error::CloseTimedOut),
            Self::NotDurable(error) => Err(error.clone().into()),
            Self::Lost(source) => Err(Error::OwnershipLost { source: source.clone() }),
        }
    }
}

impl Core {
    /// Refuses new calls, drops everybody who waits, asks tasks to end, and closes what no accessor uses.
    pub(crate) fn stop_working(self: &Arc<Self>) {
        self.shared.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
        self.registering.close();
        self.starting.close();
        self.thawing.close();
        self.fetching.close();
        self.indexing.close();
        if let Some(copies) = self.copies.clone() {
            // What is held, a lock on the folder for instance, is held until nobody writes into it any more.
            let core = self.clone();
            self.spawn(async move {
                copies.close().await;
                drop(core);
            });
        }
        for cell in self.catalogue.cells() {
            cell.drop_waiters();
            cell.close_unused();
            if let Some(task) = cell.with(|state| state.task.clone()) {
                task.cancel();
            }
        }
        self.shared.watch.end();
    }

    /// Ends tasks, makes everything durable and frees the datastore, within the deadline of the options.
    pub(crate) async fn close(self: &Arc<Self>, closing: &Closing) -> CloseOutcome {
        self.stop_working();
        // A deadline beyond what a clock can tell is none.
        let deadline = Instant::now().checked_add(self.options.close_deadline);
        let mut committer_ended = closing.committer_ended.clone();
        let ending = async {
            self.tasks.closed().await;
            self.shared.commits.stop();
            while committer_ended.changed().await.is_ok() {}
        };
        let ended = within(deadline, ending).await;
        closing.abort();
        self.shared.commits.abandon();
        let core = self.clone();
        // On its own, because what is held must be held for as long as the datastore isn't free.
        let freeing = Handle::current().spawn(async move {
            let closed = core.datastore.close().await;
            let closed = match &core.inverted {
                Some(inverted) => closed.and(inverted.index.datastore().close().await),
                None => closed,
            };
            drop(core.hold.lock().take());
            closed
        });
        // Where tasks have used up the time, the datastore still gets a moment.
        let deadline = deadline.map(|deadline| deadline.max(Instant::now() + LAST_MOMENT));
        let freed = within(deadline, freeing).await;
        if let Some(error) = self.shared.lost.get() {
            return CloseOutcome::Lost(error.clone());
        }
        match (ended, self.shared.commits.degraded(), freed) {
            (None, ..) | (.., None) => CloseOutcome::TimedOut,
            (_, Some(error), _) | (_, None, Some(Ok(Err(error)))) => CloseOutcome::NotDurable(error),
            (_, None, Some(Ok(Ok(())))) => CloseOutcome::Clean,
            // The runtime shuts down, or the backend panicked.
            (_, None, Some(Err(_))) => CloseOutcome::TimedOut,
        }
    }
}

/// What `work` gives; `None` when the deadline has passed.
async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
    }
}
