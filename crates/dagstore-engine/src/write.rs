//! Writing with patience.

use std::time::Duration;

use dagstore_datastore::{Batch, Durability, Error, ErrorClass};
use tokio::time::Instant;

use crate::core::Core;

/// Between two tries of the same batch: from the first pause, doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

impl Core {
    /// Writes the batch, again and again where that can help, until the deadline of the options. Writing it twice does no
    /// harm. While the datastore is known to refuse writes there is one try only.
    ///
    /// # Errors
    /// What the datastore said last. Whether the batch will be seen is unknown then.
    pub(crate) async fn write(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        let degraded = self.shared.commits.degraded();
        let patience = if degraded.is_some() { Duration::ZERO } else { self.options.persist_deadline };
        // A deadline beyond what a clock can tell is none.
        let deadline = Instant::now().checked_add(patience);
        let mut reopen = degraded.is_some_and(|error| error.class() == ErrorClass::NeedsReopen);
        let mut pause = FIRST_PAUSE;
        loop {
            let Err(error) = self.try_write(batch.clone(), durability, reopen).await else { return Ok(()) };
            let class = error.class();
            let hopeless = !matches!(class, ErrorClass::Transient | ErrorClass::NeedsReopen);
            if hopeless || deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
                return Err(error);
            }
            tracing::warn!(%error, "writing again");
            reopen = class == ErrorClass::NeedsReopen;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn try_write(&self, batch: Batch, durability: Durability, reopen: bool) -> Result<(), Error> {
        if reopen {
            self.datastore.reopen().await?;
        }
        self.datastore.write(batch, durability).await
    }
}
