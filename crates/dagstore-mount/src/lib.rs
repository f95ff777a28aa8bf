//! The mount seam: where a shard's bytes are, behind a URL.
//!
//! * [`Mount`] is the trait: it stats its source, opens it, and turns into a URL and back.
//! * [`Registry`] holds a *template* per URL scheme. A shard's mount is persisted as its URL alone and revived from the
//!   template of its scheme, which brings what doesn't belong in a URL (endpoints, clients, names of credentials).
//! * [`FileMount`] and [`BytesMount`] are the mounts that need no client; [`Throttled`] slows any mount down.
//! * [`conformance`] is the suite that every mount passes.
//!
//! # How to add a mount
//! Implement [`Mount`], call [`conformance::check`] in a test, and register a template:
//! `registry.register("scheme", template)`. `CONTRIBUTING.md` walks through it.
#![forbid(unsafe_code)]

mod bytes;
pub mod conformance;
mod error;
mod file;
mod mount;
mod registry;
mod throttled;
mod url;

pub use bytes::{BytesMount, MAX_BYTES};
pub use error::{Error, ErrorClass};
pub use file::FileMount;
pub use mount::{Capabilities, Mount, Opened, Stat};
pub use registry::Registry;
pub use throttled::Throttled;
pub use url::{MAX_URL_BYTES, MountUrl};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
