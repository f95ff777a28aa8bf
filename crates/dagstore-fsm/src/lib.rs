//! The shard state machine: what may happen to a shard, as two pure functions and their tables.
//!
//! * [`transition`] takes a [`Shard`] and an [`Event`], changes the shard and returns the [`Effect`]s that the caller
//!   has to carry out, in order.
//! * [`restart`] says what a persisted record means after the process was gone.
//! * [`table`] has the tables of both as data. `docs/fsm.md` prints them, and the tests compare the functions with them.
//!
//! Neither function does I/O, waits, reads a clock or draws a random number, so every path can be tried in a test.
//!
//! # Durable before told
//! A change that must be durable is a [`Step`]. While a shard has one, its record is still the old one: the transition
//! that made the step returns [`Effect::Persist`] and nothing else that anybody could hear. The caller writes the step
//! and answers with [`Event::Synced`]; only that transition makes it the record and returns the replies. Meanwhile
//! other events come back as [`Effect::Defer`], but for releases and cancellations, which are never held up.
//!
//! # What it doesn't know
//! Codecs, datastores, mounts, indices, tasks, threads. A waiter is a number to it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod effect;
mod event;
mod restart;
mod settle;
mod shard;
pub mod table;
#[cfg(test)]
mod tests;
mod transition;
mod validate;

pub use effect::{Answer, Effect, Effects, Operation, Refusal};
pub use event::Event;
pub use restart::{Facts, RecoveryPolicy, Restart, RestartOptions, restart};
pub use shard::{Cause, Counted, Shard, Step, WaiterId, Write};
pub use transition::transition;
