//! Removing what belongs to a shard that is being destroyed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_fsm::Event;
use dagstore_types::{ErrorKind, Registration, ShardError};
use futures_util::FutureExt;

use crate::cell::Cell;
use crate::core::Core;
use crate::error::{copy_error, index_error};
use crate::inverted;

/// Ends the shard's task and awaits its end, so that nothing can be written behind the clean-up; then removes rows,
/// index and copy.
#[tracing::instrument(level = "debug", name = "clean_up", skip_all, fields(key = %cell.key(), %registration))]
pub(crate) async fn run(core: Arc<Core>, cell: Arc<Cell>, registration: Registration) {
    if let Some(task) = cell.with(|state| state.task.clone()) {
        task.end().await;
    }
    let (attempt, is_complete) = cell.with(|state| {
        let attempt = state.shard.record().map(|record| record.attempt).unwrap_or_default();
        (attempt, state.was_available_by == Some(attempt))
    });
    let name = OwnName::new(cell.key(), registration, attempt);
    let removing = async {
        inverted::remove_all(&core, name, is_complete).await.map_err(|error| index_error(&error))?;
        remove_copy(&core, name).await.map_err(|error| copy_error(&error))
    };
    let removed = AssertUnwindSafe(removing).catch_unwind().await.unwrap_or_else(|_| {
        Err(ShardError::new(ErrorKind::Internal, "the clean-up panicked; this is a fault of the program"))
    });
    let event = match removed {
        Ok(()) => Event::Destroyed { registration },
        Err(error) => Event::CleanupFailed { registration, error },
    };
    core.catalogue.unlink(registration);
    core.tell(&cell, event);
}

/// Nobody reads the shard any more, and nobody else knows its copy: it goes, pinned or not.
async fn remove_copy(core: &Core, name: OwnName) -> dagstore_transient::Result<()> {
    let Some(copies) = &core.copies else { return Ok(()) };
    // One that an acquire began goes on when nobody waits for it any more.
    copies.cancel(name).await;
    let evicted = copies.evict(name, true, true).await;
    // What a reader that has gone had asked for may come yet.
    copies.forget(name).await;
    match evicted {
        Ok(_) | Err(dagstore_transient::Error::NotLocal { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
