//! Local copies in which something is damaged. Where the source still has the very content, such a copy is given up, and who
//! acquires the shard next reads the source. One that may be the last of its content stays, because most of it may be whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dagstore_fs::OwnName;
use dagstore_mount::Stat;
use dagstore_transient::Lease;

use crate::Error;
use crate::accessor::OpenShard;
use crate::core::Core;

/// A shard's copy is given up no more often: a block that is bad at its source, too, must not have everything fetched for each
/// time that it is read.
pub(crate) const PAUSE: Duration = Duration::from_mins(1);

/// What is known of the copy that an open shard is read from.
#[derive(Debug, Default)]
pub(crate) struct CopyHealth {
    is_doubted: AtomicBool,
    is_given_up: AtomicBool,
}

impl CopyHealth {
    /// Whether the copy was given up: it is read by those that have it open, and by nobody else.
    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }
}

impl OpenShard {
    /// Whether it will do for who comes next.
    pub(crate) fn is_good(&self) -> bool {
        !self.is_index_damaged.load(Ordering::Relaxed) && !self.copy.is_given_up()
    }

    /// Something that was read isn't what was indexed, or can't be read.
    pub(crate) fn doubt_copy(&self) {
        self.copy.is_doubted.store(true, Ordering::Relaxed);
    }

    /// Doubts the copy where an error says something against it.
    pub(crate) fn doubt_copy_for(&self, error: &Error) {
        match error {
            Error::Car(dagstore_car::Error::Unverifiable { .. }) => {}
            Error::Car(_) | Error::Misplaced { .. } => self.doubt_copy(),
            _ => {}
        }
    }

    /// Gives the copy up, where it is one and there is a doubt about it.
    pub(crate) async fn look_after_copy(&self) {
        if !self.copy.is_doubted.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(core) = self.core.upgrade() else { return };
        let name = self.index.meta().name;
        // A shard that is read piece by piece reads a copy, too, once there is one.
        let of_copy = || core.copies.as_ref().and_then(|copies| copies.content(name));
        let Some(content) = self.lease.as_ref().map(Lease::stat).or_else(of_copy) else { return };
        let is_time = core.cell(self.key.as_str()).is_ok_and(|cell| cell.may_give_up_copy());
        if is_time && core.give_up_copy(name, &content).await {
            self.copy.is_given_up.store(true, Ordering::Relaxed);
        }
    }
}

impl Core {
    /// Removes a copy in which something is damaged, unless it is pinned or may be the last of its content. Returns whether it
    /// has. Who has it open goes on with it.
    pub(crate) async fn give_up_copy(&self, name: OwnName, content: &Stat) -> bool {
        let Some(copies) = self.copies.as_ref().filter(|copies| !copies.is_pinned(name)) else { return false };
        if !self.source_has(name.registration, content).await {
            return false;
        }
        match copies.evict(name, true, true).await {
            Ok(_) => {
                tracing::warn!(%name, "a damaged local copy was given up");
                true
            }
            Err(error) => {
                tracing::debug!(%name, %error, "a damaged local copy stays");
                false
            }
        }
    }
}
