//! `cargo xtask fix`: the corrections a machine can make.

use anyhow::Result;

use crate::cargo::Cargo;
use crate::selection::Selection;
use crate::setup;
use crate::shell;
use crate::workspace::Workspace;

/// Applies clippy's sure suggestions, then formats.
///
/// # Errors
///
/// When the code does not compile or can't be formatted.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let selection = Selection::of(workspace)?;
    clippy(workspace, &selection.lean())?;
    match selection.rocksdb() {
        Some(crates) if setup::is_done(workspace) => clippy(workspace, &crates)?,
        Some(_) => println!("fix: RocksDB is not set up, its crates are only formatted"),
        None => {}
    }
    shell::run(&mut Cargo::plain(workspace).command(["fmt", "--all"]))
}

fn clippy(workspace: &Workspace, selection: &[String]) -> Result<()> {
    let mut command = Cargo::new(workspace).command(["clippy", "--fix", "--allow-dirty", "--allow-staged"]);
    shell::run(command.arg("--all-targets").args(selection))
}
