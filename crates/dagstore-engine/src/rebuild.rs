//! Building an index anew on request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_fs::OwnName;
use dagstore_types::{ErrorKind, ShardRecord};

use crate::core::Core;
use crate::info::ShardInfo;
use crate::metrics::Metrics;
use crate::{Engine, Error, Result, acquire};

impl Engine {
    /// Builds the shard's full index anew, and its rows of the inverted one, whatever those that are there look like: they are
    /// treated as if they had been found damaged. What [`verify`](Self::verify) finds wrong with an index is mended by it.
    /// Whoever has the shard open goes on with the old index. An index that is built while this waits isn't built twice. When
    /// the call returns, the shard is Available and that is durable.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire), for the source must still be what was indexed, where the index can say that;
    /// [`Error::Failed`] where it can't be indexed any more: the shard is Errored then, for the old index is given up before.
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn rebuild_index(&self, key: &str) -> Result<()> {
        let rebuilt = self.rebuild(key).await;
        Metrics::operation("rebuild_index", &rebuilt);
        rebuilt
    }

    async fn rebuild(&self, key: &str) -> Result<()> {
        let core: &Arc<Core> = &self.core;
        core.check_active()?;
        let before = self.info(key)?;
        let shard = match acquire::acquire(core, key).await {
            Err(error) if gives_up_unreadable(core, &before, &error).await => acquire::acquire(core, key).await?,
            acquired => acquired?,
        };
        let name = shard.index().meta().name;
        if (name.registration, name.attempt) != (before.registration, before.attempt) {
            return Ok(());
        }
        // One that is being built is of this program's making. Whether there was a source tells it from one that a process
        // before this one has published, of which only the rows are loaded.
        if before.progress.is_some_and(|progress| progress.total_bytes() > 0) {
            return Ok(());
        }
        shard.shard().is_index_damaged.store(true, Ordering::Relaxed);
        // The mark lasts as long as somebody has the shard open.
        let rebuilt = acquire::acquire(core, key).await;
        drop(shard);
        rebuilt.map(drop)
    }
}

/// Where the shard couldn't be acquired because its index can't be read, lets that be taken for lost. One that is damaged is,
/// by whoever opens it.
async fn gives_up_unreadable(core: &Arc<Core>, shard: &ShardInfo, error: &Error) -> bool {
    if !matches!(error, Error::Failed { source, .. } if source.kind() == ErrorKind::Storage) {
        return false;
    }
    let name = OwnName::new(&shard.key, shard.registration, shard.attempt);
    let repo = core.index_repo.clone();
    let opened = core.spawn_blocking(move || repo.open(name).map(drop)).await;
    let Ok(Err(unread)) = opened else { return false };
    let Some(cell) = core.catalogue.get(shard.key.as_str()) else { return false };
    tracing::warn!(%name, error = %unread, "an index that can't be read is given up, to be built anew");
    cell.with(|state| {
        let is_it = |record: &ShardRecord| (record.registration, record.attempt) == (name.registration, name.attempt);
        let is_there = state.shard.record().is_some_and(is_it);
        if is_there {
            state.gave_up_index = Some(name.attempt);
        }
        is_there
    })
}
