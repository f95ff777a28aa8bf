//! `cargo xtask demo`: the program's demonstration, which needs nothing of the set-up.

use anyhow::Result;

use crate::cargo::Cargo;
use crate::shell;
use crate::workspace::Workspace;

/// Builds the program and runs `dagstore demo`.
///
/// # Errors
///
/// When the build or the demonstration fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut command = Cargo::plain(workspace).command(["run", "--release", "-p", "dagstore-cli", "--", "demo"]);
    shell::run(command.args(arguments))
}
