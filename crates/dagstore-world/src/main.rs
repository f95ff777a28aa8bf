//! Runs the loops and says how that went. `cargo xtask errors` and `cargo xtask cuts` start it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use dagstore_testkit::Fault;
use dagstore_world::{OPERATIONS, Operation, Plan, Report, cuts, errors};

const USAGE: &str = "usage: dagstore-world errors|cuts|list [--operation NAME] [--fault NAME] [--at N] [--for-ever yes|no] [--stride N] [--seed N] \
                     [--again N] [--threads N] [--figures FILE]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let run: fn(&Plan) -> Report = match arguments.next().as_deref() {
        Some("errors") => errors,
        Some("cuts") => cuts,
        Some("list") => {
            for operation in OPERATIONS {
                println!("{}", operation.name);
            }
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let (plan, figures) = match read(arguments) {
        Ok(read) => read,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let begun = Instant::now();
    let report = run(&plan);
    println!("{report}");
    println!("stride {}, seed {}, {:.1} s", plan.stride, plan.seed, begun.elapsed().as_secs_f64());
    if let Some(file) = figures {
        let lines = report.figures().into_iter().map(|(name, count)| format!("{count} {name}\n"));
        if let Err(error) = fs::write(&file, lines.collect::<String>()) {
            eprintln!("error: writing {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    if report.failure.is_none() && report.total().points == 0 {
        eprintln!("error: nothing was done, so nothing is shown: no call or moment is that far on");
        return ExitCode::FAILURE;
    }
    if report.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What to run, and where the figures go.
fn read(mut arguments: impl Iterator<Item = String>) -> Result<(Plan, Option<PathBuf>), String> {
    let mut plan = Plan::all();
    let mut figures = None;
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = || value.parse::<u64>().map_err(|error| format!("{argument} {value:?}: {error}"));
        match argument.as_str() {
            "--operation" => {
                let operation = Operation::named(&value).ok_or_else(|| format!("there is no operation {value:?}"))?;
                plan.operations = vec![operation];
            }
            "--fault" => {
                let fault = Fault::ALL.into_iter().find(|fault| fault.name() == value);
                plan.faults = vec![fault.ok_or_else(|| format!("there is no fault {value:?}"))?];
            }
            "--at" => plan.at = Some(number()?),
            "--for-ever" => {
                plan.for_ever = Some(match value.as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(format!("--for-ever {value:?}: it is yes or no")),
                });
            }
            "--stride" if number()? == 0 => return Err("--stride 0 has no point".to_owned()),
            "--stride" => plan.stride = number()?,
            "--seed" => plan.seed = number()?,
            "--again" => plan.again = number()?,
            "--threads" => plan.threads = usize::try_from(number()?).unwrap_or(1),
            "--figures" => figures = Some(value.into()),
            _ => return Err(format!("what is {argument:?}?")),
        }
    }
    Ok((plan, figures))
}
