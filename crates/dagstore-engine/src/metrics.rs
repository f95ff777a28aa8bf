//! The engine's metrics, told through the `metrics` facade: nothing is counted where no recorder is installed.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | `dagstore_shards` | gauge | `state` | shards by state, every few seconds |
//! | `dagstore_operations_total` | counter | `operation`, `result` | calls by their outcome, `ok` or an error's name |
//! | `dagstore_transitions_total` | counter | `operation` | operations that took effect, by their trace name |
//! | `dagstore_batch_rows` | histogram | - | rows in a batch that was written |
//! | `dagstore_sync_seconds` | histogram | - | how long a batch took to be durable |
//! | `dagstore_queue_depth` | gauge | `queue` | steps that wait to be written, shards that wait to be initialised |
//! | `dagstore_stale_total` | counter | - | completions of another life of a shard, dropped |

use std::time::Duration;

use dagstore_fsm::Operation;
use dagstore_types::ShardState;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles that are looked up once, when a store is opened: a recorder installed later sees nothing of it.
pub(crate) struct Metrics {
    transitions: [Counter; Operation::ALL.len()],
    shards: [Gauge; ShardState::ALL.len()],
    batch_rows: Histogram,
    sync_seconds: Histogram,
    committing: Gauge,
    initialising: Gauge,
    stale: Counter,
    acquired: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            transitions: Operation::ALL
                .map(|operation| counter!("dagstore_transitions_total", "operation" => operation.name())),
            shards: ShardState::ALL.map(|state| gauge!("dagstore_shards", "state" => state.name())),
            batch_rows: histogram!("dagstore_batch_rows"),
            sync_seconds: histogram!("dagstore_sync_seconds"),
            committing: gauge!("dagstore_queue_depth", "queue" => "committing"),
            initialising: gauge!("dagstore_queue_depth", "queue" => "initialising"),
            stale: counter!("dagstore_stale_total"),
            acquired: counter!("dagstore_operations_total", "operation" => "acquire", "result" => "ok"),
        }
    }

    #[inline]
    pub(crate) fn transition(&self, operation: Operation) {
        self.transitions[operation as usize].increment(1);
    }

    pub(crate) fn stale(&self) {
        self.stale.increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn batch(&self, rows: usize, waiting: usize, took: Duration) {
        self.batch_rows.record(rows as f64);
        self.sync_seconds.record(took.as_secs_f64());
        self.committing.set(waiting as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn initialising(&self, waiting: usize) {
        self.initialising.set(waiting as f64);
    }

    /// Sets the gauges of all states.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn shards(&self, counts: [usize; ShardState::ALL.len()]) {
        for (gauge, count) in self.shards.iter().zip(counts) {
            gauge.set(count as f64);
        }
    }

    /// Counts an acquire, which must cost next to nothing where it succeeds.
    #[inline]
    pub(crate) fn acquired<T>(&self, result: &crate::Result<T>) {
        match result {
            Ok(_) => self.acquired.increment(1),
            Err(_) => Self::operation("acquire", result),
        }
    }

    /// Counts a call by its outcome.
    pub(crate) fn operation<T>(operation: &'static str, result: &crate::Result<T>) {
        let result = result.as_ref().err().map_or("ok", crate::Error::name);
        counter!("dagstore_operations_total", "operation" => operation, "result" => result).increment(1);
    }
}
