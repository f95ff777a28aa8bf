//! `cargo xtask soak`: a store under mixed load for a long time, with sources that fail.

use std::time::Duration;

use anyhow::Result;

use crate::program::Program;
use crate::shell;
use crate::simulate::seed;
use crate::workspace::Workspace;

/// The program.
pub(crate) const PROGRAM: Program = Program { package: "dagstore-soak", needs_rocksdb: false };

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long, `60m` for instance.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    r#for: Duration,
    /// The seed of all choices; one of the moment where none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// More of the program's own options: `--leak thread` plants a leak, to see it noticed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds the program and runs it; it prints what was done, and what the process had.
///
/// # Errors
///
/// When the build fails, something grows, or something is wrong.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut command = PROGRAM.command(workspace)?;
    command.args(["--seconds", &arguments.r#for.as_secs().max(1).to_string()]);
    command.args(["--seed", &arguments.seed.unwrap_or_else(seed).to_string()]).args(&arguments.options);
    shell::run(&mut command)
}
