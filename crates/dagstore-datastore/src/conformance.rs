//! The suite that every backend passes: it holds a [`Datastore`] to its contract, word by word.
//!
//! A backend's test is one call, in a multi-threaded tokio runtime so that tasks run at the same time:
//!
//! ```
//! use std::sync::Arc;
//!
//! use dagstore_datastore::{Datastore, MemoryDatastore, Result, conformance};
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl conformance::Factory for Memory {
//!     fn persistent(&self) -> bool {
//!         false
//!     }
//!
//!     async fn open(&self, _name: &str) -> Result<Arc<dyn Datastore>> {
//!         Ok(Arc::new(MemoryDatastore::new()))
//!     }
//! }
//!
//! # fn main() {
//! let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
//! runtime.block_on(conformance::run(&Memory));
//! # }
//! ```
//!
//! [`crash`] has what a test needs that kills the process: a backend that keeps rows on this machine runs that too.

mod batches;
pub mod crash;
mod few;
mod lifecycle;
mod loads;
mod rows;
mod scans;
mod support;
mod tasks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::{Datastore, Result};
use support::{Bench, Outcome};

/// Opens stores for the suite.
#[async_trait]
pub trait Factory: Send + Sync {
    /// Whether a store's rows are still there when it is opened again after it was closed.
    fn persistent(&self) -> bool;

    /// Opens the store called `name` (`a` to `z` and `_`): the first time an empty one, and later, where rows persist,
    /// the same one.
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) while the store is open, where rows persist.
    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>>;

    /// How long a check waits for what a good store does at once, and a broken one never: it is there to end the check.
    fn patience(&self) -> Duration {
        Duration::from_mins(1)
    }
}

/// What a backend does against the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check that found it.
    pub check: &'static str,
    /// What it found.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.problem)
    }
}

/// Runs all checks.
///
/// # Panics
/// When a check fails: the message names every check that did, and what it found.
pub async fn run(factory: &dyn Factory) {
    let failures: Vec<_> = failures(factory).await.iter().map(Failure::to_string).collect();
    assert!(failures.is_empty(), "{} checks of the conformance suite failed:\n{}", failures.len(), failures.join("\n"));
}

/// Runs all checks, each on a store of its own, and returns what they found.
pub async fn failures(factory: &dyn Factory) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (check, run) in CHECKS.iter().chain(PERSISTENT_CHECKS.iter().filter(|_| factory.persistent())) {
        if let Err(problem) = run(&Bench::new(factory, check)).await {
            failures.push(Failure { check, problem: problem.to_string() });
        }
    }
    failures
}

type Check = for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Outcome>;

/// Names each check after its function.
macro_rules! checks {
    ($($module:ident :: $check:ident),* $(,)?) => {
        &[$((stringify!($check), |bench| Box::pin($module::$check(bench)))),*]
    };
}

const CHECKS: &[(&str, Check)] = checks![
    rows::absent_rows,
    rows::put_and_get,
    rows::delete,
    rows::empty_keys_and_values,
    rows::long_keys_and_values,
    rows::limits,
    rows::namespaces,
    batches::later_writes_win,
    batches::empty_batches,
    batches::large_batches,
    batches::unpolled_writes_do_nothing,
    batches::dropped_writes_are_whole,
    loads::loaded_rows,
    loads::loads_and_writes_in_turn,
    loads::repeated_loads,
    loads::unsorted_loads_are_refused,
    loads::load_limits,
    loads::errors_of_the_source,
    loads::unpolled_loads_do_nothing,
    loads::dropped_loads_leave_a_beginning,
    loads::others_go_on_beside_a_load,
    scans::scan_order,
    scans::prefixes,
    scans::pages_of_large_rows,
    scans::pages_of_small_rows,
    scans::scan_while_writing,
    scans::scans_see_what_was_written,
    few::first_rows,
    few::rows_behind_a_key,
    few::few_rows_of_prefixes,
    few::few_rows_are_a_page_at_most,
    few::few_rows_of_namespaces,
    few::few_rows_see_what_was_written,
    few::few_rows_show_whole_batches,
    tasks::concurrent_writers,
    tasks::pages_show_whole_batches,
    tasks::batches_appear_at_once,
    lifecycle::sync_and_buffered_writes,
    lifecycle::reopen_keeps_rows,
    lifecycle::close_twice,
    lifecycle::calls_after_close,
    lifecycle::streams_after_close,
];

/// Checks of what is there when a store is opened again.
const PERSISTENT_CHECKS: &[(&str, Check)] = checks![
    lifecycle::rows_survive_closing,
    loads::loads_survive_closing,
    loads::closing_beside_a_load,
    lifecycle::close_after_a_dropped_close,
    lifecycle::second_opening_is_refused,
    lifecycle::dropped_store_frees_its_database,
];
