//! A mount that counts what is asked of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::ReadAt;
use futures_util::Stream;

use crate::{ByteStream, Capabilities, Mount, Opened, Result, Stat, Streamed};

/// Another mount, of which is counted what is asked of it. All instances of a template are counted together.
#[derive(Debug, Clone)]
pub struct Counting {
    inner: Arc<dyn Mount>,
    counts: Arc<Counts>,
}

/// What a [`Counting`] has counted so far.
#[derive(Debug, Default)]
pub struct Counts {
    stats: AtomicU64,
    opens: AtomicU64,
    streams: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
    held: AtomicU64,
}

impl Counts {
    /// How often the source was looked at.
    pub fn stats(&self) -> u64 {
        self.stats.load(Ordering::Relaxed)
    }

    /// How often it was opened.
    pub fn opens(&self) -> u64 {
        self.opens.load(Ordering::Relaxed)
    }

    /// How often a stream of it was begun.
    pub fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// How often it was read at some place through the mount. Reads of what was opened are not counted here.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// How many bytes were given out, in any way.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many readers and streams are held open now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Counting {
    /// Counts what is asked of `inner`. As a template it counts all of its instances together.
    pub fn new(inner: impl Mount) -> Self {
        Self { inner: Arc::new(inner), counts: Arc::default() }
    }

    /// What was counted, now and later.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }
}

#[async_trait]
impl Mount for Counting {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { inner: self.inner.instantiate(location)?, counts: self.counts.clone() }))
    }

    async fn stat(&self) -> Result<Stat> {
        self.counts.stats.fetch_add(1, Ordering::Relaxed);
        self.inner.stat().await
    }

    async fn open(&self) -> Result<Opened> {
        self.counts.opens.fetch_add(1, Ordering::Relaxed);
        let Opened { stat, reader } = self.inner.open().await?;
        Ok(Opened::new(stat, Arc::new(CountingReader { inner: reader, held: Held::new(&self.counts) })))
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        self.counts.streams.fetch_add(1, Ordering::Relaxed);
        let Streamed { stat, bytes } = self.inner.stream(from, of).await?;
        Ok(Streamed::new(stat, CountingStream { inner: bytes, held: Held::new(&self.counts) }))
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        self.counts.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = self.inner.read(at, len, of).await?;
        self.counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// One reader or stream that is held open.
#[derive(Debug)]
struct Held(Arc<Counts>);

impl Held {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.held.fetch_add(1, Ordering::Relaxed);
        Self(counts.clone())
    }

    fn count(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct CountingReader {
    inner: Arc<dyn ReadAt>,
    held: Held,
}

impl ReadAt for CountingReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read_at(offset, buffer)?;
        self.held.count(count);
        Ok(count)
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        self.inner.is_unchanged()
    }
}

struct CountingStream {
    inner: ByteStream,
    held: Held,
}

impl Stream for CountingStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.inner.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.held.count(piece.len());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use dagstore_fs::ReadAtExt;
    use futures_util::TryStreamExt;

    use super::*;
    use crate::{BytesMount, conformance};

    #[tokio::test]
    async fn conforms() {
        let mount = Counting::new(BytesMount::new(&b"counted"[..]).unwrap());
        conformance::check(&Counting::new(BytesMount::template()), &mount, b"counted").await;
        assert_eq!(mount.counts().held(), 0);
    }

    #[tokio::test]
    async fn everything_is_counted_once() {
        let template = Counting::new(BytesMount::template());
        let counts = template.counts();
        let mount = template.instantiate("counted").unwrap();
        let stat = mount.stat().await.unwrap();
        let opened = mount.open().await.unwrap();
        opened.reader.read_exact_at(0, &mut [0; 3]).unwrap();
        let streamed = mount.stream(2, None).await.unwrap();
        assert_eq!(counts.held(), 2);
        streamed.bytes.try_collect::<Vec<_>>().await.unwrap();
        mount.read(0, 4, &stat).await.unwrap();
        drop(opened);
        let counted = [counts.stats(), counts.opens(), counts.streams(), counts.reads(), counts.bytes(), counts.held()];
        assert_eq!(counted, [1, 1, 1, 1, 3 + 5 + 4, 0]);
    }
}
