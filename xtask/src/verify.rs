//! `cargo xtask verify`: everything that must hold before a change is taken, without writing to the clone.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::backends;
use crate::cargo::Cargo;
use crate::concurrency;
use crate::faults;
use crate::fuzz;
use crate::selection::Selection;
use crate::setup;
use crate::shell;
use crate::simulate;
use crate::tally::Tally;
use crate::test;
use crate::tidy;
#[cfg(unix)]
use crate::without_cpp;
use crate::workspace::Workspace;

/// What a run may do beside checking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing with RocksDB, and nothing else that needs a C++ compiler.
    Lean,
    /// RocksDB must have been set up.
    Complete,
    /// RocksDB is set up after the lean crates have been tested, and a few faults are planted.
    CompleteWithSetup,
}

/// Runs every step, prints the counts of the tests last, and returns whether all succeeded.
///
/// # Errors
///
/// When the manifests can't be read; a step that fails is in the result.
pub(crate) fn run(workspace: &Workspace, lean: bool) -> Result<bool> {
    run_mode(workspace, if lean { Mode::Lean } else { Mode::Complete })
}

/// As [`run`], in a given mode.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_mode(workspace: &Workspace, mode: Mode) -> Result<bool> {
    let selection = Selection::of(workspace)?;
    let mut steps = Steps::default();
    // A fault in the lean crates shows before anything of RocksDB is built.
    steps.step("format", || shell::run(&mut Cargo::plain(workspace).command(["fmt", "--all", "--check"])));
    steps.step("tidy", || if tidy::run(workspace)? { Ok(()) } else { bail!("see above") });
    steps.step("clippy, lean crates", || clippy(workspace, &selection.lean()));
    #[cfg(unix)]
    steps.step("facade without C++", || without_cpp::run(workspace));
    let lean = simulate::without(selection.lean());
    steps.tests("tests, lean crates", || test::stage(workspace, &lean, &[]));
    steps.tests("engine, other backends", || backends::stage(workspace, &lean, &backends::LEAN));
    // Nothing where it isn't asked for, and else what is missing for it, if anything is.
    let fuzzing = (mode != Mode::Lean).then(fuzz::missing);
    let plants = mode == Mode::CompleteWithSetup;
    steps.step("building what looks for faults", || build_share(workspace, fuzzing == Some(None), plants));
    steps.tests("simulation", || simulate::stage(workspace));
    steps.tests("orders of threads", || concurrency::stage(workspace, None));
    match fuzzing {
        Some(Some(reason)) => steps.skip("fuzzing", &reason),
        Some(None) => steps.tests("fuzzing", || fuzz::stage(workspace)),
        None => {}
    }
    if plants {
        steps.tests("planted faults", || faults::plant_some(workspace));
    }
    let mut documented = selection.lean();
    if let Some(crates) = selection.rocksdb().filter(|_| mode != Mode::Lean) {
        if steps.step("set-up for RocksDB", || prepare(workspace, mode)) {
            steps.step("clippy, crates with RocksDB", || clippy(workspace, &crates));
            steps.tests("tests, crates with RocksDB", || test::stage(workspace, &crates, &[]));
            let with_engine = backends::with_engine(crates);
            steps.tests("engine, RocksDB", || backends::stage(workspace, &with_engine, &backends::ROCKSDB));
            documented = selection.everything();
        } else {
            println!("verify: nothing with RocksDB is checked");
        }
    }
    steps.step("documentation", || documentation(workspace, &documented));
    println!("verify: of this, {}", steps.share());
    steps.tally.print_details();
    for failed in &steps.failed {
        println!("verify: failed: {failed}");
    }
    println!("{}", steps.tally);
    Ok(steps.failed.is_empty() && steps.tally.is_success())
}

fn prepare(workspace: &Workspace, mode: Mode) -> Result<()> {
    if mode == Mode::CompleteWithSetup {
        return setup::run(workspace);
    }
    if !setup::is_done(workspace) {
        bail!("RocksDB is not set up: run `cargo xtask setup` first, or `cargo xtask verify --lean`");
    }
    Ok(())
}

/// So that the steps themselves take the time that they take.
fn build_share(workspace: &Workspace, fuzzes: bool, plants: bool) -> Result<()> {
    simulate::build(workspace)?;
    concurrency::build(workspace)?;
    if fuzzes {
        fuzz::build_all(workspace)?;
    }
    if plants { faults::build_some(workspace) } else { Ok(()) }
}

