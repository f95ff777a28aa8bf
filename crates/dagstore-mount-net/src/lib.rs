//! What mounts of remote sources share, so that each has to know its protocol alone.
//!
//! * [`Source`] is what a mount writes: how its server is asked for a stat, for the whole and for a part, once.
//! * [`stat`], [`stream`] and [`read`] make the methods of a [`Mount`](dagstore_mount::Mount) of it: they try again where that may
//!   help, go on where a stream broke, count the bytes, and put those of two contents never together.
//! * [`Tries`] and [`Limits`] see to it that everything has an end, and [`Failure`] says whether to try again.
//! * `conformance`, with the feature of this name, is the suite of mounts that speak HTTP: servers that lie, break off and hang.
//! * [`Clients`] are the HTTP clients of this workspace, and [`Secrets`] look up the values of credentials.
#![forbid(unsafe_code)]

mod client;
#[cfg(feature = "conformance")]
pub mod conformance;
mod failure;
mod limits;
mod reading;
mod retry;
mod secrets;
mod source;
mod stream;

pub use client::{Clients, Unusable};
pub use failure::{Again, Failure, bad_answer, changed, find};
pub use limits::Limits;
pub use reading::{read, stat, stream};
pub use retry::Tries;
pub use secrets::Secrets;
pub use source::{Broken, Part, Pieces, Source};
