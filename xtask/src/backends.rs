//! The engine's tests once more, on every backend: memory with the other codec, redb, PostgreSQL, RocksDB.
//!
//! The tests of the lean crates have run them on memory already, with the default codec.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::Message;

use crate::cargo::Cargo;
use crate::setup;
use crate::shell;
use crate::tally::Tally;
use crate::test;
use crate::workspace::Workspace;

/// The crate with the tests, and its test programs.
const PACKAGE: &str = "dagstore-engine";
const PROGRAMS: [&str; 2] = ["engine", "engine-faults"];

/// Where a run has its datastores, and what its records are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ground {
    /// What `DAGSTORE_TEST_BACKEND` says.
    backend: &'static str,
    /// What `DAGSTORE_TEST_CODEC` says.
    codec: &'static str,
}

/// What needs no C++.
pub(crate) const LEAN: [Ground; 3] = [
    Ground { backend: "memory", codec: "json" },
    Ground { backend: "redb", codec: "cbor" },
    Ground { backend: "postgres", codec: "cbor" },
];

/// What needs RocksDB.
pub(crate) const ROCKSDB: [Ground; 1] = [Ground { backend: "rocksdb", codec: "cbor" }];

/// Tests that run on memory with the default codec alone, by their programs, and why.
const MEMORY_ONLY: [(&str, &str, &str); 1] = [(
    "engine",
    "dropped::everything_can_be_dropped_on_several_threads",
    "thousands of stores; what it drops is dropped there by the other tests of `dropped`",
)];

/// Fewer of the random sequences with far sources, hardly any of whose work is the datastore's.
const FAR_SEQUENCES: (&str, &str) = ("FAR_SEQUENCES", "6");

/// Most of the tests' time goes into waiting for disks, of which there is always another.
const THREADS: (&str, &str) = ("RUST_TEST_THREADS", "4");

/// Runs the tests on all grounds, and nothing else; `false` where one has failed.
///
/// # Errors
///
/// As [`stage`], and when RocksDB can't be set up.
pub(crate) fn run(workspace: &Workspace, is_lean: bool) -> Result<bool> {
    let mut selection = with_engine(Vec::new());
    let mut grounds = LEAN.to_vec();
    if !is_lean {
        setup::run(workspace)?;
        selection.extend(["-p", "dagstore-backends", "--features", "dagstore-backends/rocksdb"].map(str::to_owned));
        grounds.extend(ROCKSDB);
    }
    let tally = stage(workspace, &selection, &grounds)?;
    tally.print_details();
    println!("{tally}");
    Ok(tally.is_success())
}

/// Runs the tests on each of these grounds; `selection` is what the tests before were built with, so that little or nothing
/// is built anew.
///
/// # Errors
///
/// When they can't be built or started; failed tests are in the tally.
pub(crate) fn stage(workspace: &Workspace, selection: &[String], grounds: &[Ground]) -> Result<Tally> {
    let mut tally = Tally::default();
    let programs = programs(workspace, selection)?;
    for ground in grounds {
        for (name, program) in &programs {
            tally.add(run_on(workspace, *ground, name, program)?);
        }
    }
    Ok(tally)
}

fn run_on(workspace: &Workspace, ground: Ground, name: &str, program: &PathBuf) -> Result<Tally> {
    let Ground { backend, codec } = ground;
    let left_out: Vec<_> = MEMORY_ONLY.iter().filter(|(of, ..)| *of == name).collect();
    let mut command = Command::new(program);
    if let Some(folder) = workspace.package_folder(PACKAGE)? {
        command.current_dir(folder);
    }
    check_names(&mut Command::new(program), &left_out)?;
    command.envs([("DAGSTORE_TEST_BACKEND", backend), ("DAGSTORE_TEST_CODEC", codec), FAR_SEQUENCES, THREADS]);
    command.arg("--exact");
    for (_, test, _) in &left_out {
        command.args(["--skip", test]);
    }
    let title = format!("{name} on {backend} with {codec}");
    let mut tally = test::counted(workspace, command, &title)?;
    for (_, test, reason) in &left_out {
        tally.add_skip(format!("{title}::{test}: {reason}"));
    }
    Ok(tally)
}

/// A name that no test has any more would leave nothing out, and nobody would see it.
fn check_names(program: &mut Command, left_out: &[&(&str, &str, &str)]) -> Result<()> {
    let listed = shell::capture(program.args(["--list", "--format", "terse"]))?;
    for (_, test, _) in left_out {
        let is_there = listed.lines().any(|line| line.strip_suffix(": test") == Some(test));
        ensure!(is_there, "xtask/src/backends.rs leaves out {test}, and there is no such test");
    }
    Ok(())
}

/// The test programs, built.
fn programs(workspace: &Workspace, selection: &[String]) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut command = Cargo::new(workspace).command(["test", "--no-run", "--message-format", "json", "--quiet"]);
    let messages = shell::capture(command.args(selection))?;
    let mut found = Vec::new();
    for message in Message::parse_stream(messages.as_bytes()) {
        let Message::CompilerArtifact(artifact) = message.context("reading what cargo built")? else { continue };
        let name = PROGRAMS.into_iter().find(|name| artifact.target.is_test() && artifact.target.name == *name);
        let is_ours = artifact.manifest_path.parent().is_some_and(|folder| folder.ends_with(PACKAGE));
        if let Some((name, program)) = name.filter(|_| is_ours).zip(artifact.executable) {
            found.push((name, program.into_std_path_buf()));
        }
    }
    ensure!(found.len() == PROGRAMS.len(), "of {PROGRAMS:?} cargo built {found:?}");
    Ok(found)
}

/// `selection` with the engine's crate, for a choice of crates that is without it.
pub(crate) fn with_engine(mut selection: Vec<String>) -> Vec<String> {
    selection.extend(["-p", PACKAGE].map(str::to_owned));
    selection
}

#[cfg(test)]
mod tests {
    use super::{LEAN, ROCKSDB};

    #[test]
    fn each_backend_and_each_codec_has_its_turn() {
        let grounds = || LEAN.iter().chain(&ROCKSDB);
        for backend in ["memory", "redb", "postgres", "rocksdb"] {
            assert!(grounds().any(|ground| ground.backend == backend), "{backend}");
        }
        // The other codec on memory has its turn among the tests of the lean crates.
        assert!(grounds().any(|ground| (ground.backend, ground.codec) == ("memory", "json")));
    }
}
