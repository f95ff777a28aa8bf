//! Building an index anew on request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::core::Core;
use crate::metrics::Metrics;
use crate::{Engine, Result, acquire};

impl Engine {
    /// Builds the shard's full index anew, and its rows of the inverted one, whatever those that are there look like: they are
    /// treated as if they had been found damaged. What [`verify`](Self::verify) finds wrong with an index is mended by it.
    /// Whoever has the shard open goes on with the old index. An index that is built while this waits isn't built twice. When
    /// the call returns, the shard is Available and that is durable.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire), for the source must still be what was indexed; [`Error::Failed`](crate::Error::Failed)
    /// where it can't be indexed any more: the shard is Errored then, for the old index is given up before.
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
        let shard = acquire::acquire(core, key).await?;
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
