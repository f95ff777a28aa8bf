//! What a process has said before it was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use parking_lot::Mutex;

use crate::Result;
use crate::shards::Version;

/// What a process says of one shard: what it is about to ask for, or what was acknowledged to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is going to register this content.
    Registering(Version),
    /// The registration is durable.
    Registered(Version),
    /// The shard is Available.
    Available(Version),
    /// It is going to destroy the shard.
    Destroying,
    /// The shard is destroyed.
    Destroyed,
    /// It is going to do something about the shard's local copy.
    Copying,
    /// The copy is complete and pinned.
    Pinned,
    /// It isn't pinned any more.
    Unpinned,
    /// It is removed.
    Evicted,
}

impl Said {
    fn line(self, key: &str) -> String {
        match self {
            Self::Registering(version) => format!("{key} registering {version}\n"),
            Self::Registered(version) => format!("{key} registered {version}\n"),
            Self::Available(version) => format!("{key} available {version}\n"),
            Self::Destroying => format!("{key} destroying\n"),
            Self::Destroyed => format!("{key} destroyed\n"),
            Self::Copying => format!("{key} copying\n"),
            Self::Pinned => format!("{key} pinned\n"),
            Self::Unpinned => format!("{key} unpinned\n"),
            Self::Evicted => format!("{key} evicted\n"),
        }
    }

    fn parse(line: &str) -> Option<(&str, Self)> {
        let mut words = line.split(' ');
        let (key, what, version) = (words.next()?, words.next()?, words.next());
        let version = version.and_then(|version| version.parse().ok());
        let said = match what {
            "registering" => Self::Registering(version?),
            "registered" => Self::Registered(version?),
            "available" => Self::Available(version?),
            "destroying" => Self::Destroying,
            "destroyed" => Self::Destroyed,
            "copying" => Self::Copying,
            "pinned" => Self::Pinned,
            "unpinned" => Self::Unpinned,
            "evicted" => Self::Evicted,
            _ => return None,
        };
        Some((key, said))
    }
}

/// Where a process writes down what it says. A line is with the operating system before the process goes on, so it survives
/// the process.
#[derive(Debug)]
pub(crate) struct Diary(Mutex<File>);

impl Diary {
    /// Goes on in the file, or begins it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    pub(crate) fn say(&self, key: &str, said: Said) -> Result<()> {
        Ok(self.0.lock().write_all(said.line(key).as_bytes())?)
    }
}

/// What may be of one shard, as far as its process has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    /// The contents with which it may be registered; `None` where it may be not registered at all.
    pub(crate) may_be: BTreeSet<Option<Version>>,
    /// It was told to be Available, and nothing was asked since.
    pub(crate) is_available: bool,
    pub(crate) copy: Copy,
}

/// What is known of a shard's local copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Copy {
    /// Something was asked that wasn't answered.
    Unknown,
    /// There is none, or the shard needs none.
    #[default]
    Gone,
    /// It is complete, and not pinned.
    Complete,
    /// It is complete and pinned.
    Pinned,
}

impl Default for Fate {
    fn default() -> Self {
        Self { may_be: BTreeSet::from([None]), is_available: false, copy: Copy::Gone }
    }
}

impl Fate {
    fn follow(&mut self, said: Said) {
        match said {
            Said::Registering(version) => {
                self.may_be.extend([Some(version)]);
                self.copy = Copy::Unknown;
            }
            Said::Registered(version) => self.may_be = BTreeSet::from([Some(version)]),
            Said::Available(version) => {
                *self = Self { may_be: BTreeSet::from([Some(version)]), is_available: true, copy: Copy::Complete };
            }
            Said::Destroying => {
                self.may_be.insert(None);
                self.is_available = false;
                self.copy = Copy::Unknown;
            }
            Said::Destroyed => *self = Self::default(),
            Said::Copying => self.copy = Copy::Unknown,
            Said::Pinned => self.copy = Copy::Pinned,
            Said::Unpinned => self.copy = Copy::Complete,
            Said::Evicted => self.copy = Copy::Gone,
        }
    }
}

/// What was acknowledged, and what may have been done.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) of_shards: BTreeMap<String, Fate>,
    /// How many acknowledgements there were.
    pub(crate) acknowledged: usize,
}

impl Fates {
    /// Reads what was written down. The last line may be cut: what was not written to its end was not said.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut fates = Self::default();
        let text = fs::read_to_string(path)?;
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let (key, said) = Said::parse(line).ok_or_else(|| format!("a process has said {line:?}"))?;
            fates.of_shards.entry(key.to_owned()).or_default().follow(said);
            fates.acknowledged += usize::from(!matches!(said, Said::Registering(_) | Said::Destroying | Said::Copying));
        }
        Ok(fates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_may_be_and_what_was_acknowledged_is() {
        let mut fate = Fate::default();
        let story = [
            (Said::Registering(1), vec![None, Some(1)], false, Copy::Unknown),
            (Said::Registered(1), vec![Some(1)], false, Copy::Unknown),
            (Said::Available(1), vec![Some(1)], true, Copy::Complete),
            (Said::Copying, vec![Some(1)], true, Copy::Unknown),
            (Said::Evicted, vec![Some(1)], true, Copy::Gone),
            (Said::Pinned, vec![Some(1)], true, Copy::Pinned),
            (Said::Unpinned, vec![Some(1)], true, Copy::Complete),
            (Said::Destroying, vec![None, Some(1)], false, Copy::Unknown),
            (Said::Destroyed, vec![None], false, Copy::Gone),
            (Said::Registering(2), vec![None, Some(2)], false, Copy::Unknown),
        ];
        for (said, may_be, is_available, copy) in story {
            let line = said.line("key");
            assert_eq!(Said::parse(line.trim_end()), Some(("key", said)));
            fate.follow(said);
            assert_eq!(fate, Fate { may_be: may_be.into_iter().collect(), is_available, copy }, "{said:?}");
        }
    }
}
