//! Removing what belongs to a shard that is being destroyed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_fsm::Event;
use dagstore_types::{ErrorKind, Registration, ShardError};
use futures_util::FutureExt;

use crate::cell::Cell;
use crate::core::Core;
use crate::error::index_error;
use crate::inverted;

/// Ends the shard's task and awaits its end, so that nothing can be written behind the clean-up; then removes rows and
/// index.
#[tracing::instrument(level = "debug", name = "clean_up", skip_all, fields(key = %cell.key(), %registration))]
pub(crate) async fn run(core: Arc<Core>, cell: Arc<Cell>, registration: Registration) {
    if let Some(task) = cell.with(|state| state.task.clone()) {
        task.end().await;
    }
    let attempt = cell.with(|state| state.shard.record().map(|record| record.attempt)).unwrap_or_default();
    let name = OwnName::new(cell.key(), registration, attempt);
    let removing = AssertUnwindSafe(inverted::remove_all(&core, name)).catch_unwind().await;
    let removed = removing.map_or_else(
        |_| Err(ShardError::new(ErrorKind::Internal, "the clean-up panicked; this is a fault of the program")),
        |removed| removed.map_err(|error| index_error(&error)),
    );
    let event = match removed {
        Ok(()) => Event::Destroyed { registration },
        Err(error) => Event::CleanupFailed { registration, error },
    };
    core.catalogue.unlink(registration);
    core.tell(&cell, event);
}
