//! A mount of sources at the other end of a wire: they can be streamed and read in ranges, and not opened.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::{Capabilities, Error, Mount, Result, Stat, Streamed};
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The most bytes of a stream that come at once.
const PIECE_BYTES: usize = 16 << 10;

/// A source that is behind a wire. Its location is its name in the [`Wire`].
#[derive(Debug, Clone)]
pub struct WireMount {
    wire: Arc<Wire>,
    location: String,
}

/// What a test holds of its [`WireMount`]s.
#[derive(Debug, Default)]
pub struct Wire {
    sources: Mutex<HashMap<String, Wired>>,
    counts: Mutex<Counts>,
    /// Told of every change, for streams that hang.
    changed: watch::Sender<()>,
}

/// A source, as it is now.
#[derive(Debug, Clone, Default)]
pub struct Wired {
    /// What it serves.
    pub content: Bytes,
    /// What it tells of the content; without it, it can't be streamed from the middle or read in ranges.
    pub validator: Option<String>,
    /// Where streams break off.
    pub breaks_at: Option<u64>,
    /// Where streams stop, until this is changed.
    pub hangs_at: Option<u64>,
    /// What it doesn't answer, until this is changed.
    pub silent: Option<Question>,
    /// What it can't answer.
    pub fails: Option<Question>,
}

/// What a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// To be looked at.
    Stat,
    /// For a stream.
    Stream,
    /// For a range.
    Read,
}

/// What was asked of all sources of a [`Wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// How often one was looked at.
    pub stats: usize,
    /// How many streams were begun.
    pub streams: usize,
    /// How many ranges were asked for.
    pub reads_begun: usize,
    /// How many ranges were read.
    pub reads: usize,
    /// How many bytes came through the wire.
    pub bytes: u64,
    /// How many streams were open at most at the same time.
    pub most_streams: usize,
    streaming: usize,
}

impl WireMount {
    /// A template, and what a test holds of it.
    pub fn template() -> (Self, Arc<Wire>) {
        let wire = Arc::<Wire>::default();
        (Self { wire: wire.clone(), location: String::new() }, wire)
    }

    /// Returns when the source answers.
    async fn answers(&self, question: Question) -> Result<()> {
        let mut changed = self.wire.changed.subscribe();
        while self.now().is_ok_and(|now| now.silent == Some(question)) {
            // The sender is in the wire.
            let _changed = changed.changed().await;
        }
        if self.now().is_ok_and(|now| now.fails == Some(question)) {
            return Err(Error::from_io(&self.location, io::Error::other("it has no answer")));
        }
        Ok(())
    }

    fn now(&self) -> Result<Wired> {
        let place = self.location.clone();
        self.wire.sources.lock().get(&self.location).cloned().ok_or(Error::NotFound { place })
    }

    fn of(&self, of: Option<&Stat>) -> Result<Wired> {
        let now = self.now()?;
        if of.is_none_or(|of| of.same_content(&now.stat())) {
            return Ok(now);
        }
        Err(Error::SourceChanged { place: self.location.clone() })
    }
}

impl Wired {
    /// A source with this content, and a validator that is made of `version`.
    pub fn new(content: impl Into<Bytes>, version: u32) -> Self {
        Self { content: content.into(), validator: Some(format!("\"v{version}\"")), ..Self::default() }
    }

    /// A source with this content that doesn't tell one content from another.
    pub fn without_validator(content: impl Into<Bytes>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    fn stat(&self) -> Stat {
        let stat = Stat::new(self.content.len() as u64, self.validator.clone());
        if self.validator.is_some() { stat } else { stat.sequential_only() }
    }

    fn slice(&self, at: u64, len: usize) -> Bytes {
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(self.content.len());
        self.content.slice(start..start.saturating_add(len).min(self.content.len()))
    }
}

impl Wire {
    /// Puts a source at `location`, in the place of what was there.
    pub fn put(&self, location: &str, source: Wired) {
        self.sources.lock().insert(location.to_owned(), source);
        self.changed.send_replace(());
    }

    /// Changes the source at `location`, where there is one.
    pub fn change(&self, location: &str, change: impl FnOnce(&mut Wired)) {
        self.sources.lock().get_mut(location).map(change);
        self.changed.send_replace(());
    }

    /// Takes the source away.
    pub fn remove(&self, location: &str) {
        self.sources.lock().remove(location);
        self.changed.send_replace(());
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.counts.lock());
    }
}

#[async_trait]
impl Mount for WireMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { wire: self.wire.clone(), location: location.to_owned() }))
    }

    async fn stat(&self) -> Result<Stat> {
        self.wire.count(|counts| counts.stats += 1);
        self.answers(Question::Stat).await?;
        Ok(self.now()?.stat())
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        self.answers(Question::Stream).await?;
        let now = self.of(of)?;
        if from > 0 && now.validator.is_none() {
            return Err(Error::SequentialOnly { place: self.location.clone(), why: "it has no validator" });
        }
        let stat = now.stat();
        let streaming = Streaming::begin(self.clone(), now, from);
        Ok(Streamed::new(stat, stream::unfold(streaming, Streaming::next)))
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        self.wire.count(|counts| counts.reads_begun += 1);
        self.answers(Question::Read).await?;
        let now = self.of(Some(of))?;
        if now.validator.is_none() {
            return Err(Error::SequentialOnly { place: self.location.clone(), why: "it has no validator" });
        }
        let bytes = now.slice(at, len);
        self.wire.count(|counts| {
            counts.reads += 1;
            counts.bytes += bytes.len() as u64;
        });
        Ok(bytes)
    }
}

/// A stream, which is counted as open as long as it lives.
struct Streaming {
    mount: WireMount,
    source: Wired,
    /// `None` when it is over.
    at: Option<u64>,
}

impl Streaming {
    fn begin(mount: WireMount, source: Wired, at: u64) -> Self {
        mount.wire.count(|counts| {
            counts.streams += 1;
            counts.streaming += 1;
            counts.most_streams = counts.most_streams.max(counts.streaming);
        });
        Self { mount, source, at: Some(at) }
    }

    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        let at = self.at.take()?;
        if self.source.breaks_at.is_some_and(|breaks_at| at >= breaks_at) {
            let error = Error::from_io(&self.mount.location, io::Error::other("it broke off"));
            return Some((Err(error), self));
        }
        if let Some(hangs_at) = self.source.hangs_at.filter(|hangs_at| at >= *hangs_at) {
            let mut changed = self.mount.wire.changed.subscribe();
            while self.mount.now().is_ok_and(|now| now.hangs_at == Some(hangs_at)) {
                // The sender is in the wire.
                let _changed = changed.changed().await;
            }
            self.source.hangs_at = None;
        }
        let stops = [self.source.breaks_at, self.source.hangs_at].into_iter().flatten().filter(|stop| *stop > at);
        let most = stops.min().map_or(PIECE_BYTES, |stop| usize::try_from(stop - at).map_or(PIECE_BYTES, |most| most));
        let piece = self.source.slice(at, most.min(PIECE_BYTES));
        if piece.is_empty() {
            return None;
        }
        self.at = Some(at + piece.len() as u64);
        self.mount.wire.count(|counts| counts.bytes += piece.len() as u64);
        Some((Ok(piece), self))
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.mount.wire.count(|counts| counts.streaming -= 1);
    }
}
