//! Registration numbers: one counter for the store, never reused.

use std::sync::atomic::{AtomicU64, Ordering};

use dagstore_types::{Registration, ShardKey};

use crate::core::Core;
use crate::{Error, Result};

/// Numbers from this one on are never given out: no store lives that long, so one that is met is damage.
pub(crate) const NUMBERS_END: u64 = 1 << 63;

/// How many numbers are made durable as given out at once. A crash loses at most so many.
const BLOCK: u64 = 16 * 1024;

/// Gives out registration numbers. None is given out before it is durable that it was.
#[derive(Debug)]
pub(crate) struct Registrations {
    next: AtomicU64,
    /// Numbers below this one may be given out.
    durable_end: AtomicU64,
}

impl Registrations {
    /// Begins with `next`, the durable end of what was given out before.
    pub(crate) fn new(next: u64) -> Self {
        let next = next.max(1);
        Self { next: next.into(), durable_end: next.into() }
    }

    /// The next number, for the shard `key`. Where a new block is needed, it is written by the committer, like everything
    /// else: so an older end can't overtake a newer one.
    ///
    /// # Errors
    /// [`Error::NotDurable`] when a new block can't be made durable, [`Error::Closed`].
    pub(crate) async fn next(&self, core: &Core, key: &ShardKey) -> Result<Registration> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        while number >= self.durable_end.load(Ordering::Acquire) {
            core.check_active()?;
            let durable = core.shared.commits.give_out(number + BLOCK).await;
            if !durable {
                core.check_active()?;
                return Err(Error::NotDurable { key: key.clone(), source: core.shared.commits.degraded() });
            }
        }
        Ok(Registration(number))
    }

    /// Numbers below `end` may be given out from now on.
    pub(crate) fn made_durable(&self, end: u64) {
        self.durable_end.fetch_max(end, Ordering::AcqRel);
    }
}
