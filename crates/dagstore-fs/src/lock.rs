//! One process per directory.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::file::{open_without_waiting, regular_file_size};

/// The name of the lock file. It stays when the lock is freed: a file that could go away could be locked twice.
const FILE_NAME: &str = "lock";

/// The sole right to a directory, for as long as the value lives.
///
/// It is an advisory lock (`flock`) on the file `lock` in the directory. The operating system frees it when the
/// process ends, however it ends, so there are no stale locks. It excludes other handles of the same process too. Dropping
/// the value frees it at once.
#[derive(Debug)]
pub struct DirectoryLock {
    path: PathBuf,
    file: File,
}

impl DirectoryLock {
    /// Takes the lock of a directory that exists, without waiting. The file keeps the process's number, for the
    /// message that others get.
    ///
    /// # Errors
    /// [`LockError::Held`] when somebody else has the lock; [`LockError::Failed`] when the file can't be opened,
    /// locked or written.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(FILE_NAME);
        let failed = |source| LockError::Failed { path: path.clone(), source };
        let mut file = open_without_waiting(&path, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW).map_err(failed)?;
        regular_file_size(&file).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { pid: read_pid(&file), path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Self { path, file })
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DirectoryLock {
    /// Closing the file would free the lock only when nobody else has the same handle, and a child process that another thread
    /// is just starting has it until it begins its own program.
    fn drop(&mut self) {
        // Where it fails the lock is freed by closing the file.
        let _ = self.file.unlock();
    }
}

/// Why a directory can't be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else has the lock.
    #[error("{} is held by {}", .path.display(), holder(*.pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who has it, as far as the file tells.
        pid: Option<u32>,
    },
    /// The lock file can't be opened, locked or written.
    #[error("cannot lock {}", .path.display())]
    Failed {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The number in a lock file. Right after a change of holders it may be absent, or the one of the holder before.
fn read_pid(file: &File) -> Option<u32> {
    let mut buffer = [0; 16];
    let count = file.read_at(&mut buffer, 0).ok()?;
    str::from_utf8(buffer.get(..count)?).ok()?.trim_end().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn held_by(error: &LockError) -> Option<u32> {
        let LockError::Held { pid, .. } = error else { panic!("{error}") };
        *pid
    }

    #[test]
    fn the_second_is_told_who_is_first() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let error = DirectoryLock::acquire(directory.path()).unwrap_err();
        assert_eq!(held_by(&error), Some(std::process::id()));
        assert_eq!(error.to_string(), format!("{} is held by process {}", lock.path().display(), std::process::id()));
        assert_eq!(std::fs::metadata(lock.path()).unwrap().permissions().mode() & 0o777, 0o600);
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn it_is_free_at_once_though_a_process_that_is_being_started_has_the_same_handle() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let inherited = lock.file.try_clone().unwrap();
        drop(lock);
        DirectoryLock::acquire(directory.path()).unwrap();
        drop(inherited);
    }

    #[test]
    fn a_longer_number_leaves_no_digits_behind() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "4294967295\nand more").unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        assert_eq!(std::fs::read_to_string(lock.path()).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn an_unreadable_holder_is_another_process() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        for text in ["", "\n", "no number", "-1", "99999999999", "123456789012345678901234567890"] {
            std::fs::write(lock.path(), text).unwrap();
            let error = DirectoryLock::acquire(directory.path()).unwrap_err();
            assert_eq!(held_by(&error), None, "{text}");
            assert!(error.to_string().ends_with("is held by another process"), "{error}");
        }
    }

    #[test]
    fn what_is_no_file_or_absent_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent");
        assert!(matches!(DirectoryLock::acquire(&absent), Err(LockError::Failed { .. })));
        std::os::unix::fs::symlink("elsewhere", directory.path().join(FILE_NAME)).unwrap();
        assert!(matches!(DirectoryLock::acquire(directory.path()), Err(LockError::Failed { .. })));
        assert!(!directory.path().join("elsewhere").exists());
    }
}
