//! Datastores for the tests of whoever stands on one: the same test runs on memory, redb, RocksDB and PostgreSQL.
//!
//! Start at [`Disk`]. Which backend it is, the variable [`VARIABLE`] says; `cargo xtask test` runs the engine's tests with
//! each of its values.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what can't be opened fails the test")]

mod choice;
mod disk;
#[cfg(unix)]
mod server;
mod steady;

pub use choice::{Backend, VARIABLE};
pub use disk::Disk;
