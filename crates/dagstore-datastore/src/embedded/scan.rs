//! Scans: pages that are read on the scanning thread, one of them ahead of whoever takes them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;

use futures_util::future::{FutureExt, MaybeDone, maybe_done};
use futures_util::stream::{self, StreamExt};

use super::{Engine, Shared, worker_failed};
use crate::thread::Worker;
use crate::{Error, Namespace, Result, RowPage, RowStream};

/// One scan.
pub(super) struct Scan<E> {
    shared: Weak<Shared<E>>,
    scanner: Arc<Worker>,
    backend: &'static str,
    place: Arc<str>,
    namespace: Namespace,
    prefix: Arc<[u8]>,
}

/// A page, and which opening of the database it was read from.
type Read = (RowPage, u64);

/// A page that is being read, or was.
type Reading = Pin<Box<MaybeDone<Pin<Box<dyn Future<Output = Result<Read>> + Send>>>>>;

/// Where a scan stands: behind which key it goes on, and the reading that has begun.
#[derive(Default)]
struct Place {
    after: Option<Vec<u8>>,
    ahead: Option<Reading>,
}

impl<E: Engine> Scan<E> {
    pub(super) fn new(shared: &Arc<Shared<E>>, scanner: &Arc<Worker>, namespace: Namespace, prefix: &[u8]) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            scanner: Arc::clone(scanner),
            backend: shared.backend,
            place: Arc::clone(&shared.place),
            namespace,
            prefix: prefix.into(),
        }
    }

    pub(super) fn into_stream(self) -> RowStream {
        let begin = Some((self, Place::default()));
        stream::unfold(begin, |state| async move {
            let (scan, place) = state?;
            match scan.next(place).await {
                Ok(None) => None,
                Ok(Some((page, place))) => Some((Ok(page), place.map(|place| (scan, place)))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// The next page, and where the scan goes on, if it does.
    async fn next(&self, mut place: Place) -> Result<Option<(RowPage, Option<Place>)>> {
        loop {
            let ahead = place.ahead.take();
            let was_ahead = ahead.is_some();
            let mut reading = ahead.unwrap_or_else(|| self.read(place.after.clone()));
            reading.as_mut().await;
            let (page, opening) = match reading.as_mut().take_output() {
                Some(Ok(read)) => read,
                // Nobody had asked for it yet, and what was wrong may have passed.
                Some(Err(_)) | None if was_ahead => continue,
                Some(Err(error)) => return Err(error),
                None => continue,
            };
            // What was read ahead counts only as long as it could be read now: not from a closed database, and not from
            // one that was opened again since, which may have forgotten what nothing had made durable.
            if self.opening()? != opening {
                continue;
            }
            if page.is_empty() {
                return Ok(None);
            }
            let after = page.last_key().filter(|_| page.is_full()).map(<[u8]>::to_vec);
            let Some(after) = after else { return Ok(Some((page, None))) };
            let mut ahead = self.read(Some(after.clone()));
            // Polled once, it is in the thread's queue.
            poll_fn(|context| Poll::Ready(ahead.poll_unpin(context).is_ready())).await;
            return Ok(Some((page, Some(Place { after: Some(after), ahead: Some(ahead) }))));
        }
    }

    /// Which opening of the database it is that is open now.
    fn opening(&self) -> Result<u64> {
        let shared = self.shared.upgrade().filter(|shared| !shared.is_closing.load(Ordering::Acquire));
        let shared = shared.ok_or(Error::Closed { backend: self.backend })?;
        Ok(shared.openings.load(Ordering::Acquire))
    }

    /// Reads a page; it begins with the first poll.
    fn read(&self, after: Option<Vec<u8>>) -> Reading {
        let (shared, scanner) = (Weak::clone(&self.shared), Arc::clone(&self.scanner));
        let (backend, place) = (self.backend, Arc::clone(&self.place));
        let (namespace, prefix) = (self.namespace, Arc::clone(&self.prefix));
        let reading = async move {
            let page = scanner.run(move || {
                let shared = shared.upgrade().ok_or(Error::Closed { backend })?;
                shared.read("scan", |engine| {
                    let opening = shared.openings.load(Ordering::Acquire);
                    Ok((engine.page(namespace, &prefix, after.as_deref())?, opening))
                })
            });
            page.await.map_err(|error| worker_failed(backend, "scan", error).at(&place))?
        };
        Box::pin(maybe_done(reading.boxed()))
    }
}
