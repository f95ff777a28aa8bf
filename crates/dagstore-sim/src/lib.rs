//! The engine, run through random sequences of events beside a model that says what may follow.
//!
//! A sequence registers, acquires, releases, recovers, destroys and collects over a few keys, cancels calls, lets sources,
//! datastore and index files fail, crashes, closes and opens again. The engine is the real one, through its public API;
//! only what is around it is made up, and in memory: disk (`disk.rs`, `store.rs`), index files (`repo.rs`), sources
//! (`source.rs`), time and dice (`world.rs`). A process is a runtime of one thread whose time passes only when nothing can
//! run (`process.rs`), so a seed always gives the same sequence, and a crash is the end of that runtime.
//!
//! # What is checked, and where
//! | rule | where |
//! | --- | --- |
//! | I1 acked implies durable | `ledger.rs`: what was acknowledged is there after every event and every crash |
//! | I2 what is on the disk is in the catalogue | `checks.rs`, at every opening: each row, nothing else, nothing in quarantine; `rows.rs`: a key has one row |
//! | I3 references are accessors | `checks.rs`, after every event |
//! | I4 only the table's states | `rows.rs`, for every record that is written; `ledger.rs`, for everything that is seen |
//! | I5 one answer for each waiter | `rest.rs`: all are answered once nothing fails; `run.rs`: and by closing; `answers.rs`: with something that can be true |
//! | I6 only own files are removed | `repo.rs`, at every removal: no record that needs it names the file; `checks.rs`, at rest: none is missing |
//! | I7 an index is whole and belongs to the content | `repo.rs`, when it is published; `rows.rs`: before a record says Available; `checks.rs`: every block of every accessor |
//! | I8 a destruction ends | `ledger.rs`: what was destroyed stays so; `rest.rs`, at the end: nothing is left of anything |
//! | I9 no traces of failures | `checks.rs`, at rest: files are those that records name |
//! | I10 late completions have no effect | `rows.rs`: attempts never go back; I4 and I7 see the rest |
//! | I11 one fetch at a time | `repo.rs`: an attempt is counted before it works, and works once; `checks.rs`: openings of the source |
//! | I12 nothing is told that a crash can take back | `checks.rs`, after every event and answer: what the store says is what is durable on the disk |
//!
//! At the end of every sequence all faults end, every shard must be usable, and is destroyed.
//!
//! What broke a rule can be kept as a file and run again: `recipe.rs`.
//!
//! Start: `src/event.rs` for what can happen, `src/run.rs` for how.
#![forbid(unsafe_code)]

mod answers;
mod checks;
mod counts;
mod disk;
mod event;
mod ledger;
mod panics;
mod process;
mod recipe;
mod repo;
mod rest;
mod rng;
mod rows;
mod run;
mod seeds;
mod simulate;
mod source;
mod store;
mod world;

pub use counts::{Counts, Cut};
pub use event::MOST_EVENTS;
pub use recipe::{Recipe, Stale};
pub use seeds::{Known, known};
pub use simulate::{Amount, Failure, Plan, Report, cook, replay, simulate};
pub use world::Broken;
