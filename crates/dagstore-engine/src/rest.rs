//! Putting shards to rest that nothing is done with, and counting them.

use std::sync::Arc;
use std::time::Duration;

use dagstore_types::ShardState;
use tokio::time::Instant;

use crate::core::Core;

/// How long a shard stays awake that nobody asks for: once to twice this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the gauges of states are set.
const GAUGE_EVERY: Duration = Duration::from_secs(10);

/// Puts shards to rest, for ever.
pub(crate) async fn run(core: Arc<Core>) {
    let mut counted = Instant::now();
    loop {
        let is_crowded = tokio::time::timeout(LOOK_EVERY, core.shared.crowded.notified()).await.is_ok();
        {
            let _closing = core.closing_unused.lock();
            drop(core.catalogue.put_to_rest(is_crowded));
        }
        if counted.elapsed() >= GAUGE_EVERY {
            core.shared.metrics.shards(counts(&core));
            core.shared.metrics.initialising(core.starting.len() + core.thawing.len());
            counted = Instant::now();
        }
    }
}

/// How many shards are in each state, in the order of [`ShardState::ALL`].
pub(crate) fn counts(core: &Core) -> [usize; ShardState::ALL.len()] {
    let mut counts = [0; ShardState::ALL.len()];
    for (state, ..) in core.catalogue.states() {
        if let Some(at) = ShardState::ALL.iter().position(|one| *one == state) {
            counts[at] += 1;
        }
    }
    counts
}
