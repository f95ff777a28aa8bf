//! The block store over an engine in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod changing;
mod choosing;
mod failing;
mod reading;
mod support;
