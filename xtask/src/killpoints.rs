//! `cargo xtask killpoints`: stores in processes that are killed at named moments.

use anyhow::{Result, bail};

use crate::cargo::Cargo;
use crate::selection::ROCKSDB_FEATURE;
use crate::setup;
use crate::shell;
use crate::simulate::{PROFILE, seed};
use crate::workspace::Workspace;

/// The crate with the rounds.
const PACKAGE: &str = "dagstore-crash";

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many rounds, spread evenly over all moments.
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

/// Builds the program and runs it; it prints how many were killed at each moment, and what was broken, if anything was.
///
/// # Errors
///
/// When RocksDB is wanted and not set up, the build fails, or a rule is broken.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let needs_rocksdb = arguments.backend == ROCKSDB_FEATURE;
    let cargo = if needs_rocksdb { Cargo::new(workspace) } else { Cargo::plain(workspace) };
    let mut command = cargo.command(["run", "--quiet", "--profile", PROFILE, "-p", PACKAGE]);
    if needs_rocksdb {
        if !setup::is_done(workspace) {
            bail!("RocksDB is not set up: run `cargo xtask setup` first");
        }
        command.args(["--features", ROCKSDB_FEATURE]);
    }
    let seed = arguments.seed.unwrap_or_else(seed);
    command.args(["--", "--backend", &arguments.backend]);
    command.args(["--rounds", &arguments.rounds.to_string(), "--seed", &seed.to_string()]);
    command.args(&arguments.options);
    shell::run(&mut command)
}
