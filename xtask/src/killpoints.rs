//! `cargo xtask killpoints` and `killloop`: stores in processes that are killed at named moments, or at any time.

use anyhow::Result;

use crate::program::Program;
use crate::selection::ROCKSDB_FEATURE;
use crate::shell;
use crate::simulate::seed;
use crate::workspace::Workspace;

/// In the kill loop, one of so many rounds is killed from outside at any time.
pub(crate) const OUTSIDE_EVERY: &str = "3";

/// The program with the rounds.
pub(crate) fn program(needs_rocksdb: bool) -> Program {
    Program { package: "dagstore-crash", needs_rocksdb }
}

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many rounds. The moments take turns, in the order of docs/killpoints.md: few rounds have the first ones only.
    #[arg(long, default_value_t = 1000)]
    rounds: u64,
    /// The seed of all choices; one of the moment where none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// On which backend: redb or rocksdb, which must have been set up.
    #[arg(long, default_value = "redb")]
    backend: String,
    /// More of the program's own options, which a failure tells, to do one kill again: `--width 4 --at before-index-rename:3`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds the program and runs it; it prints how many were killed at each moment, and what was broken, if anything was. In the
/// loop every third process is killed from outside, at any time.
///
/// # Errors
///
/// When RocksDB is wanted and not set up, the build fails, or a rule is broken.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments, is_loop: bool) -> Result<()> {
    let mut command = program(arguments.backend == ROCKSDB_FEATURE).command(workspace)?;
    let seed = arguments.seed.unwrap_or_else(seed);
    command.args(["--backend", &arguments.backend]);
    command.args(["--rounds", &arguments.rounds.to_string(), "--seed", &seed.to_string()]);
    if is_loop {
        command.args(["--outside-every", OUTSIDE_EVERY]);
    }
    command.args(&arguments.options);
    shell::run(&mut command)
}
