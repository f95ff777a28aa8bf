//! Programs of this workspace that are optimised and have assertions: the simulation, and what kills and what soaks.

use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::Cargo;
use crate::selection::ROCKSDB_FEATURE;
use crate::setup;
use crate::shell;
use crate::simulate::PROFILE;
use crate::workspace::Workspace;

/// A program that has the name of its crate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) package: &'static str,
    pub(crate) needs_rocksdb: bool,
}

impl Program {
    /// Builds it.
    ///
    /// # Errors
    ///
    /// When RocksDB is wanted and not set up, or the build fails.
    pub(crate) fn build(self, workspace: &Workspace) -> Result<()> {
        shell::run(&mut self.cargo(workspace, "build")?)
    }

    /// A command that builds it where that is to be done, and runs it with what is added.
    ///
    /// # Errors
    ///
    /// When RocksDB is wanted and not set up.
    pub(crate) fn command(self, workspace: &Workspace) -> Result<Command> {
        let mut command = self.cargo(workspace, "run")?;
        command.arg("--");
        Ok(command)
    }

    fn cargo(self, workspace: &Workspace, verb: &str) -> Result<Command> {
        let cargo = if self.needs_rocksdb { Cargo::new(workspace) } else { Cargo::plain(workspace) };
        let mut command = cargo.command([verb, "--quiet", "--profile", PROFILE, "-p", self.package]);
        if self.needs_rocksdb {
            if !setup::is_done(workspace) {
                bail!("RocksDB is not set up: run `cargo xtask setup` first");
            }
            command.args(["--features", ROCKSDB_FEATURE]);
        }
        Ok(command)
    }
}
