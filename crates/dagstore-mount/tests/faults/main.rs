//! Faults of the original that mounts and their registry must not have.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod files;
mod urls;

use bytes::Bytes;
use dagstore_mount::{Mount, Result, Stat};
use futures_util::TryStreamExt;

async fn whole(mount: &dyn Mount, of: Option<&Stat>) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = mount.stream(0, of).await?.bytes.try_collect().await?;
    Ok(pieces.concat())
}
