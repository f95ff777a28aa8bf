//! `cargo xtask simulate` and `replay`, and the share of the simulation that belongs to the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::cargo::Cargo;
use crate::program::Program;
use crate::shell;
use crate::tally::Tally;
use crate::test;
use crate::workspace::Workspace;

/// The crate with the sequences. Its tests are a stage of their own, because they need an optimised engine.
const PACKAGE: &str = "dagstore-sim";

/// The program.
pub(crate) const PROGRAM: Program = Program { package: PACKAGE, needs_rocksdb: false };

/// The profile that it is built with: optimised, and with assertions.
pub(crate) const PROFILE: &str = "sim";

/// How many sequences the tests run.
const SEQUENCES: &str = "50000";

/// Tells the crate's test how many that are.
const SEQUENCES_VARIABLE: &str = "DAGSTORE_SIM_SEQUENCES";

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The first seed; one of the moment where none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// As many whole sequences as have at least so many events together.
    #[arg(long, conflicts_with = "sequences")]
    steps: Option<u64>,
    /// How many sequences; some where neither is given.
    #[arg(long)]
    sequences: Option<u64>,
    /// How many events a sequence has on the average; as in the tests where none is given.
    #[arg(long)]
    events: Option<u64>,
    /// Tells all that happens in each.
    #[arg(long, conflicts_with = "steps")]
    verbose: bool,
}

/// Builds the simulation and runs it; it prints which sequence has failed, if one has, and keeps it as a file.
///
/// # Errors
///
/// When the build fails, or a sequence.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let Arguments { seed: wanted, steps, sequences, events, verbose } = arguments;
    let mut command = program(workspace)?;
    let seed = Some(wanted.unwrap_or_else(seed));
    for (name, number) in [("--seed", &seed), ("--steps", steps), ("--sequences", sequences), ("--events", events)] {
        if let Some(number) = number {
            command.arg(name).arg(number.to_string());
        }
    }
    if *verbose {
        command.arg("--verbose");
    }
    shell::run(&mut command)
}

/// Runs a sequence that was kept as a file, and says whether it still fails.
///
/// # Errors
///
/// When the build fails, the file can't be run, or its sequence still fails.
pub(crate) fn replay(workspace: &Workspace, file: &Path) -> Result<()> {
    // The program is started in the workspace's folder.
    let file = std::path::absolute(file).with_context(|| format!("looking for {}", file.display()))?;
    shell::run(program(workspace)?.arg("--replay").arg(file))
}

/// The program, to be given more arguments.
///
/// # Errors
///
/// When the target folder isn't known.
pub(crate) fn program(workspace: &Workspace) -> Result<Command> {
    let mut command = PROGRAM.command(workspace)?;
    command.arg("--failures").arg(failures(workspace)?);
    Ok(command)
}

/// Where sequences are kept that failed.
fn failures(workspace: &Workspace) -> Result<PathBuf> {
    Ok(workspace.target_folder()?.join("simulated"))
}

/// A seed that was hardly ever used before.
pub(crate) fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().wrapping_mul(1_000_000)
}

/// What cargo is told, to choose the tests of the simulation.
const SELECTION: [&str; 4] = ["--profile", PROFILE, "-p", PACKAGE];

/// Builds the tests of the simulation.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    shell::run(Cargo::plain(workspace).command(["test", "--quiet", "--no-run"]).args(SELECTION))
}

/// Runs the tests of the simulation.
///
/// # Errors
///
/// As [`test::stage`].
pub(crate) fn stage(workspace: &Workspace) -> Result<Tally> {
    let selection = SELECTION.map(str::to_owned);
    // Not captured: how many sequences, events and crashes there were is told by the test itself.
    let arguments = ["--nocapture".to_owned()];
    test::stage_with(workspace, &selection, &arguments, &[(SEQUENCES_VARIABLE, SEQUENCES)])
}

/// The choice of crates without the simulation.
pub(crate) fn without(mut selection: Vec<String>) -> Vec<String> {
    selection.extend(["--exclude", PACKAGE].map(str::to_owned));
    selection
}
