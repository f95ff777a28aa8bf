//! The schemes of the URLs that the program knows.

use dagstore::mount::{Registry, Result};

/// Files, bytes, and what features add. What comes over a network is asked for at public addresses only: whoever gives the
/// program a URL may not be allowed to reach what this machine can.
#[cfg_attr(not(feature = "http"), expect(clippy::unnecessary_wraps, reason = "nothing is registered then"))]
pub(crate) fn registry() -> Result<Registry> {
    #[cfg_attr(not(feature = "http"), expect(unused_mut, reason = "nothing is added then"))]
    let mut registry = Registry::with_defaults();
    #[cfg(feature = "http")]
    {
        registry.register("http", dagstore::http::HttpBuilder::http().build())?;
        registry.register("https", dagstore::http::HttpBuilder::https().build())?;
    }
    Ok(registry)
}
