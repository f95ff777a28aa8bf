//! References to shards.

use std::sync::Arc;

use dagstore_types::{Attempt, Registration};

use crate::cell::Cell;

/// A counted reference to a shard that is Available or Serving. Dropping it is the release: in any thread, with or
/// without a runtime, before and after the store is closed.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) cell: Option<Arc<Cell>>,
    pub(crate) registration: Registration,
    pub(crate) attempt: Attempt,
}

impl Reference {
    /// Gives the reference up without releasing it: an event that releases it follows.
    pub(crate) fn give_up(mut self) -> Option<Arc<Cell>> {
        self.cell.take()
    }

    pub(crate) fn cell(&self) -> Option<&Arc<Cell>> {
        self.cell.as_ref()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.release();
        }
    }
}
