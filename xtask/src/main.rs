//! The project's own tool, started as `cargo xtask`: it prepares the machine, runs the checks and the tests.
//!
//! This file holds the arguments only; each command is a module of its own name.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]

mod backends;
mod bench;
mod campaign;
mod cargo;
mod ci;
mod concurrency;
mod demo;
mod docs;
mod faults;
mod fix;
mod fuzz;
mod harness;
mod killpoints;
mod program;
mod scratch;
mod selection;
mod setup;
mod shell;
mod simulate;
mod soak;
mod tally;
mod test;
mod tidy;
mod verify;
#[cfg(unix)]
mod without_cpp;
mod workspace;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Prepares the machine for this workspace, and checks and tests it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Installs or names what is missing, and makes the machine's RocksDB archive.
    Setup,
    /// Prints the environment the other commands use, for `eval "$(cargo xtask env)"`.
    Env,
    /// Runs all tests, those without RocksDB first, and ends with one line of counts.
    Test {
        /// Leaves out everything that needs RocksDB, and sets up nothing.
        #[arg(long)]
        lean: bool,
        /// Arguments for the test programs, such as a part of a test's name or `--nocapture`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Checks format, lints, tests, documentation and the rules of this project, fuzzes for a short time, and changes nothing.
    Verify {
        /// Leaves out everything that needs RocksDB, and the fuzzing.
        #[arg(long)]
        lean: bool,
    },
    /// Runs the engine's tests on every backend; `test` and `verify` do so among the others.
    Backends {
        /// Leaves out RocksDB.
        #[arg(long)]
        lean: bool,
    },
    /// Checks that the facade with redb alone builds without a C++ compiler and without libclang.
    #[cfg(unix)]
    WithoutCpp,
    /// Formats the code and applies the corrections that clippy is sure of.
    Fix,
    /// Checks the rules that no compiler knows: layers, sizes, headers, dependencies and more.
    Tidy,
    /// Prints the pages that are made from the code: the state machine's tables and its picture, and the list of faults.
    Docs,
    /// Runs the store through random sequences of events with faults and crashes, and makes the first that fails short.
    Simulate(simulate::Arguments),
    /// Runs a sequence again that has failed and was kept as a file, and says whether it still fails.
    Replay {
        /// The file.
        file: std::path::PathBuf,
    },
    /// Kills stores by SIGKILL at named moments, opens them again, and looks at what is left.
    Killpoints(killpoints::Arguments),
    /// Does every operation of a store with the N-th call to disk or datastore failing, for each N, once and from then on.
    Errors(world::Arguments),
    /// Does every operation of a store with the power cut at every moment, opens it again, and cuts that once more.
    Cuts(world::Arguments),
    /// Kills stores by SIGKILL, a third of them from outside at any time and the others at named moments, and looks at what is left.
    Killloop(killpoints::Arguments),
    /// Keeps a store under mixed load with failing sources for a long time: descriptors, threads and memory must stay flat.
    Soak(soak::Arguments),
    /// Shares a time out among all random checks, and adds what they count to the ledger of `docs/reliability.md`.
    Campaign(campaign::Arguments),
    /// Runs the fuzz targets, each until its time is up or it finds something; needs Linux and a C++ compiler.
    Fuzz(fuzz::Arguments),
    /// Lists the faults of the original, or plants them to see that their tests fail.
    Faults {
        /// Plants the fault of this number.
        #[arg(long, value_name = "NUMBER", conflicts_with = "all")]
        plant: Option<u32>,
        /// Plants all of them, one after the other.
        #[arg(long)]
        all: bool,
    },
    /// Plants faults in different layers, to see that simulation, loops and orders of threads find them; each takes minutes.
    Harness {
        /// Only what is planted there, `quota` for instance.
        #[arg(long)]
        layer: Option<String>,
    },
    /// Builds the program and runs its demonstration.
    Demo {
        /// Arguments for `dagstore demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Builds a bench with full optimisation and RocksDB, and runs it: `cargo xtask bench register`.
    Bench {
        /// Leaves out RocksDB.
        #[arg(long)]
        lean: bool,
        /// Which bench: codecs, backends, peers and more; docs/benches.md tells of each.
        name: String,
        /// The bench's own options; `--help` tells them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Sets up and verifies: what continuous integration runs.
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` says that it has told its failure already.
fn run(command: Command) -> anyhow::Result<bool> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Setup => setup::run(&workspace).map(|()| true),
        Command::Env => {
            setup::environment::print(&workspace);
            Ok(true)
        }
        Command::Test { lean, arguments } => test::run(&workspace, lean, &arguments),
        Command::Verify { lean } => verify::run(&workspace, lean),
        Command::Backends { lean } => backends::run(&workspace, lean),
        #[cfg(unix)]
        Command::WithoutCpp => without_cpp::run(&workspace).map(|()| true),
        Command::Fix => fix::run(&workspace).map(|()| true),
        Command::Tidy => tidy::run(&workspace),
        Command::Docs => docs::run(&workspace).map(|()| true),
        Command::Simulate(arguments) => simulate::run(&workspace, &arguments).map(|()| true),
        Command::Replay { file } => simulate::replay(&workspace, &file).map(|()| true),
        Command::Errors(arguments) => world::run(&workspace, "errors", &arguments).map(|()| true),
        Command::Cuts(arguments) => world::run(&workspace, "cuts", &arguments).map(|()| true),
        Command::Killpoints(arguments) => killpoints::run(&workspace, &arguments, false).map(|()| true),
        Command::Killloop(arguments) => killpoints::run(&workspace, &arguments, true).map(|()| true),
        Command::Soak(arguments) => soak::run(&workspace, &arguments).map(|()| true),
        Command::Campaign(arguments) => campaign::run(&workspace, &arguments),
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Faults { all: true, .. } => faults::run(&workspace, faults::What::All),
        Command::Faults { plant, .. } => faults::run(&workspace, plant.map_or(faults::What::List, faults::What::One)),
        Command::Harness { layer } => harness::run(&workspace, layer.as_deref()),
        Command::Demo { arguments } => demo::run(&workspace, &arguments).map(|()| true),
        Command::Bench { lean, name, options } => bench::run(&workspace, lean, &name, &options).map(|()| true),
        Command::Ci => ci::run(&workspace),
    }
}
