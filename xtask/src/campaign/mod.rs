//! `cargo xtask campaign`: a time that all random checks share, and the ledger of what they have counted.
//!
//! Each stage goes on where the campaigns before have ended, with seeds and rounds that nobody has had; what it counts is added
//! to `docs/reliability.toml` as soon as it has ended, and `docs/reliability.md` is printed from that. A failure ends the
//! campaign, and the command that shows it again is kept in the ledger. A stage that isn't run, because there is no time for it or
//! it can't be run here, leaves no mark.

mod figures;
mod stages;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::docs;
use crate::shell;
use crate::workspace::Workspace;
use stages::{Outcome, STAGES, Share, Stage};

pub(crate) use figures::{Entry, Ledger};
pub(crate) use stages::{FUZZ, KILLLOOPS, LOOPS, SIMULATE};

/// A stage that would get less isn't run.
const SHORTEST: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long all of it takes, `40m` for instance; what has to be built comes on top.
    #[arg(long, value_name = "TIME", default_value = "40m", value_parser = humantime::parse_duration)]
    r#for: Duration,
    /// Runs these stages only; they share all of the time.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    only: Vec<String>,
}

/// Runs the stages, one after the other; `false` where one has failed.
///
/// # Errors
///
/// When there is no such stage, a build fails, or the ledger can't be read or written.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<bool> {
    let mut wanted = Vec::new();
    for stage in chosen(&arguments.only)? {
        match (stage.missing)(workspace) {
            Some(reason) => println!("campaign: {}: not run: {reason}", stage.name),
            None => wanted.push(stage),
        }
    }
    for stage in &wanted {
        (stage.build)(workspace)?;
    }
    let shares: u32 = wanted.iter().map(|stage| stage.share).sum();
    for stage in wanted {
        let lasts = arguments.r#for * stage.share / shares;
        if lasts < SHORTEST {
            println!("campaign: {}: not run: {lasts:?} is too short", stage.name);
        } else if let Some(again) = run_stage(workspace, stage, lasts)? {
            println!("campaign: {}: FAILED; again: {again}", stage.name);
            return Ok(false);
        }
    }
    Ok(true)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Stage>> {
    if let Some(unknown) = names.iter().find(|name| STAGES.iter().all(|stage| stage.name != **name)) {
        let known: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("{unknown:?} is no stage; there are {}", known.join(", "));
    }
    Ok(STAGES.iter().filter(|stage| names.is_empty() || names.iter().any(|name| name == stage.name)).collect())
}

/// Runs one stage and writes down what it has counted. Returns what shows its failure again, if it has failed.
fn run_stage(workspace: &Workspace, stage: &Stage, lasts: Duration) -> Result<Option<String>> {
    println!("campaign: {}: {lasts:?}", stage.name);
    let begun = Instant::now();
    let outcome = (stage.run)(&Share { workspace, lasts, ledger: &Ledger::load(workspace)? })?;
    let Outcome { figures, failure } = outcome;
    // Another campaign, with other stages, may have written its figures down meanwhile.
    let mut ledger = Ledger::load(workspace)?;
    let entry = ledger.0.entry(stage.name.to_owned()).or_default();
    entry.runs += 1;
    entry.seconds += begun.elapsed().as_secs();
    entry.commit = commit(workspace);
    entry.failures.extend(failure.clone());
    entry.add(figures);
    ledger.save(workspace)?;
    docs::print(workspace, &docs::reliability(&ledger)?)?;
    Ok(failure)
}

/// What is checked out, with a `+` where the sources were changed since.
fn commit(workspace: &Workspace) -> String {
    let git = |arguments: &[&str]| shell::capture(Command::new("git").current_dir(workspace.root()).args(arguments));
    let Ok(head) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--", ".", ":!docs"]).is_ok_and(|changes| !changes.trim().is_empty());
    format!("{}{}", head.trim(), if changed { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::{STAGES, chosen};

    #[test]
    fn stages_are_chosen_by_their_names_and_have_different_ones() {
        assert_eq!(chosen(&[]).unwrap().len(), STAGES.len());
        for stage in &STAGES {
            assert_eq!(chosen(&[stage.name.to_owned()]).unwrap().len(), 1, "{}", stage.name);
        }
        assert!(chosen(&["nobody".to_owned()]).is_err());
    }
}
