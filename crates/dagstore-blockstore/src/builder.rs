//! Setting a block store up.

use std::sync::Arc;
use std::time::Duration;

use dagstore_engine::Engine;

use crate::blockstore::Setup;
use crate::{Blockstore, OpenFirst, Select};

/// Sets a block store up. What isn't set is as [`Blockstore::new`] has it.
#[must_use]
pub struct Builder {
    engine: Engine,
    setup: Setup,
}

impl Builder {
    pub(crate) fn new(engine: &Engine) -> Self {
        let setup =
            Setup { selector: Arc::new(OpenFirst), verify: true, most_asked: 16, patience: Duration::from_secs(1) };
        Self { engine: engine.clone(), setup }
    }

    /// Which shards are asked for a block; [`OpenFirst`] unless another one is set.
    pub fn selector(mut self, selector: impl Select) -> Self {
        self.setup.selector = Arc::new(selector);
        self
    }

    /// Returns data as it is, without hashing it. Otherwise data that doesn't match its CID, or that can't be checked, is never
    /// returned.
    pub fn unverified(mut self) -> Self {
        self.setup.verify = false;
        self
    }

    /// How many shards are asked for one block before it is given up: 16 unless set, and 1 at least. The first one that has
    /// the block is the last one, so this counts those that fail.
    pub fn most_asked(mut self, shards: usize) -> Self {
        self.setup.most_asked = shards.max(1);
        self
    }

    /// How long a shard may take before the next one is asked beside it: a second unless set. A shard whose index was lost, for
    /// instance, is indexed first. The last one is waited for without a limit.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.setup.patience = patience;
        self
    }

    /// The block store.
    pub fn build(self) -> Blockstore {
        Blockstore { engine: self.engine, setup: self.setup }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("setup", &self.setup).finish_non_exhaustive()
    }
}
