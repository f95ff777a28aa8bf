//! What is told of a shard.

use std::sync::atomic::{AtomicU64, Ordering};

use dagstore_types::{Attempt, Registration, ShardError, ShardKey, ShardRecord, ShardState, UnixMillis};

use crate::catalogue::Found;
use crate::cell::Cell;

/// A shard, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardInfo {
    /// Its name.
    pub key: ShardKey,
    /// Its mount's URL.
    pub url: String,
    /// Its state.
    pub state: ShardState,
    /// Whether work waits for the first acquire.
    pub lazy: bool,
    /// Why it is Errored.
    pub error: Option<ShardError>,
    /// Open accessors, and those being opened.
    pub references: u32,
    /// Which registration it is.
    pub registration: Registration,
    /// The last start of work.
    pub attempt: Attempt,
    /// Starts since it was last Available, Errored by its work, or recovered.
    pub starts: u32,
    /// How often the store has tried again by itself since it was last Available or recovered by somebody.
    pub retries: u32,
    /// When the store tries again by itself.
    pub next_try: Option<UnixMillis>,
    /// Whether it is Available without an index of its own, by the one inside its CAR: that one is believed only where it proves
    /// right, and its blocks aren't found over all shards yet.
    pub provisional: bool,
    /// When its record last changed.
    pub changed: UnixMillis,
    /// Whether a change is being made durable.
    pub writing: bool,
    /// How far the work is, where it is being done.
    pub progress: Option<Progress>,
}

impl ShardInfo {
    /// What is told of a cell; `None` where nothing is durable of it yet, or any more.
    pub(crate) fn of(cell: &Cell) -> Option<Self> {
        cell.with(|state| {
            let mut info = Self::of_record(state.shard.record()?.clone());
            info.references = state.shard.references();
            info.writing = state.shard.step().is_some();
            info.progress = state.task.as_ref().map(|task| task.progress.snapshot());
            Some(info)
        })
    }

    /// What is told of a shard that nothing is done with.
    pub(crate) fn of_record(record: ShardRecord) -> Self {
        Self {
            key: record.key,
            url: record.url,
            state: record.state,
            lazy: record.lazy,
            error: record.error,
            references: 0,
            registration: record.registration,
            attempt: record.attempt,
            starts: record.starts,
            retries: record.retries,
            next_try: record.next_try,
            provisional: record.provisional,
            changed: record.changed,
            writing: false,
            progress: None,
        }
    }

    pub(crate) fn of_found(found: Found) -> Option<Self> {
        match found {
            Found::Awake(cell) => Self::of(&cell),
            Found::Resting(record) => Some(Self::of_record(record)),
        }
    }
}

/// How far a shard's initialisation is, in bytes of its CAR.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl Progress {
    /// Bytes that are done.
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Bytes in all; 0 before the source was opened.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, done_bytes: u64, total_bytes: u64) {
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Self {
        self.clone()
    }
}

impl Clone for Progress {
    fn clone(&self) -> Self {
        Self { done_bytes: self.done_bytes().into(), total_bytes: self.total_bytes().into() }
    }
}

impl PartialEq for Progress {
    fn eq(&self, other: &Self) -> bool {
        (self.done_bytes(), self.total_bytes()) == (other.done_bytes(), other.total_bytes())
    }
}

impl Eq for Progress {}
