//! `cargo xtask errors` and `cargo xtask cuts`: every call fails, and the power goes at every moment.

use anyhow::Result;

use crate::program::Program;
use crate::shell;
use crate::workspace::Workspace;

/// The program with both loops.
pub(crate) const PROGRAM: Program = Program { package: "dagstore-world", needs_rocksdb: false };

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program's own options, some of which a failure tells, to do one run again: `--operation pin --fault io --at 3`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds the program and runs one of its loops; it prints how many points were met, and what was broken, if anything was.
///
/// # Errors
///
/// When the build fails, or a rule is broken.
pub(crate) fn run(workspace: &Workspace, which: &str, arguments: &Arguments) -> Result<()> {
    shell::run(PROGRAM.command(workspace)?.arg(which).args(&arguments.options))
}
