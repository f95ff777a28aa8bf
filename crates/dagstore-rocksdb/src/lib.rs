//! Datastore on RocksDB, for heavy load.
//!
//! One directory, a column family in it for each namespace, made when the namespace is first written to. Start at
//! [`RocksdbDatastore`]; [`RocksdbBuilder`] has the options. Threads, reopening and closing are
//! [`Embedded`](dagstore_datastore::embedded::Embedded)'s.
//!
//! # What is durable
//! Every batch is one write to RocksDB's log. A [`Synced`](dagstore_datastore::Durability::Synced) one waits until the
//! log is synced; a [`Buffered`](dagstore_datastore::Durability::Buffered) one is with the operating system, so it
//! survives the end of the process, and of the machine after a later sync. After a crash the log is replayed up to its
//! first gap: nothing later survives what is lost.
//!
//! A [bulk load](dagstore_datastore::Datastore::bulk_load) of more than 256 KiB becomes files of 32 MiB of rows, which are
//! synced and then become the database's own, each as a whole; the log is synced before each. Namespaces that are loaded
//! that way belong into [`RocksdbBuilder::bulk_namespace`].
//!
//! A load waits while a namespace has twelve files that compaction hasn't merged yet: that is [`LOAD_WAIT_SECONDS`].
//!
//! RocksDB tries to go on by itself after some failures. This crate doesn't count on it: after a failed write nothing is
//! written until the database was closed and opened again.
mod builder;
mod error;
mod exit;
mod families;
mod load;
mod logs;
mod lookup;
mod store;

pub use builder::RocksdbBuilder;
pub use load::LOAD_WAIT_SECONDS;
pub use store::RocksdbDatastore;
