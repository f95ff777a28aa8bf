//! What a campaign is made of: a new stage is one entry of [`STAGES`], and one function that runs it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::figures::{self, Entry, Ledger};
use crate::faults::Plant;
use crate::killpoints::{self, OUTSIDE_EVERY};
use crate::workspace::Workspace;
use crate::{concurrency, faults, fuzz, setup, simulate, soak, world};

/// One kind of check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    /// Its name in the ledger.
    pub(crate) name: &'static str,
    /// How much of the time it gets, beside the others.
    pub(crate) share: u32,
    /// Whether it says less when it is run in portions.
    pub(crate) is_whole: bool,
    /// Why it can't be run here, if it can't.
    pub(crate) missing: fn(&Workspace) -> Option<String>,
    /// Builds what it runs, so that this takes nothing of its time.
    pub(crate) build: fn(&Workspace) -> Result<()>,
    /// Runs it.
    pub(crate) run: fn(&Share<'_>) -> Result<Outcome>,
}

/// What a stage is given.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) lasts: Duration,
    /// What was done so far: this run goes on behind it.
    pub(crate) ledger: &'a Ledger,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: BTreeMap<String, u64>,
    /// The command that shows again what has failed.
    pub(crate) failure: Option<String>,
}

/// The names of stages whose figures have tables of their own.
pub(crate) const SIMULATE: &str = "simulate";
pub(crate) const KILLLOOPS: [&str; 2] = ["killloop-redb", "killloop-rocksdb"];
pub(crate) const LOOPS: [&str; 2] = ["errors", "cuts"];
pub(crate) const FUZZ: &str = "fuzz";
pub(crate) const FAULTS: &str = "faults";

/// All of them, in the order in which they are run.
pub(crate) const STAGES: [Stage; 9] = [
    Stage {
        name: SIMULATE,
        share: 4,
        is_whole: false,
        missing: nothing,
        build: |at| simulate::PROGRAM.build(at),
        run: simulation,
    },
    Stage {
        name: KILLLOOPS[0],
        share: 8,
        is_whole: false,
        missing: nothing,
        build: |at| killpoints::program(false).build(at),
        run: |share| killing(share, KILLLOOPS[0], "redb"),
    },
    Stage {
        name: KILLLOOPS[1],
        share: 8,
        is_whole: false,
        missing: rocksdb_is,
        build: |at| killpoints::program(true).build(at),
        run: |share| killing(share, KILLLOOPS[1], "rocksdb"),
    },
    Stage {
        name: LOOPS[0],
        share: 4,
        is_whole: false,
        missing: nothing,
        build: |at| world::PROGRAM.build(at),
        run: |share| looping(share, LOOPS[0]),
    },
    Stage {
        name: LOOPS[1],
        share: 3,
        is_whole: false,
        missing: nothing,
        build: |at| world::PROGRAM.build(at),
        run: |share| looping(share, LOOPS[1]),
    },
    Stage { name: FUZZ, share: 6, is_whole: false, missing: |_| fuzz::missing(), build: fuzz::build_all, run: fuzzing },
    Stage {
        name: "soak",
        share: 6,
        is_whole: true,
        missing: nothing,
        build: |at| soak::PROGRAM.build(at),
        run: soaking,
    },
    Stage { name: "orders", share: 2, is_whole: false, missing: nothing, build: concurrency::build, run: ordering },
    Stage { name: FAULTS, share: 3, is_whole: false, missing: nothing, build: |_| Ok(()), run: planting },
];

/// How many steps the simulation runs from one seed: so many are soon run again.
const STEPS: u64 = 200_000;

/// In how many parts the loops are run. All of them together have each point once.
const QUARTERS: u64 = 4;

/// The figure that says how many were run.
const QUARTERS_RUN: &str = "quarters of the loop";

/// How many orders of threads are tried at once.
const ORDERS: u64 = 10_000;

/// The seed of the first sequence. The tests have those from 1 on.
const FIRST_SEED: u64 = 1_000_000_000;

/// The seed of the kill loops, whose rounds go on from one campaign to the next.
const KILL_SEED: &str = "1";

fn nothing(_: &Workspace) -> Option<String> {
    None
}

fn rocksdb_is(workspace: &Workspace) -> Option<String> {
    (!setup::is_done(workspace)).then(|| "RocksDB is not set up: `cargo xtask setup`".to_owned())
}

/// From a seed that no campaign has had on, some steps at a time.
fn simulation(share: &Share<'_>) -> Result<Outcome> {
    let begun = Instant::now();
    let mut all = Entry::default();
    let mut failure = None;
    while failure.is_none() && (begun.elapsed() < share.lasts || all.figures.is_empty()) {
        let before = share.ledger.figure(SIMULATE, "sequences") + all.figures.get("sequences").copied().unwrap_or(0);
        let (seed, steps) = ((FIRST_SEED + before).to_string(), STEPS.to_string());
        let mut command = simulate::program(share.workspace)?;
        command.args(["--seed", &seed, "--steps", &steps]);
        let again = format!("cargo xtask simulate --seed {seed} --steps {steps}");
        let outcome = run_program(share, command, |_| again)?;
        all.add(outcome.figures);
        failure = outcome.failure;
    }
    Ok(Outcome { figures: all.figures, failure })
}

