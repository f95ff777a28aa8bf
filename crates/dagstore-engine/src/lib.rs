//! The engine: it runs the shard state machine over the seams, on tokio.
//!
//! * [`Engine`] is the handle; [`Parts`] are the seams that it is opened with, [`Options`] its bounds and policies.
//! * Every shard is a *cell*: a lock around its machine, its inbox and its waiters (`cell.rs`). A transition runs under
//!   that lock and never does I/O.
//! * The *committer* (`committer.rs`) gathers the steps of all cells and writes them as one batch with one sync; the
//!   next batch gathers meanwhile. Only then the step becomes the record, and only then anybody hears of it.
//! * What a transition asks for is carried out in `perform.rs`; the work itself is in `initialise.rs` and `cleanup.rs`.
//! * `restore.rs` reads the catalogue at opening and runs the restart table.
//!
//! It never prints, and knows no backend, no scheme and no file format.
#![forbid(unsafe_code)]

mod accessor;
mod acquire;
mod catalogue;
mod cell;
mod cleanup;
mod close;
mod commits;
mod committer;
mod copies;
mod core;
mod damage;
mod engine;
mod error;
mod fetched;
mod gather;
mod gc;
mod go_index;
mod identity;
mod indexer;
mod indexing;
mod info;
mod initialise;
mod inverted;
mod loader;
mod metrics;
mod options;
mod ownership;
mod passing;
mod perform;
mod place;
mod provisional;
mod publisher;
mod quarantine;
mod queue;
mod rebuild;
mod reference;
mod register;
mod registrations;
mod rest;
mod restore;
mod resume;
mod retry;
pub mod rows;
mod shared;
mod source;
mod sync;
mod task;
mod verify;
mod walk;
mod watch;
mod write;

pub use accessor::{BlockEntry, ShardAccessor, ShardBlockstore};
pub use copies::{LocalCopies, ShardCopy};
pub use engine::Engine;
pub use error::Error;
pub use gc::{GcOptions, GcReport, Kept};
pub use identity::{FORMAT_VERSION, Identity, UNFINISHED_COPY};
pub use indexer::{Candidate, Indexer};
pub use info::{Progress, ShardInfo};
pub use options::{Blocking, Hold, Mode, Options, Parts, Remote};
pub use quarantine::Quarantined;
pub use register::Register;
pub use resume::ResumeReport;
pub use retry::Retry;
pub use verify::{Finding, Problem, Verified, Verify};
pub use watch::{Failure, Trace, Watched};

pub use dagstore_fsm::{Operation, RecoveryPolicy};

/// The crate's result.
pub type Result<T, E = Error> = ::core::result::Result<T, E>;
