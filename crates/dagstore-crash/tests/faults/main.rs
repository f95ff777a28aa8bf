//! Faults of the original that need a process that is killed; `docs/faults.md` lists all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![cfg(feature = "redb")]

mod killed;
