//! Sorts any number of entries in bounded memory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dagstore_fs::{FileSystem, OwnName};

use crate::Result;
use crate::entry::Entry;
use crate::files::run_path;
use crate::merge::{Merge, Source};
use crate::run::RunFile;

/// The entries that are sorted in memory, 24 bytes each, unless the repository is told another number.
pub(crate) const RUN_ENTRIES: usize = 1 << 20;

/// As many runs of one level are merged into one of the next, so that the number of open files stays small: 31 for each
/// level, and each level holds 32 times more entries than the one before.
const RUNS_PER_LEVEL: usize = 32;

/// An external sort: entries beyond a run's worth wait in temporary files, which are gone when it is dropped.
pub(crate) struct Sorter {
    file_system: Arc<dyn FileSystem>,
    directory: PathBuf,
    name: OwnName,
    run_entries: usize,
    buffer: Vec<Entry>,
    /// Never a lower level before a higher one.
    runs: Vec<RunFile>,
    /// Run files that were ever begun; each gets a number of its own.
    begun: u64,
    entries: u64,
}

impl Sorter {
    pub(crate) fn new(file_system: Arc<dyn FileSystem>, directory: PathBuf, name: OwnName, run_entries: usize) -> Self {
        let (buffer, runs) = (Vec::new(), Vec::new());
        Self { file_system, directory, name, run_entries, buffer, runs, begun: 0, entries: 0 }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.entries
    }

    /// Adds an entry. After an error the sorter is as it was.
    pub(crate) fn push(&mut self, entry: Entry) -> Result<()> {
        if self.buffer.len() >= self.run_entries {
            self.spill()?;
        }
        self.buffer.push(entry);
        self.entries += 1;
        Ok(())
    }

    /// Everything in order. The sorter has no entries left in memory after it, so it is of no more use than
    /// [`remove_runs`](Self::remove_runs), which is due when the entries were read.
    pub(crate) fn sorted(&mut self) -> Result<Merge> {
        let mut buffer = std::mem::take(&mut self.buffer);
        sort(&mut buffer, Entry::first_word);
        let mut sources = vec![Source::Memory(buffer.into_iter())];
        for run in &self.runs {
            sources.push(Source::Run(run.read()?));
        }
        Merge::new(sources)
    }

    /// Removes the temporary files.
    pub(crate) fn remove_runs(&mut self) -> Result<()> {
        remove_all(std::mem::take(&mut self.runs))
    }

    fn spill(&mut self) -> Result<()> {
        sort(&mut self.buffer, Entry::first_word);
        let path = self.next_path();
        let run = RunFile::write(&self.file_system, &path, 0, self.buffer.iter().copied().map(Ok))?;
        self.buffer.clear();
        self.runs.push(run);
        self.merge_full_levels()
    }

    fn merge_full_levels(&mut self) -> Result<()> {
        while let Some(level) = self.runs.last().map(|run| run.level) {
            let start = self.runs.partition_point(|run| run.level > level);
            if self.runs.len() - start < RUNS_PER_LEVEL {
                break;
            }
            let path = self.next_path();
            let sources = self.runs[start..].iter().map(|run| run.read().map(Source::Run));
            let merge = Merge::new(sources.collect::<Result<_>>()?)?;
            let merged = RunFile::write(&self.file_system, &path, level + 1, merge)?;
            let old = self.runs.split_off(start);
            self.runs.push(merged);
            remove_all(old)?;
        }
        Ok(())
    }

    fn next_path(&mut self) -> PathBuf {
        let path = run_path(&self.directory, self.name, self.begun);
        self.begun += 1;
        path
    }
}

/// Sorts entries by a number that nearly always tells them apart, which is faster to compare than all of them, and then
/// those that have the same one.
pub(crate) fn sort<T: Ord>(entries: &mut [T], first_word: impl Fn(&T) -> u64) {
    entries.sort_unstable_by_key(&first_word);
    for same in entries.chunk_by_mut(|one, next| first_word(one) == first_word(next)) {
        same.sort_unstable();
    }
}

/// Leaves the entries out, of which there may be a million.
impl fmt::Debug for Sorter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sorter").field("entries", &self.entries).field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// Removes every one of the runs, also behind one that can't be removed, and returns the first error.
fn remove_all(mut runs: Vec<RunFile>) -> Result<()> {
    runs.iter_mut().try_for_each(RunFile::remove)
}
