//! Registration numbers: one counter for the store, never reused.

use std::sync::atomic::{AtomicU64, Ordering};

use dagstore_datastore::{Batch, Durability};
use dagstore_types::Registration;

use crate::Result;
use crate::core::Core;
use crate::rows::{META, NEXT_REGISTRATION};

/// Numbers from this one on are never given out: no store lives that long, so one that is met is damage.
pub(crate) const NUMBERS_END: u64 = 1 << 63;

/// How many numbers are made durable as given out at once. A crash loses at most so many.
const BLOCK: u64 = 1024;

/// Gives out registration numbers. None is given out before it is durable that it was.
#[derive(Debug)]
pub(crate) struct Registrations {
    next: AtomicU64,
    /// Numbers below this one may be given out.
    durable_end: AtomicU64,
    refill: tokio::sync::Mutex<()>,
}

impl Registrations {
    /// Begins with `next`, the durable end of what was given out before.
    pub(crate) fn new(next: u64) -> Self {
        let next = next.max(1);
        Self { next: next.into(), durable_end: next.into(), refill: tokio::sync::Mutex::new(()) }
    }

    /// The next number.
    ///
    /// # Errors
    /// [`Error::Datastore`](crate::Error::Datastore) when a new block can't be made durable,
    /// [`Error::Closed`](crate::Error::Closed).
    pub(crate) async fn next(&self, core: &Core) -> Result<Registration> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.durable_end.load(Ordering::Acquire) {
            let _one_at_a_time = self.refill.lock().await;
            // Closing waits for whoever holds this, so nothing is written after it.
            let _running = core.tasks.subscribe();
            core.check_active()?;
            if number >= self.durable_end.load(Ordering::Acquire) {
                let end = number + BLOCK;
                let mut batch = Batch::new();
                batch.put(META, NEXT_REGISTRATION.as_bytes(), &end.to_be_bytes());
                core.write(batch, Durability::Synced).await?;
                self.durable_end.store(end, Ordering::Release);
            }
        }
        Ok(Registration(number))
    }
}
