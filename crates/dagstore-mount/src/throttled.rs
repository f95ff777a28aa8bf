//! A mount that reads slowly, to see what others do meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::ReadAt;
use futures_util::TryStreamExt;

use crate::{Capabilities, Mount, Opened, Result, Stat, Streamed};

/// Another mount, whose reads and streams take at least as long as they would at a given rate, each for itself. Needs a
/// tokio runtime with time.
#[derive(Debug, Clone)]
pub struct Throttled {
    inner: Arc<dyn Mount>,
    bytes_per_second: u64,
}

impl Throttled {
    /// Slows `inner` down to `bytes_per_second`; 0 is taken as 1. As a template it makes slow instances of `inner`'s.
    pub fn new(inner: impl Mount, bytes_per_second: u64) -> Self {
        Self { inner: Arc::new(inner), bytes_per_second: bytes_per_second.max(1) }
    }
}

#[async_trait]
impl Mount for Throttled {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        let inner = self.inner.instantiate(location)?;
        Ok(Arc::new(Self { inner, bytes_per_second: self.bytes_per_second }))
    }

    async fn stat(&self) -> Result<Stat> {
        self.inner.stat().await
    }

    async fn open(&self) -> Result<Opened> {
        let mut opened = self.inner.open().await?;
        opened.reader = Arc::new(SlowReader { inner: opened.reader, bytes_per_second: self.bytes_per_second });
        Ok(opened)
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        let Streamed { stat, bytes } = self.inner.stream(from, of).await?;
        let bytes_per_second = self.bytes_per_second;
        let slow = bytes.and_then(move |piece: Bytes| async move {
            tokio::time::sleep(time_of(piece.len(), bytes_per_second)).await;
            Ok(piece)
        });
        Ok(Streamed::new(stat, slow))
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        let read = self.inner.read(at, len, of).await?;
        tokio::time::sleep(time_of(read.len(), self.bytes_per_second)).await;
        Ok(read)
    }
}

fn time_of(bytes: usize, bytes_per_second: u64) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / bytes_per_second)
}

#[derive(Debug)]
struct SlowReader {
    inner: Arc<dyn ReadAt>,
    bytes_per_second: u64,
}

impl ReadAt for SlowReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read_at(offset, buffer)?;
        std::thread::sleep(time_of(count, self.bytes_per_second));
        Ok(count)
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        self.inner.is_unchanged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BytesMount, conformance};

    #[tokio::test]
    async fn conforms() {
        let mount = Throttled::new(BytesMount::new(&b"slow"[..]).unwrap(), u64::MAX);
        conformance::check(&Throttled::new(BytesMount::template(), u64::MAX), &mount, b"slow").await;
    }

    /// The runtime's time stands still but for those who sleep, so this measures what was waited for.
    #[tokio::test(start_paused = true)]
    async fn streams_and_reads_take_their_time() {
        let mount = Throttled::new(BytesMount::new(&b"0123456789"[..]).unwrap(), 5);
        let begun = tokio::time::Instant::now();
        let streamed = mount.stream(0, None).await.unwrap();
        let stat = streamed.stat.clone();
        assert_eq!(streamed.bytes.try_collect::<Vec<_>>().await.unwrap().concat(), b"0123456789");
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        assert_eq!(mount.read(5, 5, &stat).await.unwrap(), "56789");
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }
}
