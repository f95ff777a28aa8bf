//! Datastore on redb, the embedded store in pure Rust.
//!
//! One database file, a table in it for each namespace. Start at [`RedbDatastore`]; [`RedbBuilder`] has the options.
//! Threads, reopening and closing are [`Embedded`](dagstore_datastore::embedded::Embedded)'s, and so is the choice to
//! read a scan's pages on a thread of their own.
//!
//! # What is durable
//! A [`Synced`](dagstore_datastore::Durability::Synced) write is a commit of redb's `Durability::Immediate` with quick
//! repair: two syncs, and reopening after a crash walks no table. A
//! [`Buffered`](dagstore_datastore::Durability::Buffered) write is one of `Durability::None`: it stays in this
//! process's memory until the next synced commit writes it too, so unlike with other engines the end of the process
//! alone takes it back.
//!
//! redb takes one writer at a time, and random keys cost it most: rows whose keys ascend are several times faster.
#![forbid(unsafe_code)]

mod builder;
mod error;
mod store;

pub use builder::RedbBuilder;
pub use store::RedbDatastore;
