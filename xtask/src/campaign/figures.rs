//! The figures of all campaigns so far: `docs/reliability.toml`, which is committed, and of which a page is printed.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where they are, from the root of the workspace.
const PATH: &str = "docs/reliability.toml";

/// The first line of the file.
const HEAD: &str = "# Written by `cargo xtask campaign`; `cargo xtask docs` prints docs/reliability.md from it.\n";

/// What stands in front of the name of a figure of which the most counts, and not the sum.
const MOST: &str = "most ";

/// The figures of all stages, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ledger(pub(crate) BTreeMap<String, Entry>);

/// The figures of one stage. What wasn't run has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// How often it was run.
    pub(crate) runs: u64,
    /// How long, all together.
    pub(crate) seconds: u64,
    /// The commit that was run last, with a `+` where the clone had changes.
    pub(crate) commit: String,
    /// Commands that show again what has failed.
    #[serde(default)]
    pub(crate) failures: Vec<String>,
    /// What was counted.
    #[serde(default)]
    pub(crate) figures: BTreeMap<String, u64>,
}

impl Ledger {
    /// The figures as they are now; none where there is no file yet.
    ///
    /// # Errors
    ///
    /// When they can't be read.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let path = root.join(PATH);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("parsing {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Writes them down.
    ///
    /// # Errors
    ///
    /// When that can't be done.
    pub(crate) fn save(&self, root: &Path) -> Result<()> {
        let path = root.join(PATH);
        let text = format!("{HEAD}\n{}", toml::to_string(self)?);
        // Whole or not at all: figures of hours are in it.
        let new = path.with_extension("toml-new");
        fs::write(&new, text).with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("writing {}", path.display()))
    }

    /// A figure of a stage; 0 where it was never counted.
    pub(crate) fn figure(&self, stage: &str, name: &str) -> u64 {
        self.0.get(stage).and_then(|entry| entry.figures.get(name)).copied().unwrap_or_default()
    }
}

impl Entry {
    /// Adds figures of one more run.
    pub(crate) fn add(&mut self, figures: BTreeMap<String, u64>) {
        for (name, figure) in figures {
            let is_most = name.starts_with(MOST);
            let all = self.figures.entry(name).or_default();
            *all = if is_most { figure.max(*all) } else { all.saturating_add(figure) };
        }
    }
}

/// Figures as the programs write them: a number and its name on each line.
///
/// # Errors
///
/// When a line is something else.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, u64>> {
    let read = |line: &str| -> Result<(String, u64)> {
        let (number, name) = line.split_once(' ').with_context(|| format!("{line:?} is no figure"))?;
        Ok((name.to_owned(), number.parse().with_context(|| format!("{line:?} is no figure"))?))
    };
    text.lines().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::{Entry, Ledger, parse};

    #[test]
    fn figures_add_up_and_of_some_the_most_counts() {
        let mut entry = Entry::default();
        for text in ["3 steps\n9 most threads\n", "4 steps\n7 most threads\n1 kill: after-index-sync\n"] {
            entry.add(parse(text).unwrap());
        }
        let figures: Vec<_> = entry.figures.iter().map(|(name, figure)| (name.as_str(), *figure)).collect();
        assert_eq!(figures, [("kill: after-index-sync", 1), ("most threads", 9), ("steps", 7)]);
        assert!(parse("steps 3").is_err() && parse("3").is_err());
    }

    #[test]
    fn a_ledger_is_read_as_it_is_written() {
        let mut ledger = Ledger::default();
        let mut entry =
            Entry { runs: 2, seconds: 3, commit: "c".into(), failures: vec!["again".into()], ..Entry::default() };
        entry.add(parse("4 a: b").unwrap());
        ledger.0.insert("a stage".into(), entry);
        assert_eq!(toml::from_str::<Ledger>(&toml::to_string(&ledger).unwrap()).unwrap(), ledger);
        assert_eq!((ledger.figure("a stage", "a: b"), ledger.figure("nobody", "a: b")), (4, 0));
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Ledger::load(root.path()).unwrap(), Ledger::default());
        std::fs::create_dir(root.path().join("docs")).unwrap();
        ledger.save(root.path()).unwrap();
        assert_eq!(Ledger::load(root.path()).unwrap(), ledger);
    }
}
