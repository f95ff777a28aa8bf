//! Faults of the original that concern local copies, each by its number. `cargo xtask faults` brings them back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod chunks;
#[path = "../common/mod.rs"]
mod common;
mod copies;
mod power;
