//! The one way in which a file of the store comes into being.

use std::io;
use std::path::{Path, PathBuf};

use crate::real::parent_directory;
use crate::{FileSystem, WriteFile};

/// Writes a file so that nobody ever sees a part of it, and a crash leaves it whole or absent.
///
/// `write` gets a new file under the name `temporary`, which must not exist. What it wrote is made durable, renamed to
/// `path` (replacing what bears that name), and the rename is made durable. `temporary` and `path` are in the same
/// directory. The file isn't buffered: whoever writes small pieces buffers and flushes them.
///
/// On failure there is no file under either name, as far as the file system still allows removing; a `path` that this
/// call had already replaced doesn't come back.
///
/// # Errors
/// What `write` returned, or a [`PublishError`] with the step that failed. Nothing was published then.
pub fn publish<T, E: From<PublishError>>(
    file_system: &dyn FileSystem,
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn WriteFile) -> Result<T, E>,
) -> Result<T, E> {
    let mut file = file_system.create(temporary).map_err(failed("create", temporary))?;
    let mut unfinished = Unfinished { file_system, path: temporary, is_finished: false };
    let value = write(&mut *file)?;
    file.sync().map_err(failed("sync", temporary))?;
    drop(file);
    file_system.rename(temporary, path).map_err(failed("rename", temporary))?;
    unfinished.path = path;
    let directory = parent_directory(path);
    file_system.sync_directory(directory).map_err(failed("sync the directory", directory))?;
    unfinished.is_finished = true;
    Ok(value)
}

/// A step of [`publish`] failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", .path.display())]
pub struct PublishError {
    /// What was being done, in words.
    pub operation: &'static str,
    /// What it was done to.
    pub path: PathBuf,
    /// What the file system said.
    pub source: io::Error,
}

impl From<PublishError> for io::Error {
    /// Keeps the kind, and the whole error as its source.
    fn from(error: PublishError) -> Self {
        Self::new(error.source.kind(), error)
    }
}

/// Makes the error of a step.
pub(crate) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| PublishError { operation, path, source }
}

/// Removes the file on every way out that isn't success, a panic included.
pub(crate) struct Unfinished<'a> {
    pub(crate) file_system: &'a dyn FileSystem,
    pub(crate) path: &'a Path,
    pub(crate) is_finished: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            // The error that is on its way tells more than this one would.
            let _ = self.file_system.remove(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealFileSystem;
    use crate::recorder::Recorder;

    fn publish_in(directory: &Path, file_system: &dyn FileSystem) -> io::Result<u8> {
        publish(file_system, &directory.join("t"), &directory.join("f"), |file| {
            file.write_all(b"new")?;
            Ok(7)
        })
    }

    fn names(directory: &Path) -> Vec<String> {
        RealFileSystem.list(directory).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn bytes_are_durable_before_the_name_and_the_name_before_the_return() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), b"old").unwrap();
        let recorder = Recorder::default();
        assert_eq!(publish_in(directory.path(), &recorder).unwrap(), 7);
        assert_eq!(recorder.calls(), ["create", "write", "sync", "rename", "sync_directory"]);
        assert_eq!(std::fs::read(directory.path().join("f")).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["f"]);
    }

    #[test]
    fn a_failed_step_is_told_and_leaves_nothing() {
        for call in ["create", "write", "sync", "rename", "sync_directory"] {
            let directory = tempfile::tempdir().unwrap();
            let error = publish_in(directory.path(), &Recorder::failing(call)).unwrap_err();
            assert!(call == "write" || error.to_string().starts_with("cannot "), "{call}: {error}");
            assert!(names(directory.path()).is_empty(), "{call}");
            publish_in(directory.path(), &RealFileSystem).unwrap();
        }
    }

    #[test]
    fn a_panic_while_writing_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let [temporary, path] = ["t", "f"].map(|name| directory.path().join(name));
        let panicked = std::panic::catch_unwind(|| {
            publish::<(), io::Error>(&RealFileSystem, &temporary, &path, |_| panic!("planted"))
        });
        assert!(panicked.is_err());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_temporary_that_exists_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("t"), b"somebody's").unwrap();
        let error = publish_in(directory.path(), &RealFileSystem).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(directory.path().join("t")).unwrap(), b"somebody's");
    }
}
