//! The datastore seam: what the DAG store asks of a key-value store, and nothing of how it is done.
//!
//! * [`Datastore`] is the trait, [`DatastoreExt`] its conveniences. Every method says what is durable when it returns.
//! * [`Namespace`] keeps the store's kinds of rows apart; a backend makes a table or column family of each.
//! * [`Batch`] is a set of absolute writes, applied as a whole or not at all.
//! * [`Datastore::bulk_load`] takes many sorted rows; [`LoadCheck`] and [`load_by_batches`] help a backend with it.
//! * [`Error`] has a class that tells the caller what to do next.
//! * [`embedded`] is what the engines inside this process have in common: threads, reopening, closing.
//! * [`MemoryDatastore`] keeps rows in memory, for tests and throw-away stores.
//! * [`Metered`] counts and times the calls of another datastore, [`ReadOnly`] refuses to change one.
//! * [`conformance`] is the suite that every backend passes; its test is one call.
//!
//! # How to add a backend
//! Make a crate beside `dagstore-redb` with the same file names, implement [`Datastore`] (for an engine inside this
//! process: [`embedded::Engine`]), and call [`conformance::run`] in a test. `CONTRIBUTING.md` walks through it.
#![forbid(unsafe_code)]

mod batch;
pub mod conformance;
pub mod embedded;
mod error;
mod load;
mod memory;
pub mod metered;
mod namespace;
mod page;
mod read_only;
mod store;
pub mod thread;

pub use batch::{Batch, MAX_KEY_BYTES, MAX_VALUE_BYTES, Write};
pub use error::{Error, ErrorClass};
pub use load::{LOAD_PIECE_BYTES, LoadCheck, load_by_batches, stream_of_rows};
pub use memory::MemoryDatastore;
pub use metered::Metered;
pub use namespace::Namespace;
pub use page::{RowPage, stream_of_pages};
pub use read_only::ReadOnly;
pub use store::{Datastore, DatastoreExt, Durability, RowStream};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
