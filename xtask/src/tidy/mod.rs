//! `cargo xtask tidy`: the rules of this project that no compiler knows, one file for each.
//!
//! A check takes what it looks at as arguments and returns problems, so that its tests can show it failing.
//! To add one: a file here, and a line in [`run`].

mod architecture;
mod bare_matches;
mod dependencies;
mod features;
mod foreign_paths;
mod headers;
mod layers;
mod lean;
mod leftovers;
mod licence;
mod printed;
mod rules;
mod sizes;
mod source;
mod unsafe_code;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::CargoOpt;
use serde::de::DeserializeOwned;

use crate::cargo::Cargo;
use crate::docs;
use crate::selection::Selection;
use crate::workspace::Workspace;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    place: String,
    text: String,
}

impl Problem {
    /// A problem in a file, in a line counted from 1.
    fn in_line(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { place: format!("{path}:{line}"), text: text.into() }
    }

    /// A problem of a file or a crate as a whole.
    fn of(place: &str, text: impl Into<String>) -> Self {
        Self { place: place.to_owned(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.text)
    }
}

/// Runs every check and prints the problems; `false` where there is one.
///
/// # Errors
///
/// When the sources, the manifests or the rules can't be read.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let root = workspace.root();
    let files = source::read_all(root)?;
    let rules: rules::Rules = read_toml(&root.join("xtask/layers.toml"))?;
    let metadata = workspace.metadata_with(CargoOpt::AllFeatures)?;
    let cargo = Cargo::plain(workspace);
    let crates = layers::crates_of(&metadata, root);
    let names: Vec<&str> = crates.iter().map(|krate| krate.name.as_str()).collect();
    let mut report = Report::default();
    report.add("layers", layers::check(&crates, &rules));
    report.add("rocksdb", layers::check_rocksdb(&metadata, &crates, &rules, &cargo)?);
    report.add("lean crates", lean::check(&rules.lean, &cargo)?);
    let tested = Selection::of(workspace)?.tested_features();
    let metadata_of_tests = workspace.metadata_with(CargoOpt::SomeFeatures(tested))?;
    report.add("features", features::check(&metadata_of_tests));
    report.add("dependencies", dependencies::check(&metadata, &read_toml(&root.join("deny.toml"))?));
    report.add("module headers", headers::check(&files));
    report.add("architecture", architecture::check(root, &names)?);
    report.add("printed pages", printed::check(root, &docs::pages(root)?)?);
    report.add("sizes", sizes::check(&files, &read_toml(&root.join("xtask/sizes.toml"))?));
    report.add("unsafe code", unsafe_code::check(&files, &rules.unsafe_code));
    report.add("leftovers", leftovers::check(&files));
    report.add("matches! as a statement", bare_matches::check(&files));
    report.add("paths of a machine", foreign_paths::check(&files));
    Ok(report.finish())
}

fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

#[derive(Debug, Default)]
struct Report {
    checks: usize,
    problems: usize,
}

impl Report {
    fn add(&mut self, check: &str, problems: Vec<Problem>) {
        self.checks += 1;
        self.problems += problems.len();
        for problem in problems {
            println!("tidy: {check}: {problem}");
        }
    }

    fn finish(self) -> bool {
        println!("tidy: {} checks, {} problems", self.checks, self.problems);
        self.problems == 0
    }
}
