//! Stores in processes that are killed at named moments, and what must be left of them.
//!
//! A *campaign* is many rounds. In each a process of its own opens a new store on the real file system, registers twenty
//! shards, destroys some of them and registers other content under their keys, and writes down each acknowledgement before it
//! goes on. Its datastores and its file system are wrapped: at the n-th time that it comes by a chosen [`Moment`] it kills
//! itself by SIGKILL. In some rounds a second process takes up what the first has left, and is killed as well. Then the store
//! is opened here, and all that must hold is looked at: see `check.rs` and `rows.rs`.
//!
//! What SIGKILL doesn't show is whether anything was synced: what a process has written survives its end.
//!
//! `cargo xtask killpoints` runs the program of this crate.
#![forbid(unsafe_code)]
#![cfg(unix)]

mod acks;
mod campaign;
mod check;
mod child;
mod datastore;
mod file_system;
mod killer;
mod point;
mod report;
mod rng;
mod round;
mod rows;
mod shards;
mod stores;

pub use campaign::{Plan, run};
pub use child::{CHILD, live};
pub use point::{Hit, Life, Moment, Point, Side};
pub use report::{Failure, Report, Row};
pub use round::{Kill, Kills};

/// What went wrong, in words: a rule that was broken, or the machine.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
