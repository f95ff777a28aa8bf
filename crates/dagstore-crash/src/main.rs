//! Kills stores and says how that went. `cargo xtask killpoints` starts it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dagstore::Backend;
use dagstore_crash::{CHILD, Hit, Kill, Kills, Plan, Result, live, run};

const USAGE: &str = "usage: dagstore-crash [--backend redb|rocksdb] [--rounds N] [--seed S] [--shards N] [--jobs N]
       [--begin N] [--seconds N] [--outside-every N] [--figures FILE]
       [--width N [--at MOMENT:TIME | --after-micros N] [--then MOMENT:TIME]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_good = match arguments.split_first() {
        Some((first, rest)) if first == CHILD => live(rest).map(|()| true),
        _ => kill(&arguments),
    };
    match is_good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprintln!("because: {error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn kill(arguments: &[String]) -> Result<bool> {
    let (plan, figures) = read(arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    let report = run(plan)?;
    println!("{report}");
    if let Some(file) = figures {
        let lines = report.figures().into_iter().map(|(name, count)| format!("{count} {name}\n"));
        fs::write(file, lines.collect::<String>())?;
    }
    Ok(report.failure.is_none())
}

/// What to run, and where the figures go.
fn read(arguments: &[String]) -> Result<(Plan, Option<PathBuf>)> {
    let program = std::env::current_exe()?;
    let mut plan = Plan::new(program);
    let mut figures = None;
    let mut again = Kills { width: 0, first: None, second: None };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("{pair:?} has no value").into()) };
        match name.as_str() {
            "--backend" if value == Backend::Redb.name() => plan.backend = Backend::Redb,
            "--backend" if value == Backend::Rocksdb.name() => plan.backend = Backend::Rocksdb,
            "--rounds" => plan.rounds = value.parse()?,
            "--begin" => plan.begin = value.parse()?,
            "--seconds" => plan.lasts = Some(Duration::from_secs(value.parse()?)),
            "--outside-every" => plan.outside_every = value.parse()?,
            "--figures" => figures = Some(value.into()),
            "--seed" => plan.seed = value.parse()?,
            "--shards" => plan.shards = value.parse()?,
            "--jobs" => plan.jobs = value.parse()?,
            "--width" => again.width = value.parse()?,
            "--at" => again.first = Some(Kill::At(value.parse::<Hit>()?)),
            "--after-micros" => again.first = Some(Kill::Later(Duration::from_micros(value.parse()?))),
            "--then" => again.second = Some(value.parse()?),
            _ => return Err(format!("what is {name} {value}?").into()),
        }
    }
    plan.again = (again.width > 0).then_some(again);
    Ok((plan, figures))
}
