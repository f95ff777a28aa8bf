//! A source in memory whose content can be changed, for mounts that keep to the contract and others.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::conformance::Source;
use dagstore_mount::{Error, Mount, Result, Stat};
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    content: Mutex<(u64, Option<Bytes>)>,
    pub(crate) held: AtomicU64,
}

impl Memory {
    pub(crate) fn look(&self) -> Result<(Bytes, Stat)> {
        let (version, content) = self.content.lock().clone();
        let content = content.ok_or_else(|| Error::NotFound { place: "the source in memory".to_owned() })?;
        let stat = Stat::new(content.len() as u64, Some(version.to_string()));
        Ok((content, stat))
    }

    pub(crate) fn set(&self, content: Option<Bytes>) {
        let mut held = self.content.lock();
        *held = (held.0 + 1, content);
    }
}

/// Counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Hold(pub(crate) Arc<Memory>);

impl Hold {
    pub(crate) fn new(memory: &Arc<Memory>) -> Self {
        memory.held.fetch_add(1, Ordering::Relaxed);
        Self(memory.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A mount of a [`Memory`], with who changes it.
pub(crate) struct MemorySource<M> {
    pub(crate) memory: Arc<Memory>,
    pub(crate) mount: M,
}

#[async_trait]
impl<M: Mount + Clone + Any> Source for MemorySource<M> {
    fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(self.mount.clone())
    }

    async fn serve(&self, content: Option<Bytes>) {
        self.memory.set(content);
    }

    fn held(&self) -> Option<u64> {
        Some(self.memory.held.load(Ordering::Relaxed))
    }
}
