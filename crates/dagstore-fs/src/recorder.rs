//! A file system that writes down what it is asked, for the tests of publishing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::{DirectoryEntry, FileSystem, ReadAt, RealFileSystem, WriteFile};

/// Writes down the calls, and fails the one that is told.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    calls: Arc<Mutex<Vec<&'static str>>>,
    failing: Option<&'static str>,
    /// Only calls about names that start so fail.
    only: &'static str,
}

impl Recorder {
    pub(crate) fn failing(call: &'static str) -> Self {
        Self { failing: Some(call), ..Self::default() }
    }

    /// Fails the call for files whose name starts so.
    pub(crate) fn failing_for(call: &'static str, only: &'static str) -> Self {
        Self { only, ..Self::failing(call) }
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    fn record(&self, call: &'static str, path: &Path) -> io::Result<()> {
        self.calls.lock().unwrap().push(call);
        let is_meant = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(self.only));
        if self.failing == Some(call) && is_meant { Err(io::Error::other("planted")) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct RecordedFile(Recorder, PathBuf, Box<dyn WriteFile>);

impl Write for RecordedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.record("write", &self.1)?;
        self.2.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.2.flush()
    }
}

impl WriteFile for RecordedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.record("sync", &self.1)?;
        self.2.sync()
    }
}

impl FileSystem for Recorder {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        RealFileSystem.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.record("create", path)?;
        let recorder = Self { calls: Arc::clone(&self.calls), ..*self };
        Ok(Box::new(RecordedFile(recorder, path.to_owned(), RealFileSystem.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.record("rename", from)?;
        RealFileSystem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.record("remove", path)?;
        RealFileSystem.remove(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        RealFileSystem.list(directory)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.record("sync_directory", directory)?;
        RealFileSystem.sync_directory(directory)
    }
}
