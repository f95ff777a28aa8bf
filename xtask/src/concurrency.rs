//! Checks of small primitives in the orders in which threads can meet, with shuttle.
//!
//! They are tests of the crates' own, built with the feature `shuttle`, which swaps their locks and counters.

use anyhow::Result;

use crate::cargo::Cargo;
use crate::shell;
use crate::tally::Tally;
use crate::test;
use crate::workspace::Workspace;

/// The crates with such checks.
const PACKAGES: [&str; 2] = ["dagstore-engine", "dagstore-transient"];

/// A part of the names of the checks, which no other test has.
const CHECKS: &str = "shuttle_checks::";

/// Tells the checks how many orders to try, twice.
pub(crate) const ORDERS_VARIABLE: &str = "DAGSTORE_SHUTTLE_ORDERS";

/// Builds the checks.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let arguments = ["test", "--quiet", "--no-run"].map(str::to_owned).into_iter().chain(selection());
    shell::run(&mut Cargo::plain(workspace).command(arguments))
}

/// Runs them with so many orders; with the usual number where none is told.
///
/// # Errors
///
/// As [`test::stage`].
pub(crate) fn stage(workspace: &Workspace, orders: Option<u64>) -> Result<Tally> {
    let orders = orders.map(|orders| orders.to_string());
    let variables: Vec<_> = orders.iter().map(|orders| (ORDERS_VARIABLE, orders.as_str())).collect();
    let selection: Vec<String> = selection().collect();
    test::stage_with(workspace, &selection, &[CHECKS.to_owned()], &variables)
}

fn selection() -> impl Iterator<Item = String> {
    let packages = PACKAGES.iter().flat_map(|package| ["-p".to_owned(), (*package).to_owned()]);
    let features = PACKAGES.map(|package| format!("{package}/shuttle")).join(",");
    packages.chain(["--lib".to_owned(), "--features".to_owned(), features])
}
