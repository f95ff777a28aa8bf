//! The words of the DAG store: shard keys, shard states and the record that is persisted for each shard.
//!
//! *What is on disk* is said here, *what may happen* in `dagstore-fsm`, *how it is written* in `dagstore-codec`.
//! Nothing here does I/O, and the crate has no dependencies.
//!
//! Start with [`ShardRecord`]: every persisted field of a shard stands there, with its meaning.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod key;
mod number;
mod record;
mod state;

pub use error::{ErrorClass, ErrorKind, MAX_ERROR_BYTES, ShardError};
pub use key::{InvalidKey, MAX_KEY_BYTES, ShardKey};
pub use number::{Attempt, Registration, UnixMillis};
pub use record::{CopyRecord, ShardRecord};
pub use state::{ShardState, UnknownState};
