//! What an engine is opened with.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use dagstore_car::ReadOptions;
use dagstore_codec::Codecs;
use dagstore_datastore::Datastore;
use dagstore_fs::Clock;
use dagstore_fsm::RecoveryPolicy;
use dagstore_index::{IndexRepo, InvertedIndex};
use dagstore_mount::Registry;

use crate::{Indexer, LocalCopies, Retry};

/// The seams of a store.
#[derive(Debug)]
pub struct Parts {
    /// Where records are kept.
    pub datastore: Arc<dyn Datastore>,
    /// How records are written, and which can be read.
    pub codecs: Codecs,
    /// How mounts are revived from their URLs.
    pub registry: Registry,
    /// Where full indices are kept.
    pub index_repo: Arc<dyn IndexRepo>,
    /// Where local copies are kept of sources that can't be read where they are. Without it no such shard can be registered.
    pub copies: Option<LocalCopies>,
    /// Which shards have a block, where the store is to know that; it may be in the same datastore. The store closes its
    /// datastore, too.
    pub inverted: Option<InvertedIndex>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Something to keep until the store is closed or every task has ended, a directory lock for instance.
    pub hold: Option<Box<dyn Hold>>,
}

/// What can be held: anything.
pub trait Hold: Any + Send + Sync + std::fmt::Debug {}

impl<T: Any + Send + Sync + std::fmt::Debug> Hold for T {}

/// Bounds and policies of an engine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Whether the engine may work and write.
    pub mode: Mode,
    /// Whether to refuse opening when a record can't be read, instead of setting it aside.
    pub strict: bool,
    /// What to do about shards that were Errored when the store stopped.
    pub recovery: RecoveryPolicy,
    /// After how many starts that the process didn't survive a shard is given up; 0 counts as 1.
    pub max_starts: u32,
    /// Whether and when shards are recovered by the store itself; `None` leaves that to somebody.
    pub retry: Option<Retry>,
    /// How many sources are opened and fetched at once. Others wait in line, here and below.
    pub max_fetching: usize,
    /// How many shards are indexed at once.
    pub max_indexing: usize,
    /// How many shards that are indexed are finished at once: indices published, rows added to the inverted index. Small ones
    /// go together.
    pub max_finishing: usize,
    /// How many sources that aren't ready are waited for at once, apart from those that are.
    pub max_thawing: usize,
    /// How long a source may take to say whether it is ready before it is treated as one that isn't.
    pub stat_deadline: Duration,
    /// How many shards keep source and index open behind their last accessor, for a second or two, because the next one often
    /// comes soon. It isn't looked at meanwhile whether the source has changed: blocks that are read are hashed all the same
    /// where [`verify_on_read`](Self::verify_on_read) is set. Each has a file or two.
    pub keep_open: usize,
    /// How sources are read that are far away.
    pub remote: Remote,
    /// How many registrations may wait to be durable at once. Whoever brings another one waits for a place.
    pub max_registering: usize,
    /// Whether every block is hashed while it is indexed, which reads all of a source that would otherwise be read in parts.
    pub verify_on_index: bool,
    /// Which blocks are indexed, where these aren't all.
    pub indexer: Option<Arc<dyn Indexer>>,
    /// Whether every block is hashed when it is read.
    pub verify_on_read: bool,
    /// Limits of CARs, and whether a section of length zero ends one.
    pub car: ReadOptions,
    /// How long a write is tried before those who wait for it are told that it isn't durable.
    pub persist_deadline: Duration,
    /// How long closing waits for running tasks.
    pub close_deadline: Duration,
    /// Where work runs that blocks its thread.
    pub blocking: Blocking,
}

/// Whether an engine may work and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// It resumes what was interrupted, and serves everything.
    #[default]
    Active,
    /// It reads the catalogue and answers questions about it. It resumes nothing, collects nothing, and writes no row and no
    /// file of its own; what an embedded database does to its files when it is opened remains.
    Paused,
}

/// How sources are read that are far away, and have no local copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Remote {
    /// Piece by piece, where they can be held to one content: a block of a shard that was indexed costs a request, and not all of the
    /// shard. One that is registered as lazy, and has an index inside its CAR, is Available for its first reader by that
    /// index, which is believed only where it proves right ([`ShardInfo::provisional`](crate::ShardInfo::provisional)).
    #[default]
    Piecewise,
    /// All of it is fetched when the shard is acquired.
    Copied,
}

/// Where work runs that blocks its thread: reading a CAR, opening, publishing and removing an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Blocking {
    /// On the runtime's threads for such work.
    #[default]
    Threads,
    /// On the runtime itself, in its usual order. Only for a store whose files and sources are in memory: there it makes
    /// the order of everything on a runtime of one thread the same every time, and pauses are drawn from no random numbers.
    Inline,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Active,
            strict: false,
            recovery: RecoveryPolicy::DoNotRecover,
            max_starts: 3,
            retry: None,
            max_fetching: 4,
            max_indexing: 4,
            max_finishing: 64,
            max_thawing: 64,
            stat_deadline: Duration::from_secs(10),
            keep_open: 256,
            remote: Remote::Piecewise,
            max_registering: 16 * 1024,
            verify_on_index: false,
            indexer: None,
            verify_on_read: true,
            car: ReadOptions { zero_length_is_end: true, ..ReadOptions::default() },
            persist_deadline: Duration::from_secs(10),
            close_deadline: Duration::from_secs(30),
            blocking: Blocking::Threads,
        }
    }
}
