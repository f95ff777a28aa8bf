//! Faults of the original that this mount must not have.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![allow(clippy::similar_names, reason = "server and served, status and stat are what this is about")]

mod downloads;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod templates;
