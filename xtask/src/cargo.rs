//! Starting cargo from within cargo, with the environment that finds RocksDB and libclang.

use std::process::Command;

use anyhow::Result;

use crate::setup::environment::Environment;
use crate::shell;
use crate::workspace::Workspace;

/// Cargo in this workspace.
#[derive(Debug, Clone)]
pub(crate) struct Cargo {
    workspace: Workspace,
    environment: Environment,
}

impl Cargo {
    /// Cargo with what this machine has been set up with; made anew after a set-up.
    pub(crate) fn new(workspace: &Workspace) -> Self {
        Self { workspace: workspace.clone(), environment: Environment::detect(workspace) }
    }

    /// Cargo as it is, for commands that need nothing of the set-up.
    pub(crate) fn plain(workspace: &Workspace) -> Self {
        Self { workspace: workspace.clone(), environment: Environment::default() }
    }

    /// A command that can be given more arguments, and run.
    pub(crate) fn command<I>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
    {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.workspace.root()).args(arguments);
        // The outer cargo describes this tool's package in these; build scripts that read them would run again.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(describes_package) {
                command.env_remove(name);
            }
        }
        self.environment.apply(&mut command);
        command
    }

    /// The names of all packages that `package` needs in a normal build, itself included.
    ///
    /// # Errors
    ///
    /// When cargo knows no such package or feature.
    pub(crate) fn tree(&self, package: &str, features: &[&str]) -> Result<Vec<String>> {
        self.tree_of_kinds(package, "normal,build", features)
    }

    /// The names of all packages that `package` needs by the given kinds of dependencies.
    ///
    /// # Errors
    ///
    /// When cargo knows no such package or feature.
    pub(crate) fn tree_of_kinds(&self, package: &str, kinds: &str, features: &[&str]) -> Result<Vec<String>> {
        let mut command =
            self.command(["tree", "--quiet", "--prefix", "none", "--format", "{p}", "--edges", kinds, "-p", package]);
        command.args(features);
        let text = shell::capture(&mut command)?;
        let names = text.lines().filter_map(|line| line.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }
}

fn describes_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}
