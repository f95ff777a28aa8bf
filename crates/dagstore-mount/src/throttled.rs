//! A mount that reads slowly, to see what others do meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dagstore_fs::ReadAt;

use crate::{Capabilities, Mount, Opened, Result, Stat};

/// Another mount, whose reads take at least as long as they would at a given rate.
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
        let nanoseconds = (count as u64).saturating_mul(1_000_000_000) / self.bytes_per_second;
        std::thread::sleep(Duration::from_nanos(nanoseconds));
        Ok(count)
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
}
