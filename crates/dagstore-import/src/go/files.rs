//! The files of a directory of Go's: indices and local copies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

const INDEX_SUFFIX: &str = ".full.idx";

/// The names of the files in `index/` and `transients/`. Names that aren't UTF-8 are none that Go writes, and are left out.
#[derive(Debug, Clone, Default)]
pub struct GoFiles {
    directory: PathBuf,
    indices: BTreeMap<String, u64>,
    copies: BTreeMap<String, u64>,
    used: BTreeSet<String>,
}

/// An index file of go-car's, or a local copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl GoFiles {
    pub(crate) fn list(directory: &Path) -> Result<Self> {
        Ok(Self {
            indices: list(&directory.join("index"))?,
            copies: list(&directory.join("transients"))?,
            directory: directory.to_owned(),
            used: BTreeSet::new(),
        })
    }

    /// The index of a shard, where there is one: Go cleans the key like a path and puts it into a file name. One that would lead
    /// out of the folder has none.
    pub(crate) fn index(&mut self, key: &str) -> Option<GoFile> {
        let name = format!("{}{INDEX_SUFFIX}", cleaned(key)?);
        let (name, bytes) = self.indices.get_key_value(&name)?;
        self.used.insert(format!("index/{name}"));
        Some(GoFile { path: self.directory.join("index").join(name), bytes: *bytes })
    }

    /// The local copy that a record names, where it is in the folder of copies.
    pub(crate) fn copy(&mut self, path: &str) -> Option<GoFile> {
        let path = Path::new(path);
        if path.parent()?.file_name()? != "transients" {
            return None;
        }
        let (name, bytes) = self.copies.get_key_value(path.file_name()?.to_str()?)?;
        self.used.insert(format!("transients/{name}"));
        Some(GoFile { path: self.directory.join("transients").join(name), bytes: *bytes })
    }

    /// Files that no record names, as `index/NAME` and `transients/NAME`.
    pub fn unnamed(&self) -> Vec<String> {
        let indices =
            self.indices.keys().filter(|name| name.ends_with(INDEX_SUFFIX)).map(|name| format!("index/{name}"));
        let copies = self.copies.keys().map(|name| format!("transients/{name}"));
        indices.chain(copies).filter(|name| !self.used.contains(name)).collect()
    }
}

/// A key as Go's `path.Clean` leaves it, where it is a single name then.
fn cleaned(key: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in key.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    match parts[..] {
        [name] => Some(name.to_owned()),
        _ => None,
    }
}

fn list(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut names = BTreeMap::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(Error::file(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::file(folder))?;
        let metadata = std::fs::symlink_metadata(entry.path()).map_err(Error::file(entry.path()))?;
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            names.insert(name, metadata.len());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::cleaned;

    #[test]
    fn keys_are_cleaned_as_go_does_it_and_never_lead_out() {
        for (key, expected) in [
            ("plain", Some("plain")),
            ("dir/../cleaned", Some("cleaned")),
            ("./a//", Some("a")),
            ("../../etc/x", None),
            ("..", None),
            ("a/b", None),
            ("", None),
        ] {
            assert_eq!(cleaned(key).as_deref(), expected, "{key}");
        }
    }
}
