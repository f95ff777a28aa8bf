//! What `xtask/faults.toml` says.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::scratch::replace_once;

/// A part of this program, so that the pages that are printed from it need no files.
const TEXT: &str = include_str!("../../faults.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    fault: Vec<Fault>,
}

/// A fault of the original.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// The number in the names of its tests.
    pub(crate) number: u32,
    /// What the original did.
    pub(crate) original: String,
    /// The ways in which it comes back.
    #[serde(rename = "plant")]
    pub(crate) plants: Vec<Plant>,
}

/// A change that brings a fault back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plant {
    /// The crate whose test fails then.
    #[serde(default = "engine")]
    pub(crate) package: String,
    /// The test, with its modules.
    pub(crate) test: String,
    /// What is changed, in words.
    pub(crate) what: String,
    /// Where, from the root of the workspace.
    pub(crate) file: String,
    /// A text that stands there once.
    old: String,
    /// What takes its place.
    new: String,
    /// A part of what the test says when it fails.
    pub(crate) says: String,
}

fn engine() -> String {
    "dagstore-engine".to_owned()
}

/// All faults.
///
/// # Errors
///
/// When the list isn't what it should be.
pub(crate) fn faults() -> Result<Vec<Fault>> {
    let list: List = toml::from_str(TEXT).context("parsing xtask/faults.toml")?;
    Ok(list.fault)
}

impl Plant {
    /// The name of the test program in `tests/faults` of the crate, which is in no other crate.
    pub(crate) fn target(&self) -> String {
        format!("{}-faults", self.package.trim_start_matches("dagstore-"))
    }

    /// The text of the file with the change made.
    ///
    /// # Errors
    ///
    /// When the old text doesn't stand there exactly once.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        replace_once(&self.file, text, &self.old, &self.new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::{Plant, faults};
    use crate::workspace::Workspace;

    fn plant(old: &str, new: &str) -> Plant {
        let text = format!("test = 't'\nwhat = 'w'\nfile = 'f'\nold = '{old}'\nnew = '{new}'\nsays = 's'\n");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_plant_is_made_where_its_old_text_stands_once() {
        assert_eq!(plant("b", "x").apply("a b c").unwrap(), "a x c");
        for (old, new, text) in [("b", "x", "a c"), ("b", "x", "b b"), ("b", "b", "a b"), ("", "x", "a")] {
            assert!(plant(old, new).apply(text).is_err(), "{old:?} by {new:?} in {text:?}");
        }
    }

    #[test]
    fn every_plant_can_be_made_in_the_sources_as_they_are() {
        let root = Workspace::locate().unwrap().root().to_owned();
        for plant in faults().unwrap().iter().flat_map(|fault| &fault.plants) {
            let text = std::fs::read_to_string(root.join(&plant.file)).unwrap();
            let changed = plant.apply(&text);
            assert!(changed.is_ok(), "{}: {changed:?}", plant.test);
        }
    }

    /// Every function in the files below `folder` whose name begins with `fault_`, with its module.
    fn tests_of_faults(folder: &Path) -> BTreeSet<String> {
        let mut tests = BTreeSet::new();
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for file in files.collect::<Vec<PathBuf>>() {
            let module = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            let names = text.lines().filter_map(|line| line.split_once("fn fault_")?.1.split_once('('));
            tests.extend(names.map(|(name, _)| format!("{module}::fault_{name}")));
        }
        tests
    }

    #[test]
    fn every_test_of_a_fault_has_a_plant_and_every_plant_a_test_of_its_number() {
        let root = Workspace::locate().unwrap().root().to_owned();
        let mut planted = BTreeSet::new();
        for fault in faults().unwrap() {
            assert!(!fault.plants.is_empty(), "fault {}", fault.number);
            for plant in fault.plants {
                assert!(plant.test.contains(&format!("::fault_{:02}_", fault.number)), "{}", plant.test);
                planted.insert(plant.test);
            }
        }
        let crates = [
            "dagstore-blockstore",
            "dagstore-crash",
            "dagstore-engine",
            "dagstore-mount",
            "dagstore-mount-http",
            "dagstore-mount-object",
            "dagstore-transient",
        ];
        let folder = |name| root.join("crates").join(name).join("tests/faults");
        let tests: BTreeSet<_> = crates.into_iter().flat_map(|name| tests_of_faults(&folder(name))).collect();
        assert_eq!(planted, tests);
    }
}
