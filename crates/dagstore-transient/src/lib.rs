//! Local copies of remote shards: fetched once, resumed after a crash, held to a quota, pinned.
//!
//! * [`Copies`] is a folder of them: [`Copies::fetch`] makes or finds the copy of one registration and gives a [`Lease`].
//! * [`Observer`] sees the bytes while they pass, so that a shard is indexed while it is fetched.
//! * [`Copies::remote`] reads a source piecewise without a copy of all of it: a [`RemoteReader`], and chunks on disk
//!   (`docs/format/chunks.md`).
//! * [`Options`] sets quota, checkpoints and bounds; [`Sources`] tells whether a source exists before its copy is evicted.
//!
//! A copy is a plain file with the source's bytes. Beside it stands a sidecar, which says whose it is and how much of it is
//! durable (`docs/format/copies.md`): nothing is believed because it exists, and nothing is deleted that no sidecar
//! claims. The crate doesn't know shards' states or what the bytes mean.
#![forbid(unsafe_code)]

mod adopt;
mod chunks;
mod collect;
mod copies;
mod error;
mod fetch;
mod lease;
mod look;
mod make_room;
mod names;
mod observer;
mod options;
mod room;
mod sidecar;
mod state;
mod sync;
mod writer;

pub use chunks::RemoteReader;
pub use collect::{CopyInfo, CopyState, GcEntry, GcReport};
pub use copies::Copies;
pub use error::{Error, ErrorClass, Reason};
pub use lease::Lease;
pub use observer::Observer;
pub use options::{Options, Sources};
pub use sidecar::MAX_VALIDATOR_BYTES;

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Runs what blocks on a thread for that. It goes on to its end when the caller doesn't wait for it.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    name: dagstore_fs::OwnName,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::BrokeOff { name, why: error.to_string() }))
}
