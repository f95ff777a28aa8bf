//! Building the targets with coverage, checks of addresses and libFuzzer.

use anyhow::{Context, Result};

use crate::cargo::Cargo;
use crate::fuzz::program::Program;
use crate::setup::compiler;
use crate::shell;
use crate::workspace::{Workspace, host_target};

/// The crate with the targets. The program of a target is called `fuzz-` and its name.
const PACKAGE: &str = "dagstore-fuzz";

/// The profile that it is built with: optimised, and with assertions and checks for overflow.
const PROFILE: &str = "fuzz";

/// What cargo-fuzz tells the compiler: where the code goes is counted, and what it compares is told. The sanitizer is less for
/// addresses, as there is no unsafe code here, than for the limit on allocations, which libFuzzer takes from it.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
];

/// Why this machine can't fuzz; `None` where it can.
pub(crate) fn missing() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Some("libFuzzer is only built on Linux with glibc".to_owned());
    }
    compiler::program_name().is_none().then(|| "libFuzzer needs a C++ compiler, and there is none".to_owned())
}

/// Builds all targets at once, in cargo's own target folder, and returns the programs of some.
///
/// # Errors
///
/// When the build fails.
pub(super) fn build(workspace: &Workspace, targets: &[String]) -> Result<Vec<Program>> {
    let host = host_target().context("rustc doesn't tell what it compiles for")?;
    let arguments = ["build", "--quiet", "--profile", PROFILE, "-p", PACKAGE, "--bins", "--features", "libfuzzer"];
    let mut command = Cargo::plain(workspace).command(arguments);
    // With a target named, build scripts and macros are built without the flags.
    command.args(["--target", &host]);
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", FLAGS.join(" ")).env("RUSTC_BOOTSTRAP", "1");
    println!("fuzz: building the targets");
    shell::run(&mut command)?;
    let target_folder = workspace.target_folder()?;
    let programs = target_folder.join(host).join(PROFILE);
    let program = |name: &String| Program::new(workspace, &target_folder, &programs, name);
    Ok(targets.iter().map(program).collect())
}
