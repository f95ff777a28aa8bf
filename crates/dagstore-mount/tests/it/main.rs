//! What the seam promises beyond one mount.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod broken;
mod memory;
mod sources;
mod urls;
