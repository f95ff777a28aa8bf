//! What failing disks and kills leave behind. What power cuts leave is among the faults.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod chunks;
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod kill;