fn clippy(workspace: &Workspace, selection: &[String]) -> Result<()> {
    let mut command = Cargo::new(workspace).command(["clippy", "--quiet", "--all-targets"]);
    shell::run(command.args(selection).args(["--", "-D", "warnings"]))
}

fn documentation(workspace: &Workspace, selection: &[String]) -> Result<()> {
    // Libraries and programs one after the other: a program may have the name of a library.
    for targets in ["--lib", "--bins"] {
        let mut command = Cargo::new(workspace).command(["doc", "--quiet", "--no-deps", targets]);
        shell::run(command.args(selection).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    Ok(())
}

/// The steps that are a share of what a campaign does, and the programs of tests.
const SHARE_STEPS: [&str; 4] = ["simulation", "orders of threads", "fuzzing", "planted faults"];
const SHARE_PROGRAMS: [&str; 3] = ["killpoints", "soak", "world"];

/// The steps so far: how long they took, which failed, and the tests of all of them.
#[derive(Debug, Default)]
struct Steps {
    times: Vec<(String, Duration)>,
    failed: Vec<String>,
    tally: Tally,
}

impl Steps {
    /// Runs a step, says how long it took, and notes its failure; the steps after it run all the same.
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        println!("verify: {name}");
        let start = Instant::now();
        let outcome = work();
        let time = start.elapsed();
        self.times.push((name.to_owned(), time));
        let seconds = time.as_secs_f64();
        match outcome {
            Ok(()) => {
                println!("verify: {name}: good, {seconds:.1} s");
                true
            }
            Err(error) => {
                println!("verify: {name}: FAILED after {seconds:.1} s: {error:#}");
                self.failed.push(name.to_owned());
                false
            }
        }
    }

    fn tests(&mut self, name: &str, work: impl FnOnce() -> Result<Tally>) {
        let mut tally = Tally::default();
        self.step(name, || {
            tally = work()?;
            if tally.is_success() { Ok(()) } else { bail!("{tally}") }
        });
        self.tally.add(tally);
    }

    /// How long the share of a campaign took, all together and by what it is made of.
    fn share(&self) -> String {
        let steps = self.times.iter().filter(|(name, _)| SHARE_STEPS.contains(&name.as_str())).cloned();
        let programs = SHARE_PROGRAMS.map(|name| (name.to_owned(), self.tally.time_of(name)));
        let parts: Vec<_> = steps.chain(programs).filter(|(_, time)| !time.is_zero()).collect();
        let told: Vec<_> = parts.iter().map(|(name, time)| format!("{name} {:.0} s", time.as_secs_f64())).collect();
        let sum: Duration = parts.iter().map(|(_, time)| *time).sum();
        format!("the share of a campaign took {:.0} s: {}", sum.as_secs_f64(), told.join(", "))
    }

    /// Notes a step that this machine can't run.
    fn skip(&mut self, name: &str, reason: &str) {
        println!("verify: {name}: skipped, {reason}");
        self.tally.add_skip(format!("{name}: {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Steps;
    use crate::tally::{Reader, Tally};

    #[test]
    fn a_failed_step_is_kept_and_the_next_one_runs() {
        let mut steps = Steps::default();
        assert!(!steps.step("first", || bail!("broken")));
        assert!(steps.step("second", || Ok(())));
        assert_eq!(steps.failed, ["first"]);
    }

    #[test]
    fn a_step_that_is_skipped_is_counted_and_no_failure() {
        let mut steps = Steps::default();
        steps.skip("there", "nothing to do it with");
        assert_eq!((steps.failed.len(), steps.tally.to_string().as_str()), (0, "0 passed, 0 failed, 1 skipped"));
    }

    #[test]
    fn the_share_of_a_campaign_is_steps_and_programs() {
        let mut steps = Steps::default();
        steps.step("tidy", || Ok(()));
        steps.step("fuzzing", || Ok(()));
        steps.tests("tests, lean crates", || {
            let mut reader = Reader::of("killpoints");
            reader
                .line("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 27.52s");
            Ok(reader.finish("", true))
        });
        assert_eq!(steps.share(), "the share of a campaign took 28 s: fuzzing 0 s, killpoints 28 s");
    }

    #[test]
    fn a_step_without_a_passed_test_fails() {
        let mut steps = Steps::default();
        steps.tests("empty", || Ok(Tally::default()));
        assert_eq!(steps.failed, ["empty"]);
    }
}
