//! Stores that are moved, and what is left of them when the one who moves them is killed.
#![cfg(all(test, feature = "redb"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod backends;
#[cfg(feature = "leveldb")]
mod go;
mod killed;
#[cfg(feature = "postgres")]
mod postgres;
mod refused;
mod support;
