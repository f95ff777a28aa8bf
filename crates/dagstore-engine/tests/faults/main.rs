//! The faults of the original, each shown by what this store does instead. `docs/faults.md` has the numbers, and the change
//! with which each fault comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

mod accounting;
mod concurrency;
mod durability;
mod fetching;
mod indices;
mod reading;
#[path = "../engine/support.rs"]
#[allow(dead_code, reason = "what only the tests of the engine use")]
mod support;
