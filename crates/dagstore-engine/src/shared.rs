//! What cells share with the rest of the engine. Accessors hold cells, so this outlives the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dagstore_codec::{Codecs, encode_row};
use dagstore_fsm::{Operation, Write};
use dagstore_types::{ShardKey, ShardRecord, ShardState};

use tokio::sync::Notify;

use crate::cell::Cell;
use crate::commits::Commits;
use crate::metrics::Metrics;
use crate::ownership::Lost;
use crate::watch::Watch;

/// How many cells there may be before shards are put to rest without having been left alone for a while.
const MOST_AWAKE: usize = 8 * 1024;

/// What cells share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) commits: Commits,
    pub(crate) watch: Watch,
    pub(crate) metrics: Metrics,
    pub(crate) codecs: Codecs,
    /// How many cells the catalogue has.
    pub(crate) awake: AtomicUsize,
    /// There are too many of them.
    pub(crate) crowded: Notify,
    /// Sources and indices that are open, whether or not an accessor uses them.
    pub(crate) opened: AtomicUsize,
    /// How many of them may stay open that no accessor uses.
    keep_open: usize,
    pub(crate) closed: AtomicBool,
    pub(crate) lost: Lost,
}

impl Shared {
    pub(crate) fn new(codecs: Codecs, keep_open: usize) -> Self {
        Self {
            commits: Commits::default(),
            watch: Watch::default(),
            metrics: Metrics::new(),
            codecs,
            awake: AtomicUsize::new(0),
            crowded: Notify::new(),
            opened: AtomicUsize::new(0),
            keep_open,
            closed: AtomicBool::new(false),
            lost: Lost::default(),
        }
    }

    /// A cell has come into the catalogue.
    pub(crate) fn woken(&self) {
        let awake = self.awake.fetch_add(1, Ordering::Relaxed) + 1;
        if awake > MOST_AWAKE && awake.is_multiple_of(MOST_AWAKE / 8) {
            self.crowded.notify_one();
        }
    }

    /// Cells have left the catalogue.
    pub(crate) fn put_to_rest(&self, cells: usize) {
        self.awake.fetch_sub(cells, Ordering::Relaxed);
    }

    /// Tells those who watch of an operation that took effect.
    #[inline]
    pub(crate) fn tell(&self, key: &ShardKey, operation: Operation, state: Option<ShardState>) {
        tracing::trace!(shard = %key, operation = operation.name());
        self.metrics.transition(operation);
        self.watch.trace(key, operation, state);
    }

    /// Encodes the cell's step and takes it up.
    pub(crate) fn persist(&self, cell: &Arc<Cell>) {
        let row = cell.with(|state| {
            state.shard.step().map(|step| match &step.write {
                Write::Delete(registration) => Ok((*registration, None)),
                Write::Put(record) => encode(&self.codecs, record).map(|row| (record.registration, Some(row))),
            })
        });
        match row {
            None => {}
            Some(Ok((registration, row))) => self.commits.persist(cell.clone(), registration, row.as_deref()),
            Some(Err(error)) => {
                tracing::error!(shard = %cell.key(), %error, "a record can't be encoded");
                self.commits.refuse(cell.clone());
            }
        }
    }

    /// Whether source and index of a shard may stay open behind its last accessor.
    pub(crate) fn keeps_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire) && self.opened.load(Ordering::Relaxed) <= self.keep_open
    }
}

/// The row of a record. A codec that panics is one that can't encode it: whoever waits is told.
pub(crate) fn encode(codecs: &Codecs, record: &ShardRecord) -> Result<Vec<u8>, String> {
    let encoded = catch_unwind(AssertUnwindSafe(|| encode_row(codecs.writer(), record)));
    encoded.map_or_else(|_| Err("the codec panicked".to_owned()), |encoded| encoded.map_err(|error| error.to_string()))
}
