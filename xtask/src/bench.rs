//! `cargo xtask bench`: builds a bench as it will be used, with RocksDB, and runs it.

use std::path::Path;

use anyhow::{Result, bail};

use crate::cargo::Cargo;
use crate::selection::ROCKSDB_FEATURE;
use crate::setup;
use crate::shell;
use crate::workspace::Workspace;

/// The package of the benches.
const PACKAGE: &str = "bench-store";

/// Where the files of figures go, inside cargo's target folder.
const FOLDER: &str = "bench";

/// Builds the benches in release and runs the one that is named; its figures go to `bench/NAME.json` in the target folder, too.
///
/// # Errors
///
/// When RocksDB is wanted and not set up, or the build or the bench fails.
pub(crate) fn run(workspace: &Workspace, lean: bool, name: &str, options: &[String]) -> Result<()> {
    let cargo = if lean { Cargo::plain(workspace) } else { Cargo::new(workspace) };
    let mut command = cargo.command(["run", "--quiet", "--release", "-p", PACKAGE]);
    if !lean {
        if !setup::is_done(workspace) {
            bail!("RocksDB is not set up: run `cargo xtask setup` first, or `cargo xtask bench --lean {name}`");
        }
        command.args(["--features", ROCKSDB_FEATURE]);
    }
    command.arg("--").args(arguments(&workspace.target_folder()?, name, options));
    shell::run(&mut command)
}

/// What the bench is given: its name, the options as they came, and where its figures go, unless that is among them.
fn arguments(target_folder: &Path, name: &str, options: &[String]) -> Vec<String> {
    let mut arguments = vec![name.to_owned()];
    arguments.extend(options.iter().cloned());
    if !options.iter().any(|option| option == "--json" || option.starts_with("--json=")) {
        let file = target_folder.join(FOLDER).join(format!("{name}.json"));
        arguments.extend(["--json".to_owned(), file.display().to_string()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::arguments;

    #[test]
    fn figures_go_to_the_target_folder_unless_told() {
        let owned = |options: &[&str]| -> Vec<String> { options.iter().map(|&option| option.to_owned()).collect() };
        let target = Path::new("/target");
        assert_eq!(
            arguments(target, "restart", &owned(&["--full"])),
            ["restart", "--full", "--json", "/target/bench/restart.json"]
        );
        for told in [&["--json", "here"][..], &["--json=here"]] {
            assert_eq!(arguments(target, "restart", &owned(told)).len(), 1 + told.len());
        }
    }
}
