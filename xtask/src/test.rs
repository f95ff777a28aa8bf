//! `cargo xtask test`: all tests, the lean crates' first, counted to one last line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::backends;
use crate::cargo::Cargo;
use crate::selection::Selection;
use crate::setup;
use crate::shell;
use crate::simulate;
use crate::tally::{Reader, Tally};
use crate::workspace::Workspace;

/// Names a file to which a test that finds its surroundings missing appends `crate::test: reason`.
const SKIP_LOG_VARIABLE: &str = "DAGSTORE_SKIP_LOG";

/// Runs the tests and prints the counts; `false` where they don't prove the workspace good.
///
/// # Errors
///
/// When cargo can't be started or the manifests can't be read.
pub(crate) fn run(workspace: &Workspace, is_lean: bool, arguments: &[String]) -> Result<bool> {
    let selection = Selection::of(workspace)?;
    // Whoever names tests is not made to wait for the simulation: its crate is among the others then, with few sequences.
    let is_all = arguments.is_empty();
    let lean = if is_all { simulate::without(selection.lean()) } else { selection.lean() };
    let mut tally = stage(workspace, &lean, arguments)?;
    if is_all {
        tally.add(backends::stage(workspace, &lean, &backends::LEAN)?);
        tally.add(simulate::stage(workspace)?);
    }
    if let Some(crates) = selection.rocksdb().filter(|_| !is_lean) {
        match setup::run(workspace) {
            Ok(()) => {
                tally.add(stage(workspace, &crates, arguments)?);
                if is_all {
                    tally.add(backends::stage(workspace, &backends::with_engine(crates), &backends::ROCKSDB)?);
                }
            }
            Err(error) => tally.add_failure(format!("the set-up for RocksDB: {error:#}")),
        }
    }
    tally.print_details();
    println!("{tally}");
    Ok(tally.is_success())
}

/// Runs one `cargo test` over the crates that `selection` chooses, its output going on to ours.
///
/// # Errors
///
/// When cargo can't be started; failed tests are in the tally.
pub(crate) fn stage(workspace: &Workspace, selection: &[String], arguments: &[String]) -> Result<Tally> {
    stage_with(workspace, selection, arguments, &[])
}

/// As [`stage`], with variables for the tests.
///
/// # Errors
///
/// As [`stage`].
pub(crate) fn stage_with(
    workspace: &Workspace,
    selection: &[String],
    arguments: &[String],
    variables: &[(&str, &str)],
) -> Result<Tally> {
    let mut command = Cargo::new(workspace).command(["test", "--no-fail-fast"]);
    command.args(selection).envs(variables.iter().copied());
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    counted(workspace, command, &format!("cargo test --no-fail-fast {}", selection.join(" ")))
}

/// Runs tests, their output going on to ours, and counts them. `title` is the name of those of which cargo says nothing.
///
/// # Errors
///
/// When the command can't be started; failed tests are in the tally.
pub(crate) fn counted(workspace: &Workspace, mut command: Command, title: &str) -> Result<Tally> {
    let log = fresh_skip_log(workspace)?;
    command.env(SKIP_LOG_VARIABLE, &log).stdin(Stdio::null());
    println!("test: {title}");
    // One pipe for both: cargo names the programs on the one, their tests report on the other.
    let (output, input) = std::io::pipe().context("making a pipe")?;
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn().with_context(|| format!("starting {}", shell::describe(&command)))?;
    // The command holds the pipe's other end, which would never be closed.
    drop(command);
    let mut reader = Reader::of(title);
    copy_lines(BufReader::new(output), &mut reader)?;
    let status = child.wait()?;
    if !status.success() {
        // A program that was ended by a signal has said nothing itself.
        println!("test: {title}: {status}");
    }
    let skipped = fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
    fs::remove_file(&log).with_context(|| format!("removing {}", log.display()))?;
    Ok(reader.finish(&skipped, status.success()))
}

fn copy_lines(mut output: impl BufRead, reader: &mut Reader) -> Result<()> {
    let mut bytes = Vec::new();
    while output.read_until(b'\n', &mut bytes)? > 0 {
        let line = String::from_utf8_lossy(&bytes);
        print!("{line}");
        reader.line(&line);
        bytes.clear();
    }
    Ok(())
}

/// An empty file in the target folder, of a name that no run at the same time has.
fn fresh_skip_log(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target_folder()?.join("xtask");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("skipped-{}.log", std::process::id()));
    create_empty(&path)?;
    Ok(path)
}

fn create_empty(path: &Path) -> Result<()> {
    fs::write(path, "").with_context(|| format!("creating {}", path.display()))
}

/// What a test of this tool calls when its surroundings are missing.
#[cfg(test)]
pub(crate) fn log_skip(test: &str, reason: &str) {
    use std::io::Write as _;

    if let Some(log) = std::env::var_os(SKIP_LOG_VARIABLE) {
        let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
        writeln!(log, "{test}: {reason}").unwrap();
    }
}
