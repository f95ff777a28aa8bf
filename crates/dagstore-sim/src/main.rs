//! Runs sequences and says how that went. `cargo xtask simulate` starts it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]

use std::process::ExitCode;

use dagstore_sim::{Plan, replay, simulate};

const USAGE: &str = "usage: dagstore-sim [--seed S] [--sequences N] [--events N] [--threads N] [--verbose]";

fn main() -> ExitCode {
    let (plan, is_verbose) = match read(std::env::args().skip(1)) {
        Ok(read) => read,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    if is_verbose {
        for seed in plan.seed..plan.seed.saturating_add(plan.sequences) {
            println!("seed {seed}");
            for line in replay(seed, plan.events).0 {
                println!("  {line}");
            }
        }
    }
    let report = simulate(plan);
    println!("simulation from seed {}: {report}", plan.seed);
    if report.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<(Plan, bool), String> {
    let mut plan = Plan::new(1, 10_000);
    let mut is_verbose = false;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().unwrap_or_default();
            value.parse::<u64>().map_err(|error| format!("{argument} {value:?}: {error}"))
        };
        match argument.as_str() {
            "--seed" => plan.seed = number()?,
            "--sequences" => plan.sequences = number()?,
            "--events" => plan.events = number()?,
            "--threads" => plan.threads = usize::try_from(number()?).unwrap_or(1),
            "--verbose" => is_verbose = true,
            _ => return Err(format!("what is {argument:?}?")),
        }
    }
    Ok((plan, is_verbose))
}
