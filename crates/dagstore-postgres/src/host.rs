//! The thread on which everything that speaks with the server runs.

use std::thread;

use dagstore_datastore::{Error, ErrorClass, Result};
use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::{BACKEND, own};

/// A thread with a runtime on it. Dropping it waits for nothing: the thread ends by itself, and the work on it.
pub(crate) struct Host {
    handle: Handle,
    last: Option<oneshot::Sender<BoxFuture<'static, ()>>>,
}

impl Host {
    /// Starts the thread.
    ///
    /// # Errors
    /// Of class [`ErrorClass::Transient`] when there can be no more threads.
    pub(crate) async fn start() -> Result<Self> {
        let (started, starting) = oneshot::channel();
        let (last, ending) = oneshot::channel::<BoxFuture<'static, ()>>();
        let spawned = thread::Builder::new().name("dagstore-postgres".to_owned()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            let _gone_away = started.send(Ok(runtime.handle().clone()));
            runtime.block_on(async {
                if let Ok(last) = ending.await {
                    last.await;
                }
            });
        });
        let no_thread = |error: std::io::Error| own("open", ErrorClass::Transient, error.to_string());
        spawned.map_err(no_thread)?;
        let handle = starting.await.map_err(|_| own("open", ErrorClass::Transient, "its thread has ended"))?;
        Ok(Self { handle: handle.map_err(no_thread)?, last: Some(last) })
    }

    /// Does work on the thread. Dropping the future after it was polled leaves the work running.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        run_on(&self.handle, operation, work).await
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread when this last work is done.
    pub(crate) fn end(&mut self, last: BoxFuture<'static, ()>) {
        if let Some(sender) = self.last.take() {
            let _has_ended = sender.send(last);
        }
    }
}

/// Does work on the thread of this handle.
pub(crate) async fn run_on<T: Send + 'static>(
    handle: &Handle,
    operation: &'static str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    match handle.spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => Err(own(operation, ErrorClass::Permanent, error.to_string())),
        Err(_) => Err(Error::Closed { backend: BACKEND }),
    }
}
