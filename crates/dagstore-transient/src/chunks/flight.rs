//! One request for neighbouring chunks, for all who want them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dagstore_mount::Mount;

use super::room::reserve;
use super::{Chunks, Request};
use crate::state::Shared;
use crate::{Error, Result, off_the_runtime};

/// For each as many bytes that are begun a request has the idle time-out once.
const BYTES_PER_TIMEOUT: u64 = 1 << 20;

/// What a request is made with.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) shared: Arc<Shared>,
    pub(super) chunks: Arc<Chunks>,
    pub(super) mount: Arc<dyn Mount>,
}

/// Forgets the request when it ends, in whatever way.
struct Landing(Asking, RangeInclusive<u64>);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.chunks.land(&self.1);
        self.0.shared.forget_chunks_if_empty(&self.0.chunks);
    }
}

impl Asking {
    /// Makes a request, tells those who wait, and writes down what came. A task of its own: it goes on when nobody waits
    /// any more.
    pub(super) async fn fly(self, request: Request) {
        let Request { numbers, outcome } = request;
        let landing = Landing(self.clone(), numbers.clone());
        let open = Arc::clone(&self.shared.requests).try_read_owned();
        let first = *numbers.start();
        let (at, end) =
            (self.chunks.start_of(first), self.chunks.start_of(numbers.end() + 1).min(self.chunks.stat.size));
        // Who is closed changes nothing in the folder any more, which may be another's.
        let room = if *self.shared.closing.borrow() {
            None
        } else {
            let (asking, count) = (self.clone(), numbers.end() - first + 1);
            let reserved = move || Ok(reserve(&asking.shared, &asking.chunks, asking.chunks.room_for(count, end - at)));
            off_the_runtime(self.chunks.name, reserved).await.unwrap_or(None)
        };
        let result = match &open {
            Ok(_) => self.ask(at, end - at).await,
            Err(_) => Err(Error::Closed),
        };
        match result {
            Ok(bytes) => {
                // Nobody may wait for it any more.
                let _ = outcome.send(Some(Ok(bytes.clone())));
                if let Some(room) = room {
                    let asking = self.clone();
                    let store = move || asking.chunks.store(&asking.shared, first, &bytes, room);
                    // What can't be kept is asked for again: those who wanted it have it.
                    let _ = off_the_runtime(self.chunks.name, store).await;
                }
                drop(landing);
            }
            Err(error) => {
                drop(room);
                if let Error::SourceChanged { .. } = error {
                    let asking = self.clone();
                    let thrown_away = move || asking.chunks.drop_files(&asking.shared);
                    // What can't be removed is never believed again, and goes with the next writing or opening.
                    let _ = off_the_runtime(self.chunks.name, thrown_away).await;
                }
                // Who asks from now on asks anew.
                drop(landing);
                let _ = outcome.send(Some(Err(error)));
            }
        }
        drop(open);
    }

    async fn ask(&self, at: u64, len: u64) -> Result<Bytes> {
        let (name, stat) = (self.chunks.name, &self.chunks.stat);
        let waited = self.timeout(len);
        let mut closing = self.shared.closing.subscribe();
        let length = usize::try_from(len).map_err(|_| Error::NeedsCopy { name, why: "so much isn't read at once" })?;
        let bytes = tokio::select! {
            // Where they are closed, nothing is asked at all.
            biased;
            _ = closing.wait_for(|is_closed| *is_closed) => return Err(Error::Closed),
            answer = tokio::time::timeout(waited, self.mount.read(at, length, stat)) => {
                let answer = answer.map_err(|_| Error::Idle { name, waited })?;
                answer.map_err(|error| Error::of_source(name, error))?
            }
        };
        if bytes.len() == length {
            return Ok(bytes);
        }
        let relation = if bytes.len() < length { "only" } else { "at least" };
        Err(Error::WrongSize { name, announced: stat.size, relation, given: at + bytes.len() as u64 })
    }

    fn timeout(&self, len: u64) -> Duration {
        let times = u32::try_from(len.div_ceil(BYTES_PER_TIMEOUT)).unwrap_or(u32::MAX);
        self.shared.options.idle_timeout.saturating_mul(times.max(1))
    }
}
