//! A store under mixed load for a long time, with sources that fail, hang and change: file descriptors, threads and resident
//! memory stay flat, nobody is stuck, and every block that is read is the right one.
//!
//! Time goes by in *spells*. In each the store is opened, several callers do what the dice say (`load.rs`), somebody breaks and
//! mends the sources (`sources.rs`), and the store is closed again. What the process has is looked at every second under load,
//! and at the end of each spell at rest (`sample.rs`); both series are judged (`verdict.rs`). At the end all sources are mended,
//! and every shard must be brought to serve its blocks. A leak can be planted, to see that it is noticed.
//!
//! Start: `src/soak.rs`.
#![forbid(unsafe_code)]

mod leak;
mod load;
mod rng;
mod sample;
mod soak;
mod sources;
mod verdict;

pub use leak::Leak;
pub use sample::Sample;
pub use soak::{Plan, Report, run};
pub use verdict::{Measure, Verdict};

/// What went wrong, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
