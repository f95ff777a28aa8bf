//! `cargo xtask bench`: builds a bench as it will be used, with RocksDB, and runs it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cargo::Cargo;
use crate::selection::ROCKSDB_FEATURE;
use crate::setup;
use crate::shell;
use crate::workspace::Workspace;

/// The package of the benches.
const PACKAGE: &str = "bench-store";

/// Built in where a database is to be measured.
const POSTGRES_FEATURE: &str = "postgres";

/// Where the files of figures go, inside cargo's target folder.
const FOLDER: &str = "bench";

/// The picture of the bench `codecs`, from the root of the workspace.
const PICTURE: &str = "docs/codecs.svg";

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
    if options.iter().any(|option| option.starts_with("--postgres")) {
        command.args(["--features", POSTGRES_FEATURE]);
    }
    command.arg("--").args(arguments(workspace.root(), &workspace.target_folder()?, name, options));
    shell::run(&mut command)
}

/// What the bench is given: its name, the options as they came, and where its figures and its picture go, unless that is
/// among them.
fn arguments(root: &Path, target_folder: &Path, name: &str, options: &[String]) -> Vec<String> {
    let mut arguments = vec![name.to_owned()];
    arguments.extend(options.iter().cloned());
    let mut unless_told = |option: &str, file: PathBuf| {
        let told =
            |given: &String| given.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
        if !options.iter().any(told) {
            arguments.extend([option.to_owned(), file.display().to_string()]);
        }
    };
    unless_told("--json", target_folder.join(FOLDER).join(format!("{name}.json")));
    if name == "codecs" {
        unless_told("--picture", root.join(PICTURE));
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
        let given =
            |name: &str, options: &[&str]| arguments(Path::new("/here"), Path::new("/target"), name, &owned(options));
        assert_eq!(given("restart", &["--full"]), ["restart", "--full", "--json", "/target/bench/restart.json"]);
        for told in [&["--json", "here"][..], &["--json=here"]] {
            assert_eq!(given("restart", told).len(), 1 + told.len());
        }
        let told = ["--json=here", "--picture=there"];
        assert_eq!(given("codecs", &told[..1]), ["codecs", "--json=here", "--picture", "/here/docs/codecs.svg"]);
        assert_eq!(given("codecs", &told).len(), 1 + told.len());
    }
}
