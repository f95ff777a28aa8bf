//! The datastore against a real PostgreSQL, where there is one.
#![cfg(all(test, unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod conformance;
mod connections;
mod lease;
mod outages;
mod server;
mod tls;
