//! What can be set.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::{Clock, OwnName, SystemClock};
use dagstore_mount::Stat;

/// How the copies are kept. [`Default`] is a start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The most bytes that all files in the folder may have together, partial ones, sidecars and chunks included; `None` for no
    /// bound. It is the files' lengths that count: what a file system adds for blocks and directories is its own.
    pub quota_bytes: Option<u64>,
    /// How many bytes are to stay free on the disk, where the file system tells how many there are.
    pub keep_free_bytes: u64,
    /// After how many bytes what was fetched is made durable, so that a crash costs no more than this. 0 counts as 1.
    pub checkpoint_bytes: u64,
    /// How many bytes are gathered before they are shown and written. Two such pieces are in memory for each fetch.
    /// 0 counts as 1.
    pub chunk_bytes: usize,
    /// How many fetches may wait for room at once.
    pub max_waiters: usize,
    /// How long a fetch waits for room.
    pub room_deadline: Duration,
    /// How much time may pass before a newer use of a copy is written down. After a restart the least recently used copy
    /// is known this roughly.
    pub use_step: Duration,
    /// Looks whether sources exist, for copies of which that isn't known in this run: without it such copies are never
    /// evicted to make room, because each could be the last.
    pub sources: Option<Arc<dyn Sources>>,
    /// How many bytes a chunk of a source has that is read piecewise ([`Copies::remote`](crate::Copies::remote)): as much is
    /// asked for, kept and checked at once. Between 1 and 16 MiB; chunks of another size that are on disk are thrown away.
    pub remote_chunk_bytes: u32,
    /// How many bytes behind what is asked for are fetched with it at most, where a source is read in order.
    pub read_ahead_bytes: u64,
    /// After how much time without a byte a source counts as gone: between two pieces of a stream, and for each MiB that
    /// is begun of a ranged read.
    pub idle_timeout: Duration,
    /// The folder is only looked at: not a file in it is made, changed or removed, and where there is no folder there are no
    /// copies. [`Copies::list`](crate::Copies::list) and [`Copies::used_bytes`](crate::Copies::used_bytes) answer, and all
    /// that would change something fails with [`Error::Closed`](crate::Error::Closed).
    pub read_only: bool,
    /// Tells the time of use.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    /// No quota, 1 GiB kept free, checkpoints of 8 MiB, pieces of 1 MiB, 1,024 fetches that wait for up to 10 minutes, chunks
    /// of 64 KiB with up to 1 MiB read ahead, 2 minutes for a source that gives nothing.
    fn default() -> Self {
        Self {
            quota_bytes: None,
            keep_free_bytes: 1 << 30,
            checkpoint_bytes: 8 << 20,
            chunk_bytes: 1 << 20,
            max_waiters: 1024,
            room_deadline: Duration::from_mins(10),
            use_step: Duration::from_mins(10),
            sources: None,
            remote_chunk_bytes: 64 << 10,
            read_ahead_bytes: 1 << 20,
            idle_timeout: Duration::from_mins(2),
            read_only: false,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Tells whether sources still have what was copied, and gives back what isn't needed.
pub trait Sources: Debug + Send + Sync {
    /// Whether the source of this copy was seen just now to have this very content. One that has another by now is no better than one
    /// that is gone. The attempt in the name means nothing.
    fn still_has(&self, name: OwnName, content: Stat) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// A fetch waits for room, and every copy is in use. Whoever keeps leases that nobody needs at the moment drops them. Must
    /// not wait.
    fn give_back(&self) {}
}
