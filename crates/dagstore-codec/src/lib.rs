//! Codecs of the shard record: bytes in, bytes out.
//!
//! * [`Codec`] is the trait; [`Json`] and [`Cbor`] are the two that come with it.
//! * [`Row`] is what a datastore holds for a shard: the codec's stamp and version, the state, the key, then the encoded
//!   record. A store with rows of several codecs is read without knowing in advance which row has which.
//! * [`Codecs`] is the set that a store can read.
//! * [`go`] reads and writes the records of the Go original, which are no rows of this store.
//! * [`conformance`] is the suite that every codec passes; its test is one call.
//!
//! `docs/format.md` describes the bytes. The crate knows neither datastores nor what the records mean.
//!
//! # How to add a codec
//! Implement [`Codec`] under a stamp of your own (128 or more), call [`conformance::check`] in a test, and hand it to
//! the store's builder. `CONTRIBUTING.md` walks through it.
#![forbid(unsafe_code)]

mod cbor;
mod codec;
pub mod conformance;
mod error;
pub mod go;
mod json;
mod row;

pub use cbor::Cbor;
pub use codec::{Codec, CodecId, Codecs};
pub use error::Error;
pub use go::{GoKept, GoRecord, kept_row};
pub use json::Json;
pub use row::{Row, encode_row};

pub use dagstore_types::ShardRecord;

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
