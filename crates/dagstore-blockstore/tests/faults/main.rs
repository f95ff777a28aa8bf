//! The faults of the original that reading across shards must not have. `docs/faults.md` has the numbers, and the change with
//! which each fault comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

mod reading;
#[path = "../blockstore/support.rs"]
#[allow(dead_code, reason = "what only the other tests use")]
mod support;
