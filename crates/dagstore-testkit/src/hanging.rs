//! A mount that hangs while it is opened.

use std::future;
use std::sync::Arc;

use async_trait::async_trait;
use dagstore_mount::{Capabilities, Mount, Opened, Result, Stat};

/// A source that says it is there and is never opened: what a server that stopped answering is to a client without a
/// deadline.
#[derive(Debug, Clone, Default)]
pub struct HangingMount {
    location: String,
}

#[async_trait]
impl Mount for HangingMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { location: location.to_owned() }))
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(Stat::new(1, None))
    }

    async fn open(&self) -> Result<Opened> {
        future::pending().await
    }
}
