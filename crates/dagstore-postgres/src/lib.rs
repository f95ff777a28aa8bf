//! Datastore over the PostgreSQL wire protocol, for stores whose catalogue lives on another machine.
//!
//! It speaks what PostgreSQL, YugabyteDB and CockroachDB share, and is tested on PostgreSQL. Start at
//! [`PostgresDatastore`]; [`PostgresBuilder`] has the options. `docs/format/postgres.md` describes the tables.
//!
//! # What is durable
//! Every write is one transaction with `synchronous_commit`, so a [`Buffered`](dagstore_datastore::Durability::Buffered)
//! write is as durable as a [`Synced`](dagstore_datastore::Durability::Synced) one: when it returns, it survives whatever
//! the server's own commits survive. A session that can't have `synchronous_commit` isn't used. Whether the server syncs at
//! all (`fsync`) is its operator's choice, and is warned of.
//!
//! # One owner
//! A database has one owner at a time: whoever holds the row of the lease. Each write's transaction begins by reading that
//! row `FOR SHARE`; where the row isn't this handle's any more, nothing is written, and every later call of this handle
//! fails as [`Fenced`](dagstore_datastore::ErrorClass::Fenced). A handle that can't renew its lease in time, by the
//! monotonic clock of its own machine, says so of itself before anybody else can have it.
//!
//! # Secrets
//! A password comes from the environment, from `DAGSTORE_PG_PASSWORD` or `PGPASSWORD` unless the
//! [builder](PostgresBuilder::password_variable) names another variable. A URL with a password in it is refused, because
//! URLs end up in configuration files, process lists and logs; and the refusal doesn't repeat it.
//!
//! # Threads
//! Each handle has a thread of its own with a runtime on it. So the lease is renewed however busy the caller's runtime is,
//! a write goes on to its end when its future is dropped, and dropping a handle waits for nothing.
#![forbid(unsafe_code)]

mod address;
mod builder;
mod error;
mod host;
mod lane;
mod lease;
mod read;
mod retry;
mod rows;
mod session;
mod shared;
mod sql;
mod store;
mod tls;

pub use builder::PostgresBuilder;
pub use store::PostgresDatastore;
