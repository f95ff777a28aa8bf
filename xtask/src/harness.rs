//! `cargo xtask harness`: breaks the store in different layers, to see that what looks for faults finds these.
//!
//! Each is planted in a copy of the workspace, with a target folder of its own, below the target folder; there one of the
//! commands of this tool is run, and must fail and say what is broken.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::scratch::{Scratch, replace_once};
use crate::workspace::Workspace;

/// A part of this program, so that the page that is printed from it needs no file.
const TEXT: &str = include_str!("../harness.toml");

/// How many lines are told of a command that has found nothing.
const LINES_TOLD: usize = 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    trial: Vec<Trial>,
}

/// A fault to be planted, and the command that finds it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    /// Where it is, in a word or two.
    pub(crate) layer: String,
    /// What is wrong then.
    pub(crate) what: String,
    /// Where, from the root of the workspace.
    pub(crate) file: String,
    /// A text that stands there once.
    pub(crate) old: String,
    /// What takes its place.
    pub(crate) new: String,
    /// What finds it, behind `cargo xtask`.
    pub(crate) command: Vec<String>,
    /// A part of what that says.
    pub(crate) says: String,
    /// Which seed or point it was, and how long it took, when that was measured last.
    pub(crate) found: String,
}

/// All of them.
///
/// # Errors
///
/// When the list isn't what it should be.
pub(crate) fn trials() -> Result<Vec<Trial>> {
    let list: List = toml::from_str(TEXT).context("parsing xtask/harness.toml")?;
    Ok(list.trial)
}

/// Plants them one after the other; `false` where one wasn't found.
///
/// # Errors
///
/// When the list can't be read, the workspace can't be copied, or there is no such layer.
pub(crate) fn run(workspace: &Workspace, layer: Option<&str>) -> Result<bool> {
    let mut trials = trials()?;
    trials.retain(|trial| layer.is_none_or(|layer| layer == trial.layer));
    if trials.is_empty() {
        bail!(
            "nothing is planted there; there are {:?}",
            self::trials()?.iter().map(|trial| &trial.layer).collect::<Vec<_>>()
        );
    }
    let folder = workspace.target_folder()?.join("harness");
    let scratch = Scratch::take(workspace.root(), &folder)?;
    let mut all_found = true;
    for trial in &trials {
        scratch.restore()?;
        scratch.change(&trial.file, |text| replace_once(&trial.file, text, &trial.old, &trial.new))?;
        // The first time takes building along.
        let is_found = trial.is_found(&scratch)?;
        let begun = Instant::now();
        let is_found = is_found && trial.is_found(&scratch)?;
        all_found &= is_found;
        let how = if is_found { "found" } else { "NOT FOUND" };
        let Trial { layer, what, command, .. } = trial;
        let command = command.join(" ");
        println!("harness: {layer}: {what}: {how} by {command} in {:.1} s", begun.elapsed().as_secs_f64());
    }
    scratch.restore()?;
    Ok(all_found)
}

impl Trial {
    /// Runs the command in the copy; whether it has failed and said what it should.
    fn is_found(&self, scratch: &Scratch) -> Result<bool> {
        let copy = scratch.workspace();
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["run", "--quiet", "--package", "xtask", "--"]).args(&self.command).current_dir(copy.root());
        command.env("CARGO_TARGET_DIR", copy.root().join("target")).stdin(Stdio::null());
        let output = command.output().context("starting cargo")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let is_found = !output.status.success() && said.contains(&self.says);
        let lines: Vec<_> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(if is_found { 0 } else { LINES_TOLD })..] {
            println!("    {line}");
        }
        for line in lines.iter().filter(|line| is_found && line.contains(&self.says)).take(1) {
            println!("    {line}");
        }
        Ok(is_found)
    }
}

#[cfg(test)]
mod tests {
    use super::trials;
    use crate::scratch::replace_once;
    use crate::workspace::Workspace;

    #[test]
    fn every_trial_can_be_made_in_the_sources_as_they_are() {
        let root = Workspace::locate().unwrap().root().to_owned();
        for trial in trials().unwrap() {
            let text = std::fs::read_to_string(root.join(&trial.file)).unwrap();
            let changed = replace_once(&trial.file, &text, &trial.old, &trial.new);
            assert!(changed.is_ok(), "{}: {changed:?}", trial.what);
        }
    }
}
