//! Streams and reads over a source that answers as it is told, in the time of a runtime that nobody waits for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod bodies;
mod parts;
mod support;
