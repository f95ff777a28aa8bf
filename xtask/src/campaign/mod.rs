//! `cargo xtask campaign`: a time that all random checks share, and the ledger of what they have counted.
//!
//! Each stage goes on where the campaigns before have ended, with seeds and rounds that nobody has had. What it counts is added
//! to `docs/reliability.toml` as soon as it has ended, or a portion of it, and `docs/reliability.md` is printed from that. A
//! failure ends the campaign, and the command that shows it again is kept in the ledger. A stage that isn't run, because there is
//! no time for it or it can't be run here, leaves no mark.

mod figures;
mod stages;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::docs;
use crate::shell;
use crate::workspace::Workspace;
use stages::{Outcome, Share, Stage};

pub(crate) use figures::{Entry, Ledger};
pub(crate) use stages::{FAULTS, FUZZ, KILLLOOPS, LOOPS, SIMULATE, STAGES, plant_figure};

/// A stage that would get less isn't run.
const SHORTEST: Duration = Duration::from_secs(5);

/// Whoever ends a campaign loses what was counted since the last portion.
const PORTION: Duration = Duration::from_mins(10);

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
    let shares: u32 = wanted.iter().map(|stage| stage.share).sum();
    let share = |stage: &Stage| arguments.r#for * stage.share / shares;
    let (wanted, too_short): (Vec<&Stage>, Vec<&Stage>) =
        wanted.into_iter().partition(|stage| share(stage) >= SHORTEST);
    for stage in too_short {
        println!("campaign: {}: not run: {:?} is too short", stage.name, share(stage));
    }
    if wanted.is_empty() {
        bail!("nothing is run: give it more time, or fewer stages");
    }
    let locks = workspace.target_folder()?.join("campaign");
    let _mine = wanted.iter().map(|stage| lock_stage(&locks, stage.name)).collect::<Result<Vec<_>>>()?;
    for stage in &wanted {
        (stage.build)(workspace)?;
    }
    for stage in wanted {
        for lasts in portions(share(stage), stage.is_whole) {
            if let Some(again) = run_stage(workspace, stage, lasts)? {
                println!("campaign: {}: FAILED; again: {again}", stage.name);
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The time of a stage, in portions of which none is too short.
fn portions(lasts: Duration, is_whole: bool) -> Vec<Duration> {
    let count = if is_whole { 1 } else { lasts.as_secs().div_ceil(PORTION.as_secs()).max(1) };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    vec![lasts / count; count as usize]
}

/// Keeps a stage to one campaign at a time: two would count the same rounds twice.
fn lock_stage(folder: &Path, stage: &str) -> Result<File> {
    let lock = lock_file(folder, stage)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("another campaign runs {stage}; leave it out, or wait for its end"),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {stage}")),
    }
}

fn lock_file(folder: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("{name}.lock"));
    File::create(&path).with_context(|| format!("creating {}", path.display()))
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
    let outcome = (stage.run)(&Share { workspace, lasts, ledger: &Ledger::load(workspace.root())? })?;
    let Outcome { figures, failure } = outcome;
    // Another campaign, with other stages, may write its figures down at the same time.
    let lock = lock_file(&workspace.target_folder()?.join("campaign"), "ledger")?;
    lock.lock().context("locking the ledger")?;
    let mut ledger = Ledger::load(workspace.root())?;
    let entry = ledger.0.entry(stage.name.to_owned()).or_default();
    entry.runs += 1;
    entry.seconds += begun.elapsed().as_secs();
    entry.commit = commit(workspace);
    entry.failures.extend(failure.clone());
    entry.add(figures);
    ledger.save(workspace.root())?;
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
    use std::time::Duration;

    use super::{STAGES, chosen, lock_stage, portions};

    #[test]
    fn stages_are_chosen_by_their_names_and_have_different_ones() {
        assert_eq!(chosen(&[]).unwrap().len(), STAGES.len());
        for stage in &STAGES {
            assert_eq!(chosen(&[stage.name.to_owned()]).unwrap().len(), 1, "{}", stage.name);
        }
        assert!(chosen(&["nobody".to_owned()]).is_err());
    }

    #[test]
    fn a_long_time_is_cut_into_portions() {
        let minutes = Duration::from_mins;
        assert_eq!(portions(minutes(10), false), [minutes(10)]);
        assert_eq!(portions(minutes(11), false), [minutes(11) / 2; 2]);
        assert_eq!(portions(minutes(60), true), [minutes(60)]);
        assert_eq!(portions(Duration::from_secs(5), false), [Duration::from_secs(5)]);
    }

    #[test]
    fn a_stage_is_one_campaigns_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let mine = lock_stage(folder.path(), "soak").unwrap();
        assert!(lock_stage(folder.path(), "soak").is_err() && lock_stage(folder.path(), "cuts").is_ok());
        drop(mine);
        assert!(lock_stage(folder.path(), "soak").is_ok());
    }
}
