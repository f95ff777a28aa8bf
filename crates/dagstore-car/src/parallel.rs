//! Chunks of a CAR, read one after the other and looked at by several threads.
//!
//! There is no pipeline: each thread takes the feed's lock, reads the next chunk, finds where its last section ends, gives
//! the lock back, and hashes what it holds while the others read. What it found it then hands over under another lock.

use std::sync::{Arc, Mutex};
use std::thread;

use dagstore_fs::ReadAt;

use crate::chunk::{CHUNK_BYTES, Checks, Chunk, Odd, Step};
use crate::{Error, ReadOptions, Result};

/// Where chunks come from.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) source: Arc<dyn ReadAt>,
    pub(crate) payload_offset: u64,
    pub(crate) payload_size: u64,
    /// Where the next chunk begins, in the payload; `None` when there is none.
    pub(crate) next: Option<u64>,
    pub(crate) options: ReadOptions,
}

/// A chunk that was looked at.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) chunk: &'a Chunk,
    /// What is odd in it.
    pub(crate) odd: Vec<(usize, Odd)>,
    /// Why no section follows it; `None` where more may follow.
    pub(crate) end: Option<Result<()>>,
}

/// Whether whoever gets the chunks wants more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All that come.
    More,
    /// Those that are being looked at; no others need be read.
    NoNew,
}

/// Looks at all chunks, with up to `threads` threads, the caller's included. Hands them to `deliver`, each with what is odd
/// in it, in any order and never two at the same time. A panic anywhere ends all threads and goes on in the caller's.
pub(crate) fn each_chunk(
    feed: Feed,
    threads: usize,
    checks: &Checks,
    deliver: impl FnMut(Checked<'_>) -> Wanted + Send,
) {
    let (feed, deliver) = (Mutex::new(feed), Mutex::new(deliver));
    thread::scope(|scope| {
        let mut helpers = Vec::new();
        for _ in 1..threads {
            let helper = thread::Builder::new().name("dagstore-car".to_owned());
            // Fewer threads do it as well.
            let Ok(helper) = helper.spawn_scoped(scope, || work(&feed, checks, &deliver)) else { break };
            helpers.push(helper);
        }
        work(&feed, checks, &deliver);
        for helper in helpers {
            if let Err(panic) = helper.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// Works until the feed ends. A lock that is poisoned belongs to a thread that panicked: there is nothing left to do then.
fn work(feed: &Mutex<Feed>, checks: &Checks, deliver: &Mutex<impl FnMut(Checked<'_>) -> Wanted>) {
    let mut chunk = Chunk::default();
    loop {
        let filled = feed.lock().map(|mut feed| feed.fill(&mut chunk));
        let Ok(Some(end)) = filled else { return };
        let odd = chunk.check(checks);
        let wanted = {
            let Ok(mut deliver) = deliver.lock() else { return };
            deliver(Checked { chunk: &chunk, odd, end })
        };
        if wanted == Wanted::NoNew {
            let Ok(mut feed) = feed.lock() else { return };
            feed.next = None;
        }
    }
}

impl Feed {
    /// Reads the next chunk: a piece, and the rest of its last section. `None` when there is none; else what follows it.
    #[expect(clippy::option_option, reason = "no chunk, a chunk with more behind it, the last chunk and its end")]
    fn fill(&mut self, chunk: &mut Chunk) -> Option<Option<Result<()>>> {
        chunk.restart(self.next?);
        let room = self.payload_size.saturating_sub(chunk.start());
        let mut wants = usize::try_from(room).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let end = loop {
            let at = self.payload_offset + chunk.end();
            let read = match self.source.read_at(at, chunk.room(wants)) {
                Ok(read) => read,
                Err(source) => {
                    chunk.cut();
                    break Some(Err(Error::Io { offset: at, source }));
                }
            };
            chunk.filled(read);
            match chunk.walk(self.payload_size, &self.options) {
                Step::Last(end) => break Some(end),
                // The source has become shorter. What is whole of it still counts.
                _ if read < wants => break Some(Err(chunk.cut())),
                Step::Wants(count) => wants = count,
                Step::Whole => break None,
            }
        };
        self.next = if end.is_some() { None } else { Some(chunk.end()) };
        Some(end)
    }
}
