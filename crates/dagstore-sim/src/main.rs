//! Runs sequences and says how that went. `cargo xtask simulate` and `cargo xtask replay` start it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dagstore_sim::{Amount, Broken, Failure, MOST_EVENTS, Plan, Recipe, cook, replay, simulate};

const USAGE: &str = "usage: dagstore-sim [--seed S] [--sequences N | --steps N] [--events N] [--threads N] [--verbose]
                    [--failures FOLDER] [--figures FILE]
       dagstore-sim --replay FILE";

/// How many sequences are run where nobody says otherwise.
const USUAL: Amount = Amount::Sequences(10_000);

/// What goes wrong with the program itself.
type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let wish = match Wish::read(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let is_good = match &wish.replay {
        Some(file) => run_again(file),
        None => run(&wish),
    };
    match is_good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the arguments say.
struct Wish {
    plan: Plan,
    is_verbose: bool,
    /// Where the file of a sequence goes that breaks a rule.
    failures: PathBuf,
    /// Where the figures go, for whoever adds them up.
    figures: Option<PathBuf>,
    replay: Option<PathBuf>,
}

impl Wish {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let plan = Plan::new(1, USUAL);
        let mut wish = Self { plan, is_verbose: false, failures: ".".into(), figures: None, replay: None };
        while let Some(argument) = arguments.next() {
            if argument == "--verbose" {
                wish.is_verbose = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{argument:?} has no value"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{argument} {value:?}: {error}"));
            match argument.as_str() {
                "--seed" => wish.plan.seed = number()?,
                "--sequences" => wish.plan.amount = Amount::Sequences(number()?),
                "--steps" => wish.plan.amount = Amount::Steps(number()?),
                "--events" => wish.plan.events = number()?,
                "--threads" => wish.plan.threads = usize::try_from(number()?).unwrap_or(1),
                "--failures" => wish.failures = value.into(),
                "--figures" => wish.figures = Some(value.into()),
                "--replay" => wish.replay = Some(value.into()),
                _ => return Err(format!("what is {argument:?}?")),
            }
        }
        if matches!(wish.plan.amount, Amount::Sequences(0) | Amount::Steps(0)) {
            return Err("nothing would be run".to_owned());
        }
        if wish.plan.events > MOST_EVENTS {
            return Err(format!("--events {}: at most {MOST_EVENTS}", wish.plan.events));
        }
        if wish.is_verbose && !matches!(wish.plan.amount, Amount::Sequences(_)) {
            return Err("--verbose tells all that happens, so it goes with --sequences".to_owned());
        }
        Ok(wish)
    }
}

fn run(wish: &Wish) -> Result<bool, Error> {
    let plan = wish.plan;
    if let (true, Amount::Sequences(sequences)) = (wish.is_verbose, plan.amount) {
        for seed in plan.seed..plan.seed.saturating_add(sequences) {
            println!("seed {seed}");
            for line in replay(seed, plan.events).0 {
                println!("  {line}");
            }
        }
    }
    let report = simulate(plan);
    println!("simulation from seed {}: {report}", plan.seed);
    let figures = report.counts.figures();
    for (name, count) in figures.iter().filter(|(name, _)| name.contains(": ")) {
        println!("  {name}: {count}");
    }
    if let Some(file) = &wish.figures {
        let mut text = String::new();
        for (name, count) in figures {
            writeln!(text, "{count} {name}")?;
        }
        fs::write(file, text)?;
    }
    if let Some(failure) = &report.failure {
        println!("again: cargo xtask replay {}", keep(failure, &wish.failures)?.display());
    }
    Ok(report.failure.is_none())
}

fn keep(failure: &Failure, folder: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("seed-{}.replay", failure.recipe.seed));
    fs::write(&file, failure.recipe.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn run_again(file: &Path) -> Result<bool, Error> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let recipe: Recipe = text.parse().map_err(|error| format!("{}: {error}", file.display()))?;
    let (trace, broken) = cook(&recipe)?;
    for line in trace {
        println!("  {line}");
    }
    let Recipe { seed, kept, rule, .. } = &recipe;
    println!("seed {seed}, {} events that broke {rule}", kept.len());
    match &broken {
        None => println!("nothing is broken any more"),
        Some(Broken { rule: now, what }) if now == rule => println!("still breaks {rule}: {what}"),
        Some(Broken { rule: now, what }) => println!("breaks another rule, {now}: {what}"),
    }
    Ok(broken.is_none())
}
