//! A copy of the workspace in which changes are made.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Names of folders that no build needs.
const SKIPPED_FOLDERS: [&str; 3] = ["target", ".git", "node_modules"];

/// A copy of the workspace. There is one for each target folder, and one process at a time has it.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: PathBuf,
    source: PathBuf,
    /// Locked for as long as this lives.
    _lock: File,
}

impl Scratch {
    /// Takes the copy in `folder`, which need not exist, and brings it up to date.
    ///
    /// # Errors
    ///
    /// When files can't be read or written.
    pub(crate) fn take(source: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join("lock");
        let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        lock.lock().with_context(|| format!("locking {}", path.display()))?;
        let scratch = Self { root: folder.join("workspace"), source: source.to_owned(), _lock: lock };
        scratch.restore()?;
        Ok(scratch)
    }

    /// The copy, as a workspace.
    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::at(self.root.clone())
    }

    /// Makes the copy equal to its source. A file that is equal isn't touched, so that cargo sees what has changed.
    ///
    /// # Errors
    ///
    /// When files can't be read or written.
    pub(crate) fn restore(&self) -> Result<()> {
        let wanted = files(&self.source)?;
        for path in &wanted {
            let bytes = fs::read(self.source.join(path)).with_context(|| format!("reading {}", path.display()))?;
            self.write(path, &bytes)?;
        }
        let present = if self.root.is_dir() { files(&self.root)? } else { BTreeSet::new() };
        for path in present.difference(&wanted) {
            fs::remove_file(self.root.join(path)).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Changes a file of the copy.
    ///
    /// # Errors
    ///
    /// When `change` refuses, or the file can't be read or written.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let text = fs::read_to_string(self.root.join(path)).with_context(|| format!("reading {path}"))?;
        self.write(Path::new(path), change(&text)?.as_bytes())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let to = self.root.join(path);
        if fs::read(&to).is_ok_and(|present| present == bytes) {
            return Ok(());
        }
        let folder = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        fs::write(&to, bytes).with_context(|| format!("writing {}", to.display()))
    }
}

/// All files below `root`, from there.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED_FOLDERS.iter().any(|skipped| entry.file_name() == OsStr::new(skipped)) {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.extend(entry.path().strip_prefix(root).map(Path::to_owned));
            }
        }
    }
    Ok(files)
}

/// The text of a file with one part changed.
///
/// # Errors
///
/// When the old text doesn't stand there exactly once, or nothing would change.
pub(crate) fn replace_once(file: &str, text: &str, old: &str, new: &str) -> Result<String> {
    match text.matches(old).count() {
        1 if old == new => bail!("the plant in {file} changes nothing"),
        1 => Ok(text.replacen(old, new, 1)),
        count => bail!("{file} has the plant's old text {count} times, not once: {old:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Scratch;

    #[test]
    fn the_copy_follows_its_source_and_equal_files_are_not_touched() {
        let (source, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |path: &str, text: &str| {
            let path = source.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("a/one", "1");
        put("two", "2");
        put("target/three", "3");
        let scratch = Scratch::take(source.path(), folder.path()).unwrap();
        let copy = folder.path().join("workspace");
        assert!(!copy.join("target").exists());
        let written = fs::metadata(copy.join("two")).unwrap().modified().unwrap();
        scratch.change("a/one", |text| Ok(format!("{text}!"))).unwrap();
        assert_eq!(fs::read_to_string(copy.join("a/one")).unwrap(), "1!");
        fs::write(copy.join("four"), "4").unwrap();
        scratch.restore().unwrap();
        assert_eq!(fs::read_to_string(copy.join("a/one")).unwrap(), "1");
        assert_eq!(fs::metadata(copy.join("two")).unwrap().modified().unwrap(), written);
        assert!(!copy.join("four").exists());
        assert!(scratch.change("a/one", |_| anyhow::bail!("no")).is_err());
        assert_eq!(fs::read_to_string(source.path().join("a/one")).unwrap(), "1");
    }
}
