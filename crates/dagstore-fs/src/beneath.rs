//! Opening files beneath a directory that can't be left.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::RegularFile;

/// Why a file beneath a root isn't opened: the way to it leads out of the root, or could. It is the inner error of the
/// [`io::Error`] of [`open_beneath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeavesRoot {
    /// The path isn't a plain relative one.
    #[error("the path must be relative, and without . and ..")]
    Path,
    /// A part of the path is a symbolic link.
    #[error("it is, or lies behind, a symbolic link; links aren't followed beneath a root directory")]
    Link,
}

/// Opens the regular file at `relative` beneath the directory `root`. The path is walked from directory to directory by
/// descriptors, and no link is followed on the way, so that it doesn't matter what others do to the tree meanwhile. `root`
/// itself may be reached through links.
///
/// # Errors
/// [`LeavesRoot`] inside of an [`io::Error`]; otherwise as [`RegularFile::open`].
pub fn open_beneath(root: &Path, relative: &Path) -> io::Result<RegularFile> {
    let mut names = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => names.push(name),
            _ => return Err(io::Error::other(LeavesRoot::Path)),
        }
    }
    let Some((last, folders)) = names.split_last() else {
        return Err(io::Error::other(LeavesRoot::Path));
    };
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::io::retry_on_intr(|| rustix::fs::open(root, directory, Mode::empty()))?;
    for name in folders {
        folder = open_in(&folder, name, directory)?;
    }
    // Neither a pipe without a writer nor a terminal holds anybody up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    RegularFile::of(File::from(open_in(&folder, last, flags)?))
}

fn open_in(folder: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW;
    let opened = rustix::io::retry_on_intr(|| rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty()));
    opened.map_err(|error| {
        // Systems differ in what they say of a link that isn't to be followed.
        let stat = rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW);
        match stat {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                io::Error::other(LeavesRoot::Link)
            }
            _ => error.into(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{ReadAt, ReadAtExt};

    fn reason(error: &io::Error) -> Option<LeavesRoot> {
        error.get_ref()?.downcast_ref().copied()
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/c"), "inside").unwrap();
        fs::write(directory.path().join("beside"), "beside").unwrap();
        symlink(outside.path(), root.join("link")).unwrap();
        symlink(outside.path().join("secret"), root.join("a/secret")).unwrap();

        let mut bytes = [0; 6];
        open_beneath(&root, Path::new("a/b/c")).unwrap().read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"inside");
        for path in ["link/secret", "a/secret"] {
            assert_eq!(reason(&open_beneath(&root, Path::new(path)).unwrap_err()), Some(LeavesRoot::Link), "{path}");
        }
        for path in ["../beside", "a/../../beside", "/etc/passwd", "", "a/b/../b/c"] {
            assert_eq!(reason(&open_beneath(&root, Path::new(path)).unwrap_err()), Some(LeavesRoot::Path), "{path}");
        }
        let missing = open_beneath(&root, Path::new("a/x")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let folder = open_beneath(&root, Path::new("a/b")).unwrap_err();
        assert_eq!(folder.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_open_file_notices_that_it_was_cut_and_doesnt_mind_being_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        let file = open_beneath(directory.path(), Path::new("file")).unwrap();
        fs::rename(&path, directory.path().join("other")).unwrap();
        assert!(file.is_unchanged().unwrap());
        File::options().write(true).open(directory.path().join("other")).unwrap().set_len(3).unwrap();
        assert!(!file.is_unchanged().unwrap());
    }

    #[test]
    fn an_open_file_notices_that_it_was_modified_a_moment_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        let writer = File::options().write(true).open(&path).unwrap();
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        writer.set_modified(begin).unwrap();
        let file = open_beneath(directory.path(), Path::new("file")).unwrap();
        writer.set_modified(begin + Duration::from_millis(1)).unwrap();
        assert!(!file.is_unchanged().unwrap());
    }
}
