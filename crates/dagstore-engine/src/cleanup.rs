//! Removing what belongs to a shard that is being destroyed.

use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_fsm::Event;
use dagstore_types::{ErrorKind, Registration, ShardError};

use crate::cell::Cell;
use crate::core::Core;
use crate::error::index_error;

/// Ends the shard's task and awaits its end, so that nothing can be written behind the clean-up; then removes the index.
#[tracing::instrument(level = "debug", name = "clean_up", skip_all, fields(key = %cell.key(), %registration))]
pub(crate) async fn run(core: Arc<Core>, cell: Arc<Cell>, registration: Registration) {
    if let Some(task) = cell.with(|state| state.task.clone()) {
        task.end().await;
    }
    let attempt = cell.with(|state| state.shard.record().map(|record| record.attempt)).unwrap_or_default();
    let name = OwnName::new(cell.key(), registration, attempt);
    let repo = core.index_repo.clone();
    let removed = core.spawn_blocking(move || repo.remove(name)).await;
    let event = match removed {
        Ok(Ok(_was_there)) => Event::Destroyed { registration },
        Ok(Err(error)) => Event::CleanupFailed { registration, error: index_error(&error) },
        Err(_panicked) => {
            let error = ShardError::new(ErrorKind::Internal, "the clean-up panicked; this is a fault of the program");
            Event::CleanupFailed { registration, error }
        }
    };
    core.tell(&cell, event);
}
