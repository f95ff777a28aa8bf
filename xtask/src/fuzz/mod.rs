//! `cargo xtask fuzz`: the programs of the crate `fuzz`, built with libFuzzer and run.
//!
//! The build is this compiler's own: sanitizers are shipped with it and need a word of permission, `RUSTC_BOOTSTRAP`. Everything
//! that is made goes below cargo's target folder; the clone changes only with `--minimise`.

mod build;
mod outcome;
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::simulate;
use crate::tally::Tally;
use crate::workspace::Workspace;
use outcome::Outcome;
use program::Program;

pub(crate) use build::missing;

/// How long each target runs where nobody says how long.
const USUAL_SECONDS: u64 = 10;

/// How many targets run at the same time at most.
const MOST_AT_ONCE: usize = 2;

/// The folder with a folder of inputs for each target.
const CORPUS: &str = "fuzz/corpus";

/// What `cargo xtask fuzz` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The target, a folder's name in fuzz/corpus; all of them where none is named.
    target: Option<String>,
    /// Runs all targets, two at a time.
    #[arg(long, conflicts_with = "target")]
    all: bool,
    /// How long each target runs, `10m` for instance; 10 seconds where nobody says.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    r#for: Option<Duration>,
    /// The seed of the mutations; one of the moment where none is given.
    #[arg(long)]
    seed: Option<u32>,
    /// Runs the target on this input only, and shows all that it says.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Runs nothing, but puts into fuzz/corpus as few inputs as cover the same, of those there and those found since.
    #[arg(long, conflicts_with = "input")]
    minimise: bool,
}

/// Builds the targets and does what the arguments say; `false` where a target has found something.
///
/// # Errors
///
/// When this machine can't do it, the build fails, or there is no such target.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<bool> {
    if let Some(reason) = missing() {
        bail!("there is no fuzzing here: {reason}");
    }
    let targets = chosen(workspace, arguments.target.as_deref())?;
    let programs = build::build(workspace, &targets)?;
    if let Some(input) = &arguments.input {
        return programs.iter().try_fold(true, |good, program| Ok(program.replay(input)? && good));
    }
    if arguments.minimise {
        programs.iter().try_for_each(Program::minimise)?;
        return Ok(true);
    }
    let seconds = arguments.r#for.map_or(USUAL_SECONDS, |time| time.as_secs().max(1));
    let seed = arguments.seed.unwrap_or_else(seed_of_the_moment);
    let tally = run_all(&programs, seconds, seed);
    tally.print_details();
    println!("fuzz: {tally}");
    Ok(tally.is_success())
}

/// Builds all targets.
///
/// # Errors
///
/// When that fails.
pub(crate) fn build_all(workspace: &Workspace) -> Result<()> {
    build::build(workspace, &chosen(workspace, None)?).map(|_programs| ())
}

/// Runs each target for a share of the time, going on from the inputs that were found before. Returns the figures, and what
/// shows again what one has found.
///
/// # Errors
///
/// When the build fails, or a program can't be run.
pub(crate) fn campaign(workspace: &Workspace, time: Duration) -> Result<(BTreeMap<String, u64>, Option<String>)> {
    let programs = build::build(workspace, &chosen(workspace, None)?)?;
    let seconds = (time.as_secs() * u64::try_from(at_once())? / u64::try_from(programs.len().max(1))?).max(1);
    let seed = seed_of_the_moment();
    println!("fuzz: {} targets, {seconds} s each, {} at a time, seed {seed}", programs.len(), at_once());
    let mut figures = BTreeMap::new();
    let mut failure = None;
    for (name, outcome) in spread(&programs, |program| (program.name(), told(program, seconds, seed))) {
        match outcome {
            Ok(outcome) => {
                figures.insert(format!("seconds: {name}"), seconds);
                figures.insert(format!("executions: {name}"), outcome.executions());
                if !outcome.is_good() {
                    failure = Some(again(name, &outcome));
                }
            }
            Err(error) => failure = Some(format!("cargo xtask fuzz {name} ({error:#})")),
        }
    }
    Ok((figures, failure))
}

/// Runs each target for a short time, as a part of the checks. Each counts as a test.
///
/// # Errors
///
/// When the build fails.
pub(crate) fn stage(workspace: &Workspace) -> Result<Tally> {
    let programs = build::build(workspace, &chosen(workspace, None)?)?;
    // What another run has left is no part of this one.
    programs.iter().try_for_each(Program::forget)?;
    Ok(run_all(&programs, USUAL_SECONDS, seed_of_the_moment()))
}

/// The targets, which are the folders of the corpus.
fn chosen(workspace: &Workspace, wanted: Option<&str>) -> Result<Vec<String>> {
    let folder = workspace.root().join(CORPUS);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    match wanted {
        None => Ok(names),
        Some(wanted) if names.iter().any(|name| name == wanted) => Ok(vec![wanted.to_owned()]),
        Some(wanted) => bail!("{wanted} is no target; there are {}", names.join(", ")),
    }
}

/// Runs the programs, a few at the same time, and tells of each how it went.
fn run_all(programs: &[Program], seconds: u64, seed: u32) -> Tally {
    println!("fuzz: {} targets, {seconds} s each, {} at a time, seed {seed}", programs.len(), at_once());
    let mut tally = Tally::default();
    for (name, outcome) in spread(programs, |program| (program.name(), told(program, seconds, seed))) {
        match outcome {
            Ok(outcome) if outcome.is_good() => tally.add_pass(),
            Ok(outcome) => tally.add_failure(format!("fuzz::{name}: {}", again(name, &outcome))),
            Err(error) => tally.add_failure(format!("fuzz::{name}: {error:#}")),
        }
    }
    tally
}

/// How many targets run at the same time.
fn at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_AT_ONCE)
}

/// Does this with every program, a few at the same time.
fn spread<'a, T: Send>(programs: &'a [Program], work: impl Fn(&'a Program) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let left = iter::from_fn(|| programs.get(next.fetch_add(1, Ordering::Relaxed)));
        left.map(&work).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Runs a target and tells how it went.
fn told(program: &Program, seconds: u64, seed: u32) -> Result<Outcome> {
    let outcome = program.run(seconds, seed)?;
    if outcome.is_good() {
        println!("fuzz: {}: {outcome}", program.name());
    } else {
        println!("{}\nfuzz: {}: FOUND SOMETHING, {outcome}", outcome.last_words(), program.name());
    }
    Ok(outcome)
}

/// What shows again what a target has found.
fn again(name: &str, outcome: &Outcome) -> String {
    let input = outcome.found().map(|input| format!(" --input {}", input.display()));
    format!("cargo xtask fuzz {name}{}", input.unwrap_or_default())
}

/// libFuzzer takes 32 bits, and 0 for a seed of its own.
fn seed_of_the_moment() -> u32 {
    u32::try_from((simulate::seed() / 1_000_000) & u64::from(u32::MAX)).unwrap_or(1).max(1)
}