/// Rounds behind those that were there before.
fn killing(share: &Share<'_>, stage: &str, backend: &str) -> Result<Outcome> {
    let mut command = killpoints::program(backend == "rocksdb").command(share.workspace)?;
    let begin = share.ledger.figure(stage, "rounds").to_string();
    command.args(["--backend", backend, "--seed", KILL_SEED, "--begin", &begin, "--outside-every", OUTSIDE_EVERY]);
    command.args(["--rounds", "1000000000", "--seconds", &share.lasts.as_secs().to_string()]);
    run_program(share, command, |figures| {
        // The round that failed isn't counted, nor is one that was run beside it.
        let rounds = figures.get("rounds").copied().unwrap_or_default() + 10;
        format!("cargo xtask killloop --backend {backend} --seed {KILL_SEED} --rounds {rounds} -- --begin {begin}")
    })
}

/// One quarter after the other, from the one on that comes behind the last.
fn looping(share: &Share<'_>, name: &'static str) -> Result<Outcome> {
    let begun = Instant::now();
    let mut all = Entry::default();
    let mut quarters = 0;
    let mut failure = None;
    while failure.is_none() && (begun.elapsed() < share.lasts || quarters == 0) {
        let quarter = (share.ledger.figure(name, QUARTERS_RUN) + quarters) % QUARTERS;
        let (stride, seed) = (QUARTERS.to_string(), quarter.to_string());
        let mut command = world::PROGRAM.command(share.workspace)?;
        command.args([name, "--stride", &stride, "--seed", &seed]);
        let again = format!("cargo xtask {name} --stride {stride} --seed {seed}");
        let outcome = run_program(share, command, |_| again)?;
        all.add(outcome.figures);
        failure = outcome.failure;
        quarters += 1;
    }
    all.add(BTreeMap::from([(QUARTERS_RUN.to_owned(), quarters)]));
    Ok(Outcome { figures: all.figures, failure })
}

fn fuzzing(share: &Share<'_>) -> Result<Outcome> {
    let (figures, failure) = fuzz::campaign(share.workspace, share.lasts)?;
    Ok(Outcome { figures, failure })
}

fn soaking(share: &Share<'_>) -> Result<Outcome> {
    let (mut command, seed) = (soak::PROGRAM.command(share.workspace)?, simulate::seed().to_string());
    let seconds = share.lasts.as_secs().to_string();
    command.args(["--seed", &seed, "--seconds", &seconds]);
    run_program(share, command, |_| format!("cargo xtask soak --seed {seed} --for {seconds}s"))
}

/// So many orders at a time, each time others.
fn ordering(share: &Share<'_>) -> Result<Outcome> {
    let begun = Instant::now();
    let (mut tried, mut failure) = (0, None);
    while failure.is_none() && (begun.elapsed() < share.lasts || tried == 0) {
        let tally = concurrency::stage(share.workspace, Some(ORDERS))?;
        tally.print_details();
        // shuttle prints the order that has failed, with how to replay it.
        failure = (!tally.is_success()).then(|| "cargo xtask verify (its step: orders of threads)".to_owned());
        tried += 2 * ORDERS;
    }
    Ok(Outcome { figures: BTreeMap::from([("orders of each check".to_owned(), tried)]), failure })
}

/// One plant after the other, first those that were planted least often.
fn planting(share: &Share<'_>) -> Result<Outcome> {
    let (begun, plants) = (Instant::now(), faults::plants()?);
    let mut figures = BTreeMap::new();
    let mut failure = None;
    while failure.is_none() && (begun.elapsed() < share.lasts || figures.is_empty()) {
        let before = |plant: &&Plant| {
            let name = plant_figure(plant);
            share.ledger.figure(FAULTS, &name) + figures.get(&name).copied().unwrap_or_default()
        };
        let plant = plants.iter().min_by_key(before).context("there is nothing to plant")?;
        if faults::plant_one(share.workspace, plant)? {
            *figures.entry(plant_figure(plant)).or_default() += 1;
            *figures.entry("planted and seen".to_owned()).or_default() += 1;
        } else {
            let number = plant.test.split("::fault_").nth(1).and_then(|rest| rest.get(..2)).unwrap_or_default();
            failure = Some(format!("cargo xtask faults --plant {number} (for {})", plant.test));
        }
    }
    Ok(Outcome { figures, failure })
}

/// The name of the figure that says how often this was planted, and its test has failed.
pub(crate) fn plant_figure(plant: &Plant) -> String {
    format!("plant: {}: {}", plant.test, plant.what)
}

/// Runs a program that writes its figures down, whether or not it finds something. `again` tells of the figures what shows a
/// failure again.
fn run_program(
    share: &Share<'_>,
    mut command: Command,
    again: impl FnOnce(&BTreeMap<String, u64>) -> String,
) -> Result<Outcome> {
    let folder = share.workspace.target_folder()?.join("xtask");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join(format!("figures-{}", std::process::id()));
    let status = command.arg("--figures").arg(&file).status().context("starting cargo")?;
    // A program that couldn't even begin has none.
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    let figures = figures::parse(&text)?;
    let failure = (!status.success()).then(|| again(&figures));
    Ok(Outcome { figures, failure })
}
