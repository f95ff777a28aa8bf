//! Publishing indices: those of small shards together, for a sync of their own would cost each more than its indexing.

use std::sync::Arc;

use dagstore_index::{IndexBuilder, IndexSummary, Result};
use dagstore_types::{ErrorKind, ShardError};

use crate::core::Core;
use crate::error::index_error;
use crate::gather::Gathering;
use crate::initialise::died;
use crate::ownership;
use crate::task::Task;

/// The indices that wait to be published.
pub(crate) type Publisher = Gathering<Box<dyn IndexBuilder>, Result<IndexSummary>>;

/// Publishes an index. It is durable when this returns.
pub(crate) async fn publish(core: &Core, built: Box<dyn IndexBuilder>, task: &Task) -> Result<(), ShardError> {
    let lost = core.shared.lost.clone();
    let publish = move || ownership::check(&lost, "publish").and_then(|()| built.publish());
    let published = core.spawn_blocking(publish).await;
    tell(published.map_err(|error| died(&error, task))?)
}

/// Publishes an index with those of others. It is durable when this returns, whatever becomes of the others.
pub(crate) async fn publish_together(core: &Arc<Core>, built: Box<dyn IndexBuilder>) -> Result<(), ShardError> {
    let shared = core.clone();
    let publish = move |builders: Vec<_>| {
        let (core, repo) = (shared.clone(), shared.index_repo.clone());
        async move { core.spawn_blocking(move || repo.publish_group(builders)).await.unwrap_or_default() }
    };
    let given_up = "publishing indices panicked, which is a fault of the program, or the store closes";
    let published = core.publisher.take_part(core, built, publish).await;
    tell(published.ok_or_else(|| ShardError::new(ErrorKind::Internal, given_up))?)
}

fn tell(published: Result<IndexSummary>) -> Result<(), ShardError> {
    let summary = published.map_err(|error| index_error(&error))?;
    tracing::debug!(entries = summary.entries, bytes = summary.file_bytes, "an index was published");
    Ok(())
}
