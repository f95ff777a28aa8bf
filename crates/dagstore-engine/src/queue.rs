//! A line of shards that wait to be worked on.

use std::collections::VecDeque;
use std::sync::Arc;

use dagstore_types::Registration;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cell::Cell;

/// Shards in the order in which they came. A shard is asked for once at a time, so the line is bounded by the catalogue;
/// how many are worked on at once is bounded by its room.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<(Arc<Cell>, Registration)>>,
    room: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new(room: usize) -> Self {
        Self { waiting: Mutex::default(), room: Arc::new(semaphore(room)) }
    }

    pub(crate) fn push(&self, cell: Arc<Cell>, registration: Registration) {
        self.waiting.lock().push_back((cell, registration));
    }

    /// The next one that there is room for.
    pub(crate) fn next(&self) -> Option<(OwnedSemaphorePermit, Arc<Cell>, Registration)> {
        loop {
            let room = self.room.clone().try_acquire_owned().ok()?;
            if let Some((cell, registration)) = self.waiting.lock().pop_front() {
                return Some((room, cell, registration));
            }
            drop(room);
            // One that came while there was no room is nobody's business but this one's.
            if self.len() == 0 {
                return None;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Lets nothing through any more.
    pub(crate) fn close(&self) {
        self.room.close();
        let waiting = std::mem::take(&mut *self.waiting.lock());
        drop(waiting);
    }
}

/// A semaphore with at least one permit.
pub(crate) fn semaphore(permits: usize) -> Semaphore {
    Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS))
}
