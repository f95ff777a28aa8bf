//! Runs the load and says how that went. `cargo xtask soak` starts it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dagstore_soak::{Plan, Result, run};

const USAGE: &str = "usage: dagstore-soak [--seed S] [--seconds N] [--leak descriptor|thread|memory] [--figures FILE]";

fn main() -> ExitCode {
    match soak() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn soak() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (plan, figures) = read(&arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    let report = run(plan)?;
    println!("{report}");
    if let Some(file) = figures {
        let lines = report.figures().into_iter().map(|(name, count)| format!("{count} {name}\n"));
        std::fs::write(file, lines.collect::<String>())?;
    }
    Ok(report.is_good())
}

fn read(arguments: &[String]) -> Result<(Plan, Option<PathBuf>)> {
    let mut plan = Plan { seed: 1, lasts: Duration::from_secs(20), leak: None };
    let mut figures = None;
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("{pair:?} has no value").into()) };
        match name.as_str() {
            "--seed" => plan.seed = value.parse()?,
            "--seconds" => plan.lasts = Duration::from_secs(value.parse()?),
            "--leak" => plan.leak = Some(value.parse()?),
            "--figures" => figures = Some(value.into()),
            _ => return Err(format!("what is {name} {value}?").into()),
        }
    }
    Ok((plan, figures))
}
