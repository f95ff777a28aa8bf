//! Where a shard's bytes are, and how they are come by.

use std::sync::Arc;

use dagstore_mount::{Capabilities, Mount, MountUrl, Registry};

/// The place of a shard's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) mount: Arc<dyn Mount>,
    capabilities: Capabilities,
}

impl Place {
    /// The place of a URL. The source isn't touched.
    pub(crate) fn of(registry: &Registry, url: &str) -> dagstore_mount::Result<Self> {
        let url = MountUrl::parse(url)?;
        Self::of_url(registry, &url)
    }

    /// The same, of a URL that is parsed already.
    pub(crate) fn of_url(registry: &Registry, url: &MountUrl) -> dagstore_mount::Result<Self> {
        let mount = registry.instantiate(url)?;
        Ok(Self { capabilities: mount.capabilities(), mount })
    }

    /// Whether the bytes are on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.capabilities.local
    }

    /// Whether the bytes are read from a copy that the store makes: nobody can read them at any place without a runtime
    /// where they are.
    pub(crate) fn is_copied(&self) -> bool {
        !self.capabilities.random_access || !self.capabilities.opens
    }

    /// Whether mounts of this kind read at any place. A single source may not let itself be read so.
    pub(crate) fn reads_anywhere(&self) -> bool {
        self.capabilities.random_access
    }
}
