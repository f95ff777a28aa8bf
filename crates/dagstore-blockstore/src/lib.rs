//! One block store over all shards of an engine: *give me the block with this CID*, whichever shards have it.
//!
//! * [`Blockstore`] answers; [`Blockstore::builder`] sets it up.
//! * [`Select`] says which of the shards that may have a block are asked, and in which order.
//!
//! A shard that fails is never taken for one without the block: the others are asked, and only where every one of them has
//! said no, the block is [`NotFound`](Error::NotFound). The crate keeps no accessor: the engine itself has shards open for a
//! moment behind the last one, and so every shard can be destroyed as soon as nobody reads it.
#![forbid(unsafe_code)]

mod asking;
mod blockstore;
mod builder;
mod error;
mod select;

pub use blockstore::{Blockstore, Found};
pub use builder::Builder;
pub use error::{Error, ShardFailure};
pub use select::{OpenFirst, Select};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
