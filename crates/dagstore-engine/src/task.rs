//! A running task of a shard.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use crate::info::Progress;

/// A running task.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    cancelled: Arc<watch::Sender<bool>>,
    pub(crate) progress: Arc<Progress>,
    /// Closed when the task has ended.
    pub(crate) ended: watch::Receiver<()>,
}

impl Task {
    pub(crate) fn new(ended: watch::Receiver<()>) -> Self {
        Self { cancelled: Arc::new(watch::Sender::new(false)), progress: Arc::new(Progress::default()), ended }
    }

    /// Asks the task to end.
    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// What `work` gives, or `None` once the task is asked to end: `work` is dropped then.
    pub(crate) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut cancelled = self.cancelled.subscribe();
        tokio::select! {
            biased;
            // The sender is in the task itself, so this can't fail.
            _ = cancelled.wait_for(|cancelled| *cancelled) => None,
            value = work => Some(value),
        }
    }

    /// Asks the task to end, and waits until it has.
    pub(crate) async fn end(mut self) {
        self.cancel();
        // The sender is dropped with the task, and never sends.
        while self.ended.changed().await.is_ok() {}
    }
}
