//! The mount seam: where a shard's bytes are, behind a URL.
//!
//! * [`Mount`] is the trait: it stats its source, opens, streams or reads it, and turns into a URL and back. Where bytes are
//!   on this machine, opening is all that has to be written.
//! * [`Registry`] holds a *template* per URL scheme. A shard's mount is persisted as its URL alone and revived from the
//!   template of its scheme, which brings what doesn't belong in a URL (endpoints, clients, names of credentials).
//! * [`FileMount`], [`FsMount`] and [`BytesMount`] are the mounts that need no client; [`Throttled`] slows any mount down,
//!   [`Counting`] counts what is asked of it.
//! * [`redacted`] makes a URL fit to be printed.
//! * [`conformance`] is the suite that every mount passes.
//!
//! # How to add a mount
//! Implement [`Mount`], call [`conformance::check`] in a test, and register a template:
//! `registry.register("scheme", template)`. `CONTRIBUTING.md` walks through it.
#![forbid(unsafe_code)]

mod bytes;
pub mod conformance;
mod counting;
mod error;
mod file;
mod from_template;
mod fs;
mod local;
mod mount;
mod place;
mod registry;
mod secrets;
mod throttled;
mod url;

pub use bytes::{BytesMount, MAX_BYTES};
pub use counting::{Counting, Counts};
pub use error::{Error, ErrorClass};
pub use file::FileMount;
pub use from_template::FromTemplate;
pub use fs::FsMount;
pub use mount::{ByteStream, Capabilities, Mount, Opened, Origin, Stat, Streamed};
pub use registry::Registry;
pub use secrets::{redacted, secret_in};
pub use throttled::Throttled;
pub use url::{MAX_URL_BYTES, MountUrl};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
