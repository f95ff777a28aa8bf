//! `cargo xtask simulate`, and the share of the simulation that belongs to the tests.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::cargo::Cargo;
use crate::shell;
use crate::tally::Tally;
use crate::test;
use crate::workspace::Workspace;

/// The crate with the sequences. Its tests are a stage of their own, because they need an optimised engine.
const PACKAGE: &str = "dagstore-sim";

/// The profile that it is built with: optimised, and with assertions.
pub(crate) const PROFILE: &str = "sim";

/// How many sequences the tests run.
const SEQUENCES: &str = "100000";

/// Tells the crate's test how many that are.
const SEQUENCES_VARIABLE: &str = "DAGSTORE_SIM_SEQUENCES";

/// Builds the simulation and runs it; it prints which sequence has failed, if one has.
///
/// # Errors
///
/// When the build fails, or a sequence.
pub(crate) fn run(workspace: &Workspace, numbers: &[(&str, Option<u64>)], is_verbose: bool) -> Result<()> {
    let mut command = Cargo::plain(workspace).command(["run", "--quiet", "--profile", PROFILE, "-p", PACKAGE, "--"]);
    for (name, number) in numbers {
        if let Some(number) = number {
            command.arg(name).arg(number.to_string());
        }
    }
    if is_verbose {
        command.arg("--verbose");
    }
    shell::run(&mut command)
}

/// A seed that was hardly ever used before.
pub(crate) fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().wrapping_mul(1_000_000)
}

/// Runs the tests of the simulation.
///
/// # Errors
///
/// As [`test::stage`].
pub(crate) fn stage(workspace: &Workspace) -> Result<Tally> {
    let selection = ["--profile", PROFILE, "-p", PACKAGE].map(str::to_owned);
    // Not captured: how many sequences, events and crashes there were is told by the test itself.
    let arguments = ["--nocapture".to_owned()];
    test::stage_with(workspace, &selection, &arguments, &[(SEQUENCES_VARIABLE, SEQUENCES)])
}

/// The choice of crates without the simulation.
pub(crate) fn without(mut selection: Vec<String>) -> Vec<String> {
    selection.extend(["--exclude", PACKAGE].map(str::to_owned));
    selection
}
